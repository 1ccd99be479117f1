/**
 * A queue file's parts: the size record, the envelope, the content (postfix-map section 2.4). Readers refuse what
 * is not whole: a file without its E record was never committed, or was cut.
 *
 * @module
 */
import { type ByteBuilder, decodeText } from "../vstring/byte_builder.ts";
import { parseDecimal, trimBlanks } from "../vstring/ascii.ts";
import { appendRecord, BadRecordError, NUMBER_WIDTH, type ReadAt, RECORD, RecordReader } from "./record.ts";

/** The six numbers of the C record. */
export interface SizeRecord {
  /** Bytes of the content segment with record overhead: offset of X less `dataOffset`. */
  readonly contentSize: number;
  /** Offset of the content segment: behind the M record. */
  readonly dataOffset: number;
  readonly recipientCount: number;
  /** Bit 0: other records stand between the recipients, so qmgr must read the whole envelope. */
  readonly qmgrFlags: number;
  /** Content as the user sees it, bytes. */
  readonly contentLength: number;
  /** SENDOPT bits. */
  readonly sendOptions: number;
}

/** Envelope record between recipients: qmgr has to read all of it. */
export const QMGR_READ_ALL = 1;

/** A probe of Postfix's verify daemon: nothing is delivered, and no sender waits for a report (trace_flags bit). */
export const TRACE_MTA_VERIFY = 1 << 8;
/** What would become of each recipient is reported to the sender, and nothing is delivered (trace_flags bit). */
export const TRACE_USER_VERIFY = 1 << 9;
/** Every outcome of the first attempt is reported to the sender (trace_flags bit; Postfix: DEL_REQ_FLAG_RECORD). */
export const TRACE_RECORD = 1 << 10;

/** Fixed-width data of a C record. */
export function formatSizeRecord(size: SizeRecord): string {
  return [
    size.contentSize,
    size.dataOffset,
    size.recipientCount,
    size.qmgrFlags,
    size.contentLength,
    size.sendOptions,
  ].map((value) => String(value).padStart(NUMBER_WIDTH)).join(" ");
}

/** Reads a C record's data; older files have fewer numbers, the missing ones are 0. */
export function parseSizeRecord(data: Uint8Array): SizeRecord {
  const numbers = trimBlanks(decodeText(data)).split(" ").filter((word) => word !== "").map((word) =>
    parseDecimal(word)
  );
  if (numbers.length < 3 || numbers.some((number) => number === undefined)) {
    throw new BadRecordError("Cannot read size record: it does not hold numbers");
  }
  const [
    contentSize = 0,
    dataOffset = 0,
    recipientCount = 0,
    qmgrFlags = 0,
    contentLength = contentSize,
    sendOptions = 0,
  ] = numbers;
  return { contentSize, dataOffset, recipientCount, qmgrFlags, contentLength, sendOptions };
}

/** A recipient record as a reader of the envelope finds it. */
export interface EnvelopeRecipient {
  /** Offset of its R record's type byte: overwritten with D when it is done. */
  readonly offset: number;
  readonly address: string;
  readonly originalRecipient: string;
  readonly dsnOriginalRecipient: string;
  readonly notify: number;
}

/** The envelope's records that are no recipients. */
export interface Envelope {
  readonly size: SizeRecord;
  /** Arrival, milliseconds since 1970. */
  readonly arrivalTime: number;
  /** Base of expiry, seconds since 1970. */
  readonly createTime: number;
  readonly sender: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly envelopeId: string;
  readonly ret: number;
  readonly fullName: string;
  readonly filter: string;
  readonly redirect: string;
  readonly verp: string;
  /** When to warn the sender, seconds since 1970; 0 or less: not, or done. */
  readonly warnTime: number;
  /** Offset of the W record's data, to overwrite it; 0 when there is none. */
  readonly warnOffset: number;
}

/** Most attributes that an envelope may hold (Postfix: queue_file_attribute_count_limit). */
const ATTRIBUTE_COUNT_LIMIT = 100;
/** Most pointers that a reader follows before it calls the file a loop. */
const POINTER_LIMIT = 100_000;

type Segment = "envelope" | "extracted" | "done";

/**
 * Reads a committed queue file's envelope: first everything that is no recipient as far as the first batch of
 * recipients, then more recipients in batches. Memory is bounded by the batch, not by the file.
 */
export class EnvelopeReader {
  readonly #reader: RecordReader;
  #segment: Segment = "envelope";
  #size: SizeRecord | undefined;
  #arrivalTime = -1;
  #createTime = 0;
  #sender: string | undefined;
  readonly #attributes = new Map<string, string>();
  #envelopeId = "";
  #ret = 0;
  #fullName = "";
  #filter = "";
  #redirect = "";
  #verp = "";
  #warnTime = 0;
  #warnOffset = 0;
  // What goes with the next recipient.
  #original = "";
  #dsnOriginal = "";
  #notify = 0;
  #pointers = 0;

