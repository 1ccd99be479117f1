/**
 * Text from standard input, cut into lines as sendmail takes them: CR LF counts as a line end, a line with only a
 * dot ends the input, lines longer than a record come in pieces. Memory is bounded by the longest piece.
 *
 * @module
 */
// Utility
import { CR, DOT, LF } from "../lib/vstring/ascii.ts";
import { ByteBuilder } from "../lib/vstring/byte_builder.ts";

/** How input is read. */
export interface LineOptions {
  /** Longest piece, bytes. */
  readonly pieceLimit: number;
  /** A line with only a dot ends the input (no -i). */
  readonly dotEnds: boolean;
  /** sendmail_fix_line_endings: take CR off line ends always, when the first line has one (strict), never. */
  readonly fixLineEndings: string;
}

/** A line, or a piece of one. */
export interface LinePiece {
  /** Valid until the next piece is asked for. */
  readonly bytes: Uint8Array;
  /** It begins a line. */
  readonly begins: boolean;
  /** It ends a line; the last line of the input counts as ended. */
  readonly ends: boolean;
}

/** Cuts input into lines. */
export async function* readLines(
  input: AsyncIterable<Uint8Array>,
  options: LineOptions,
): AsyncGenerator<LinePiece> {
  const cutter = new LineCutter(options);
  for await (const chunk of input) {
    for (const piece of cutter.push(chunk)) yield piece;
    if (cutter.over) return;
  }
  const last = cutter.finish();
  if (last !== undefined) yield last;
}

class LineCutter {
  readonly #options: LineOptions;
  readonly #held: ByteBuilder;
  #begins = true;
  #strip: boolean | undefined;
  /** The dot that ends the input has come. */
  over = false;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#held = new ByteBuilder(options.pieceLimit);
    if (options.fixLineEndings !== "strict") this.#strip = options.fixLineEndings === "always";
  }

  /** The pieces that a chunk completes. */
  *push(chunk: Uint8Array): Generator<LinePiece> {
    let start = 0;
    while (start < chunk.length) {
      const lineFeed = chunk.indexOf(LF, start);
      const end = lineFeed < 0 ? chunk.length : lineFeed;
      while (start < end) {
        const taken = Math.min(end - start, this.#held.room);
        this.#held.slice(chunk, start, start + taken);
        start += taken;
        if (this.#held.room === 0 && (start < end || lineFeed < 0)) yield this.#cut();
      }
      if (lineFeed < 0) return;
      start = lineFeed + 1;
      const line = this.#endLine(true);
      if (line === undefined) return;
      yield line;
      this.#held.clear();
    }
  }

  /** The last line, when no LF ends it. */
  finish(): LinePiece | undefined {
    if (this.#held.length === 0 && this.#begins) return undefined;
    return this.#endLine(false);
  }

  /** The line that is held, or undefined when it is the dot that ends the input. */
  #endLine(terminated: boolean): LinePiece | undefined {
    const begins = this.#begins;
    let bytes: Uint8Array = this.#held.view();
    if (terminated) this.#strip ??= bytes.at(-1) === CR;
    if (this.#strip) bytes = withoutCarriageReturns(bytes);
    if (this.#options.dotEnds && begins && bytes.length === 1 && bytes[0] === DOT) {
      this.over = true;
      return undefined;
    }
    this.#begins = true;
    return { bytes, begins, ends: true };
  }

  /** A piece of a line that goes on. CRs at its end stay for the next piece: they may belong to the line end. */
  #cut(): LinePiece {
    const begins = this.#begins;
    this.#begins = false;
    const whole = this.#held.copy();
    let length = withoutCarriageReturns(whole).length;
    if (length === 0) length = whole.length; // nothing but CRs: no line end begins like that
    this.#held.clear().slice(whole, length, whole.length);
    return { bytes: whole.subarray(0, length), begins, ends: false };
  }
}

function withoutCarriageReturns(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === CR) end--;
  return bytes.subarray(0, end);
}
