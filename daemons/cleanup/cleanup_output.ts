/**
 * The queue file while it is written: it has a temporary name, which nobody takes for a message, until it is complete
 * and on the disk. Then it gets the id that its inode gives.
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
import { lookAt, removeFile, safeCreate, type SafeFile } from "../../lib/safe/file.ts";
import { dirname } from "../../lib/safe/path.ts";
import { processId } from "../../lib/safe/stdio.ts";
import { SyncGate } from "../../lib/safe/sync.ts";
// Utility
import { ByteBuilder, encodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { DateClock } from "../../lib/mail/date.ts";
import { QUEUE_FILE_READY, type QueueDirectory, temporaryName } from "../../lib/mail/queue_directory.ts";
import { formatSizeRecord, type SizeRecord } from "../../lib/mail/queue_file.ts";
import { makeQueueId, type QueueId } from "../../lib/mail/queue_id.ts";
import { JOURNAL_ENTRY_LIMIT, type Journaled, JournalWriter } from "../../lib/mail/queue_journal.ts";
import { appendRecord, RECORD } from "../../lib/mail/record.ts";

/** Bytes that are gathered before they are written. */
const WRITE_SIZE = JOURNAL_ENTRY_LIMIT;
/** Attempts to find a free name before something is badly wrong. */
const NAME_ATTEMPTS = 1000;
/** Offset of the size record's data: behind its type byte and length. */
const SIZE_DATA_OFFSET = 2;
/** Buffers that are kept for the next messages. */
const SPARE_BUFFERS = 64;
/** A buffer that has grown beyond this is not kept, bytes. */
const SPARE_SIZE = 16 * 1024;

/** The queues that new messages go to. */
export type CommitQueue = "incoming" | "hold";

/** Makes queue files in incoming/, and moves those that are complete to where they belong. */
export class QueueFileMaker implements Disposable {
  readonly #queue: QueueDirectory;
  readonly #longIds: boolean;
  readonly #journal: JournalWriter;
  readonly #gates = new Map<string, SyncGate>();
  readonly #buffers: ByteBuilder[] = [];
  readonly #clock = new DateClock();
  #lastTime = 0;

  /** @param boot boot id of the system */
  constructor(queue: QueueDirectory, longIds: boolean, boot: string) {
    this.#queue = queue;
    this.#longIds = longIds;
    this.#journal = new JournalWriter(queue.directory("journal"), boot);
  }

  /** Creates an empty file. */
  create(): QueueFileOutput {
    const { file, time } = this.#temporary("write");
    return this.#identified(file, time);
  }

  /** Creates a file for what is not a message yet; it has a temporary name, which a start removes. */
  scratch(): SafeFile {
    return this.#temporary("both").file;
  }

