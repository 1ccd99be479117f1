/**
 * What clients sent, as Postfix's log has it: the C form of what is no text.
 */
// Utility
import { TAB } from "../../lib/vstring/ascii.ts";

const LETTERS: ReadonlyMap<number, string> = new Map([
  [0x07, "\\a"],
  [0x08, "\\b"],
  [0x0c, "\\f"],
  [0x0a, "\\n"],
  [0x0d, "\\r"],
  [TAB, "\\t"],
  [0x0b, "\\v"],
  [0x5c, "\\\\"],
]);

/** Printable ASCII as it is, the rest as `\r`, `\n`, `\377`; at most `limit` characters. */
export function escapeBytes(bytes: Uint8Array, limit: number): string {
  let text = "";
  for (const byte of bytes) {
    if (text.length >= limit) break;
    text += LETTERS.get(byte) ??
      (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`);
  }
  return text.slice(0, limit);
}
