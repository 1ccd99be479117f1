/**
 * Replies of SMTP and LMTP servers, RFC 5321 section 4.2. The parser takes bytes as they come, keeps a bounded part
 * of what a server says, and gives up on one that does not speak in replies at all.
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

/** One reply, all its lines. */
export interface Reply {
  /** 200 to 599. */
  readonly code: number;
  /** Enhanced status code (RFC 2034), or "N.0.0" where the server gave none that agrees with the code. */
  readonly status: string;
  /** What stands behind the code in each line, printable. */
  readonly lines: readonly string[];
  /** The whole reply on one line, codes included, printable: for the log and for reports. */
  readonly text: string;
}

/** Thrown when a server sends something that is no reply: the rest of the conversation means nothing. */
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
  #reply: Reply | undefined;

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
    while (at < end && this.#reply === undefined) {
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

  /** RFC 5321 section 4.2.1: "-" behind the code of every line but the last. */
  #endLine(): void {
    const whole = this.#line.subarray(0, this.#length);
    const line = whole[whole.length - 1] === CR ? whole.subarray(0, -1) : whole;
    this.#length = 0;
    const separator = line[3];
    const code = parseCode(line);
    if (code === undefined || (separator !== undefined && separator !== SPACE && separator !== HYPHEN)) {
      throw new ReplyError(`"${printable(line, 100)}" instead of a reply`);
    }
    const last = separator !== HYPHEN;
    if (last || this.#lines.length < KEPT_LINES) {
      this.#lines.push(printable(line.subarray(4), REPLY_LINE_LIMIT));
      this.#texts.push(printable(line, REPLY_LINE_LIMIT));
    }
    if (last) this.#finish(code);
  }

  #finish(code: number): void {
    const lines = this.#lines;
    this.#reply = {
      code,
      status: statusOf(code, lines[lines.length - 1]!),
      lines,
      text: printable(this.#texts.join(" "), TEXT_LIMIT),
    };
    this.#lines = [];
    this.#texts = [];
    this.#size = 0;
  }
}

/** RFC 5321 section 4.2: three digits, the first from 2 to 5. */
function parseCode(line: Uint8Array): number | undefined {
  const [a, b, c] = line;
  if (a === undefined || b === undefined || c === undefined) return undefined;
  if (a < 0x32 || a > 0x35 || !isDigit(b) || !isDigit(c)) return undefined;
  return (a - 0x30) * 100 + (b - 0x30) * 10 + (c - 0x30);
}

/** RFC 2034 section 4: the class of the enhanced code and the first digit of the reply must agree. */
function statusOf(code: number, text: string): string {
  const found = leadingStatus(text);
  const family = Math.floor(code / 100);
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
