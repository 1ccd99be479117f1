/**
 * Bytes of any kind as text and back, without loss: what is UTF-8 becomes its characters, any other byte B the lone
 * surrogate U+DC00 + B, which no UTF-8 can hold. For patterns and tables, which work on text, where mail may be
 * anything.
 *
 * @module
 */
import { ByteBuilder, encodeText, isUtf8 } from "./byte_builder.ts";

const SURROGATE = 0xdc00;
const FATAL = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes as text. */
export function textOfBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return FATAL.decode(bytes);
  let out = "";
  let from = 0;
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    out += FATAL.decode(bytes.subarray(from, at)) + String.fromCharCode(SURROGATE + bytes[at]!);
    from = ++at;
  }
  return out + FATAL.decode(bytes.subarray(from));
}

/** The bytes that the text stands for. */
export function bytesOfText(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return encodeText(text);
  const out = new ByteBuilder(text.length * 3);
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < SURROGATE + 0x80 || unit > SURROGATE + 0xff || isPaired(text, at)) continue;
    out.bytes(encodeText(text.slice(from, at))).byte(unit - SURROGATE);
    from = at + 1;
  }
  return out.bytes(encodeText(text.slice(from))).copy();
}

/** True when the low surrogate at `at` belongs to the high one before it. */
function isPaired(text: string, at: number): boolean {
  const before = at > 0 ? text.charCodeAt(at - 1) : 0;
  return before >= 0xd800 && before < 0xdc00;
}

/** The length of the UTF-8 sequence at `at`; 0 when none begins there (RFC 3629 section 4). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length === 0 || first > 0xf4) return 0;
  const second = bytes[at + 1] ?? 0;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let i = 2; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}
