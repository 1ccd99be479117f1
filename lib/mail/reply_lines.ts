/**
 * Replies of more than one line.
 *
 * @module
 */

/** A reply of these lines: all have its code, and a hyphen behind it on all but the last (RFC 5321 section 4.2.1). */
export function replyLines(code: string, texts: readonly string[]): string {
  return texts.map((text, i) => `${code}${i < texts.length - 1 ? "-" : " "}${text}`).join("\r\n");
}