  #temporary(access: "write" | "both"): { readonly file: SafeFile; readonly time: number } {
    const incoming = this.#queue.directory("incoming");
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
      const time = this.#microseconds();
      // Each right that is asked for costs the runtime a look at every part of the path.
      const path = `${incoming}/${temporaryName(time, processId())}`;
      const made = safeCreate(path, QUEUE_FILE_READY, access);
      if (made.kind === "created") return { file: made.file, time };
    }
    throw new Error(`Cannot create queue file: no free name in "${incoming}"`);
  }

  #identified(file: SafeFile, time: number): QueueFileOutput {
    try {
      // By name, which is nobody else's: a look at an open file costs the runtime a walk over the whole path.
      const stat = lookAt(file.path);
      if (stat === undefined) throw new SystemError("find", file.path, new Error("it is gone"));
      const id = makeQueueId(time, stat.inode, this.#longIds);
      return new QueueFileOutput(id, file, this, Math.floor(time / 1000), this.buffer());
    } catch (error) {
      file.close();
      removeFile(file.path);
      throw error;
    }
  }

  /** Makes a file durable by way of the journal, which has all of its content, and gives it its name in incoming/. */
  commitSmall(id: QueueId, file: SafeFile, content: Uint8Array, done: Journaled): void {
    this.#journal.add(id, content, (failure) => done(failure ?? this.#name(id, file, "incoming")));
  }

  /** Makes a file durable by itself, and gives it its name in a queue. */
  commitLarge(id: QueueId, file: SafeFile, queue: CommitQueue, done: Journaled): void {
    this.#commitLarge(id, file, queue).then(() => done(undefined), (error) => {
      if (!(error instanceof SystemError)) throw error;
      done(error);
    });
  }

  async #commitLarge(id: QueueId, file: SafeFile, queue: CommitQueue): Promise<void> {
    await file.sync();
    const failure = this.#name(id, file, queue);
    if (failure !== undefined) throw failure;
    const top = this.#queue.directory(queue);
    let directory = dirname(file.path);
    await this.#gate(directory).sync();
    // Where the queue is hashed, the directories above it may be new as well.
    while (directory !== top) await this.#gate(directory = dirname(directory)).sync();
  }

  #name(id: QueueId, file: SafeFile, queue: CommitQueue): SystemError | undefined {
    try {
      this.#queue.ensureHash(queue, id);
      file.rename(this.#queue.path(queue, id));
      return undefined;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return error;
    }
  }

  /** A file's time as headers have it. */
  date(time: number): string {
    return this.#clock.format(time);
  }

  /** An empty buffer. */
  buffer(): ByteBuilder {
    return this.#buffers.pop() ?? new ByteBuilder(WRITE_SIZE * 8, 2048);
  }

  /** Takes a buffer back. */
  recycle(buffer: ByteBuilder): void {
    if (this.#buffers.length < SPARE_BUFFERS && buffer.capacity <= SPARE_SIZE) {
      this.#buffers.push(buffer.clear());
    }
  }

  #gate(directory: string): SyncGate {
    let gate = this.#gates.get(directory);
    if (gate === undefined) this.#gates.set(directory, gate = new SyncGate(directory));
    return gate;
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
    for (const gate of this.#gates.values()) gate[Symbol.dispose]();
    this.#gates.clear();
  }

  /** The time in microseconds since 1970, never the same twice. */
  #microseconds(): number {
    const now = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    this.#lastTime = now > this.#lastTime ? now : this.#lastTime + 1;
    return this.#lastTime;
  }
}

/** A part of what was written, by offsets. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** One queue file that is being written. */
export class QueueFileOutput {
  readonly id: QueueId;
  /** Creation time, milliseconds since 1970. */
  readonly time: number;
  readonly #file: SafeFile;
  readonly #maker: QueueFileMaker;
  #out: ByteBuilder;
  #written = 0;
  /** What does not stay in memory goes to a file of its own, `#scratch`, until the message is put together. */
  #detours = false;
  #scratch: SafeFile | undefined;

