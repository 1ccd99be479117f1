/**
 * The two header fields that say how a MIME entity is made: Content-Type and Content-Transfer-Encoding (RFC 2045
 * sections 5 and 6), as far as a reader of a message's structure needs them.
 *
 * @module
 */
import { asciiLower, isBlank, trimBlanks } from "../vstring/ascii.ts";

/** What an entity is made of. */
export interface ContentType {
  readonly kind: "multipart" | "message" | "leaf";
  /** A message that is not attached as a whole: message/partial, message/external-body and what we do not know. */
  readonly opaque: boolean;
  /** message/partial or message/external-body, which are 7-bit whatever they hold. */
  readonly sevenBit: boolean;
  /** Boundaries of a multipart as they are given; more than one is wrong, and a way to hide parts. */
  readonly boundaries: readonly string[];
  /** A multipart whose parts are messages unless they say otherwise: RFC 2046 section 5.1.5. */
  readonly digest: boolean;
}

const PLAIN = { opaque: false, sevenBit: false, boundaries: [], digest: false } as const;
/** What an entity is that says nothing. */
export const LEAF: ContentType = { kind: "leaf", ...PLAIN };
/** What a part of a digest is that says nothing. */
export const MESSAGE: ContentType = { kind: "message", ...PLAIN };

/** Most parameters that are looked at. */
const PARAMETER_LIMIT = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x28;
const CLOSE = 0x29;
const SEMICOLON = 0x3b;
const EQUAL = 0x3d;

/**
 * Reads the value of a Content-Type field, unfolded.
 *
 * @param boundaryLimit characters of a boundary that count (mime_boundary_length_limit)
 */
export function parseContentType(value: string, boundaryLimit: number): ContentType {
  const pieces = splitParameters(value);
  const type = asciiLower(trimBlanks(pieces[0] ?? ""));
  if (type === "message/rfc822" || type === "message/global") return MESSAGE;
  if (type.startsWith("message/")) {
    const sevenBit = type === "message/partial" || type === "message/external-body";
    return { ...MESSAGE, opaque: true, sevenBit };
  }
  if (!type.startsWith("multipart/")) return LEAF;
  const boundaries: string[] = [];
  for (const piece of pieces.slice(1)) {
    const equals = piece.indexOf("=");
    if (equals > 0 && asciiLower(trimBlanks(piece.slice(0, equals))) === "boundary") {
      boundaries.push(trimBlanks(piece.slice(equals + 1)).slice(0, boundaryLimit));
    }
  }
  return { ...PLAIN, kind: "multipart", boundaries, digest: type === "multipart/digest" };
}

/** The encodings that there are, and whether each leaves the text as it is (RFC 2045 section 6.1). */
const ENCODINGS: ReadonlyMap<string, TransferEncoding> = new Map([
  ["7bit", { name: "7bit", domain: "7bit" }],
  ["8bit", { name: "8bit", domain: "8bit" }],
  ["binary", { name: "binary", domain: "8bit" }],
  ["base64", { name: "base64", domain: "7bit" }],
  ["quoted-printable", { name: "quoted-printable", domain: "7bit" }],
]);

/** How an entity's bytes are written, and what bytes that makes. */
export interface TransferEncoding {
  readonly name: string;
  readonly domain: "7bit" | "8bit";
}

/** The encoding of an entity that names none. */
export const SEVEN_BIT: TransferEncoding = { name: "7bit", domain: "7bit" };

/** Reads the value of a Content-Transfer-Encoding field, unfolded; undefined for an encoding that there is not. */
export function parseTransferEncoding(value: string): TransferEncoding | undefined {
  return ENCODINGS.get(asciiLower(trimBlanks(splitParameters(value)[0] ?? "")));
}

/** True for an encoding that leaves 8-bit data as it is. */
export function isEightBitEncoding(value: string): boolean {
  return parseTransferEncoding(value)?.domain === "8bit";
}

/** The pieces between semicolons, quotes resolved and comments left out. */
function splitParameters(value: string): string[] {
  const pieces: string[] = [];
  let piece = "";
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit === QUOTE) {
      const end = endOfQuoted(value, i);
      piece += unescape(value.slice(i + 1, end));
      i = end;
    } else if (unit === OPEN) i = endOfComment(value, i);
    else if (unit === SEMICOLON) {
      pieces.push(piece);
      piece = "";
      if (pieces.length >= PARAMETER_LIMIT) return pieces;
    } else if (unit === EQUAL || !isBlank(unit) || piece !== "") piece += value[i];
  }
  pieces.push(piece);
  return pieces;
}

/** Offset of the closing quote, or the end of the value. */
function endOfQuoted(value: string, start: number): number {
  for (let i = start + 1; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit === BACKSLASH) i++;
    else if (unit === QUOTE) return i;
  }
  return value.length;
}

/** Offset of the parenthesis that closes a comment, nested ones inside, or the end of the value. */
function endOfComment(value: string, start: number): number {
  let depth = 0;
  for (let i = start; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit === BACKSLASH) i++;
    else if (unit === OPEN) depth++;
    else if (unit === CLOSE && --depth === 0) return i;
  }
  return value.length;
}

function unescape(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) === BACKSLASH && i + 1 < text.length) i++;
    out += text[i];
  }
  return out;
}
