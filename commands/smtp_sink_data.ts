/**
 * The text of a message on the wire: where it ends, and what it is without dot-stuffing.
 *
 * @module
 */
// Utility
import { CR, DOT, LF } from "../lib/vstring/ascii.ts";
import type { ByteBuilder } from "../lib/vstring/byte_builder.ts";

/** Where the scanner stands. */
const STATE = { text: 0, cr: 1, lineStart: 2, dot: 3, dotCr: 4 } as const;

/** Looks for the end of one message. */
export class DataScanner {
  readonly #out: ByteBuilder | undefined;
  #state: number = STATE.lineStart;

  /** @param out gets the text with LF line ends and dots unstuffed; without it, text is only passed over */
  constructor(out: ByteBuilder | undefined) {
    this.#out = out;
  }

  /** Takes bytes; returns the offset behind the end of the message, or -1 when it goes on. */
  push(bytes: Uint8Array): number {
    // RFC 5321 section 4.1.1.4: the message ends at CR LF . CR LF, and at nothing else.
    for (let i = 0; i < bytes.length; i++) {
      if (this.#state === STATE.text) {
        const next = bytes.indexOf(CR, i);
        const end = next < 0 ? bytes.length : next;
        this.#out?.slice(bytes, i, end);
        i = end;
        if (next >= 0) this.#state = STATE.cr;
      } else if (this.#step(bytes[i]!)) return i + 1;
    }
    return -1;
  }

  /** One byte outside plain text; true at the end of the message. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case STATE.cr:
        if (byte === LF) this.#go(STATE.lineStart, LF);
        else this.#goOn(byte, CR);
        return false;
      case STATE.lineStart:
        if (byte === DOT) this.#state = STATE.dot;
        else this.#goOn(byte);
        return false;
      case STATE.dot:
        // RFC 5321 section 4.5.2: a dot in front of more text was put there by the sender.
        if (byte === CR) this.#state = STATE.dotCr;
        else this.#goOn(byte);
        return false;
      default:
        if (byte === LF) return true;
        this.#goOn(byte, CR);
        return false;
    }
  }

  /** Text goes on with `byte`, behind a CR that was held back. */
  #goOn(byte: number, held?: number): void {
    if (held !== undefined) this.#out?.byte(held);
    if (byte === CR) this.#state = STATE.cr;
    else this.#go(STATE.text, byte);
  }

  #go(state: number, byte: number): void {
    this.#state = state;
    this.#out?.byte(byte);
  }
}
