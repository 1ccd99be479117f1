/**
 * The one writer of message text in DATA form: RFC 5321 section 4.5.2 (transparency) and section 4.1.1.4 (end of
 * data). It owns the state "at the start of a line" alone, because whoever shares that state gets it wrong: a line
 * that begins with a dot and is not doubled lets a message end where its author chose.
 *
 * @module
 */
import { CR, DOT, LF, SPACE } from "../vstring/ascii.ts";
import type { ByteBuilder } from "../vstring/byte_builder.ts";
import { findEither } from "../vstring/byte_search.ts";
import { RECORD } from "../mail/record.ts";

/** Shortest line limit: below it there is no room for a space, a character and progress. */
const LEAST_LINE_LIMIT = 16;
/** Bytes that one piece may take beyond its own length, folding aside: a dot and CR LF. */
const OVERHEAD = 3;
/** Longest line whose record has a length of one digit, bytes. */
const SIMPLE_MOST = 0x7f;
/** Most lines that are taken one by one before many are tried at once again. */
const SINGLE_MOST = 1024;

/** Turns pieces of lines into what goes over the wire. */
export class DotStuffer {
  readonly #out: ByteBuilder;
  readonly #lineLimit: number;
  #atStart = true;
  #column = 0;
  #folded = false;
  /** Lines that are taken one by one first, now and when the next attempt is in vain. */
  #single = 0;
  #nextSingle = 1;

  /**
   * @param out gets the bytes; the caller empties it between pieces and gives it room for `room(length)` more
   * @param lineLimit longest line sent, bytes without CR LF; 0 for no limit
   */
  constructor(out: ByteBuilder, lineLimit = 0) {
    this.#out = out;
    this.#lineLimit = lineLimit === 0 ? 0 : Math.max(LEAST_LINE_LIMIT, lineLimit);
  }

  /** True when a line was too long and has been folded. */
  get folded(): boolean {
    return this.#folded;
  }

  /** Most bytes that a piece of this length becomes. */
  room(length: number): number {
    if (this.#lineLimit === 0) return length + OVERHEAD;
    // Each fold adds three bytes, and a cut may come up to three bytes early.
    return length + OVERHEAD + 3 * (2 + Math.ceil(length / (this.#lineLimit - 4)));
  }

  /**
   * Writes a piece of a line. CR and LF inside it become spaces: RFC 5321 section 2.3.8: neither may be sent but as
   * the pair that ends a line, and a bare one is what SMTP smuggling is made of.
   *
   * @param endsLine false when the line goes on in the next piece
   */
  piece(data: Uint8Array, endsLine: boolean): void {
    this.slice(data, 0, data.length, endsLine);
  }

  /** The same of what stands in `source` from `start` up to `end`. */
  slice(source: Uint8Array, start: number, end: number, endsLine: boolean): void {
    if (this.#atStart && end > start) {
      if (source[start] === DOT) this.#out.byte(DOT);
      this.#atStart = false;
    }
    const length = end - start;
    if (this.#lineLimit > 0 && this.#column + length > this.#lineLimit) {
      this.#fold(source.subarray(start, end));
    } else {
      this.#put(source, start, end);
      this.#column += length;
    }
    if (endsLine) this.#endLine();
  }

  /**
   * Writes simple lines as their records stand one behind the other in a queue file: short, whole, without a dot in
   * front, CR or LF. Such a line and its record have the same length, with two bytes of type and length in front of the
   * text or two bytes of line end behind it: so all of them are copied at once, and the line ends written over the heads.
   *
   * @param start where a record begins
   * @returns where the record begins that was not taken any more
   */
  records(source: Uint8Array, start: number, end: number): number {
    if (!this.#atStart) return start;
    if (this.#single > 0) {
      this.#single--;
      return start;
    }
    const stop = this.#simpleRecords(source, start, Math.min(end, start + this.#out.room));
    if (stop === start) return start;
    const to = this.#out.claim(stop - start);
    const raw = this.#out.raw();
    raw.set(source.subarray(start + 2, stop), to);
    const shift = to - start - 2;
    // A length can look like CR or LF, and then the search goes on behind it.
    let stray = findEither(source, CR, LF, start, stop);
    let at = start;
    while (at < stop) {
      const next = at + 2 + source[at + 1]!;
      if (stray === at + 1) stray = findEither(source, CR, LF, at + 2, stop);
      if (stray >= 0 && stray < next) break;
      raw[next + shift] = CR;
      raw[next + shift + 1] = LF;
      at = next;
    }
    this.#out.truncate(to + at - start);
    // Where there are stray bytes much is copied in vain, and again for each line: a text of them would cost its square.
    const inVain = at - start < stop - at;
    this.#single = inVain ? this.#nextSingle : 0;
    this.#nextSingle = inVain ? Math.min(SINGLE_MOST, 2 * this.#nextSingle) : 1;
    return at;
  }

  /** Where the records end that are simple by what their heads and first bytes say. */
  #simpleRecords(source: Uint8Array, start: number, end: number): number {
    const longest = this.#lineLimit === 0 ? SIMPLE_MOST : Math.min(SIMPLE_MOST, this.#lineLimit);
    let at = start;
    while (at + 1 < end) {
      const length = source[at + 1]!;
      const next = at + 2 + length;
      if (source[at] !== RECORD.NORMAL || length > longest || next > end) break;
      if (length > 0 && source[at + 2] === DOT) break;
      at = next;
    }
    return at;
  }

  /** Ends the last line if it is open. */
  endText(): void {
    if (!this.#atStart) this.#endLine();
  }

  /** Ends the last line if it is open, and the message. */
  finish(): void {
    this.endText();
    this.#out.byte(DOT).byte(CR).byte(LF);
  }

  #endLine(): void {
    this.#out.byte(CR).byte(LF);
    this.#atStart = true;
    this.#column = 0;
  }

  /** Breaks a line that is too long with CR LF and a space, as Postfix does. */
  #fold(data: Uint8Array): void {
    let from = 0;
    while (this.#column + data.length - from > this.#lineLimit) {
      const cut = from + this.#cut(data.subarray(from), this.#lineLimit - this.#column);
      this.#put(data, from, cut);
      this.#out.byte(CR).byte(LF).byte(SPACE);
      this.#column = 1;
      this.#folded = true;
      from = cut;
    }
    this.#put(data, from, data.length);
    this.#column += data.length - from;
  }

  /** Where to cut: at `most`, or up to three bytes before so that no UTF-8 character is torn. */
  #cut(data: Uint8Array, most: number): number {
    let cut = Math.max(0, most);
    for (let back = 0; back < 3 && cut > 1 && (data[cut]! & 0xc0) === 0x80; back++) cut--;
    return (data[cut]! & 0xc0) === 0x80 ? Math.max(0, most) : cut;
  }

  #put(source: Uint8Array, start: number, end: number): void {
    const shift = this.#out.length - start;
    this.#out.slice(source, start, end);
    const stray = findEither(source, CR, LF, start, end);
    if (stray < 0) return;
    const raw = this.#out.raw();
    for (let i = stray; i < end; i++) {
      if (source[i] === CR || source[i] === LF) raw[i + shift] = SPACE;
    }
  }
}
