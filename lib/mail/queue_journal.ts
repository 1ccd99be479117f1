/**
 * The journal of accepted messages: one sync for many. A queue file and its name cost a sync each, and most files
 * are gone before the system would have written them by itself. So cleanup appends the file's bytes to a segment of
 * `queue_directory/journal` and syncs that once for all messages that wait; qmgr drops a segment when each message in
 * it is gone or is on the disk by itself, some seconds later. After the system went down without that, qmgr restores
 * from the segments what is missing or torn in the queue.
 *
 * A segment is `HEADER`, then an entry for each message: length of what follows the checksum (4 bytes, big-endian),
 * CRC-32 of it (4 bytes), length of the id (1 byte), the id, the queue file. What follows the last whole entry was
 * being written when the system went down: nobody was told that it is safe.
 *
 * Its name begins with the boot id of the system that wrote it: what a process wrote is there for all others as long
 * as that system is up, whatever becomes of processes, so only another system's segments are read back. The writer
 * holds a lock as long as it adds to it.
 *
 * @module
 */
import { checksum } from "../safe/checksum.ts";
import { SystemError } from "../safe/error.ts";
import { safeCreate, SafeDirectory, type SafeFile } from "../safe/file.ts";
import { processId } from "../safe/stdio.ts";
import { SyncGauge } from "../safe/sync.ts";
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
import { readUint32, writeUint32 } from "../vstring/uint32.ts";
import { QUEUE_ID_MOST, type QueueId, toQueueId } from "./queue_id.ts";
import type { ReadAt } from "./record.ts";

/** Longest queue file that goes through the journal, bytes; longer ones are synced by themselves. */
export const JOURNAL_ENTRY_LIMIT = 128 * 1024;
/** A segment is closed when it has this many bytes, or is this old, milliseconds. */
const SEGMENT_SIZE = 8 * 1024 * 1024;
const SEGMENT_AGE = 5000;
/** Entries that may wait for a sync, bytes: as many as there can be messages under way would pass it. */
const BATCH_LIMIT = 1024 * 1024 * 1024;
/** The buffer for entries at first, and the largest that is kept, bytes. */
const BUFFER_SIZE = 64 * 1024;
const BUFFER_MOST = 1024 * 1024;
const HEADER = encodeText("postern journal 1\n");
/** Bytes before an entry's id: length, checksum, length of the id. */
const HEAD = 9;
/** Bytes that a reader holds: an entry fits. */
const WINDOW = 256 * 1024;

/** Told once when a message is safe on the disk, or with the error that kept it from that. */
export type Journaled = (failure: SystemError | undefined) => void;

/** Appends messages to segments of its own. */
export class JournalWriter implements Disposable {
  readonly #directory: SafeDirectory;
  readonly #boot: string;
  readonly #gauge = new SyncGauge();
  #out = new ByteBuilder(BATCH_LIMIT, BUFFER_SIZE);
  #waiting: Journaled[] = [];
  #running = false;
  #segment: SafeFile | undefined;
  #segments = 0;
  /** Bytes of the segment that are on the disk. */
  #length = 0;
  #old = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param directory the journal's directory
   * @param boot the system's boot id
   */
  constructor(directory: string, boot: string) {
    this.#directory = new SafeDirectory(directory);
    this.#boot = boot;
  }