  constructor(id: QueueId, file: SafeFile, maker: QueueFileMaker, time: number, buffer: ByteBuilder) {
    this.id = id;
    this.#file = file;
    this.#maker = maker;
    this.time = time;
    this.#out = buffer;
    appendRecord(this.#out, RECORD.SIZE, EMPTY_SIZE_DATA);
  }

  /** Creation time as headers have it. */
  date(): string {
    return this.#maker.date(this.time);
  }

  /** Bytes so far, written or not. */
  get position(): number {
    return this.#written + this.#out.length;
  }

  /** Where records are appended; call `spill` now and then. */
  get records(): ByteBuilder {
    return this.#out;
  }

  /** True while nothing has been written yet: `records` has the whole file. */
  get whole(): boolean {
    return this.#written === 0;
  }

  /** Writes what was gathered when it is much. */
  spill(): void {
    if (this.#out.length < WRITE_SIZE) return;
    this.#flush();
  }

  #flush(): void {
    if (this.#detours) (this.#scratch ??= this.#maker.scratch()).writeAt(this.#written, this.#out.view());
    else this.#file.write(this.#out.view());
    this.#written += this.#out.length;
    this.#out.clear();
  }

  /**
   * From now on the message is written so that it can be read and put together anew: who asks for this calls `rebuild`
   * before `commit`. A short message stays in memory, a long one is written twice.
   */
  detour(): void {
    this.#detours = true;
  }

  /** Reads from an offset of what was written so far; returns the bytes read, 0 at the end. */
  readAt(buffer: Uint8Array, offset: number): number {
    if (offset < this.#written) {
      const most = Math.min(buffer.length, this.#written - offset);
      return this.#scratch!.read(buffer.subarray(0, most), offset);
    }
    const from = offset - this.#written;
    const found = this.#out.view().subarray(from, from + buffer.length);
    buffer.set(found);
    return found.length;
  }

  /** Overwrites bytes that were written. */
  patch(offset: number, bytes: Uint8Array): void {
    if (offset < this.#written) this.#scratch!.writeAt(offset, bytes);
    else this.#out.patch(offset - this.#written, bytes);
  }

  /**
   * Makes the message of parts of what was written. A crash on the way leaves files that are no messages.
   *
   * @param stop true when the message is given up meanwhile
   */
  async rebuild(ranges: readonly Range[], stop: () => boolean): Promise<void> {
    if (this.whole) return this.#rebuildInMemory(ranges);
    const buffer = new Uint8Array(WRITE_SIZE);
    for (const { from, to } of ranges) {
      for (let at = from; at < to;) {
        const count = this.readAt(buffer.subarray(0, Math.min(buffer.length, to - at)), at);
        this.#file.write(buffer.subarray(0, count));
        at += count;
        // A long message is many writes: others have their turn between them.
        await new Promise((resolve) => setTimeout(resolve, 0));
        if (stop()) return;
      }
    }
    this.#out.clear();
    this.#written = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
    this.#dropScratch();
    this.#detours = false;
  }

  #rebuildInMemory(ranges: readonly Range[]): void {
    const old = this.#out;
    this.#out = this.#maker.buffer();
    for (const { from, to } of ranges) this.#out.slice(old.view(), from, to);
    this.#maker.recycle(old);
    this.#detours = false;
  }

  #dropScratch(): void {
    const scratch = this.#scratch;
    if (scratch === undefined) return;
    this.#scratch = undefined;
    scratch.close();
    removeFile(scratch.path);
  }

  /**
   * Puts the size record in place, makes the file durable and gives it its name. Nobody sees it before: what was not
   * acknowledged is not there after a crash.
   *
   * @param queue where it goes
   * @param done told once, after which the file is closed; with an error the file is still there
   */
  commit(size: SizeRecord, queue: CommitQueue, done: Journaled): void {
    const data = encodeText(formatSizeRecord(size));
    const ended: Journaled = (failure) => {
      if (failure === undefined) this.#file.close();
      done(failure);
      if (failure === undefined) this.#maker.recycle(this.#out);
    };
    if (this.whole) {
      this.#out.patch(SIZE_DATA_OFFSET, data);
      this.#file.write(this.#out.view());
      // What the journal has is put back into incoming/ after a crash: no place for a message on hold.
      if (queue === "hold") this.#maker.commitLarge(this.id, this.#file, queue, ended);
      else this.#maker.commitSmall(this.id, this.#file, this.#out.view(), ended);
    } else {
      this.#flush();
      this.#file.writeAt(SIZE_DATA_OFFSET, data);
      this.#maker.commitLarge(this.id, this.#file, queue, ended);
    }
  }

  /** Throws the file away: nothing of it was acknowledged. */
  abandon(): void {
    this.#file.close();
    removeFile(this.#file.path);
    this.#dropScratch();
    this.#maker.recycle(this.#out);
  }
}

const EMPTY_SIZE_DATA = formatSizeRecord({
  contentSize: 0,
  dataOffset: 0,
  recipientCount: 0,
  qmgrFlags: 0,
  contentLength: 0,
  sendOptions: 0,
});
