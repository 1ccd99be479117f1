/** Bytes and choices from a seed, so that a failure can be made again. Not a test itself. @module */

/** A generator of numbers that looks random and repeats for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 up to and without `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  /** `length` bytes of any value. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** One of the values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** A copy with up to `most` bytes changed, removed or inserted. */
  damage(bytes: Uint8Array, most = 4): Uint8Array<ArrayBuffer> {
    const out = Array.from(bytes);
    for (let left = 1 + this.below(most); left > 0; left--) {
      const at = this.below(out.length + 1);
      const kind = this.below(3);
      if (kind === 0 && at < out.length) out[at] = this.below(256);
      else if (kind === 1) out.splice(at, 1 + this.below(3));
      else out.splice(at, 0, this.below(256));
    }
    return Uint8Array.from(out);
  }
}
