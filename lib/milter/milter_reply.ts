/**
 * A filter's verdicts: those that it may give at any time, and what they mean for the client.
 *
 * @module
 */
// Utility
import { CR, isDigit, LF } from "../vstring/ascii.ts";
import { decodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { replyLines } from "../mail/reply_lines.ts";
// This protocol
import { FieldReader, MilterFormatError, type Packet } from "./milter_codec.ts";
import type { DefaultAction } from "./milter_rule.ts";

/** What becomes of a command or message. */
export type MilterVerdict =
  | { readonly kind: "continue" }
  /** A reply, perhaps of several lines: its code is 4xx or 5xx. */
  | { readonly kind: "reply"; readonly text: string }
  | { readonly kind: "discard" }
  /** The message is kept in the hold queue. */
  | { readonly kind: "hold" }
  /** The session ends with 421. */
  | { readonly kind: "shutdown" };

/** The filter has nothing against it. */
export const CONTINUE: MilterVerdict = { kind: "continue" };
/** What the client is told where the filter has no words of its own: for good, and for now. */
export const REJECTED: MilterVerdict = { kind: "reply", text: "550 5.7.1 Command rejected" };
/** See REJECTED. */
export const UNAVAILABLE: MilterVerdict = {
  kind: "reply",
  text: "451 4.7.1 Service unavailable - try again later",
};
/** What the client is told by a shutdown. */
export const SHUTDOWN_REPLY = "421 4.7.0 Server closing connection";

/** What a filter's failure means (milter_default_action). */
export const DEFAULT_VERDICTS: Readonly<Record<DefaultAction, MilterVerdict>> = {
  accept: CONTINUE,
  reject: { kind: "reply", text: "550 5.5.0 Service unavailable" },
  tempfail: UNAVAILABLE,
  quarantine: { kind: "hold" },
  shutdown: { kind: "shutdown" },
};

/** Most lines of a reply, and the longest line, UTF-16 units (RFC 5321 section 4.5.3.1.5: 512 bytes with its end). */
const LINES_LIMIT = 32;
const LINE_LIMIT = 500;

/**
 * The reply that a filter has worded: each line "code class.subject.detail text", the same code in all of them. A
 * filter says `%%` for `%`.
 *
 * @throws MilterFormatError when it is no refusal with a status code
 */
export function readReplyCode(packet: Packet): string {
  const fields = new FieldReader(packet.data);
  const bytes = fields.string();
  fields.end();
  const lines = splitLines(bytes);
  const code = decodeText(bytes.subarray(0, 3));
  if (lines.length === 0 || lines.length > LINES_LIMIT || lines.some((line) => !isRefusal(line, code))) {
    throw new MilterFormatError(`malformed reply: ${printable(bytes, 100)}`);
  }
  return replyLines(code, lines.map((line) => printable(line, LINE_LIMIT).replaceAll("%%", "%").slice(4)));
}

/** "4" or "5", two digits, a blank or minus, and a status code of the same class. */
function isRefusal(line: Uint8Array, code: string): boolean {
  const [first, second, third, separator, status] = line;
  return line.length > 4 && (first === 0x34 || first === 0x35) && isDigit(second!) && isDigit(third!) &&
    (separator === 0x20 || separator === 0x2d) && status === first &&
    decodeText(line.subarray(0, 3)) === code;
}

function splitLines(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const lf = bytes.indexOf(LF, start);
    const end = lf < 0 ? bytes.length : lf;
    lines.push(bytes.subarray(start, end > start && bytes[end - 1] === CR ? end - 1 : end));
    start = end + 1;
  }
  return lines;
}
