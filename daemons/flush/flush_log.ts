/**
 * The list of one destination: a file in flush/ with a queue id on each line. It is a hint and no record: what it
 * lacks is delivered in its own time, and what it has too much is passed over.
 */
// Safe primitives
import { lookAt, openOwn, removeFile, safeCreate, type SafeFile, setFileTime } from "../../lib/safe/file.ts";
// Utility
import { LF } from "../../lib/vstring/ascii.ts";
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { QUEUE_ID_MOST, type QueueId, toQueueId } from "../../lib/mail/queue_id.ts";

const LOG_MODE = 0o600;
/** Bytes that are read at once. */
const READ_SIZE = 65536;
/** Attempts to open a file that somebody makes or removes at the same time. */
const OPEN_ATTEMPTS = 10;

/** Adds a message to a list; the file is made when there is none. False when the list cannot be used. */
export async function addToLog(path: string, id: QueueId): Promise<boolean> {
  for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
    using file = openOrCreate(path);
    if (file === undefined) continue;
    await file.lock("exclusive");
    // An empty list may have been removed before we had the lock: what is written then is read by nobody.
    if (lookAt(path)?.inode !== file.stat().inode) continue;
    file.writeAt(file.size(), encodeText(`${id}\n`));
    return true;
  }
  return false;
}

function openOrCreate(path: string): SafeFile | undefined {
  const opened = openOwn(path, "write");
  if (opened.kind === "opened") return opened.file;
  if (opened.kind === "refused") return undefined;
  const made = safeCreate(path, LOG_MODE);
  return made.kind === "created" ? made.file : undefined;
}

/** The list of a destination while its messages are asked for. */
export class FlushLog implements Disposable {
  readonly #file: SafeFile;
  /** What is read: lines that are added meanwhile stay for the next time. */
  readonly #end: number;
  readonly #warn: (text: string) => void;

  private constructor(file: SafeFile, warn: (text: string) => void) {
    this.#file = file;
    this.#end = file.size();
    this.#warn = warn;
  }

  /** Undefined when there is no list. */
  static open(path: string, warn: (text: string) => void): FlushLog | undefined {
    const opened = openOwn(path, "write");
    if (opened.kind === "opened") return new FlushLog(opened.file, warn);
    if (opened.kind === "refused") warn(`${path}: ${opened.why}`);
    return undefined;
  }

  /** The ids in it, a piece of the file at a time. */
  *ids(): Generator<QueueId> {
    const buffer = new Uint8Array(READ_SIZE);
    let kept = 0;
    for (let offset = 0; offset < this.#end;) {
      const count = this.#file.read(
        buffer.subarray(kept, Math.min(buffer.length, kept + this.#end - offset)),
        offset,
      );
      if (count === 0) return;
      offset += count;
      kept = yield* this.#lines(buffer, kept + count);
    }
  }

  /** The ids of the whole lines in the buffer; the rest is moved to its start, and its length returned. */
  *#lines(buffer: Uint8Array, length: number): Generator<QueueId, number> {
    let start = 0;
    for (let end = buffer.indexOf(LF); end >= 0 && end < length; end = buffer.indexOf(LF, start)) {
      const id = toQueueId(decodeText(buffer.subarray(start, end)));
      if (id === undefined) this.#warn(`bad queue id in fast flush logfile ${this.#file.path}`);
      else yield id;
      start = end + 1;
    }
    buffer.copyWithin(0, start, length);
    // A line that is longer than any id is none, and is not kept until it ends.
    return length - start > QUEUE_ID_MOST ? 0 : length - start;
  }

  /** Takes out what was read, so that an id is asked for once. */
  async clear(): Promise<void> {
    const file = this.#file;
    await file.lock("exclusive");
    const size = file.size();
    // Shorter than before: another process has done the same, and what there is now nobody has read.
    if (size < this.#end) return;
    const added = new Uint8Array(size - this.#end);
    const count = added.length === 0 ? 0 : file.read(added, this.#end);
    file.writeAt(0, added.subarray(0, count));
    file.truncate(count);
    // When it was read last: a file system need not keep account of it.
    setFileTime(file.path, Date.now());
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Removes the list of a destination that has none waiting. */
export async function removeIfEmpty(path: string): Promise<boolean> {
  const opened = openOwn(path, "write");
  if (opened.kind !== "opened") return false;
  using file = opened.file;
  await file.lock("exclusive");
  return file.size() === 0 && removeFile(path);
}