  /** Appends a queue file of at most JOURNAL_ENTRY_LIMIT bytes, which are copied. */
  add(id: QueueId, content: Uint8Array, done: Journaled): void {
    appendEntry(this.#out, id, content);
    this.#waiting.push(done);
    if (this.#running) return;
    this.#running = true;
    // What else this turn of the event loop brings shares the sync.
    queueMicrotask(() => this.#run());
  }

  /** Puts batch after batch on the disk as long as something waits: who comes during a sync shares the next one. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      let failure: SystemError | undefined;
      try {
        const pending = this.#write();
        if (pending !== undefined) await pending;
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        failure = error;
        this.#abandon();
      }
      for (const done of batch) done(failure);
      if (this.#old || this.#length >= SEGMENT_SIZE) this.#close();
    }
    this.#running = false;
  }

  /** Writes what waits and syncs it: undefined when that is done. */
  #write(): Promise<void> | undefined {
    try {
      const segment = this.#segment ??= this.#open();
      segment.write(this.#out.view());
      const length = this.#length + this.#out.length;
      const pending = this.#gauge.sync(segment);
      if (pending !== undefined) return pending.then(() => void (this.#length = length));
      this.#length = length;
    } finally {
      // What a burst took is given back.
      if (this.#out.capacity > BUFFER_MOST) this.#out = new ByteBuilder(BATCH_LIMIT, BUFFER_SIZE);
      else this.#out.clear();
    }
  }

  /** Makes a segment, its name on the disk. */
  #open(): SafeFile {
    let file = this.#create();
    // qmgr may have come between the creation and the lock, and dropped an empty segment that nobody writes.
    while (!file.tryLock("exclusive") || file.stat().links === 0) {
      file.close();
      file = this.#create();
    }
    try {
      file.write(HEADER);
      this.#directory.syncNow();
    } catch (error) {
      file.close();
      throw error;
    }
    this.#length = HEADER.length;
    this.#old = false;
    this.#timer = setTimeout(() => {
      this.#old = true;
      if (!this.#running) this.#close();
    }, SEGMENT_AGE);
    return file;
  }

  #create(): SafeFile {
    const path = `${this.#directory.path}/${this.#boot}.${processId()}.${this.#segments++}`;
    const made = safeCreate(path, 0o600);
    if (made.kind === "exists") throw new SystemError("create", path, new Error("name is taken"));
    return made.file;
  }

  /**
   * A write or sync failed: what was not acknowledged is cut off, and nothing more goes there, as the system may
   * call a later sync of the same file a success. A cut that fails as well leaves a message that its client sends
   * again, which after a power cut may be delivered twice.
   */
  #abandon(): void {
    try {
      this.#segment?.truncate(this.#length);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
    this.#close();
  }

  /** Closes the segment, which ends its lock: qmgr may drop it. */
  #close(): void {
    clearTimeout(this.#timer);
    this.#segment?.close();
    this.#segment = undefined;
  }

  [Symbol.dispose](): void {
    this.#close();
    this.#directory[Symbol.dispose]();
  }
}

function appendEntry(out: ByteBuilder, id: QueueId, content: Uint8Array): void {
  const name = encodeText(id);
  const length = 1 + name.length + content.length;
  const start = out.claim(HEAD - 1);
  out.byte(name.length).bytes(name).bytes(content);
  const raw = out.raw();
  writeUint32(raw, start, length);
  writeUint32(raw, start + 4, checksum(raw.subarray(start + 8, start + 8 + length)));
}

/** True when another system than the one with this boot id wrote a segment, which then may have gone down with it. */
export function isForeignSegment(name: string, boot: string): boolean {
  return !name.startsWith(`${boot}.`);
}

/** Reads a segment's entries as far as they are whole. */
export class JournalReader {
  readonly #read: ReadAt;
  readonly #buffer = new Uint8Array(WINDOW);
  #filled = 0;
  #at = 0;
  #offset = 0;
  #id: QueueId = "" as QueueId;
  /** Queue file of the current entry: a view, valid until the next call. */
  content: Uint8Array = this.#buffer.subarray(0, 0);

  constructor(read: ReadAt) {
    this.#read = read;
    if (!this.#have(HEADER.length) || !HEADER.every((byte, i) => this.#buffer[i] === byte)) this.#filled = 0;
    else this.#at = HEADER.length;
  }

  get id(): QueueId {
    return this.#id;
  }

  /** Goes to the next entry; false at the end, or at what is no whole entry. */
  next(): boolean {
    if (!this.#have(HEAD)) return false;
    const length = readUint32(this.#buffer, this.#at);
    if (length > JOURNAL_ENTRY_LIMIT + QUEUE_ID_MOST + 1 || !this.#have(8 + length)) return false;
    const start = this.#at + 8;
    const end = start + length;
    const told = readUint32(this.#buffer, this.#at + 4);
    if (checksum(this.#buffer.subarray(start, end)) !== told) return false;
    const content = start + 1 + this.#buffer[start]!;
    const id = toQueueId(decodeText(this.#buffer.subarray(start + 1, content)));
    if (id === undefined || content > end) return false;
    this.#id = id;
    this.content = this.#buffer.subarray(content, end);
    this.#at = end;
    return true;
  }

  /** Sees to it that so many bytes from the current place on are in the buffer. */
  #have(count: number): boolean {
    if (this.#filled - this.#at >= count) return true;
    this.#buffer.copyWithin(0, this.#at, this.#filled);
    this.#filled -= this.#at;
    this.#at = 0;
    while (this.#filled < count) {
      const read = this.#read(this.#buffer.subarray(this.#filled), this.#offset);
      if (read === 0) return false;
      this.#filled += read;
      this.#offset += read;
    }
    return true;
  }
}