  /** @param window bytes that are read at once */
  constructor(readAt: ReadAt, window?: number) {
    this.#reader = new RecordReader(readAt, 0, window);
  }

  /** True when every recipient has been read and the E record seen. */
  get finished(): boolean {
    return this.#segment === "done";
  }

  /**
   * Reads up to `most` recipients that are still to do, and every other record on the way; with `all` it goes on
   * to the end for the other records once it has them.
   *
   * @throws BadRecordError when the file is damaged or incomplete
   */
  recipients(most: number): EnvelopeRecipient[] {
    const found: EnvelopeRecipient[] = [];
    while (this.#segment !== "done" && found.length < most) {
      if (!this.#reader.next()) throw new BadRecordError("Cannot read queue file: it has no end record");
      const recipient = this.#take();
      if (recipient !== undefined) found.push(recipient);
    }
    return found;
  }

  /** The other records, once `recipients` has gone past them. */
  envelope(): Envelope {
    if (this.#size === undefined) throw new BadRecordError("Cannot read queue file: it has no size record");
    if (this.#arrivalTime < 0) {
      throw new BadRecordError("Cannot read queue file: it has no arrival time record");
    }
    if (this.#sender === undefined) {
      throw new BadRecordError("Cannot read queue file: it has no sender record");
    }
    return {
      size: this.#size,
      arrivalTime: this.#arrivalTime,
      createTime: this.#createTime || Math.floor(this.#arrivalTime / 1000),
      sender: this.#sender,
      attributes: this.#attributes,
      envelopeId: this.#envelopeId,
      ret: this.#ret,
      fullName: this.#fullName,
      filter: this.#filter,
      redirect: this.#redirect,
      verp: this.#verp,
      warnTime: this.#warnTime,
      warnOffset: this.#warnOffset,
    };
  }

  #take(): EnvelopeRecipient | undefined {
    const reader = this.#reader;
    switch (reader.type) {
      case RECORD.SIZE:
        if (this.#size !== undefined) {
          throw new BadRecordError("Cannot read queue file: it has two size records");
        }
        this.#size = parseSizeRecord(reader.data);
        return undefined;
      case RECORD.TIME:
        this.#arrivalTime = parseTime(decodeText(reader.data));
        return undefined;
      case RECORD.FROM:
        if (this.#sender !== undefined) {
          throw new BadRecordError("Cannot read queue file: it has two sender records");
        }
        this.#sender = decodeText(reader.data);
        return undefined;
      case RECORD.ATTRIBUTE:
        this.#takeAttribute(decodeText(reader.data));
        return undefined;
      case RECORD.RECIPIENT:
        return this.#takeRecipient(decodeText(reader.data));
      case RECORD.DONE:
      case RECORD.CANCELLED:
        this.#forgetPending();
        return undefined;
      case RECORD.ORIGINAL:
        this.#original = decodeText(reader.data);
        return undefined;
      case RECORD.DSN_ORIGINAL_RECIPIENT:
        this.#dsnOriginal = decodeText(reader.data);
        return undefined;
      case RECORD.DSN_NOTIFY:
        this.#notify = parseDecimal(decodeText(reader.data), 15) ?? 0;
        return undefined;
      case RECORD.DSN_ENVELOPE_ID:
        this.#envelopeId = decodeText(reader.data);
        return undefined;
      case RECORD.DSN_RET:
        this.#ret = parseDecimal(decodeText(reader.data), 3) ?? 0;
        return undefined;
      case RECORD.FULL:
        this.#fullName = decodeText(reader.data);
        return undefined;
      case RECORD.FILTER:
        this.#filter = decodeText(reader.data);
        return undefined;
      case RECORD.REDIRECT:
        this.#redirect = decodeText(reader.data);
        return undefined;
      case RECORD.VERP:
        this.#verp = decodeText(reader.data);
        return undefined;
      case RECORD.WARN:
        this.#warnTime = parseSigned(trimBlanks(decodeText(reader.data)));
        this.#warnOffset = reader.position - reader.data.length;
        return undefined;
      case RECORD.POINTER:
        this.#follow(decodeText(reader.data));
        return undefined;
      case RECORD.MESSAGE:
        this.#skipContent();
        return undefined;
      case RECORD.EXTRACTED:
        this.#segment = "extracted";
        return undefined;
      case RECORD.END:
        this.#segment = "done";
        return undefined;
      default:
        // K, w, c, I, P, e, r: nothing that a reader of the envelope acts on.
        return undefined;
    }
  }

  #takeRecipient(address: string): EnvelopeRecipient {
    const recipient = {
      offset: this.#reader.offset,
      address,
      originalRecipient: this.#original,
      dsnOriginalRecipient: this.#dsnOriginal,
      notify: this.#notify,
    };
    this.#forgetPending();
    return recipient;
  }

