/**
 * The one writer of message text in DATA form: RFC 5321 section 4.5.2 (transparency) and section 4.1.1.4 (end of
 * data). It owns the state "at the start of a line" alone, because whoever shares that state gets it wrong: a line
 * that begins with a dot and is not doubled lets a message end where its author chose.
 *
 * @module
 */
import { CR, DOT, LF, SPACE } from "../vstring/ascii.ts";
import type { ByteBuilder } from "../vstring/byte_builder.ts";

/** Shortest line limit: below it there is no room for a space, a character and progress. */
const LEAST_LINE_LIMIT = 16;
/** Bytes that one piece may take beyond its own length, folding aside: a dot and CR LF. */
const OVERHEAD = 3;

/** Turns pieces of lines into what goes over the wire. */
export class DotStuffer {
  readonly #out: ByteBuilder;
  readonly #lineLimit: number;
  #atStart = true;
  #column = 0;
  #folded = false;

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
    let to = this.#out.claim(end - start);
    const raw = this.#out.raw();
    for (let i = start; i < end; i++) {
      const byte = source[i]!;
      raw[to++] = byte === CR || byte === LF ? SPACE : byte;
    }
  }
}
