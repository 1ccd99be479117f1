/**
 * RFC 4648 base64, on bytes.
 *
 * @module
 */

/** The base64 form of bytes. */
export function encodeBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** The bytes that a text stands for, or undefined when it is no base64, has blanks, or lacks its padding. */
export function decodeBase64(text: string): Uint8Array | undefined {
  // The runtime leaves blanks out.
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) <= 0x20) return undefined;
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    return undefined;
  }
}
