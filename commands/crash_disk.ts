/**
 * What a disk may hold after the power went: built from the file operations of a run. Data that was not synced is
 * there, or missing, or cut short, or a hole of zeros; a name that was not synced is there or not; a rename is done
 * whole or not at all. What was done to one file or to one name keeps its order.
 *
 * @module
 */
// Safe primitives
import { dirname } from "../lib/safe/path.ts";

/** One step of a run. Files go by a number, as names change. */
export type Operation =
  | { readonly kind: "create"; readonly path: string; readonly file: number; readonly mode: number }
  | { readonly kind: "write"; readonly file: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly file: number; readonly size: number }
  | { readonly kind: "mode"; readonly file: number; readonly mode: number }
  | { readonly kind: "sync"; readonly file: number }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "link"; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly path: string }
  | { readonly kind: "directory"; readonly path: string; readonly mode: number }
  | { readonly kind: "syncDirectory"; readonly path: string }
  /** Something that somebody was told: it is true from here on. */
  | { readonly kind: "note"; readonly text: string };

type DataOperation = Extract<Operation, { kind: "write" | "truncate" | "mode" }>;

/** What has become of a file's bytes that were not synced. */
export const LOSSES = ["kept", "lost", "zeroed", "cut"] as const;
export type Loss = typeof LOSSES[number];

/** A file or directory of a state. Paths with the same `file` are links to one file. */
export type StateEntry =
  | { readonly kind: "directory"; readonly mode: number }
  | { readonly kind: "file"; readonly file: number; readonly mode: number; readonly content: Uint8Array };

/** One thing that a power cut may leave. */
export interface DiskState {
  /** The same for states that are the same. */
  readonly key: string;
  /** By path, those above before those below. */
  readonly entries: ReadonlyMap<string, StateEntry>;
}

/** What a name stands for: a file's number, or a directory's mode. */
type Node = { readonly file: number } | { readonly directory: number };

/** A change of names that is not synced. */
interface NameChange {
  readonly removes: readonly string[];
  readonly adds: readonly (readonly [string, Node])[];
  /** Changes that share one of these keep their order: a file's number, a name. */
  readonly keys: readonly string[];
  readonly directories: ReadonlySet<string>;
}

interface FileData {
  readonly mode: number;
  readonly operations: DataOperation[];
  /** So many of the operations are synced. */
  durable: number;
}

/** Follows a run, and says what a power cut at this point may leave. */
export class CrashDisk {
  readonly #files = new Map<number, FileData>();
  /** Names as the running system sees them. */
  readonly #names = new Map<string, Node>();
  /** Names that are on the disk. */
  readonly #durable = new Map<string, Node>();
  #pending: NameChange[] = [];

  /** Follows one step. */
  apply(operation: Operation): void {
    switch (operation.kind) {
      case "create":
        this.#files.set(operation.file, { mode: operation.mode, operations: [], durable: 0 });
        return this.#rename([], [[operation.path, { file: operation.file }]]);
      case "write":
      case "truncate":
      case "mode":
        return void this.#files.get(operation.file)?.operations.push(operation);
      case "sync": {
        const data = this.#files.get(operation.file);
        if (data !== undefined) data.durable = data.operations.length;
        return;
      }
      case "rename":
      case "link": {
        const node = this.#names.get(operation.from);
        if (node === undefined) return;
        return this.#rename(operation.kind === "rename" ? [operation.from] : [], [[operation.to, node]]);
      }
      case "remove":
        return this.#rename([operation.path], []);
      case "directory":
        return this.#rename([], [[operation.path, { directory: operation.mode }]]);
      case "syncDirectory":
        return this.#syncDirectory(operation.path);
      case "note":
        return;
      default:
        operation satisfies never;
    }
  }

  #rename(removes: readonly string[], adds: readonly (readonly [string, Node])[]): void {
    const paths = [...removes, ...adds.map(([path]) => path)];
    const nodes = [...removes.map((path) => this.#names.get(path)), ...adds.map(([, node]) => node)];
    const files = nodes.flatMap((node) => node !== undefined && "file" in node ? [`#${node.file}`] : []);
    this.#pending.push({
      removes,
      adds,
      keys: [...new Set([...paths, ...files])],
      directories: new Set(paths.map(dirname)),
    });
    carryOut(this.#names, { removes, adds });
  }

