/**
 * Bracket expressions of POSIX patterns: `[a-z]`, `[^]x-]`, `[[:alpha:]_]`. A backslash in brackets is a backslash.
 *
 * @module
 */
// Tables
import { PatternError } from "./pattern_error.ts";

/** The classes that POSIX names; RE2 has the same, for ASCII. */
const CLASSES = [
  "alnum",
  "alpha",
  "blank",
  "cntrl",
  "digit",
  "graph",
  "lower",
  "print",
  "punct",
  "space",
  "upper",
  "xdigit",
] as const;

/** One of the character classes of POSIX. */
export type BracketClass = typeof CLASSES[number];

/** Code points from `first` to `last`. */
export interface BracketRange {
  readonly first: number;
  readonly last: number;
}

/** A bracket expression taken apart. */
export interface Bracket {
  readonly negated: boolean;
  readonly parts: readonly (BracketRange | BracketClass)[];
  /** Index behind the closing bracket. */
  readonly end: number;
}

/** Reads a bracket expression from behind its opening bracket. Throws a PatternError. */
export function scanBracket(pattern: string, from: number): Bracket {
  const parts: (BracketRange | BracketClass)[] = [];
  const negated = pattern[from] === "^";
  const start = negated ? from + 1 : from;
  for (let at = start; at < pattern.length;) {
    if (pattern[at] === "]" && at > start) return { negated, parts, end: at + 1 };
    const named = pattern[at] === "[" && pattern[at + 1] === ":" ? scanClass(pattern, at + 2) : undefined;
    if (named !== undefined) {
      parts.push(named.part);
      at = named.end;
      continue;
    }
    const first = scanElement(pattern, at);
    at = first.end;
    const isRange = pattern[at] === "-" && pattern[at + 1] !== undefined && pattern[at + 1] !== "]";
    const last = isRange ? scanElement(pattern, at + 1) : first;
    if (last.code < first.code) throw new PatternError("Invalid range end");
    parts.push({ first: first.code, last: last.code });
    at = last.end;
  }
  throw new PatternError("Unmatched [, [^, [:, [., or [=");
}

function scanClass(pattern: string, from: number): { part: BracketClass; end: number } {
  const close = pattern.indexOf(":]", from);
  const name = close < 0 ? "" : pattern.slice(from, close);
  const part = CLASSES.find((known) => known === name);
  if (part === undefined) throw new PatternError(`Invalid character class name "${name}"`);
  return { part, end: close + 2 };
}

/** One character, or `[.x.]` or `[=x=]` for a single x. */
function scanElement(pattern: string, at: number): { code: number; end: number } {
  const mark = pattern[at] === "[" ? pattern[at + 1] : undefined;
  if (mark === "." || mark === "=") {
    const close = pattern.indexOf(`${mark}]`, at + 3);
    const inner = close < 0 ? "" : pattern.slice(at + 2, close);
    const code = inner.codePointAt(0);
    if (code === undefined || String.fromCodePoint(code) !== inner) {
      throw new PatternError(`collating symbol "[${mark}${inner}${mark}]" is not supported`);
    }
    return { code, end: close + 2 };
  }
  const code = pattern.codePointAt(at)!;
  return { code, end: at + (code > 0xffff ? 2 : 1) };
}

/** Tells a range from a class. */
export function isBracketRange(part: BracketRange | BracketClass): part is BracketRange {
  return typeof part === "object";
}

/** The range as RE2 writes it; when case is ignored, with the small letters of its capitals. */
export function rangeText(range: BracketRange, ignoreCase: boolean): string {
  const text = writeRange(range.first, range.last);
  if (!ignoreCase) return text;
  const first = Math.max(range.first, 0x41);
  const last = Math.min(range.last, 0x5a);
  return first <= last ? text + writeRange(first + 0x20, last + 0x20) : text;
}

function writeRange(first: number, last: number): string {
  return first === last ? writeCode(first) : `${writeCode(first)}-${writeCode(last)}`;
}

function writeCode(code: number): string {
  return `\\x{${code.toString(16)}}`;
}
