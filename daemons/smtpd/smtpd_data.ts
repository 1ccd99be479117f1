/**
 * Message text as it comes over the wire, made into records: lines found, dots unstuffed, end of data recognised.
 * There is one such reader, and end of data is CR LF . CR LF for everybody.
 */
// Utility
import { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import { CR, DOT, GREATER, isBlank, LF, startsWithIgnoreCase } from "../../lib/vstring/ascii.ts";
// Mail
import { appendRecord, appendRecordSlice, RECORD } from "../../lib/mail/record.ts";

/** Records that are gathered before they are handed on, bytes. */
const CHUNK_SIZE = 32 * 1024;
/** Room for the records of one piece of line on top of that, bytes. */
const CHUNK_ROOM = 64 * 1024;
/** Longest record of text, whatever line_length_limit says: with its head it fits into that room. */
const RECORD_MOST = 30_000;

const NOTHING = new Uint8Array(0);

/** A buffer for one reader after another. */
export function recordBuffer(): ByteBuilder {
  return new ByteBuilder(CHUNK_ROOM, 2048);
}

/** Longest line whose record has a length of one digit, bytes. */
const SIMPLE_MOST = 0x7f;
/** Less input than this is taken line by line, bytes. */
const WORTH_COPYING = 256;

/** Cuts DATA into records. */
export class DataReader {
  readonly #lineLimit: number;
  readonly #sizeLimit: number;
  readonly #out: ByteBuilder;
  readonly #emit: (records: Uint8Array) => void;
  #carry: Uint8Array | undefined;
  /** Bytes that are copied at once in the hope that their lines are simple. */
  #ahead = CHUNK_ROOM;
  /** The line before this one ended in CR LF; the one before the first is DATA itself. */
  #afterCrlf = true;
  #atLineStart = true;
  #firstLine = true;
  /** The text ends in a line with a dot, and dots in front of lines are stuffed (DATA); with BDAT they are text. */
  dots = true;
  /** A line ended in LF alone. */
  bareNewline = false;
  /** Bytes of message text so far, with two for each line end and without stuffed dots (RFC 1870 section 4). */
  size = 0;

  /**
   * @param lineLimit longer lines become several records (line_length_limit)
   * @param sizeLimit beyond this many bytes the text is read and dropped; 0: no limit (message_size_limit)
   * @param emit takes whole records, which are valid during the call only
   * @param buffer where records are gathered, empty; nobody else uses it meanwhile
   */
  constructor(
    lineLimit: number,
    sizeLimit: number,
    emit: (records: Uint8Array) => void,
    buffer: ByteBuilder = recordBuffer(),
  ) {
    this.#out = buffer;
    this.#lineLimit = Math.min(lineLimit, RECORD_MOST);
    this.#sizeLimit = sizeLimit;
    this.#emit = emit;
  }

  /** True when the text has passed the limit: it must not be committed. */
  get tooBig(): boolean {
    return this.#sizeLimit > 0 && this.size > this.#sizeLimit;
  }

  /** Where the caller puts the records that come before the text. */
  get records(): ByteBuilder {
    return this.#out;
  }

  /**
   * Takes bytes; returns how many of them belong to the message when its end was among them, or -1 when there is
   * more to come.
   */
  push(bytes: Uint8Array): number {
    let input = bytes;
    let carried = 0;
    if (this.#carry !== undefined) {
      carried = this.#carry.length;
      input = new Uint8Array(carried + bytes.length);
      input.set(this.#carry);
      input.set(bytes, carried);
      this.#carry = undefined;
    }
    let start = 0;
    for (;;) {
      start = this.#simpleLines(input, start);
      // The end of the last search need not be looked at again, but a carry is short.
      const lf = input.indexOf(LF, start);
      if (lf < 0) {
        this.#keep(input, start);
        return -1;
      }
      const crlf = lf > start && input[lf - 1] === CR;
      const end = crlf ? lf - 1 : lf;
      if (!crlf) this.bareNewline = true;
      if (this.dots && this.#atLineStart && end - start === 1 && input[start] === DOT) {
        // RFC 5321 section 4.1.1.4: the end is CRLF "." CRLF. A dot between other line ends is neither an end nor
        // text: taken for either, it would mean one thing here and another at the next server.
        if (crlf && this.#afterCrlf) return lf + 1 - carried;
      } else this.#line(input, start, end);
      this.#afterCrlf = crlf;
      this.#atLineStart = true;
      start = lf + 1;
    }
  }

  /**
   * Takes lines that are simple: short, ended by CR LF, without a dot in front. Such a line and its record have the
   * same length, with two bytes of line end behind the text or two bytes of type and length in front of it: so all of
   * them are copied at once, two bytes further on, and the heads are written over the line ends.
   *
   * @returns where the line begins that was not taken any more
   */
  #simpleLines(input: Uint8Array, start: number): number {
    const out = this.#out;
    const count = Math.min(input.length - start, out.room - 2, this.#ahead);
    const fits = this.#sizeLimit === 0 || this.size + count <= this.#sizeLimit;
    if (count < WORTH_COPYING || !fits || !this.#atLineStart || !this.#afterCrlf || this.#firstLine) {
      return start;
    }
    const longest = Math.min(this.#lineLimit, SIMPLE_MOST);
    const shift = out.claim(count + 2) - start;
    const raw = out.raw();
    raw.set(input.subarray(start, start + count), start + shift + 2);
    const end = start + count;
    let line = start;
    for (;;) {
      let lf = line;
      while (lf < end && input[lf] !== LF) lf++;
      const length = lf - 1 - line;
      if (lf === end || length < 0 || length > longest) break;
      if (input[lf - 1] !== CR || (input[line] === DOT && this.dots)) break;
      raw[line + shift] = RECORD.NORMAL;
      raw[line + shift + 1] = length;
      line = lf + 1;
    }
    out.truncate(line + shift);
    this.size += line - start;
    // Where lines are not simple, little is copied in vain: otherwise a text of dots would cost its square.
    this.#ahead = start + count - line > WORTH_COPYING
      ? WORTH_COPYING
      : Math.min(CHUNK_ROOM, this.#ahead * 2);
    if (out.length >= CHUNK_SIZE) this.flush();
    return line;
  }

  /** The text is over without a line of its own that says so: a last line without an end gets one. */
  end(): void {
    const rest = this.#carry;
    this.#carry = undefined;
    if (rest !== undefined) this.#line(rest, 0, rest.length);
    else if (!this.#atLineStart) this.#line(NOTHING, 0, 0);
    this.#atLineStart = true;
  }

  /** Hands on what was gathered. */
  flush(): void {
    if (this.#out.length === 0) return;
    this.#emit(this.#out.view());
    this.#out.clear();
  }

  /** Keeps the beginning of a line whose end has not come; what is longer than the limit goes out in pieces. */
  #keep(input: Uint8Array, start: number): void {
    let from = start;
    // A byte stays behind: it may be the CR of a line end.
    while (input.length - from > this.#lineLimit + 1) {
      from = this.#piece(input, from, from + this.#lineLimit);
    }
    if (from < input.length) this.#carry = input.slice(from);
  }

  /** One whole line, or what is left of one. */
  #line(input: Uint8Array, start: number, end: number): void {
    let from = start;
    while (end - from > this.#lineLimit) from = this.#piece(input, from, from + this.#lineLimit);
    from = this.#openLine(input, from, end);
    this.size += end - from + 2;
    if (!this.tooBig) appendRecordSlice(this.#out, RECORD.NORMAL, input, from, end);
    if (this.#out.length >= CHUNK_SIZE) this.flush();
  }

  /** A piece of a line that goes on. Returns where it ended. */
  #piece(input: Uint8Array, start: number, end: number): number {
    const from = this.#openLine(input, start, end);
    this.#atLineStart = false;
    this.size += end - from;
    if (!this.tooBig) appendRecordSlice(this.#out, RECORD.CONTINUED, input, from, end);
    if (this.#out.length >= CHUNK_SIZE) this.flush();
    return end;
  }

  /** At the start of a line: takes a stuffed dot off, and mends a first line that no header may begin with. */
  #openLine(input: Uint8Array, start: number, end: number): number {
    if (!this.#atLineStart) return start;
    // RFC 5321 section 4.5.2: a leading period is deleted when other characters follow it on the line.
    const from = this.dots && end > start && input[start] === DOT ? start + 1 : start;
    if (this.#firstLine) this.#mendFirstLine(input, from, end);
    return from;
  }

  /** Mailbox separators, which some programs leave in front, become headers (">From " as well, as many as there are). */
  #mendFirstLine(input: Uint8Array, from: number, end: number): void {
    let start = from;
    while (start < end && input[start] === GREATER) start++;
    if (startsWithIgnoreCase(input.subarray(start, end), "from ")) {
      appendRecord(this.#out, RECORD.CONTINUED, "X-Mailbox-Line: ");
      return;
    }
    this.#firstLine = false;
    // Text that begins with white space would continue the header before it, which is ours.
    if (from < end && isBlank(input[from]!)) appendRecord(this.#out, RECORD.NORMAL, "");
  }
}
