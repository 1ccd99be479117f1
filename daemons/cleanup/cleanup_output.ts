/**
 * The queue file while it is written: created under a temporary name, renamed to the id that its inode gives,
 * complete only when its mode says so and both its data and its name are on the disk.
 */
// Safe primitives
import { removeFile, safeCreate, type SafeFile } from "../../lib/safe/file.ts";
import { dirname } from "../../lib/safe/path.ts";
import { processId } from "../../lib/safe/stdio.ts";
import { SyncGate } from "../../lib/safe/sync.ts";
// Utility
import { ByteBuilder, encodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { QUEUE_FILE_READY, QUEUE_FILE_UNREADY, type QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { formatSizeRecord, type SizeRecord } from "../../lib/mail/queue_file.ts";
import { makeQueueId, type QueueId } from "../../lib/mail/queue_id.ts";
import { appendRecord, RECORD } from "../../lib/mail/record.ts";

/** Bytes that are gathered before they are written. */
const WRITE_SIZE = 128 * 1024;
/** Attempts to find a free name before something is badly wrong. */
const NAME_ATTEMPTS = 1000;
/** Offset of the size record's data: behind its type byte and length. */
const SIZE_DATA_OFFSET = 2;

/** Makes queue files in incoming/. */
export class QueueFileMaker implements Disposable {
  readonly #queue: QueueDirectory;
  readonly #longIds: boolean;
  readonly #gates = new Map<string, SyncGate>();
  #lastTime = 0;

  constructor(queue: QueueDirectory, longIds: boolean) {
    this.#queue = queue;
    this.#longIds = longIds;
  }

  /** Creates an empty file with its final name; it is not ready, so nobody reads it. */
  create(): QueueFileOutput {
    const incoming = this.#queue.directory("incoming");
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
      const temporary = `${incoming}/${this.#microseconds()}.${processId()}`;
      const made = safeCreate(temporary, QUEUE_FILE_UNREADY);
      if (made.kind === "created") return this.#named(made.file);
    }
    throw new Error(`Cannot create queue file: no free name in "${incoming}"`);
  }

  #named(file: SafeFile): QueueFileOutput {
    try {
      const time = this.#microseconds();
      const id = makeQueueId(time, file.stat().inode, this.#longIds);
      this.#queue.ensureHash("incoming", id);
      file.rename(this.#queue.path("incoming", id));
      return new QueueFileOutput(id, file, this, Math.floor(time / 1000));
    } catch (error) {
      file.close();
      removeFile(file.path);
      throw error;
    }
  }

  /** Makes the file durable in its directory, and where incoming/ is hashed, that directory and those above it too. */
  commit(file: SafeFile): Promise<void> | undefined {
    const incoming = this.#queue.directory("incoming");
    const directory = dirname(file.path);
    const pending = this.#gate(directory).commit(file);
    return directory === incoming ? pending : this.#commitAbove(directory, incoming, pending);
  }

  async #commitAbove(directory: string, top: string, pending: Promise<void> | undefined): Promise<void> {
    await pending;
    for (let above = directory; above !== top;) {
      above = dirname(above);
      await this.#gate(above).directory();
    }
  }

  #gate(directory: string): SyncGate {
    let gate = this.#gates.get(directory);
    if (gate === undefined) this.#gates.set(directory, gate = new SyncGate(directory));
    return gate;
  }

  [Symbol.dispose](): void {
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

/** One queue file that is being written. */
export class QueueFileOutput {
  readonly id: QueueId;
  readonly file: SafeFile;
  /** Creation time, milliseconds since 1970. */
  readonly time: number;
  readonly #maker: QueueFileMaker;
  readonly #out = new ByteBuilder(WRITE_SIZE * 8, 2048);
  #written = 0;

  constructor(id: QueueId, file: SafeFile, maker: QueueFileMaker, time: number) {
    this.id = id;
    this.file = file;
    this.#maker = maker;
    this.time = time;
    appendRecord(this.#out, RECORD.SIZE, formatSizeRecord(EMPTY_SIZE));
  }

  /** Bytes so far, written or not. */
  get position(): number {
    return this.#written + this.#out.length;
  }

  /** Where records are appended; call `spill` now and then. */
  get records(): ByteBuilder {
    return this.#out;
  }

  /** Writes what was gathered when it is much. */
  spill(): void {
    if (this.#out.length < WRITE_SIZE) return;
    this.#flush();
  }

  #flush(): void {
    this.file.write(this.#out.view());
    this.#written += this.#out.length;
    this.#out.clear();
  }

  /**
   * Puts the size record in place, marks the file ready, and makes it durable. Returns undefined when that is done,
   * else a promise. The mode is set before the sync: a crash in between leaves a short file that is marked ready,
   * which every reader refuses as it has no end record.
   */
  commit(size: SizeRecord): Promise<void> | undefined {
    const data = encodeText(formatSizeRecord(size));
    if (this.#written === 0) {
      this.#out.patch(SIZE_DATA_OFFSET, data);
      this.#flush();
    } else {
      this.#flush();
      this.file.writeAt(SIZE_DATA_OFFSET, data);
    }
    this.file.setMode(QUEUE_FILE_READY);
    return this.#maker.commit(this.file);
  }

  close(): void {
    this.file.close();
  }

  /** Throws the file away: nothing of it was acknowledged. */
  abandon(): void {
    this.file.close();
    removeFile(this.file.path);
  }
}

const EMPTY_SIZE: SizeRecord = {
  contentSize: 0,
  dataOffset: 0,
  recipientCount: 0,
  qmgrFlags: 0,
  contentLength: 0,
  sendOptions: 0,
};
