/**
 * The two header fields that say how a MIME entity is made: Content-Type and Content-Transfer-Encoding (RFC 2045
 * sections 5 and 6), as far as a conversion needs them.
 *
 * @module
 */
import { asciiLower, isBlank, trimBlanks } from "../vstring/ascii.ts";

/** What an entity is made of. */
export interface ContentType {
  readonly kind: "multipart" | "message" | "leaf";
  /** Boundary of a multipart; empty if there is none. */
  readonly boundary: string;
  /** A multipart whose parts are messages unless they say otherwise: RFC 2046 section 5.1.5. */
  readonly digest: boolean;
}

/** What an entity is that says nothing. */
export const LEAF: ContentType = { kind: "leaf", boundary: "", digest: false };
/** What a part of a digest is that says nothing. */
export const MESSAGE: ContentType = { kind: "message", boundary: "", digest: false };

/** RFC 2046 section 5.1.1: 70 characters; more is cut, as Postfix does with 250. */
const BOUNDARY_LIMIT = 250;
/** Most parameters that are looked at. */
const PARAMETER_LIMIT = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x28;
const CLOSE = 0x29;
const SEMICOLON = 0x3b;
const EQUAL = 0x3d;

/** Reads the value of a Content-Type field, unfolded. */
export function parseContentType(value: string): ContentType {
  const pieces = splitParameters(value);
  const type = asciiLower(trimBlanks(pieces[0] ?? ""));
  if (type === "message/rfc822" || type === "message/global") return MESSAGE;
  if (!type.startsWith("multipart/")) return LEAF;
  const digest = type === "multipart/digest";
  for (const piece of pieces.slice(1)) {
    const equals = piece.indexOf("=");
    if (equals > 0 && asciiLower(trimBlanks(piece.slice(0, equals))) === "boundary") {
      return {
        kind: "multipart",
        boundary: trimBlanks(piece.slice(equals + 1)).slice(0, BOUNDARY_LIMIT),
        digest,
      };
    }
  }
  return { kind: "multipart", boundary: "", digest };
}

/** The domain that an encoding leaves the body in: 8bit and binary say that it holds 8-bit data. */
export function isEightBitEncoding(value: string): boolean {
  const word = asciiLower(trimBlanks(splitParameters(value)[0] ?? ""));
  return word === "8bit" || word === "binary";
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
