/**
 * Braces in the configuration: `{ text }` protects blanks, commas and further braces, as in
 * `inline:{ { key = some value }, other=value }`.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
// Tables
import { isSpaceUnit, skipSpace, trimSpace } from "./logical_lines.ts";

/** Deepest nesting of braces. */
export const BRACE_DEPTH_LIMIT = 100;

const OPEN = 0x7b;
const CLOSE = 0x7d;
const COMMA = 0x2c;

/** One item of a list, and whether braces stood around it; they are taken off. */
export interface BraceItem {
  readonly text: string;
  readonly braced: boolean;
}

/** Thrown for braces that do not match; the caller says where they stand. */
export class BraceError extends Error {
  override name = "BraceError";
}

/** Index behind the brace that closes the one at `from`. Throws a BraceError when there is none. */
export function closingBrace(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === OPEN && ++depth > BRACE_DEPTH_LIMIT) {
      throw new BraceError(`braces are nested deeper than ${BRACE_DEPTH_LIMIT}`);
    }
    if (unit === CLOSE && --depth === 0) return at + 1;
  }
  throw new BraceError(`missing '}' in "${printable(text)}"`);
}

/** What stands between the braces that enclose the whole text. Throws a BraceError when they do not. */
export function unbrace(text: string): string {
  if (text.charCodeAt(0) !== OPEN) throw new BraceError(`expected "{" at the start of "${printable(text)}"`);
  const end = closingBrace(text, 0);
  if (skipSpace(text, end) < text.length) {
    throw new BraceError(`syntax error after '}' in "${printable(text)}"`);
  }
  return trimSpace(text.slice(1, end - 1));
}

/** The items of a list, separated by blanks and commas that stand outside braces. */
export function splitBraced(text: string): BraceItem[] {
  const items: BraceItem[] = [];
  for (let at = 0; at < text.length;) {
    if (isSeparator(text.charCodeAt(at))) at++;
    else if (text.charCodeAt(at) === OPEN) {
      const end = closingBrace(text, at);
      if (end < text.length && !isSeparator(text.charCodeAt(end))) {
        throw new BraceError(`syntax error after '}' in "${printable(text.slice(at))}"`);
      }
      items.push({ text: trimSpace(text.slice(at + 1, end - 1)), braced: true });
      at = end;
    } else {
      const end = wordEnd(text, at);
      items.push({ text: text.slice(at, end), braced: false });
      at = end;
    }
  }
  return items;
}

/** Where a word ends that may hold braces itself, as `static:{ a b }`. */
function wordEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length && !isSeparator(text.charCodeAt(at))) {
    at = text.charCodeAt(at) === OPEN ? closingBrace(text, at) : at + 1;
  }
  return at;
}

function isSeparator(unit: number): boolean {
  return unit === COMMA || isSpaceUnit(unit);
}
