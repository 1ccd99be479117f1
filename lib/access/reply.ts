/**
 * Refusals, as text without the last line end. What a peer sent goes into one only through `printable`.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";

/** A reply: "250 2.0.0 Ok". */
export type ReplyText = string;

/** Longest text of a peer's in a reply, UTF-16 units. */
const SHOWN_LIMIT = 320;

/** What a peer sent, as a reply or a log line may hold it. */
export function shown(text: string | undefined): string {
  return printable(text ?? "", SHOWN_LIMIT);
}

/**
 * A refusal. The status code's class is made that of the reply code, so that a configured code never leaves the two
 * apart.
 *
 * @param code 400 to 599
 * @param status as "5.7.1"
 */
export function refusal(code: number, status: string, text: string): ReplyText {
  return `${code} ${String(code)[0]}${status.slice(1)} ${text}`;
}

/** True for a refusal, final or for now. */
export function isErrorReply(reply: ReplyText): boolean {
  return reply.startsWith("4") || reply.startsWith("5");
}

/** A table or service is in trouble that may pass. */
export function lookupFailure(address: string): ReplyText {
  return `451 4.3.0 <${shown(address)}>: Temporary lookup failure`;
}

/** The reply as a temporary one (soft_bounce). */
export function soften(reply: ReplyText): ReplyText {
  if (!reply.startsWith("5")) return reply;
  const rest = reply.slice(1);
  // The enhanced code's class must agree with the reply's.
  return "4" + (rest.slice(2, 5) === " 5." ? `${rest.slice(0, 3)}4${rest.slice(4)}` : rest);
}
