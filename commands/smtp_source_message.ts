/**
 * The messages that smtp-source sends.
 *
 * @module
 */
// Utility
import { CR, DOT, LF } from "../lib/vstring/ascii.ts";
import { ByteBuilder, encodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { formatMailDate } from "../lib/mail/date.ts";

/** Text when neither -l nor -F says otherwise, in lines. */
const SHORT_TEXT = [1, 2, 3, 4].map((line) => `La de da de da ${line}.\r\n`).join("");
/** Length of the lines of -l, line end included, bytes. */
const LINE_LENGTH = 80;

/** What every message has in common. */
export interface MessagePlan {
  /** Headers are sent (no -o, no -F). */
  readonly headers: boolean;
  readonly sender: string;
  readonly recipient: string;
  readonly subject: string | undefined;
  readonly hostName: string;
  /** Text with dots stuffed, its lines ended by CR LF. */
  readonly text: Uint8Array;
}

/** Makes messages, ready to go over the wire with the final dot. */
export class MessageMaker {
  readonly #plan: MessagePlan;
  readonly #process: string;
  #date = "";
  #second = -1;

  /** @param processId makes message ids differ between runs */
  constructor(plan: MessagePlan, processId: number) {
    this.#plan = plan;
    this.#process = hex(processId);
  }

  /** The next message of a session. */
  make(session: number, number: number): Uint8Array {
    const { headers, text } = this.#plan;
    const head = encodeText(headers ? this.#head(session, number) : "");
    const out = new Uint8Array(head.length + text.length + FINAL_DOT.length);
    out.set(head);
    out.set(text, head.length);
    out.set(FINAL_DOT, head.length + text.length);
    return out;
  }

  #head(session: number, number: number): string {
    const { sender, recipient, subject, hostName } = this.#plan;
    return `From: <${sender}>\r\nTo: <${recipient}>\r\nDate: ${this.#now()}\r\n` +
      `Message-Id: <${this.#process}.${hex(session)}.${hex(number)}@${hostName}>\r\n` +
      (subject === undefined ? "" : `Subject: ${subject}\r\n`) + "\r\n";
  }

  /** The date, made once a second. */
  #now(): string {
    const now = Date.now();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#date = formatMailDate(now);
    }
    return this.#date;
  }
}

const FINAL_DOT = encodeText(".\r\n");

/** The text of `length` bytes as Debian's smtp-source makes it, or the short one. */
export function makeText(length: number | undefined): Uint8Array {
  if (length === undefined) return encodeText(SHORT_TEXT);
  const out = new ByteBuilder(length + 2, length + 2);
  let left = length;
  for (let line = 1; left > LINE_LENGTH; line++, left -= LINE_LENGTH) {
    out.text(String(line % 10).padEnd(LINE_LENGTH - 2, "X")).text("\r\n");
  }
  return out.text("X".repeat(left)).text("\r\n").view();
}

/** The content of a file as text for the wire: CR LF at line ends, a dot before a dot in front. */
export function stuffText(content: Uint8Array): Uint8Array {
  // Each line grows by two bytes at most.
  let lines = 1;
  for (const byte of content) if (byte === LF) lines++;
  const out = new ByteBuilder(content.length + 3 * lines, content.length + 3 * lines);
  for (let start = 0; start < content.length;) {
    const lineFeed = content.indexOf(LF, start);
    const next = lineFeed < 0 ? content.length : lineFeed;
    const end = next > start && content[next - 1] === CR ? next - 1 : next;
    // RFC 5321 section 4.5.2: a line that begins with a dot gets another one.
    if (content[start] === DOT) out.byte(DOT);
    out.slice(content, start, end).byte(CR).byte(LF);
    start = next + 1;
  }
  return out.view();
}

function hex(value: number): string {
  return value.toString(16).padStart(4, "0");
}
