/**
 * The header section of a message, on bytes: where each logical header (its continuation lines included) begins
 * and ends, its name and its value. Lines end with LF or CR LF. Nothing is decoded and nothing copied, and there
 * is no list of headers: a message of ten million empty headers costs a reader no memory.
 *
 * @module
 */
import { COLON, CR, isBlank, LF, SPACE, startsWithIgnoreCase, TAB } from "../vstring/ascii.ts";
import { decodeSlice, decodeText } from "../vstring/byte_builder.ts";

const DEL = 0x7f;

/** One logical header, as offsets into the content. */
export interface HeaderField {
  /** First byte of the name. */
  readonly start: number;
  /** Behind the last byte of the name. */
  readonly nameEnd: number;
  /** Behind the colon. */
  readonly valueStart: number;
  /** Behind the last byte of the value, before the line end; cut at the size limit. */
  readonly end: number;
  /** Where the line behind the header begins. */
  readonly next: number;
  /** The header is longer than the limit: `end` is where the limit falls. */
  readonly truncated: boolean;
}

/** The logical header that begins at `start`, or undefined when none does. */
export function readHeaderField(content: Uint8Array, start: number, limit: number): HeaderField | undefined {
  let lineEnd = lineEndAt(content, start);
  const nameLength = headerNameLength(content, start, lineEnd);
  if (nameLength === 0) return undefined;
  const nameEnd = start + nameLength;
  const valueStart = content.indexOf(COLON, nameEnd) + 1;
  // RFC 5322 section 2.2.3: a line that begins with white space continues the header.
  while (lineEnd + 1 < content.length && isBlank(content[lineEnd + 1]!)) {
    lineEnd = lineEndAt(content, lineEnd + 1);
  }
  const end = textEnd(content, start, lineEnd);
  const truncated = end - start > limit;
  const next = Math.min(lineEnd + 1, content.length);
  return {
    start,
    nameEnd,
    valueStart,
    end: truncated ? Math.max(start + limit, valueStart) : end,
    next,
    truncated,
  };
}

/**
 * The length of the header name that a line begins with, or 0 when the line is no header.
 *
 * @param end where the line ends
 */
export function headerNameLength(line: Uint8Array, start: number, end: number): number {
  // RFC 5322 section 2.2: a name is printable ASCII without colon; section 4.5.8: old mail has blanks before the colon.
  let at = start;
  while (at < end && line[at]! > SPACE && line[at]! < DEL && line[at]! !== COLON) at++;
  const length = at - start;
  while (at < end && isBlank(line[at]!)) at++;
  return at < end && line[at] === COLON ? length : 0;
}

/** True when the header has the name, given in lower case. */
export function isHeaderNamed(content: Uint8Array, field: HeaderField, name: string): boolean {
  return field.nameEnd - field.start === name.length && startsWithIgnoreCase(content, name, field.start);
}

/** True when a header by itself, without blanks before its colon, has the name, given in lower case. */
export function isNamed(field: Uint8Array, name: string): boolean {
  return field[name.length] === COLON && startsWithIgnoreCase(field, name);
}

/** The name as written. */
export function headerName(content: Uint8Array, field: HeaderField): string {
  return decodeText(content.subarray(field.start, field.nameEnd));
}

/** Bytes of a value as text, without CR and LF, leading and trailing blanks taken off. */
export function unfoldText(value: Uint8Array): string {
  const out = new Uint8Array(value.length);
  let length = 0;
  for (const byte of value) if (byte !== CR && byte !== LF) out[length++] = byte;
  let start = 0;
  while (start < length && isBlank(out[start]!)) start++;
  while (length > start && isBlank(out[length - 1]!)) length--;
  return decodeSlice(out, start, length);
}

/** Offset of the LF that ends the line at `start`, or the end of the content. */
function lineEndAt(content: Uint8Array, start: number): number {
  const lineFeed = content.indexOf(LF, start);
  return lineFeed < 0 ? content.length : lineFeed;
}

/** The end of a line's text: before its CR if it has one. */
function textEnd(content: Uint8Array, start: number, lineEnd: number): number {
  return lineEnd > start && content[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
}

/** True when the line continues the header before it. */
export function isContinuation(line: Uint8Array): boolean {
  return line[0] === SPACE || line[0] === TAB;
}
