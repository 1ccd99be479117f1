/**
 * Records of the queue file, which are also what travels from smtpd, pickup, bounce and local to cleanup: one type
 * byte, the length in base 128 with the least significant digit first, then the data. Postfix's format
 * (postfix-map section 2.4), so that its tools read our queue and ours read its.
 *
 * @module
 */
import type { ByteBuilder } from "../vstring/byte_builder.ts";
import { encodeText } from "../vstring/byte_builder.ts";

/** Type bytes by their Postfix names. */
export const RECORD = {
  SIZE: 0x43, // C: first record, six numbers, updated in place
  TIME: 0x54, // T: arrival, "seconds microseconds"
  CTIME: 0x63, // c: creation time (only as the attribute create_time)
  FULL: 0x46, // F: full name for From:
  INSPECT: 0x49, // I: legacy
  FILTER: 0x4c, // L: content filter in the envelope
  CONTINUED: 0x4c, // L: a piece of a line that goes on in the next record, in the content
  FROM: 0x53, // S: sender
  DONE: 0x44, // D: recipient that is done
  RECIPIENT: 0x52, // R: recipient still to do
  ORIGINAL: 0x4f, // O: original recipient of the next R
  CANCELLED: 0x2f, // /: recipient that a milter removed
  WARN: 0x57, // W: when to warn of delay
  ATTRIBUTE: 0x41, // A: name=value
  VERP: 0x56, // V: VERP delimiters
  KILLED: 0x4b, // K: neutralised
  REDIRECT: 0x3e, // >: redirect address
  MESSAGE: 0x4d, // M: the content starts
  NORMAL: 0x4e, // N: one line of text, or its last piece
  PADDING: 0x77, // w: deleted text
  POINTER: 0x70, // p: go on at another offset
  EXTRACTED: 0x58, // X: the content ends
  RETURN_RECEIPT: 0x72, // r: legacy
  ERRORS_TO: 0x65, // e: legacy
  PRIORITY: 0x50, // P: legacy
  FLAGS: 0x66, // f: cleanup's flags, on the way there only
  END: 0x45, // E: the file is complete
  DSN_ENVELOPE_ID: 0x69, // i
  DSN_RET: 0x3c, // <
  DSN_ORIGINAL_RECIPIENT: 0x6f, // o
  DSN_NOTIFY: 0x6e, // n
} as const;

/** Longest record data that any reader accepts, bytes. */
export const RECORD_LIMIT = 65536;

/** Width of the fixed-width numbers in C, W and p records. */
export const NUMBER_WIDTH = 15;

/** A file or stream that is no sequence of well-formed records. */
export class BadRecordError extends Error {
  override name = "BadRecordError";
}

/** Appends one record. */
export function appendRecord(out: ByteBuilder, type: number, data: Uint8Array | string): void {
  if (typeof data === "string" && data.length < 0x80) {
    // Most are short and ASCII: then their length is known without encoding them.
    const start = out.length;
    out.byte(type).byte(data.length);
    if (out.ascii(data)) return;
    out.truncate(start);
  }
  const bytes = typeof data === "string" ? encodeText(data) : data;
  appendRecordHeader(out, type, bytes.length);
  out.bytes(bytes);
}

/** Appends a record whose data is `source` from `start` up to `end`. */
export function appendRecordSlice(
  out: ByteBuilder,
  type: number,
  source: Uint8Array,
  start: number,
  end: number,
): void {
  appendRecordHeader(out, type, end - start);
  out.slice(source, start, end);
}

