/**
 * Where queue files live: `queue_directory/<queue>/<hash>/<id>`.
 *
 * @module
 */
import { parseDecimal } from "../vstring/ascii.ts";
import { listDirectory, lookAt, makeDirectory, renameFile, syncDirectoryNow } from "../safe/file.ts";
import { hashedDirectory, type QueueId, toQueueId } from "./queue_id.ts";

/** The queues, which are directories of these names. */
export type QueueName =
  | "maildrop"
  | "incoming"
  | "active"
  | "deferred"
  | "hold"
  | "corrupt"
  | "bounce"
  | "defer"
  | "trace"
  | "saved"
  | "flush"
  | "journal";

/** Permission bits of a complete, committed file. */
export const QUEUE_FILE_READY = 0o700;
/** Permission bits of a file that is being written: every reader ignores it. */
export const QUEUE_FILE_UNREADY = 0o600;
/** Permission bits of a file that a delivery agent found damaged. */
export const QUEUE_FILE_CORRUPT = 0o400;
/** Added to a file that qmgr must try at once, whatever it thinks of the destination. */
export const QUEUE_FILE_FLUSH = 0o040;
/** Added to a file that is to expire at once. */
export const QUEUE_FILE_EXPIRE = 0o010;

/** Permission bits of a hash directory. */
const HASH_MODE = 0o700;
/**
 * The name of a file in incoming/ until its message is complete and on the disk. The dot sets it apart from every queue
 * id: nobody takes it for a message.
 *
 * @param time microseconds since 1970
 */
export function temporaryName(time: number, processId: number): string {
  return `${time}.${processId}`;
}

/** True for what `temporaryName` makes. */
export function isTemporaryName(name: string): boolean {
  const parts = name.split(".");
  return parts.length === 2 && parts.every((part) => parseDecimal(part) !== undefined);
}

/** Knows the layout of one queue directory. Parameters: hash_queue_names, hash_queue_depth. */
export class QueueDirectory {
  readonly root: string;
  readonly #hashed: ReadonlySet<string>;
  readonly #depth: number;

  constructor(root: string, hashNames: readonly string[], hashDepth: number) {
    this.root = root;
    this.#hashed = new Set(hashNames);
    this.#depth = hashDepth;
  }

  /** The path of a queue file. */
  path(queue: QueueName, id: QueueId): string {
    if (!this.#hashed.has(queue)) return `${this.root}/${queue}/${id}`;
    return `${this.root}/${queue}/${hashedDirectory(id, this.#depth)}/${id}`;
  }

  /** The directory of a queue. */
  directory(queue: QueueName): string {
    return `${this.root}/${queue}`;
  }

  /** Renames a file from one queue to another, making the hash directory when it is missing; false when it is gone. */
  move(id: QueueId, from: QueueName, to: QueueName): boolean {
    const target = this.path(to, id);
    const source = this.path(from, id);
    if (this.#hashed.has(to)) this.ensureHash(to, id);
    return renameFile(source, target);
  }

  /**
   * Makes the hash directory that an id needs in a queue. Its own name is synced: what is renamed into it later would
   * be lost with it, however well that is synced. There are few, and each is made once.
   */
  ensureHash(queue: QueueName, id: QueueId): void {
    if (!this.#hashed.has(queue)) return;
    const top = this.directory(queue);
    const hash = hashedDirectory(id, this.#depth);
    if (hash === "" || lookAt(`${top}/${hash}`) !== undefined) return;
    for (let at = top, rest = hash.split("/"); rest.length > 0; rest = rest.slice(1)) {
      const below = `${at}/${rest[0]}`;
      if (makeDirectory(below, HASH_MODE)) syncDirectoryNow(at);
      at = below;
    }
  }

  /** Goes through the ids of a queue, its hash directories included. Names that are no queue id are passed over. */
  *ids(queue: QueueName): Generator<QueueId> {
    yield* this.#idsBelow(this.directory(queue), this.#hashed.has(queue) ? this.#depth : 0);
  }

  *#idsBelow(directory: string, depth: number): Generator<QueueId> {
    for (const name of listDirectory(directory)) {
      // With hashing, a one-character directory is a hash directory; a file on the way down is found as well.
      if (depth > 0 && name.length === 1) {
        const below = `${directory}/${name}`;
        if (lookAt(below)?.kind === "directory") yield* this.#idsBelow(below, depth - 1);
      } else {
        const id = toQueueId(name);
        if (id !== undefined && name.length > 1) yield id;
      }
    }
  }
}
