/**
 * What tests of tables share. Not a test itself.
 */
import type { TableFiles } from "../../../lib/table/file_table.ts";
import type { Outcome, Table, TableProblem } from "../../../lib/table/table.ts";
import { describeProblem } from "../../../lib/table/table.ts";

/** Files in memory, with a clock that the test moves. */
export class MemoryFiles implements TableFiles {
  readonly texts = new Map<string, string>();
  time = 0;
  reads = 0;
  looks = 0;
  #versions = new Map<string, number>();

  constructor(texts: Readonly<Record<string, string>> = {}) {
    for (const [path, text] of Object.entries(texts)) this.write(path, text);
  }

  write(path: string, text: string): void {
    this.texts.set(path, text);
    this.#versions.set(path, (this.#versions.get(path) ?? 0) + 1);
  }

  read(path: string): string {
    this.reads++;
    const text = this.texts.get(path);
    if (text === undefined) throw new Error(`Cannot read "${path}": No such file or directory`);
    return text;
  }

  version(path: string): string | undefined {
    this.looks++;
    return this.texts.has(path) ? String(this.#versions.get(path)) : undefined;
  }

  now(): number {
    return this.time;
  }
}

/** A log that keeps its lines. */
export class MemoryLog {
  readonly lines: string[] = [];
  info(text: string): void {
    this.lines.push(`info: ${text}`);
  }
  warning(text: string): void {
    this.lines.push(`warning: ${text}`);
  }
  error(text: string): void {
    this.lines.push(`error: ${text}`);
  }
  debug(): void {}
  flush(): void {}
}

/** A table of fixed entries that counts how often it is asked, and for what. */
export class CountingTable implements Table {
  readonly spec = "counting:table";
  readonly partialKeys: boolean;
  readonly asked: string[] = [];
  readonly #entries: ReadonlyMap<string, Outcome>;

  constructor(entries: Readonly<Record<string, string | Outcome>>, partialKeys = true) {
    this.partialKeys = partialKeys;
    this.#entries = new Map(
      Object.entries(entries).map(([key, value]): [string, Outcome] => {
        return [key, typeof value === "string" ? { kind: "found", value } : value];
      }),
    );
  }

  lookup(key: string): Outcome {
    this.asked.push(key);
    return this.#entries.get(key) ?? { kind: "missing" };
  }
}

/** Collects problems as text. */
export function collector(): { warn: (problem: TableProblem) => void; texts: string[] } {
  const texts: string[] = [];
  return { warn: (problem) => texts.push(describeProblem(problem)), texts };
}

/** Numbers below `below` from a seed, the same in each run. */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}
