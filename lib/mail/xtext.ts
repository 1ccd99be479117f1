/**
 * xtext: the encoding of parameter values in MAIL and RCPT (RFC 3461 section 4).
 *
 * @module
 */
import { encodeText } from "../vstring/byte_builder.ts";

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
