/**
 * RFC 4648 base64, on bytes.
 *
 * @module
 */

/** Bytes that become text at a time: arguments of one call. */
const PIECE = 8190;

/** The base64 form of bytes. */
export function encodeBase64(bytes: Uint8Array): string {
  let out = "";
  // Each piece is a multiple of three bytes, so that its form has no padding.
  for (let at = 0; at < bytes.length; at += PIECE) {
    out += btoa(String.fromCharCode(...bytes.subarray(at, at + PIECE)));
  }
  return out;
}

/** The bytes that a text stands for, or undefined when it is no base64 or has blanks. */
export function decodeBase64(text: string): Uint8Array | undefined {
  // atob would leave blanks out and take a text without its padding.
  if (text.length % 4 !== 0) return undefined;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) <= 0x20) return undefined;
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}
