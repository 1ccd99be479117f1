/**
 * xtext: the encoding of parameter values in MAIL and RCPT (RFC 3461 section 4).
 *
 * @module
 */
import { isDigit } from "../vstring/ascii.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";

const PLUS = 0x2b;
const EQUAL = 0x3d;
const DEL = 0x7f;
const HEX = "0123456789ABCDEF";

/** The text with every byte that a parameter value may not hold as `+` and two hexadecimal digits. */
export function encodeXtext(text: string): string {
  // RFC 3461 section 4: xchar is "!" to "~" without "+" and "="; all else is hexchar, "+" and two digits in capitals.
  let out = "";
  for (const byte of encodeText(text)) {
    out += byte > 0x20 && byte < DEL && byte !== PLUS && byte !== EQUAL
      ? String.fromCharCode(byte)
      : "+" + HEX[byte >> 4]! + HEX[byte & 15]!;
  }
  return out;
}

/**
 * The text that the value stands for, or undefined: a `+` without two hexadecimal digits, a byte that xtext does
 * not hold, or a control character once decoded, which no envelope id or address has and which could end a line
 * of the next protocol. Takes lower-case digits and a bare `=` too, as senders write them.
 */
export function decodeXtext(value: string): string | undefined {
  const bytes = new Uint8Array(value.length);
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    let byte = value.charCodeAt(i);
    if (byte <= 0x20 || byte >= DEL) return undefined;
    if (byte === PLUS) {
      const high = hexDigit(value.charCodeAt(i + 1));
      const low = hexDigit(value.charCodeAt(i + 2));
      if (high < 0 || low < 0) return undefined;
      byte = high * 16 + low;
      if (byte < 0x20 || byte === DEL) return undefined;
      i += 2;
    }
    bytes[length++] = byte;
  }
  return decodeText(bytes.subarray(0, length));
}

/** The value of a hexadecimal digit, or -1; NaN, past the end, is none. */
function hexDigit(unit: number): number {
  if (isDigit(unit)) return unit - 0x30;
  const lower = unit | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
