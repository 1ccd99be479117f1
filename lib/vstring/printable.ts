/**
 * What a peer sent, made safe for a log, a reply or a terminal.
 *
 * @module
 */
import { decodeText } from "./byte_builder.ts";

/** Longest text that `printable` returns unless told otherwise, in UTF-16 units. */
export const PRINTABLE_LIMIT = 1000;

/**
 * The value with every control character, lone surrogate, line separator and direction mark replaced by `?`
 * and its length capped: the only way for remote text into a log line or onto a terminal.
 *
 * @param limit longest result in UTF-16 units; what is cut is shown as `...`
 */
export function printable(value: string | Uint8Array, limit: number = PRINTABLE_LIMIT): string {
  let text = typeof value === "string" ? value : decodeText(value.subarray(0, limit * 4 + 4));
  if (text.length > limit) {
    // Never cut between the two halves of a character.
    const cut = isHighSurrogate(text.charCodeAt(limit - 1)) ? limit - 1 : limit;
    text = text.slice(0, cut) + "...";
  }
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit > 0x7e) return replaceUnprintable(text, i);
  }
  return text;
}

function replaceUnprintable(text: string, from: number): string {
  let out = text.slice(0, from);
  for (let i = from; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (isHighSurrogate(unit) && isLowSurrogate(text.charCodeAt(i + 1))) {
      out += text.slice(i, i + 2);
      i++;
    } else out += isUnsafe(unit) ? "?" : text[i];
  }
  return out;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function isUnsafe(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || // C0, DEL, C1
    (unit >= 0xd800 && unit <= 0xdfff) || // lone surrogates
    unit === 0x61c || unit === 0x200e || unit === 0x200f || // direction marks
    (unit >= 0x2028 && unit <= 0x202e) || (unit >= 0x2066 && unit <= 0x2069) || // separators, overrides, isolates
    unit === 0xfeff || unit === 0xfffe || unit === 0xffff;
}
