/**
 * Prints one queue file record by record, as Postfix's postcat does.
 *
 * @module
 */
// Utility
import { COLON, isBlank, NUL } from "../lib/vstring/ascii.ts";
import { ByteBuilder, decodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { formatMboxDate } from "../lib/mail/date.ts";
import { BadRecordError, NUMBER_WIDTH, type ReadAt, RECORD, RecordReader } from "../lib/mail/record.ts";
// This program
import type { CommandEnv } from "./command.ts";

/** What is shown of a file, and how. */
export interface ShowOptions {
  readonly envelope: boolean;
  readonly header: boolean;
  readonly body: boolean;
  /** Offsets before records. */
  readonly offsets: boolean;
  /** Decimal types before records. */
  readonly types: boolean;
  /** With `names`: in file order; pointers are not followed. */
  readonly raw: boolean;
  /** Names before the records of the message; pointers and padding are shown. */
  readonly names: boolean;
  /** Offset to begin at. */
  readonly start: number;
}

/** Names of the record types in a listing. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [RECORD.SIZE, "message_size"],
  [RECORD.TIME, "message_arrival_time"],
  [RECORD.CTIME, "queue_file_create_time"],
  [RECORD.FULL, "sender_fullname"],
  [RECORD.INSPECT, "content_inspector"],
  [RECORD.FILTER, "content_filter"],
  [RECORD.FROM, "sender"],
  [RECORD.DONE, "done_recipient"],
  [RECORD.RECIPIENT, "recipient"],
  [RECORD.ORIGINAL, "original_recipient"],
  [RECORD.CANCELLED, "canceled_recipient"],
  [RECORD.WARN, "warning_message_time"],
  [RECORD.ATTRIBUTE, "named_attribute"],
  [RECORD.VERP, "verp_delimiters"],
  [RECORD.POINTER, "pointer_record"],
  [RECORD.KILLED, "killed_record"],
  [RECORD.MESSAGE, "message_content"],
  [RECORD.NORMAL, "regular_text"],
  [RECORD.PADDING, "padding"],
  [RECORD.EXTRACTED, "extracted_info"],
  [RECORD.RETURN_RECEIPT, "return_receipt"],
  [RECORD.ERRORS_TO, "errors_to"],
  [RECORD.PRIORITY, "priority"],
  [RECORD.END, "message_end"],
  [RECORD.REDIRECT, "redirect_to"],
  [RECORD.DSN_RET, "dsn_return_flags"],
  [RECORD.DSN_ENVELOPE_ID, "dsn_envelope_id"],
  [RECORD.DSN_ORIGINAL_RECIPIENT, "dsn_original_recipient"],
  [RECORD.DSN_NOTIFY, "dsn_notify_flags"],
]);

/** Records that a queue file may begin with. */
const FIRST: ReadonlySet<number> = new Set(
  [..."MCTcFILSDRO/WVA>K<ion"].map((letter) => letter.charCodeAt(0)),
);
/** Most jumps backwards before the pointers count as a loop. */
const REVERSE_JUMP_LIMIT = 100;
/** Output is written in pieces of about this many bytes. */
const FLUSH_SIZE = 65536;
const LF = 0x0a;

/**
 * Prints a file; false when it could not be read to its end.
 *
 * @param name what the markers call the file
 */
export function showQueueFile(readAt: ReadAt, name: string, options: ShowOptions, env: CommandEnv): boolean {
  const printer = new FilePrinter(readAt, name, options, env);
  try {
    printer.run();
    return true;
  } catch (error) {
    if (!(error instanceof BadRecordError)) throw error;
    printer.warn(error.message);
    env.err(`${env.programName}: fatal: record read error\n`);
    return false;
  } finally {
    printer.flush();
  }
}

type State = "envelope" | "header" | "body" | "extracted";

class FilePrinter {
  readonly #reader: RecordReader;
  readonly #readAt: ReadAt;
  readonly #name: string;
  readonly #options: ShowOptions;
  readonly #env: CommandEnv;
  readonly #out = new ByteBuilder(FLUSH_SIZE * 4, FLUSH_SIZE);
  #state: State = "envelope";
  /** The last text record was no whole line. */
  #continues = false;
  #sizes = 0;
  /** Where the content ends, as the size record says; 0: unknown. */
  #contentEnd = 0;
  /** Offset that the current record is listed at. */
  #offset = 0;
  #reverseJumps = 0;

  constructor(readAt: ReadAt, name: string, options: ShowOptions, env: CommandEnv) {
    this.#readAt = readAt;
    this.#reader = new RecordReader(readAt, options.start);
    this.#name = name;
    this.#options = options;
    this.#env = env;
  }

  get #raw(): boolean {
    return this.#options.raw && this.#options.names;
  }

  run(): void {
    if (this.#options.start === 0) {
      const first = new Uint8Array(1);
      if (this.#readAt(first, 0) === 0) return;
      if (!FIRST.has(first[0]!)) return this.warn(`${this.#name}: input is not a valid queue file`);
      if (this.#options.envelope) this.#out.text(`*** ENVELOPE RECORDS ${this.#name} ***\n`);
    }
    while (this.#next()) {
      if (this.#show() === "stop") return;
      if (this.#out.length >= FLUSH_SIZE) this.flush();
    }
  }

  /**
   * Goes to the next record. Unless records are named, pointers and padding are passed over, and what follows them
   * is listed at their offset.
   */
  #next(): boolean {
    this.#offset = this.#reader.position;
    while (this.#reader.next()) {
      if (this.#options.names) return true;
      if (this.#reader.type === RECORD.POINTER) this.#follow();
      else if (this.#reader.type !== RECORD.PADDING) return true;
    }
    return false;
  }

  warn(text: string): void {
    this.flush();
    this.#env.err(`${this.#env.programName}: warning: ${printable(text)}\n`);
  }

  flush(): void {
    if (this.#out.length > 0) this.#env.writeBytes(this.#out.view());
    this.#out.clear();
  }

  /** Shows the current record; says when it is the last. */
  #show(): "go on" | "stop" {
    switch (this.#reader.type) {
      case RECORD.NORMAL:
      case RECORD.CONTINUED:
        // The letter of an unfinished line is a content filter in the envelope.
        if (this.#reader.type === RECORD.CONTINUED && this.#state !== "header" && this.#state !== "body") {
          this.#field();
          return "go on";
        }
        return this.#text();
      case RECORD.MESSAGE:
        if (this.#state === "header" || this.#state === "body") {
          this.warn(`${this.#name}: out-of-order message content marker`);
        }
        this.#marker("MESSAGE CONTENTS", "header");
        return this.#options.header || this.#options.body ? "go on" : this.#leaveContent();
      case RECORD.EXTRACTED:
        if (this.#state !== "header" && this.#state !== "body") {
          this.warn(`${this.#name}: out-of-order extracted segment marker`);
        }
        this.#marker("HEADER EXTRACTED", "extracted");
        return this.#options.envelope ? "go on" : "stop";
      case RECORD.END:
        if (this.#state !== "extracted") this.warn(`${this.#name}: out-of-order message end marker`);
        this.#marker("MESSAGE FILE END", "extracted");
        return this.#raw ? "go on" : "stop";
      case RECORD.POINTER:
        this.#named("pointer_record", untilNul(this.#reader.data));
        if (!this.#raw) this.#follow();
        return "go on";
      default:
        this.#field();
        return "go on";
    }
  }

  #marker(text: string, next: State): void {
    this.#state = next;
    if (!this.#options.envelope) return;
    if (this.#continues && !this.#options.names && !this.#options.offsets) this.#out.byte(LF);
    this.#continues = false;
    this.#prefix();
    this.#out.text(`*** ${text} ${this.#name} ***\n`);
  }

  #prefix(): void {
    if (this.#options.offsets) this.#out.text(`${String(this.#offset).padStart(9)} `);
    if (this.#options.types) this.#out.text(`${String(this.#reader.type).padStart(3)} `);
  }

  #text(): "go on" | "stop" {
    const { type, data } = this.#reader;
    const starts = !this.#continues || this.#options.offsets;
    this.#continues = type === RECORD.CONTINUED;
    if (this.#state === "header" && !isHeaderLine(data)) {
      if (starts && !this.#options.body) {
        this.#state = "body";
        this.#continues = false;
        return this.#leaveContent();
      }
      // As in Postfix, the body begins with the second piece of a very long header line too.
      if (starts || !this.#options.header) this.#state = "body";
    }
    if (!this.#wanted()) return "go on";
    const named = this.#options.names;
    this.#prefix();
    if (named) this.#out.text(type === RECORD.NORMAL ? "regular_text: " : "unterminated_text: ");
    this.#reserve(data.length);
    this.#out.bytes(data);
    if (type === RECORD.NORMAL || named || this.#options.offsets) this.#out.byte(LF);
    return "go on";
  }

  /** True when the part of the file that the reader is in is to be shown. */
  #wanted(): boolean {
    switch (this.#state) {
      case "header":
        return this.#options.header;
      case "body":
        return this.#options.body;
      default:
        return this.#options.envelope;
    }
  }

  /** Skips what is left of the content, or ends when nothing behind it is wanted. */
  #leaveContent(): "go on" | "stop" {
    if (!this.#options.envelope) return "stop";
    // Only forward: a second content marker behind the content would send the reader round and round.
    if (this.#contentEnd > this.#reader.position) this.#reader.seek(this.#contentEnd);
    return "go on";
  }

  #reserve(count: number): void {
    if (this.#out.room < count + 2) this.flush();
  }

  /** A record of the envelope or of the extracted part. */
  #field(): void {
    const value = untilNul(this.#reader.data);
    switch (this.#reader.type) {
      case RECORD.SIZE:
        return this.#size(value);
      case RECORD.TIME:
        return this.#named("message_arrival_time", dateOf(value));
      case RECORD.WARN:
        return this.#named("warning_message_time", dateOf(value));
      case RECORD.ATTRIBUTE:
        return this.#attribute(value);
      default:
        return this.#named(NAMES.get(this.#reader.type) ?? "unknown_record_type", value);
    }
  }

  #size(value: string): void {
    this.#named("message_size", value);
    if (this.#sizes++ > 0) return this.warn("file contains multiple size records");
    const size = leadingNumber(value);
    const start = size === undefined ? undefined : leadingNumber(value.slice(NUMBER_WIDTH + 1));
    if (size === undefined || start === undefined || size <= 0 || start <= 0) {
      this.warn(`invalid size record: ${printable(value, 100)}`);
      if (this.#options.envelope) return;
      throw new BadRecordError(`${this.#name}: it does not say where the content is`);
    }
    this.#contentEnd = start + size;
    if (this.#options.envelope) return;
    this.#reader.seek(start);
    this.#state = "header";
  }

  #attribute(value: string): void {
    const equals = value.indexOf("=");
    if (equals <= 0) this.#prefix();
    if (equals < 0) {
      return this.warn(`${this.#name}: malformed attribute: missing '=' after attribute name: ${value}`);
    }
    const name = value.slice(0, equals);
    if (name === "") return this.warn(`${this.#name}: malformed attribute: missing attribute name: ${value}`);
    const rest = value.slice(equals + 1);
    if (name === "create_time") this.#named(name, dateOf(rest));
    else this.#named("named_attribute", `${name}=${rest}`);
  }

  #named(name: string, value: string): void {
    if (!this.#wanted()) return;
    this.#prefix();
    this.#reserve(name.length + value.length * 3 + 2);
    this.#out.text(`${name}: ${value}\n`);
  }

  #follow(): void {
    const value = untilNul(this.#reader.data);
    const target = pointerTarget(value);
    if (target === undefined) {
      throw new BadRecordError(`${this.#name}: malformed pointer record value: ${value}`);
    }
    if (target === 0) return;
    if (target <= this.#reader.offset && ++this.#reverseJumps > REVERSE_JUMP_LIMIT) {
      throw new BadRecordError(`${this.#name}: too many reverse jump records`);
    }
    this.#reader.seek(target);
  }
}

/** True for a header line or a continuation. */
function isHeaderLine(line: Uint8Array): boolean {
  if (line.length === 0) return false;
  if (isBlank(line[0]!)) return true;
  let i = 0;
  while (i < line.length && line[i]! > 0x20 && line[i]! < 0x7f && line[i] !== COLON) i++;
  if (i === 0) return false;
  while (i < line.length && isBlank(line[i]!)) i++;
  return line[i] === COLON;
}

/** The text before a NUL byte: a value is text, and what follows is not shown. */
function untilNul(data: Uint8Array): string {
  const end = data.indexOf(NUL);
  return decodeText(end < 0 ? data : data.subarray(0, end));
}

/** The number that a text begins with, blanks before it skipped, or undefined. */
function leadingNumber(text: string): number | undefined {
  let at = 0;
  while (text[at] === " ") at++;
  const negative = text[at] === "-";
  if (negative) at++;
  const start = at;
  while (at < text.length && text[at]! >= "0" && text[at]! <= "9" && at - start < NUMBER_WIDTH) at++;
  if (at === start) return undefined;
  const value = Number(text.slice(start, at));
  return negative ? -value : value;
}

/** A pointer's offset: digits with blanks before them and nothing behind. */
function pointerTarget(text: string): number | undefined {
  const value = leadingNumber(text);
  return value === undefined || value < 0 || text.length === 0 || !text.endsWith(String(value))
    ? undefined
    : value;
}

/** The seconds that a value begins with as a date in local time. */
function dateOf(value: string): string {
  return formatMboxDate((leadingNumber(value) ?? 0) * 1000);
}
