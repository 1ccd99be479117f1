/**
 * ASCII operations on bytes and on strings. Letters outside ASCII are never folded and white space is space and
 * tab only: `toLowerCase`, `trim` and `\s` know characters that a mail protocol does not (U+0130, U+00A0, U+2028).
 *
 * @module
 */

/** The byte 0. */
export const NUL = 0x00;
/** Horizontal tab. */
export const TAB = 0x09;
/** Line feed. */
export const LF = 0x0a;
/** Carriage return. */
export const CR = 0x0d;
/** Space. */
export const SPACE = 0x20;
/** Full stop. */
export const DOT = 0x2e;
/** Colon. */
export const COLON = 0x3a;
/** Opening angle bracket. */
export const LESS = 0x3c;
/** Closing angle bracket. */
export const GREATER = 0x3e;
/** At sign. */
export const AT = 0x40;

/** CR LF as bytes. */
export const CRLF: Uint8Array = new Uint8Array([CR, LF]);

/** 0 to 9. */
export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** An ASCII letter. */
export function isAlpha(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** An ASCII letter or digit. */
export function isAlnum(byte: number): boolean {
  return isDigit(byte) || isAlpha(byte);
}

/** Space or tab. */
export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/** The byte in lower case if it is an ASCII letter. */
export function lowerByte(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

/** The string with ASCII letters in lower case and all else untouched. */
export function asciiLower(value: string): string {
  // Fast path: most addresses and names are lower case already.
  let i = 0;
  for (; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit >= 0x41 && unit <= 0x5a) break;
  }
  if (i === value.length) return value;
  let out = value.slice(0, i);
  for (; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    out += unit >= 0x41 && unit <= 0x5a ? String.fromCharCode(unit + 0x20) : value[i];
  }
  return out;
}

/** The string with ASCII letters in upper case and all else untouched. */
export function asciiUpper(value: string): string {
  let out = "";
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    out += unit >= 0x61 && unit <= 0x7a ? String.fromCharCode(unit - 0x20) : value[i];
  }
  return out;
}

/** Compares two strings with ASCII letters folded. */
export function equalsIgnoreCase(a: string, b: string): boolean {
  return a === b || (a.length === b.length && asciiLower(a) === asciiLower(b));
}

/** True when `bytes`, from `offset` on, begin with `prefix` (lower-case ASCII), ASCII letters folded. */
export function startsWithIgnoreCase(bytes: Uint8Array, prefix: string, offset = 0): boolean {
  if (bytes.length - offset < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) {
    if (lowerByte(bytes[offset + i]!) !== prefix.charCodeAt(i)) return false;
  }
  return true;
}

/** The string without leading and trailing spaces, tabs, CRs and LFs. */
export function trimBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isTrimmed(value.charCodeAt(start))) start++;
  while (end > start && isTrimmed(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isTrimmed(unit: number): boolean {
  return unit === SPACE || unit === TAB || unit === CR || unit === LF;
}

/** The pieces of a string between runs of blanks (space, tab, CR, LF) and, if asked, commas. */
export function splitBlanks(value: string, commas = false): string[] {
  const out: string[] = [];
  let start = -1;
  for (let i = 0; i <= value.length; i++) {
    const unit = i < value.length ? value.charCodeAt(i) : SPACE;
    const separator = isTrimmed(unit) || (commas && unit === 0x2c);
    if (separator && start >= 0) {
      out.push(value.slice(start, i));
      start = -1;
    } else if (!separator && start < 0) start = i;
  }
  return out;
}

/**
 * A decimal number of digits only, or undefined: no sign, no blanks, no exponent, no hexadecimal.
 *
 * @param most largest value allowed (default 2^53 - 1)
 */
export function parseDecimal(value: string, most: number = Number.MAX_SAFE_INTEGER): number | undefined {
  if (value.length === 0 || value.length > 16) return undefined;
  for (let i = 0; i < value.length; i++) if (!isDigit(value.charCodeAt(i))) return undefined;
  const number = Number(value);
  return number <= most ? number : undefined;
}

/** True when every unit of the string is ASCII. */
export function isAscii(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0x7f) return false;
  return true;
}
