/**
 * Bytes that have come and are not used up: joined where a line was cut between two reads, and never more than the
 * user of it lets come.
 *
 * @module
 */
import { CR, LF } from "../vstring/ascii.ts";

/** A line, or why there is none. */
export type InputLine =
  /** Without its line end; `crlf` is false when that was LF alone. A view, valid until the next push. */
  | { readonly kind: "line"; readonly bytes: Uint8Array; readonly crlf: boolean }
  /** The line was longer than the limit; all of it has been passed over. */
  | { readonly kind: "tooLong" }
  | { readonly kind: "more" };

const NOTHING: Uint8Array = new Uint8Array(0);
const MORE: InputLine = { kind: "more" };

/** Input of one connection. */
export class InputBuffer {
  #bytes: Uint8Array = NOTHING;
  /** The rest of a line that was too long is passed over. */
  #skipping = false;

  /** Adds bytes; they are kept as they are, without a copy, when nothing waits before them. */
  push(bytes: Uint8Array): void {
    if (this.#bytes.length === 0) {
      this.#bytes = bytes;
      return;
    }
    const joined = new Uint8Array(this.#bytes.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.#bytes.length);
    this.#bytes = joined;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** True when the line that is coming is longer than the limit already: all but that has been passed over. */
  overlong(limit: number): boolean {
    return this.#skipping || this.#bytes.length > limit + 1;
  }

  /** What waits. */
  view(): Uint8Array {
    return this.#bytes;
  }

  /** Takes all that waits. */
  take(): Uint8Array {
    const bytes = this.#bytes;
    this.#bytes = NOTHING;
    return bytes;
  }

  /** Copies what waits: who gave it uses its memory again. */
  keep(): void {
    if (this.#bytes.length > 0) this.#bytes = this.#bytes.slice();
  }

  /** Uses up the first `count` bytes. */
  consume(count: number): void {
    this.#bytes = this.#bytes.subarray(count);
  }

  /** Takes the next line, up to its LF. What cannot become a line within the limit is dropped as it comes. */
  line(limit: number): InputLine {
    const lf = this.#bytes.indexOf(LF);
    if (lf < 0) {
      if (this.#bytes.length > limit + 1) {
        this.#skipping = true;
        this.#bytes = NOTHING;
      }
      return MORE;
    }
    const crlf = lf > 0 && this.#bytes[lf - 1] === CR;
    const bytes = this.#bytes.subarray(0, crlf ? lf - 1 : lf);
    this.#bytes = this.#bytes.subarray(lf + 1);
    const tooLong = this.#skipping || bytes.length > limit;
    this.#skipping = false;
    return tooLong ? { kind: "tooLong" } : { kind: "line", bytes, crlf };
  }
}
