/**
 * Character classes and escaped characters of Perl's regular expressions, in RE2's syntax.
 *
 * @module
 */
// Utility
import { isAlnum } from "../vstring/ascii.ts";
// Tables
import { PatternError } from "./pattern_error.ts";

/** A class in RE2's syntax, and where it ended. */
export interface ClassReading {
  readonly text: string;
  readonly end: number;
}

/** How a shorthand is written outside and inside brackets. */
interface Shorthand {
  readonly outside: string;
  readonly inside: string;
}

const same = (inside: string): Shorthand => ({ outside: `[${inside}]`, inside });

/** `\d` and its like. PCRE's `\s` has VT, which RE2's has not. */
export const SHORTHANDS: Readonly<Record<string, Shorthand>> = {
  d: { outside: "\\d", inside: "\\d" },
  D: { outside: "\\D", inside: "\\D" },
  w: { outside: "\\w", inside: "\\w" },
  W: { outside: "\\W", inside: "\\W" },
  s: same("\\x{9}-\\x{d}\\x{20}"),
  S: same("\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}"),
  h: same("\\x{9}\\x{20}\\x{a0}\\x{1680}\\x{180e}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}"),
  H: same(
    "\\x{0}-\\x{8}\\x{a}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{180d}\\x{180f}-\\x{1fff}" +
      "\\x{200b}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}",
  ),
  v: same("\\x{a}-\\x{d}\\x{85}\\x{2028}\\x{2029}"),
  V: same("\\x{0}-\\x{9}\\x{e}-\\x{84}\\x{86}-\\x{2027}\\x{202a}-\\x{10ffff}"),
};

const CLASSES = "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit".split(
  " ",
);

/** A code point as RE2 takes it everywhere. */
export function codeText(code: number): string {
  return isAlnum(code) ? String.fromCharCode(code) : `\\x{${code.toString(16)}}`;
}

/** Reads a class from behind its opening bracket. Throws a PatternError. */
export function readClass(pattern: string, from: number, ignoreCase: boolean): ClassReading {
  const negated = pattern[from] === "^";
  const start = negated ? from + 1 : from;
  let text = "";
  for (let at = start; at < pattern.length;) {
    if (pattern[at] === "]" && at > start) return { text: `[${negated ? "^" : ""}${text}]`, end: at + 1 };
    const item = readItem(pattern, at, ignoreCase);
    at = item.end;
    if (item.code === undefined) {
      text += item.text;
      continue;
    }
    const isRange = pattern[at] === "-" && pattern[at + 1] !== undefined && pattern[at + 1] !== "]";
    if (!isRange) {
      text += hexText(item.code);
      continue;
    }
    const last = readItem(pattern, at + 1, ignoreCase);
    if (last.code === undefined) throw new PatternError("invalid range in character class");
    if (last.code < item.code) throw new PatternError("range out of order in character class");
    text += `${hexText(item.code)}-${hexText(last.code)}`;
    at = last.end;
  }
  throw new PatternError("missing terminating ] for character class");
}

/** One character (`code`), or several that stand for themselves in RE2 (`text`). */
interface ClassItem {
  readonly code: number | undefined;
  readonly text: string;
  readonly end: number;
}

function readItem(pattern: string, at: number, ignoreCase: boolean): ClassItem {
  if (pattern[at] === "[" && ".=:".includes(pattern[at + 1] ?? " ")) {
    const named = readNamed(pattern, at, ignoreCase);
    if (named !== undefined) return named;
  }
  if (pattern[at] !== "\\") {
    const code = pattern.codePointAt(at)!;
    return { code, text: "", end: at + (code > 0xffff ? 2 : 1) };
  }
  const char = pattern[at + 1];
  if (char === undefined) throw new PatternError("\\ at end of pattern");
  if (char === "b") return { code: 8, text: "", end: at + 2 };
  if (char === "Q" || char === "E") throw new PatternError(`\\${char} in a character class is not supported`);
  if (char === "p" || char === "P") {
    const end = pattern[at + 2] === "{" ? pattern.indexOf("}", at) + 1 : at + 3;
    if (end <= at) throw new PatternError("malformed \\P or \\p sequence");
    return { code: undefined, text: pattern.slice(at, end), end };
  }
  if (Object.hasOwn(SHORTHANDS, char)) {
    return { code: undefined, text: SHORTHANDS[char]!.inside, end: at + 2 };
  }
  const { code, end } = escapedCode(pattern, at + 1);
  return { code, text: "", end };
}

/** `[:alpha:]` or `[:^alpha:]`; undefined when the bracket is a character. */
function readNamed(pattern: string, at: number, ignoreCase: boolean): ClassItem | undefined {
  const mark = pattern[at + 1]!;
  const close = pattern.indexOf(`${mark}]`, at + 2);
  if (close < 0 || pattern.slice(at + 2, close).includes("]")) return undefined;
  const name = pattern.slice(at + 2, close);
  if (mark !== ":") throw new PatternError("POSIX collating elements are not supported");
  const negated = name.startsWith("^");
  const plain = negated ? name.slice(1) : name;
  if (!CLASSES.includes(plain)) throw new PatternError(`unknown POSIX class name "${name}"`);
  const folded = ignoreCase && (plain === "upper" || plain === "lower") ? "alpha" : plain;
  // PCRE counts VT as white space in both forms; RE2 does so here.
  return { code: undefined, text: `[:${negated ? "^" : ""}${folded}:]`, end: close + 2 };
}

const CONTROLS: Readonly<Record<string, number>> = { a: 7, e: 27, f: 12, n: 10, r: 13, t: 9 };

/** The character that an escape stands for, from behind the backslash. Throws a PatternError. */
export function escapedCode(pattern: string, at: number): { code: number; end: number } {
  const code = pattern.codePointAt(at)!;
  const char = String.fromCodePoint(code);
  if (!isAlnum(code)) return { code, end: at + char.length };
  if (Object.hasOwn(CONTROLS, char)) return { code: CONTROLS[char]!, end: at + 1 };
  if (char === "x") return hexEscape(pattern, at + 1);
  if (char >= "0" && char <= "7") return digits(pattern, at, 8, 3);
  if (char === "c") {
    const next = pattern.charCodeAt(at + 1);
    if (!(next > 0x20 && next < 0x7f)) {
      throw new PatternError("\\c must be followed by a printable ASCII character");
    }
    const upper = next >= 0x61 && next <= 0x7a ? next - 0x20 : next;
    return { code: upper ^ 0x40, end: at + 2 };
  }
  throw new PatternError(`unrecognized character follows \\: "${char}"`);
}

/** `\xhh` or `\x{hhh}`. */
function hexEscape(pattern: string, at: number): { code: number; end: number } {
  if (pattern[at] !== "{") return digits(pattern, at, 16, 2);
  const inner = digits(pattern, at + 1, 16, 6);
  if (pattern[inner.end] !== "}" || inner.end === at + 1) throw new PatternError("malformed \\x{ sequence");
  return { code: inner.code, end: inner.end + 1 };
}

function digits(pattern: string, from: number, base: 8 | 16, most: number): { code: number; end: number } {
  let code = 0;
  let at = from;
  for (; at < from + most && at < pattern.length; at++) {
    const value = parseInt(pattern[at]!, base);
    if (Number.isNaN(value)) break;
    code = code * base + value;
  }
  if (code > 0x10ffff) throw new PatternError("character code point value is too large");
  return { code, end: at };
}

function hexText(code: number): string {
  return `\\x{${code.toString(16)}}`;
}