function appendRecordHeader(out: ByteBuilder, type: number, length: number): void {
  out.byte(type);
  let rest = length;
  while (rest > 0x7f) {
    out.byte((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.byte(rest);
}

/** Bytes that a record of this much data takes. */
export function recordSize(length: number): number {
  return length < 0x80 ? length + 2 : length < 0x4000 ? length + 3 : length + 4;
}

/** Steps through records that stand whole in memory. `type`, `start` and `end` describe the current one. */
export class RecordCursor {
  readonly bytes: Uint8Array;
  /** Offset of the current record's type byte. */
  offset = 0;
  type = 0;
  start = 0;
  end = 0;
  #next: number;
  readonly #limit: number;

  constructor(bytes: Uint8Array, from = 0, to: number = bytes.length) {
    this.bytes = bytes;
    this.#next = from;
    this.#limit = to;
  }

  /** Offset behind the current record. */
  get position(): number {
    return this.#next;
  }

  /** The current record's data, a view. */
  get data(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  /** Goes to the next record; false at the end, a `BadRecordError` when one is cut off or too long. */
  next(): boolean {
    const at = this.#next;
    if (at >= this.#limit) return false;
    this.offset = at;
    this.type = this.bytes[at]!;
    const length = at + 1 < this.#limit ? this.bytes[at + 1]! : LONG;
    if (length < LONG) {
      // A record of text mostly has a length of one digit.
      this.start = at + 2;
      this.end = at + 2 + length;
    } else {
      const head = readHead(this.bytes, at, this.#limit);
      this.start = head?.start ?? 0;
      this.end = head?.end ?? this.#limit + 1;
    }
    if (this.end > this.#limit) throw new BadRecordError("Cannot read record: it is cut off");
    this.#next = this.end;
    return true;
  }
}

/** Least value of a length's first digit that another one follows. */
const LONG = 0x80;

interface Head {
  start: number;
  end: number;
}

/** Where a record's data stands; undefined when its length is cut off. */
function readHead(bytes: Uint8Array, at: number, limit: number): Head | undefined {
  let length = 0;
  let shift = 0;
  let position = at + 1;
  for (;;) {
    if (position >= limit) return undefined;
    const digit = bytes[position++]!;
    length += (digit & 0x7f) << shift;
    if ((digit & 0x80) === 0) break;
    shift += 7;
    // Three digits reach 2 MiB: more than RECORD_LIMIT, so a fourth is never honest.
    if (shift > 14) throw new BadRecordError("Cannot read record: its length has too many digits");
  }
  if (length > RECORD_LIMIT) throw new BadRecordError(`Cannot read record: it has ${length} bytes`);
  return { start: position, end: position + length };
}

/** Gives bytes of a file from an offset on; returns how many, 0 at its end. */
export type ReadAt = (buffer: Uint8Array, offset: number) => number;

/** Steps through the records of a file in pieces of `window` bytes, so that its size does not matter. */
export class RecordReader {
  readonly #readAt: ReadAt;
  #buffer: Uint8Array;
  /** File offset of buffer[0], and how many bytes of it are filled. */
  #base: number;
  #filled = 0;
  #position = 0;
  /** File offset of the current record. */
  offset = 0;
  type = 0;
  /** Where the current record's data stands in `bytes`. */
  start = 0;
  end = 0;

  /**
   * @param window bytes to read at once
   */
  constructor(readAt: ReadAt, from = 0, window = 8192) {
    this.#readAt = readAt;
    this.#buffer = new Uint8Array(window);
    this.#base = from;
  }

  /** File offset behind the current record. */
  get position(): number {
    return this.#base + this.#position;
  }

  /** What was read: valid until the next call. */
  get bytes(): Uint8Array {
    return this.#buffer;
  }

  /** Bytes of `bytes` that have been read. */
  get filled(): number {
    return this.#filled;
  }

  /** The current record's data: a view, valid until the next call. */
  get data(): Uint8Array {
    return this.#buffer.subarray(this.start, this.end);
  }

  /** Passes over records that stand whole in `bytes`, up to the one that begins at `offset` there. */
  pass(offset: number): void {
    if (offset < this.#position || offset > this.#filled) {
      throw new RangeError(`Cannot pass over records up to ${offset}: ${this.#position} to ${this.#filled}`);
    }
    this.#position = offset;
  }

  /** Goes on at a file offset; free of cost when it is already in the window. */
  seek(offset: number): void {
    if (offset >= this.#base && offset <= this.#base + this.#filled) this.#position = offset - this.#base;
    else {
      this.#base = offset;
      this.#filled = 0;
      this.#position = 0;
    }
  }

  /** Goes to the next record; false at the end of the file, a `BadRecordError` when one is cut off or malformed. */
  next(): boolean {
    const at = this.#position;
    // Most records are short, and whole in the buffer.
    const end = at + 2 + this.#buffer[at + 1]!;
    if (at + 1 < this.#filled && this.#buffer[at + 1]! < LONG && end <= this.#filled) {
      return this.#found(at + 2, end);
    }
    let head = this.#filled > at ? readHead(this.#buffer, at, this.#filled) : undefined;
    while (head === undefined || head.end > this.#filled) {
      const needed = head === undefined ? 5 : head.end - this.#position;
      if (!this.#fill(needed)) {
        if (this.#position === this.#filled) return false;
        throw new BadRecordError(`Cannot read record at ${this.position}: it is cut off`);
      }
      head = readHead(this.#buffer, this.#position, this.#filled);
    }
    return this.#found(head.start, head.end);
  }

  #found(start: number, end: number): true {
    this.offset = this.#base + this.#position;
    this.type = this.#buffer[this.#position]!;
    this.start = start;
    this.end = end;
    this.#position = end;
    return true;
  }

  /** Moves what is left to the front, makes room for `needed` bytes and reads once; false at the end of the file. */
  #fill(needed: number): boolean {
    const left = this.#filled - this.#position;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      grown.set(this.#buffer.subarray(this.#position, this.#filled));
      this.#buffer = grown;
    } else this.#buffer.copyWithin(0, this.#position, this.#filled);
    this.#base += this.#position;
    this.#position = 0;
    this.#filled = left;
    const count = this.#readAt(this.#buffer.subarray(left), this.#base + left);
    this.#filled += count;
    return count > 0;
  }
}