  /** What touches the directory is on the disk, and with it what came before on the same file or name. */
  #syncDirectory(path: string): void {
    const needed = new Set<string>();
    const durable = this.#pending.toReversed().filter((change) => {
      if (!change.directories.has(path) && !change.keys.some((key) => needed.has(key))) return false;
      for (const key of change.keys) needed.add(key);
      return true;
    });
    for (const change of durable.reverse()) carryOut(this.#durable, change);
    this.#pending = this.#pending.filter((change) => !durable.includes(change));
  }

  /**
   * Up to `limit` of the states that a power cut may leave now: all when there are no more, else the extremes and
   * what chance picks.
   *
   * @param below a number from 0 up to and without its argument, from a seed
   */
  *states(limit: number, below: (limit: number) => number): Generator<DiskState> {
    const groups = this.#groups();
    const unsynced = [...this.#files].some(([, data]) => data.durable < data.operations.length);
    const losses: readonly Loss[] = unsynced ? LOSSES : ["kept"];
    for (const lengths of chooseLengths(groups.map(({ length }) => length), limit / losses.length, below)) {
      const names = new Map(this.#durable);
      const done = new Set(groups.flatMap((group, i) => group.slice(0, lengths[i])));
      for (const change of this.#pending) if (done.has(change)) carryOut(names, change);
      for (const loss of losses) yield this.#state(names, () => loss);
      if (unsynced) yield this.#state(names, () => LOSSES[below(LOSSES.length)]!);
    }
  }

  /** Pending changes that depend on one another, in order. */
  #groups(): NameChange[][] {
    const groupOf = new Map<string, NameChange[]>();
    for (const change of this.#pending) {
      const joined = new Set(change.keys.flatMap((key) => groupOf.get(key) ?? []));
      joined.add(change);
      const group = this.#pending.filter((one) => joined.has(one));
      for (const one of group) for (const key of one.keys) groupOf.set(key, group);
    }
    return [...new Set(groupOf.values())];
  }

  #state(names: ReadonlyMap<string, Node>, lossOf: () => Loss): DiskState {
    const entries = new Map<string, StateEntry>();
    const losses = new Map<number, Loss>();
    let key = "";
    for (const [path, node] of [...names].toSorted(([a], [b]) => a < b ? -1 : 1)) {
      if (!this.#reachable(path, names)) continue;
      if ("directory" in node) {
        entries.set(path, { kind: "directory", mode: node.directory });
        key += `${path}/\n`;
        continue;
      }
      const data = this.#files.get(node.file);
      if (data === undefined) continue;
      const whole = data.durable === data.operations.length;
      if (!losses.has(node.file)) losses.set(node.file, whole ? "kept" : lossOf());
      const loss = losses.get(node.file)!;
      entries.set(path, { kind: "file", file: node.file, ...replay(data, loss) });
      key += `${path} ${node.file} ${data.durable} ${data.operations.length} ${loss}\n`;
    }
    return { key, entries };
  }

  /** True when the directories above, as far as they were made in the run, are there too. */
  #reachable(path: string, names: ReadonlyMap<string, Node>): boolean {
    for (let at = dirname(path); at.length > 1; at = dirname(at)) {
      if (this.#names.has(at) && !names.has(at)) return false;
    }
    return true;
  }
}

function carryOut(names: Map<string, Node>, { removes, adds }: Pick<NameChange, "removes" | "adds">): void {
  for (const path of removes) names.delete(path);
  for (const [path, node] of adds) names.set(path, node);
}

/** Choices of how many changes of each group are done: every one, or extremes first and then at random. */
function* chooseLengths(
  most: readonly number[],
  limit: number,
  below: (limit: number) => number,
): Generator<readonly number[]> {
  const total = most.reduce((product, length) => product * (length + 1), 1);
  if (total <= limit) {
    for (let number = 0; number < total; number++) {
      let rest = number;
      yield most.map((length) => {
        const digit = rest % (length + 1);
        rest = Math.floor(rest / (length + 1));
        return digit;
      });
    }
    return;
  }
  yield most.map(() => 0);
  yield [...most];
  for (let made = 2; made < limit; made++) {
    const odd = made % 4;
    // One group that differs from all others is what finds most; chance finds the rest.
    const at = below(most.length);
    if (odd === 0) yield most.map((length, i) => i === at ? length : 0);
    else if (odd === 1) yield most.map((length, i) => i === at ? below(length + 1) : length);
    else yield most.map((length) => below(length + 1));
  }
}

/** Content and mode of a file that lost what was not synced. */
function replay(data: FileData, loss: Loss): { readonly mode: number; readonly content: Uint8Array } {
  let { mode } = data;
  let content = new Uint8Array(0);
  const last = data.operations.length - 1;
  for (const [i, operation] of data.operations.entries()) {
    const synced = i < data.durable;
    if (!synced && loss === "lost") break;
    if (operation.kind === "mode") {
      if (synced || loss === "kept") mode = operation.mode;
    } else if (operation.kind === "truncate") content = resize(content, operation.size);
    else {
      const { offset, bytes } = operation;
      const cut = !synced && loss === "cut" && i === last ? bytes.subarray(0, bytes.length >> 1) : bytes;
      content = resize(content, Math.max(content.length, offset + cut.length));
      if (synced || loss !== "zeroed") content.set(cut, offset);
      else content.fill(0, offset, offset + cut.length);
    }
  }
  return { mode, content };
}

function resize(content: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const other = new Uint8Array(size);
  other.set(content.subarray(0, size));
  return other;
}
