/**
 * Writing a message into maildrop/: the way in for local mail, shared by sendmail and postdrop. Nobody looks at a
 * file while it is written, as its name is no queue id; it gets one when it is complete and synced. What is left
 * behind by a crash is a file with such a name, and nothing of it is ever delivered.
 *
 * @module
 */
// Safe primitives
import { describe, SystemError } from "../lib/safe/error.ts";
import {
  lookAt,
  removeFile,
  renameFile,
  safeCreate,
  type SafeFile,
  syncDirectory,
} from "../lib/safe/file.ts";
import { basename } from "../lib/safe/path.ts";
// Utility
import { ByteBuilder, encodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { makeQueueId, type QueueId } from "../lib/mail/queue_id.ts";
import { appendRecord, recordSize } from "../lib/mail/record.ts";

/** Bytes that are gathered before they are written. */
const BUFFER_SIZE = 65536;
/** Permission bits of a complete file of a user: ready, and readable for pickup, which runs as another user. */
const READY_MODE = 0o744;
/** Permission bits while it is written: for nobody else. */
const WRITING_MODE = 0o600;
/** Attempts to find a name that is free. */
const NAME_ATTEMPTS = 100;

/** The message is longer than message_size_limit. */
export class MessageTooBigError extends Error {
  override name = "MessageTooBigError";
}

/** How the queue is configured. */
export interface MaildropSettings {
  readonly queue_directory: string;
  /** Bytes; 0 for no limit. */
  readonly message_size_limit: number;
  readonly enable_long_queue_ids: boolean;
}

/** A message that is being written. */
export class MaildropFile {
  readonly #settings: MaildropSettings;
  readonly #directory: string;
  readonly #file: SafeFile;
  readonly #buffer = new ByteBuilder(BUFFER_SIZE, 4096);
  #path: string;
  #size = 0;

  /** Creates the file under a temporary name. */
  constructor(settings: MaildropSettings) {
    this.#settings = settings;
    this.#directory = `${settings.queue_directory}/maildrop`;
    this.#path = "";
    this.#file = this.#create();
  }

  /** Its temporary name. */
  get name(): string {
    return basename(this.#path);
  }

  /** Appends one record; throws `MessageTooBigError` when the file would grow past the limit. */
  record(type: number, data: Uint8Array | string): void {
    const bytes = typeof data === "string" ? encodeText(data) : data;
    const size = recordSize(bytes.length);
    if (size > this.#buffer.room) this.#flush();
    appendRecord(this.#buffer, type, bytes);
    this.#size += size;
    const limit = this.#settings.message_size_limit;
    if (limit > 0 && this.#size > limit) throw new MessageTooBigError("Cannot post message: file too big");
  }

  /**
   * Makes the message complete: data, ready bit, sync, its name in the queue, sync of the directory. Only after
   * this may anybody be told that the message is accepted.
   */
  async commit(): Promise<QueueId> {
    this.#flush();
    // The ready bit goes on the disk with the data, and both before the name that makes pickup look.
    this.#file.setMode(READY_MODE);
    await this.#file.sync();
    const id = this.#rename();
    await this.#syncName();
    this.#file.close();
    return id;
  }

  /** Waits until the new name is on the disk. */
  async #syncName(): Promise<void> {
    try {
      await syncDirectory(this.#directory);
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== "EACCES") throw error;
      // A user may write in the directory and not open it. A second sync of the file takes the journal's
      // transaction with the new name along, on the file systems that have a journal.
      await this.#file.sync();
    }
  }

  /** Removes what was written. Does nothing after a commit. */
  abandon(): void {
    this.#file.close();
    if (this.#path !== "") removeFile(this.#path);
    this.#path = "";
  }

  #create(): SafeFile {
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
      // A dot makes it no queue id. Random, so that nobody can take the name beforehand.
      this.#path = `${this.#directory}/tmp.${randomName()}`;
      const made = safeCreate(this.#path, WRITING_MODE);
      if (made.kind === "created") return made.file;
    }
    throw new SystemError("create", this.#path, new Error("name is taken"));
  }

  #rename(): QueueId {
    const { inode } = this.#file.stat();
    for (let attempt = 0;; attempt++) {
      const id = makeQueueId(microseconds(), inode, this.#settings.enable_long_queue_ids);
      const target = `${this.#directory}/${id}`;
      // In a sticky directory a rename onto another user's file fails; onto our own it would lose a message.
      if (lookAt(target) === undefined && this.#tryRename(target, attempt)) {
        this.#path = "";
        return id;
      }
    }
  }

  #tryRename(target: string, attempt: number): boolean {
    try {
      if (renameFile(this.#path, target)) return true;
      throw new SystemError("rename", this.#path, new Error("file is gone"));
    } catch (error) {
      if (attempt >= NAME_ATTEMPTS) throw error;
      if (error instanceof SystemError && error.code === "EPERM") return false;
      throw error;
    }
  }

  #flush(): void {
    if (this.#buffer.length > 0) this.#file.write(this.#buffer.view());
    this.#buffer.clear();
  }
}

/** The system's reason for a failure, without the path of a file that means nothing to a user. */
export function reasonOf(error: unknown): string {
  if (error instanceof SystemError) return describe(error.cause);
  return error instanceof Error ? error.message : String(error);
}

function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Microseconds since 1970. */
function microseconds(): number {
  return Math.floor((performance.timeOrigin + performance.now()) * 1000);
}
