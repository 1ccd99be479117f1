/**
 * Lines of an SMTP conversation out of the bytes that arrive, for smtp-source and smtp-sink.
 *
 * @module
 */
import { CR, LF } from "../lib/vstring/ascii.ts";

/** Longest line that is kept, bytes; what is beyond is dropped. */
const LINE_LIMIT = 4096;

/** Cuts bytes into lines without their line end; a lone LF ends a line too. */
export class LineSplitter {
  readonly #buffer = new Uint8Array(LINE_LIMIT);
  #held = 0;

  /**
   * Takes bytes and calls `take` for each line; the line is valid during the call only. `take` returns false to
   * stop: what follows is returned.
   */
  push(bytes: Uint8Array, take: (line: Uint8Array) => boolean): Uint8Array {
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(LF, start);
      if (end < 0) {
        this.#hold(bytes, start, bytes.length);
        return bytes.subarray(bytes.length);
      }
      let line: Uint8Array;
      if (this.#held === 0) line = bytes.subarray(start, end);
      else {
        this.#hold(bytes, start, end);
        line = this.#buffer.subarray(0, this.#held);
        this.#held = 0;
      }
      start = end + 1;
      if (line.length > 0 && line[line.length - 1] === CR) line = line.subarray(0, line.length - 1);
      if (!take(line)) return bytes.subarray(start);
    }
  }

  #hold(bytes: Uint8Array, start: number, end: number): void {
    const count = Math.min(end - start, LINE_LIMIT - this.#held);
    this.#buffer.set(bytes.subarray(start, start + count), this.#held);
    this.#held += count;
  }
}
