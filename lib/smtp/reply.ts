/**
 * Replies of SMTP and LMTP servers, RFC 5321 section 4.2. The parser takes bytes as they come and keeps a bounded part
 * of what a server says. A line that is no line of a reply is passed over, as Postfix does: a server that lets a word
 * slip must not cause the same message to be sent again and again. What came of it is marked, and a limit ends it.
 *
 * @module
 */
import { CR, isDigit, LF, SPACE } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";

const HYPHEN = 0x2d;

/** Longest line that is kept, bytes; the rest of it is read and dropped (Postfix: line_length_limit). */
export const REPLY_LINE_LIMIT = 2048;
/** Most lines of a reply that are kept; the last one always is. */
const KEPT_LINES = 100;
/** Longest reply, bytes: an honest EHLO reply has about 500. */
export const REPLY_LIMIT = 65_536;
/** Longest text of a whole reply, UTF-16 units. */
const TEXT_LIMIT = 2000;
/** Bytes that are shown of a line that is no reply. */
const NOISE_SHOWN = 100;

/** One reply, all its lines. */
export interface Reply {
  /** 0 to 999: three digits, whatever they mean. */
  readonly code: number;
  /**
   * Enhanced status code (RFC 2034), or "N.0.0" where the server gave none that agrees with the code; "5.5.0" with a
   * code of another class than 2, 4 and 5.
   */
  readonly status: string;
  /** What stands behind the code in each line, printable. */
  readonly lines: readonly string[];
  /** The whole reply on one line, codes included, printable: for the log and for reports. */
  readonly text: string;
  /** A line before it that is no line of a reply, printable: the conversation may be out of step. */
  readonly noise?: string;
}

/** Thrown when a server sends no end of a reply: the rest of the conversation means nothing. */
export class ReplyError extends Error {
  override name = "ReplyError";
}

/** Collects bytes into replies. */
export class ReplyParser {
  readonly #line = new Uint8Array(REPLY_LINE_LIMIT);
  #length = 0;
  #size = 0;
  #lines: string[] = [];
  #texts: string[] = [];
  #noise: string | undefined;
  #reply: Reply | undefined;
  /** A line that waits for `accept`. */
  #held: Uint8Array | undefined;
  readonly #holds: boolean;

  /** @param holds each line is to be changed first: it waits in `held` until `accept` is called */
  constructor(holds = false) {
    this.#holds = holds;
  }

  /** The reply that `push` completed; it is given once. */
  take(): Reply | undefined {
    const reply = this.#reply;
    this.#reply = undefined;
    return reply;
  }

  /** True between replies: nothing of the next one has come. */
  get idle(): boolean {
    return this.#size === 0 && this.#reply === undefined;
  }

  /**
   * Takes bytes from `start` up to the end of one reply, or all of them.
   *
   * @returns offset behind the last byte taken
   * @throws ReplyError
   */
  push(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#reply === undefined && this.#held === undefined) {
      const newline = bytes.indexOf(LF, at);
      const stop = newline < 0 || newline >= end ? end : newline;
      this.#append(bytes, at, stop);
      at = stop;
      if (stop < end) {
        at++;
        this.#size++;
        this.#endLine();
      }
    }
    return at;
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    this.#size += end - start;
    if (this.#size > REPLY_LIMIT) throw new ReplyError(`reply of more than ${REPLY_LIMIT} bytes`);
    const count = Math.min(end - start, REPLY_LINE_LIMIT - this.#length);
    this.#line.set(bytes.subarray(start, start + count), this.#length);
    this.#length += count;
  }

  /** The line that waits to be changed, without its line end. */
  get held(): Uint8Array | undefined {
    return this.#held;
  }

  /** Goes on with this in the place of the line that waits. */
  accept(line: Uint8Array): void {
    this.#held = undefined;
    this.#takeLine(line);
  }

  #endLine(): void {
    const whole = this.#line.subarray(0, this.#length);
    const line = whole[whole.length - 1] === CR ? whole.subarray(0, -1) : whole;
    this.#length = 0;
    if (this.#holds) this.#held = line.slice();
    else this.#takeLine(line);
  }

  /** RFC 5321 section 4.2.1: "-" behind the code of every line but the last. */
  #takeLine(line: Uint8Array): void {
    const separator = line[3];
    const code = parseCode(line);
    const isReply = code !== undefined &&
      (separator === undefined || separator === SPACE || separator === HYPHEN);
    const last = isReply && separator !== HYPHEN;
    if (last || this.#lines.length < KEPT_LINES) {
      this.#lines.push(printable(isReply ? line.subarray(4) : line, REPLY_LINE_LIMIT));
      this.#texts.push(printable(line, REPLY_LINE_LIMIT));
    }
    if (!isReply) this.#noise ??= printable(line, NOISE_SHOWN);
    if (last) this.#finish(code);
  }

  #finish(code: number): void {
    const lines = this.#lines;
    this.#reply = {
      code,
      status: statusOf(code, lines[lines.length - 1]!),
      lines,
      text: printable(this.#texts.filter((text) => text !== "").join(" "), TEXT_LIMIT),
      ...this.#noise === undefined ? {} : { noise: this.#noise },
    };
    this.#noise = undefined;
    this.#lines = [];
    this.#texts = [];
    this.#size = 0;
  }
}

/** Three digits; RFC 5321 section 4.2 has the first from 2 to 5, which is for whoever asked to judge. */
function parseCode(line: Uint8Array): number | undefined {
  const [a, b, c] = line;
  if (a === undefined || b === undefined || c === undefined) return undefined;
  if (!isDigit(a) || !isDigit(b) || !isDigit(c)) return undefined;
  return (a - 0x30) * 100 + (b - 0x30) * 10 + (c - 0x30);
}

/** RFC 2034 section 4: the class of the enhanced code and the first digit of the reply must agree. */
function statusOf(code: number, text: string): string {
  const family = Math.floor(code / 100);
  if (family !== 2 && family !== 4 && family !== 5) return "5.5.0";
  const found = leadingStatus(text);
  return found !== undefined && found.startsWith(`${family}.`) ? found : `${family}.0.0`;
}

/** The enhanced status code (RFC 3463 section 2) that a text begins with, before a blank or the end. */
export function leadingStatus(text: string): string | undefined {
  const end = text.indexOf(" ");
  const word = end < 0 ? text : text.slice(0, end);
  if (word.length > 9) return undefined;
  const parts = word.split(".");
  if (parts.length !== 3 || !["2", "4", "5"].includes(parts[0]!)) return undefined;
  for (const part of parts) {
    if (part.length === 0 || part.length > 3) return undefined;
    for (let i = 0; i < part.length; i++) if (!isDigit(part.charCodeAt(i))) return undefined;
  }
  return word;
}
