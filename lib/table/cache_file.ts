/**
 * A cache in a file: all of it is in memory, and the file is a journal of what changes. What stands there for a key is
 * its value until a time, which nobody looks at but the clean-up.
 *
 * Permissions needed: read and write on the file and its directory.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
// This folder
import { type EntryFormat, formatLine, isWhole, parseLine, StateJournal } from "./state_journal.ts";

/** Entries; past that those go first that were put first. */
export const CACHE_ENTRY_LIMIT = 200_000;

interface Entry {
  readonly value: string;
  /** Seconds since 1970. */
  readonly expires: number;
}

const FORMAT: EntryFormat<Entry> = {
  format: (key, entry) => formatLine(key, entry === undefined ? [] : [entry.expires, entry.value]),
  parse: (line) => {
    const values = parseLine(line);
    if (values === undefined) return undefined;
    const [key, expires, value] = values;
    if (values.length === 1) return [key, undefined];
    return values.length === 3 && isWhole(expires) && typeof value === "string"
      ? [key, { value, expires }]
      : undefined;
  },
};

/** An open cache; one process at a time has it. */
export class CacheFile {
  readonly #entries = new Map<string, Entry>();
  readonly #journal: StateJournal<Entry>;

  /** @param log is told what is wrong with the file, and of a disk that takes nothing */
  constructor(path: string, log: Pick<Logger, "warning">) {
    this.#journal = new StateJournal(path, FORMAT, log);
    this.#journal.read((key, entry) => {
      this.#entries.delete(key);
      if (entry !== undefined && this.#entries.size < CACHE_ENTRY_LIMIT) this.#entries.set(key, entry);
    });
  }

  /** Entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key, also when it has expired and was not cleaned up yet. */
  get(key: string): string | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Keeps a value. */
  put(key: string, value: string, expires: number): void {
    const entry = { value, expires };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#journal.note(key, entry);
    if (this.#entries.size <= CACHE_ENTRY_LIMIT) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      break;
    }
  }

  /** Writes what has changed. */
  async flush(): Promise<void> {
    await this.#journal.write(() => this.#entries);
  }

  /** Forgets what has expired; tells how many entries stay and how many went. */
  clean(now: number): { readonly retained: number; readonly dropped: number } {
    let dropped = 0;
    for (const [key, { expires }] of this.#entries) {
      if (expires > now) continue;
      this.#entries.delete(key);
      this.#journal.note(key, undefined);
      dropped++;
    }
    return { retained: this.#entries.size, dropped };
  }

  [Symbol.dispose](): void {
    this.#journal.close();
  }
}
