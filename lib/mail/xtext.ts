/**
 * xtext: the encoding of parameter values in MAIL and RCPT (RFC 3461 section 4).
 *
 * @module
 */
import { asciiUpper } from "../vstring/ascii.ts";
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

/**
 * The text as utf-8-addr-unitext (RFC 6533 section 3): what is outside ASCII stays, and what a parameter value may not
 * hold is \x{HEX}. For servers with SMTPUTF8 only.
 */
export function encodeUnitext(text: string): string {
  let out = "";
  for (const char of text) {
    const code = char.codePointAt(0)!;
    const plain = code > 0x20 && code !== DEL && code !== PLUS && code !== EQUAL && char !== "\\" &&
      !(code > DEL && code < 0xa0);
    out += plain ? char : `\\x{${asciiUpper(code.toString(16))}}`;
  }
  return out;
}

/**
 * The text that an xtext stands for; undefined when it is none, or stands for anything but printable ASCII: what
 * comes of it goes into headers and log lines.
 */
export function decodeXtext(xtext: string): string | undefined {
  // RFC 3461 section 4: "+" and two hexadecimal digits in capitals; "+" and "=" do not stand for themselves.
  let out = "";
  for (let i = 0; i < xtext.length; i++) {
    let unit = xtext.charCodeAt(i);
    if (unit === PLUS) {
      const high = HEX.indexOf(xtext[++i] ?? "?");
      const low = HEX.indexOf(xtext[++i] ?? "?");
      if (high < 0 || low < 0) return undefined;
      unit = high * 16 + low;
    }
    if (unit < 0x20 || unit >= DEL) return undefined;
    out += String.fromCharCode(unit);
  }
  return out;
}
