/**
 * The journal's other end: drops segments whose messages are gone or on the disk by themselves, and after the system
 * went down puts back what the queue has lost (lib/mail/queue_journal.ts).
 */
// Safe primitives
import {
  listDirectory,
  lookAt,
  openOwn,
  removeFile,
  safeCreate,
  type SafeFile,
  syncDirectory,
  syncDirectoryNow,
} from "../../lib/safe/file.ts";
import { SystemError } from "../../lib/safe/error.ts";
import { dirname } from "../../lib/safe/path.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { QUEUE_FILE_READY, type QueueDirectory, type QueueName } from "../../lib/mail/queue_directory.ts";
import type { QueueId } from "../../lib/mail/queue_id.ts";
import { isForeignSegment, JournalReader } from "../../lib/mail/queue_journal.ts";
import { RECORD, RecordCursor } from "../../lib/mail/record.ts";

/**
 * Where a message may be, in the order in which they are looked through: a file that moves on meanwhile is found in
 * a later one, and what goes back and forth (hold, requeue) in the second turn.
 */
const PLACES: readonly QueueName[] = [
  "hold",
  "incoming",
  "active",
  "deferred",
  "hold",
  "deferred",
  "active",
  "corrupt",
];
/** Messages of which it is remembered that they are gone; what is forgotten is looked for on the disk. */
const GONE_LIMIT = 200_000;
/** Entries that are read, and files that are synced at once, in one turn of the event loop. */
const TURN = 256;

/** Looks after the journal of one queue. */
export class JournalKeeper {
  readonly #queue: QueueDirectory;
  readonly #directory: string;
  readonly #boot: string;
  readonly #log: Logger;
  readonly #gone = new Set<QueueId>();
  #running: Promise<void> | undefined;

  /** @param boot boot id of the system */
  constructor(queue: QueueDirectory, boot: string, log: Logger) {
    this.#queue = queue;
    this.#directory = queue.directory("journal");
    this.#boot = boot;
    this.#log = log;
  }

  /** A message that came by way of the journal was removed from the queue. */
  gone(id: QueueId): void {
    if (this.#gone.size >= GONE_LIMIT) this.#gone.clear();
    this.#gone.add(id);
  }

  /** Puts back what was lost when the system went down. To be called before anything else looks at the queue. */
  restore(): void {
    for (const name of listDirectory(this.#directory)) {
      if (!isForeignSegment(name, this.#boot)) continue;
      const path = `${this.#directory}/${name}`;
      const opened = openOwn(path, "read");
      if (opened.kind !== "opened") {
        this.#log.warning(
          `journal segment ${name} ${opened.kind === "refused" ? opened.why : "is gone"}: not read`,
        );
        continue;
      }
      using segment = opened.file;
      this.#restoreSegment(segment);
      removeFile(path);
    }
  }

  #restoreSegment(segment: SafeFile): void {
    const reader = new JournalReader((buffer, offset) => segment.read(buffer, offset));
    const directories = new Set<string>();
    while (reader.next()) {
      const path = this.#find(reader.id);
      if (path === undefined) {
        this.#write(reader.id, reader.content, directories);
        this.#log.info(`${reader.id}: restored from the journal`);
      } else if (!isWhole(path, reader.content)) {
        removeFile(path);
        this.#write(reader.id, reader.content, directories);
        this.#log.info(`${reader.id}: restored from the journal (its file was torn)`);
      } else {
        syncFile(path);
        directories.add(dirname(path));
      }
    }
    for (const directory of directories) syncDirectoryNow(directory);
  }

  #write(id: QueueId, content: Uint8Array, directories: Set<string>): void {
    this.#queue.ensureHash("incoming", id);
    const path = this.#queue.path("incoming", id);
    const made = safeCreate(path, QUEUE_FILE_READY);
    if (made.kind === "exists") throw new SystemError("create", path, new Error("name is taken"));
    using file = made.file;
    file.write(content);
    file.syncNow();
    // Where incoming/ is hashed, the directory itself may be new.
    const top = this.#queue.directory("incoming");
    for (let at = dirname(path); at.length >= top.length; at = dirname(at)) directories.add(at);
  }

  /** The path of a message, or undefined when it is gone. */
  #find(id: QueueId): string | undefined {
    for (const place of PLACES) {
      const path = this.#queue.path(place, id);
      if (lookAt(path)?.kind === "file") return path;
    }
    return undefined;
  }

  /** Drops every segment that no cleanup writes any more; what is left of its messages is synced first. */
  retire(): Promise<void> {
    this.#running ??= this.#retire().finally(() => this.#running = undefined);
    return this.#running;
  }

  async #retire(): Promise<void> {
    for (const name of listDirectory(this.#directory)) {
      const path = `${this.#directory}/${name}`;
      const opened = openOwn(path, "read");
      if (opened.kind !== "opened") continue;
      using segment = opened.file;
      if (!segment.tryLock("exclusive")) continue;
      try {
        await this.#settle(segment);
        removeFile(path);
      } catch (error) {
        // The disk's trouble with one message is not the others': the segment stays, and is gone through again.
        if (!(error instanceof SystemError)) throw error;
        this.#log.warning(`journal segment ${name} is kept: ${error.message}`);
      }
    }
  }

  async #settle(segment: SafeFile): Promise<void> {
    const reader = new JournalReader((buffer, offset) => segment.read(buffer, offset));
    const directories = new Set<string>();
    for (let more = true; more;) {
      const left: QueueId[] = [];
      for (let i = 0; i < TURN && more; i++) {
        more = reader.next();
        if (more && !this.#gone.delete(reader.id)) left.push(reader.id);
      }
      const synced = left.map(async (id) => {
        const path = this.#find(id);
        if (path !== undefined && await syncLater(path)) directories.add(dirname(path));
      });
      await Promise.all(synced);
      await turn();
    }
    // A file may have moved since: its new name has to be on the disk as well. And what is gone must not come back
    // without the content that nothing but the segment has.
    for (const place of new Set(PLACES)) directories.add(this.#queue.directory(place));
    for (const directory of directories) await syncDirectory(directory);
  }
}

/** Syncs a file; false when it is gone, or has moved and is found again by its new name. */
async function syncLater(path: string): Promise<boolean> {
  const opened = openOwn(path, "read");
  if (opened.kind !== "opened") return false;
  using file = opened.file;
  await file.sync();
  return true;
}

function syncFile(path: string): void {
  const opened = openOwn(path, "read");
  if (opened.kind !== "opened") return;
  using file = opened.file;
  file.syncNow();
}

/** True when a queue file has all that was written into it, marks of its delivery apart. */
function isWhole(path: string, content: Uint8Array): boolean {
  const opened = openOwn(path, "read");
  if (opened.kind !== "opened") return false;
  using file = opened.file;
  if (file.size() !== content.length) return false;
  const found = file.readAll(content.length);
  const cursor = new RecordCursor(content);
  while (cursor.next()) {
    const { type, offset, position } = cursor;
    // The time of the warning is overwritten when it was sent, a recipient's type when it is done.
    const same = found[offset] === type || (type === RECORD.RECIPIENT && MARKS.includes(found[offset]!));
    if (!same || (type !== RECORD.WARN && !equalBytes(found, content, offset + 1, position))) return false;
  }
  return true;
}

const MARKS: readonly number[] = [RECORD.DONE, RECORD.CANCELLED];

function equalBytes(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (a[i] !== b[i]) return false;
  return true;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
