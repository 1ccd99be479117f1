/**
 * Enhanced status codes (RFC 3463) at the start of a text, as transport tables and replies write them.
 *
 * @module
 */
import { isDigit, trimBlanks } from "../vstring/ascii.ts";

/** A code and the text behind it. */
export interface StatusText {
  readonly status: string;
  readonly text: string;
}

/** Splits "5.1.1 text"; a text without a code gets the default one. */
export function splitStatus(value: string, fallback: string): StatusText {
  const length = statusLength(value);
  if (length === 0) return { status: fallback, text: trimBlanks(value) };
  return { status: value.slice(0, length), text: trimBlanks(value.slice(length)) };
}

/** RFC 3463 section 2: class 2, 4 or 5, then subject and detail of up to three digits each. 0 when there is none. */
export function statusLength(value: string): number {
  if (value.length < 5 || !"245".includes(value[0]!) || value[1] !== ".") return 0;
  const subject = digitsAt(value, 2);
  if (subject === 0 || value[2 + subject] !== ".") return 0;
  const detail = digitsAt(value, 3 + subject);
  const end = 3 + subject + detail;
  return detail === 0 || (end < value.length && value[end] !== " ") ? 0 : end;
}

/** How many digits stand at an index; 0 when there are more than three. */
function digitsAt(value: string, from: number): number {
  let count = 0;
  while (from + count < value.length && isDigit(value.charCodeAt(from + count))) count++;
  return count > 3 ? 0 : count;
}

/** The same code in another class, as a deferral of what was a bounce. */
export function withClass(status: string, digit: "2" | "4" | "5"): string {
  return digit + status.slice(1);
}