  #forgetPending(): void {
    this.#original = "";
    this.#dsnOriginal = "";
    this.#notify = 0;
  }

  /** Attributes that stand for a record type are mapped to it, as every reader in Postfix does. */
  #takeAttribute(pair: string): void {
    const equals = pair.indexOf("=");
    if (equals <= 0) throw new BadRecordError("Cannot read queue file: it has a malformed attribute");
    const name = pair.slice(0, equals);
    const value = pair.slice(equals + 1);
    if (name === "notify_flags") this.#notify = parseDecimal(value, 15) ?? 0;
    else if (name === "dsn_orig_rcpt") this.#dsnOriginal = value;
    else if (name === "envelope_id") this.#envelopeId = value;
    else if (name === "ret_flags") this.#ret = parseDecimal(value, 3) ?? 0;
    else if (name === "create_time") this.#createTime = parseDecimal(value) ?? 0;
    else {
      if (this.#attributes.size >= ATTRIBUTE_COUNT_LIMIT) {
        throw new BadRecordError("Cannot read queue file: it has too many attributes");
      }
      this.#attributes.set(name, value);
    }
  }

  #follow(data: string): void {
    const target = parseDecimal(trimBlanks(data));
    if (target === undefined) throw new BadRecordError("Cannot read queue file: it has a malformed pointer");
    if (target === 0) return; // a place kept free for one
    if (++this.#pointers > POINTER_LIMIT) {
      throw new BadRecordError("Cannot read queue file: its pointers form a loop");
    }
    this.#reader.seek(target);
  }

  #skipContent(): void {
    if (this.#size === undefined) throw new BadRecordError("Cannot read queue file: it has no size record");
    const dataOffset = this.#size.dataOffset;
    if (dataOffset !== this.#reader.position) {
      throw new BadRecordError("Cannot read queue file: the content is not where the size record says");
    }
    this.#reader.seek(dataOffset + this.#size.contentSize);
  }
}

/** Reads a queue file's content line by line, following the pointers that edits left, in bounded memory. */
export class ContentReader {
  readonly #reader: RecordReader;
  #pointers = 0;
  /** False when the line goes on in the next piece. */
  endsLine = true;

  /** @param dataOffset offset of the content segment */
  constructor(readAt: ReadAt, dataOffset: number, window = 65536) {
    this.#reader = new RecordReader(readAt, dataOffset, window);
  }

  /** The current piece: a view, valid until the next call. */
  get data(): Uint8Array {
    return this.#reader.data;
  }

  /** The current piece without making a view: it stands in `bytes` from `start` to `end`. */
  get bytes(): Uint8Array {
    return this.#reader.bytes;
  }

  get start(): number {
    return this.#reader.start;
  }

  get end(): number {
    return this.#reader.end;
  }

  /** Up to where `bytes` has been read: whole records follow the current piece, and perhaps the beginning of one. */
  get filled(): number {
    return this.#reader.filled;
  }

  /** Passes over records of text that stand in `bytes` behind the current piece: the next one begins at `offset` there. */
  pass(offset: number): void {
    this.#reader.pass(offset);
  }

  /** Goes to the next piece of text; false at the end of the content. */
  next(): boolean {
    for (;;) {
      if (!this.#reader.next()) throw new BadRecordError("Cannot read queue file: its content has no end");
      switch (this.#reader.type) {
        case RECORD.NORMAL:
        case RECORD.CONTINUED:
          this.endsLine = this.#reader.type === RECORD.NORMAL;
          return true;
        case RECORD.PADDING:
          break;
        case RECORD.POINTER: {
          const target = parseDecimal(trimBlanks(decodeText(this.#reader.data)));
          if (target === undefined || ++this.#pointers > POINTER_LIMIT) {
            throw new BadRecordError("Cannot read queue file: its content has a bad pointer");
          }
          if (target > 0) this.#reader.seek(target);
          break;
        }
        case RECORD.EXTRACTED:
        case RECORD.END:
          return false;
        default:
          throw new BadRecordError(`Cannot read queue file: record type ${this.#reader.type} in its content`);
      }
    }
  }
}

/** Appends `name=value` as an attribute record. */
export function appendAttribute(out: ByteBuilder, name: string, value: string): void {
  appendRecord(out, RECORD.ATTRIBUTE, `${name}=${value}`);
}

/** Data of a T record for a time in milliseconds. */
export function formatTime(time: number): string {
  const whole = Math.floor(time);
  return `${Math.floor(whole / 1000)} ${(whole % 1000) * 1000}`;
}

function parseTime(data: string): number {
  const [seconds, microseconds = "0"] = trimBlanks(data).split(" ");
  const whole = parseDecimal(seconds ?? "");
  const fraction = parseDecimal(microseconds);
  if (whole === undefined || fraction === undefined) {
    throw new BadRecordError("Cannot read queue file: bad arrival time");
  }
  return whole * 1000 + Math.floor(fraction / 1000);
}

function parseSigned(text: string): number {
  const negative = text.startsWith("-");
  const value = parseDecimal(negative ? text.slice(1) : text) ?? 0;
  return negative ? -value : value;
}
