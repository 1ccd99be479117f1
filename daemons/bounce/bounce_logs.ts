/**
 * The log files of one service: append, read, remove.
 *
 * An append is done when it is synced. Appends to one log that come while it is being synced go out together with
 * the next sync, so that a message to a thousand dead mailboxes does not cost a thousand of them.
 *
 * @module
 */
// Safe primitives
import {
  lookAt,
  type Opened,
  removeFile,
  safeCreate,
  type SafeFile,
  safeOpen,
  syncDirectory,
} from "../../lib/safe/file.ts";
import { dirname } from "../../lib/safe/path.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
// Mail
import { appendBounceRecord, BOUNCE_RECORD_LIMIT, type BounceRecord } from "../../lib/mail/bounce_log.ts";
import { QUEUE_FILE_UNREADY, type QueueDirectory } from "../../lib/mail/queue_directory.ts";
import type { QueueId } from "../../lib/mail/queue_id.ts";

/** The queues that hold logs; each is served by the service of its name. */
export type LogQueue = "bounce" | "defer" | "trace";

/** Most bytes that one write gathers. */
const BATCH_LIMIT = 1024 * 1024;
/** Times that a log may turn out to have been removed between opening and locking it. */
const OPEN_ATTEMPTS = 10;

/** A log that must not or cannot be used; the queue file stays, and the next attempt may find it mended. */
export class LogError extends Error {
  override name = "LogError";
}

/** Records that wait for their turn. */
interface Batch {
  readonly bytes: ByteBuilder;
  readonly done: Promise<void>;
}

/** Runs pieces of work for the same message one after the other. */
class Turns {
  readonly #last = new Map<QueueId, Promise<void>>();

  take<T>(id: QueueId, work: () => Promise<T>): Promise<T> {
    const mine = (this.#last.get(id) ?? Promise.resolve()).then(work);
    const settled = mine.then(() => {}, () => {});
    this.#last.set(id, settled);
    settled.then(() => {
      if (this.#last.get(id) === settled) this.#last.delete(id);
    });
    return mine;
  }
}

/** The logs below one of bounce/, defer/ and trace/. */
export class BounceLogs {
  readonly #directory: QueueDirectory;
  readonly #queue: LogQueue;
  readonly #compatible: boolean;
  readonly #log: Logger;
  readonly #turns = new Turns();
  readonly #batches = new Map<QueueId, Batch>();

  /** @param compatible backwards_bounce_logfile_compatibility */
  constructor(directory: QueueDirectory, queue: LogQueue, compatible: boolean, log: Logger) {
    this.#directory = directory;
    this.#queue = queue;
    this.#compatible = compatible;
    this.#log = log;
  }

  /** Appends a record; resolves when it is on the disk. On an error nothing of it stays in the log. */
  append(id: QueueId, record: BounceRecord): Promise<void> {
    let batch = this.#batches.get(id);
    if (batch === undefined || batch.bytes.room < BOUNCE_RECORD_LIMIT) batch = this.#startBatch(id);
    appendBounceRecord(batch.bytes, record, this.#compatible);
    return batch.done;
  }

  /** Removes a log, if there is one. */
  drop(id: QueueId): Promise<void> {
    return this.#turns.take(id, async () => {
      removeFile(this.#directory.path(this.#queue, id));
    });
  }

  /**
   * Gives a message's log to `work`, undefined when there is none, while nobody appends to it; removes the log when
   * `work` says so.
   */
  withLog(id: QueueId, work: (file: SafeFile | undefined) => Promise<"keep" | "remove">): Promise<void> {
    return this.#turns.take(id, async () => {
      const path = this.#directory.path(this.#queue, id);
      using file = await this.#openLocked("read", () => safeOpen(path, { access: "read" }));
      if (await work(file) === "remove") removeFile(path);
    });
  }

  #startBatch(id: QueueId): Batch {
    const bytes = new ByteBuilder(BATCH_LIMIT, 1024);
    const done = this.#turns.take(id, () => {
      if (this.#batches.get(id)?.bytes === bytes) this.#batches.delete(id);
      return this.#write(id, bytes.view());
    });
    const batch = { bytes, done };
    this.#batches.set(id, batch);
    return batch;
  }

  async #write(id: QueueId, bytes: Uint8Array): Promise<void> {
    const path = this.#directory.path(this.#queue, id);
    let created = false;
    using file = await this.#openLocked("append", () => {
      const opened = safeOpen(path, { access: "append" });
      created = opened.kind === "missing";
      return created ? this.#create(id, path) : opened;
    });
    if (file === undefined) {
      throw new LogError(`Cannot append to log "${path}": it is removed again and again`);
    }
    const size = file.size();
    try {
      file.writeAt(size, bytes);
      await file.sync();
      if (created) await syncDirectory(dirname(path));
    } catch (error) {
      this.#undo(file, size);
      throw error;
    }
  }

  #create(id: QueueId, path: string): Opened {
    this.#directory.ensureHash(this.#queue, id);
    const made = safeCreate(path, QUEUE_FILE_UNREADY);
    // Another process made it at the same moment: look again.
    return made.kind === "created" ? { kind: "opened", file: made.file } : { kind: "missing" };
  }

  /** Takes a half-written record back. Where that fails, the reader finds it torn and says so in the report. */
  #undo(file: SafeFile, size: number): void {
    try {
      if (size === 0) removeFile(file.path);
      else file.truncate(size);
    } catch (error) {
      this.#log.warning(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * Opens and locks a log; undefined when there is none. Whoever held the lock may have removed the file: a record
   * appended to it then would vanish with it, so the name is compared once the lock is there.
   */
  async #openLocked(access: "read" | "append", open: () => Opened): Promise<SafeFile | undefined> {
    for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
      const opened = open();
      if (opened.kind === "refused") throw new LogError(`Cannot use log in ${this.#queue}: it ${opened.why}`);
      if (opened.kind === "missing") {
        if (access === "read") return undefined;
        continue;
      }
      const { file } = opened;
      if (!file.tryLock("exclusive")) await file.lock("exclusive");
      if (lookAt(file.path)?.inode === file.stat().inode) return file;
      file.close();
    }
    return undefined;
  }
}
