/**
 * `$name` expansion as in main.cf: `$name`, `${name}`, `$(name)`, `${name?text}`, `${name:text}`,
 * `${name?{text}:{text}}`, `${{a} == {b} ? {text} : {text}}` with ==, !=, <, <=, >, >= (with `level` behind it for
 * compatibility levels such as 3.6), `${domain_to_ascii{text}}`, and `$$` for a dollar sign.
 *
 * @module
 */
import { trimBlanks } from "../vstring/ascii.ts";
import { domainToAscii } from "../vstring/domain_ascii.ts";

/** Longest value after expansion, UTF-16 units: `a = $b$b`, `b = $c$c`, ... must not fill the memory. */
export const VALUE_LIMIT = 1 << 20;

/** Deepest nesting of conditional texts. */
const NESTING_LIMIT = 50;

/** The function that there is. */
const DOMAIN_TO_ASCII = "domain_to_ascii";

/** A value that cannot be expanded; the text says why. */
export class ExpandError extends Error {
  override name = "ExpandError";
}

/**
 * Gives the expanded value of a name; throws for a name that nobody knows.
 *
 * @param tested the text does not take the value in, but asks whether there is one
 */
export type NameLookup = (name: string, tested: boolean) => string;

/**
 * The text with every `$` form replaced.
 *
 * @throws ExpandError for a form that is not closed or makes no sense, and what `lookup` throws
 */
export function expand(text: string, lookup: NameLookup): string {
  return expandAt(text, lookup, 0);
}

/** The names that a text refers to, in every branch of its conditions, each once. */
export function referencedNames(text: string): string[] {
  const found = text.replaceAll("$$", "").matchAll(/\$[{(]?[ \t]*([A-Za-z0-9_]+)/g);
  return [...new Set([...found].map(([, name]) => name!))].filter((name) => name !== DOMAIN_TO_ASCII);
}

function expandAt(text: string, lookup: NameLookup, depth: number): string {
  if (depth > NESTING_LIMIT) throw new ExpandError(`Cannot expand "${text}": conditions nested too deeply`);
  let out = "";
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf("$", at);
    if (dollar < 0) {
      out += text.slice(at);
      break;
    }
    out += text.slice(at, dollar);
    const next = text[dollar + 1] ?? "";
    if (next === "$") {
      out += "$";
      at = dollar + 2;
    } else if (next === "{" || next === "(") {
      const end = closing(text, dollar + 1);
      out += expandBody(text.slice(dollar + 2, end), lookup, depth);
      at = end + 1;
    } else {
      const end = nameEnd(text, dollar + 1);
      if (end === dollar + 1) {
        throw new ExpandError('Cannot expand "$": no name follows; a dollar sign is "$$"');
      }
      out += lookup(text.slice(dollar + 1, end), false);
      at = end;
    }
    if (out.length > VALUE_LIMIT) {
      throw new ExpandError(`Cannot expand: result is longer than ${VALUE_LIMIT}`);
    }
  }
  return out;
}

/** What stands between the braces of `${...}`. */
function expandBody(body: string, lookup: NameLookup, depth: number): string {
  const start = skipBlanks(body, 0);
  if (body[start] === "{") return expandComparison(body, start, lookup, depth);
  const end = nameEnd(body, start);
  if (end === start) throw new ExpandError(`Cannot expand "\${${body}}": it begins with no name`);
  const operator = skipBlanks(body, end);
  if (body[operator] === "{") return callFunction(body, start, end, operator, lookup, depth);
  const value = lookup(body.slice(start, end), operator < body.length);
  if (operator === body.length) return value;
  return choose(body, operator, value !== "", lookup, depth);
}

/** `domain_to_ascii{text}`: a domain's name in ASCII (Postfix 3.11). */
function callFunction(
  body: string,
  start: number,
  end: number,
  open: number,
  lookup: NameLookup,
  depth: number,
): string {
  const close = closing(body, open);
  if (body.slice(start, end) !== DOMAIN_TO_ASCII || skipBlanks(body, close + 1) < body.length) {
    throw new ExpandError(`Cannot expand "\${${body}}": it is no function`);
  }
  const name = expandAt(body.slice(open + 1, close), lookup, depth + 1);
  const ascii = domainToAscii(name);
  if (ascii === undefined) throw new ExpandError(`Cannot expand "\${${body}}": "${name}" is no domain`);
  return ascii;
}

/** `{a} op {b} ? ...` */
function expandComparison(body: string, start: number, lookup: NameLookup, depth: number): string {
  const left = closing(body, start);
  const operatorStart = skipBlanks(body, left + 1);
  const rightStart = body.indexOf("{", operatorStart);
  if (rightStart < 0) throw new ExpandError(`Cannot expand "\${${body}}": expected {a} operator {b}`);
  const operator = body.slice(operatorStart, rightStart).replaceAll(" ", "");
  const right = closing(body, rightStart);
  const a = expandAt(body.slice(start + 1, left), lookup, depth + 1);
  const b = expandAt(body.slice(rightStart + 1, right), lookup, depth + 1);
  return choose(body, skipBlanks(body, right + 1), compare(a, operator, b), lookup, depth);
}

/** `?text`, `:text`, `?{text}`, `:{text}` or `?{text}:{text}`, from `at` on. */
function choose(body: string, at: number, holds: boolean, lookup: NameLookup, depth: number): string {
  const operator = body[at];
  if (operator !== "?" && operator !== ":") {
    throw new ExpandError(`Cannot expand "\${${body}}": expected "?" or ":" at "${body.slice(at)}"`);
  }
  const start = skipBlanks(body, at + 1);
  if (body[start] !== "{") {
    return holds === (operator === "?") ? expandAt(body.slice(at + 1), lookup, depth + 1) : "";
  }
  const end = closing(body, start);
  const otherwise = skipBlanks(body, end + 1);
  if (otherwise < body.length && (operator === ":" || body[otherwise] !== ":")) {
    throw new ExpandError(`Cannot expand "\${${body}}": expected nothing at "${body.slice(otherwise)}"`);
  }
  if (holds === (operator === "?")) return expandAt(body.slice(start + 1, end), lookup, depth + 1);
  return otherwise === body.length ? "" : choose(body, otherwise, false, lookup, depth);
}

function compare(a: string, operator: string, b: string): boolean {
  const levels = operator.endsWith("level");
  const order = levels ? compareLevels(a, b) : compareTexts(a, b);
  switch (levels ? operator.slice(0, -"level".length) : operator) {
    case "==":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
    default:
      throw new ExpandError(`Cannot expand: unknown operator "${operator}"`);
  }
}

/** Numbers as numbers, all else as text. */
function compareTexts(a: string, b: string): number {
  const digits = /^[0-9]+$/;
  if (digits.test(a) && digits.test(b)) return Number(a) - Number(b);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Versions `major.minor.patch`, whose last parts may be missing. */
function compareLevels(a: string, b: string): number {
  const [left, right] = [levelParts(a), levelParts(b)];
  const at = left.findIndex((part, i) => part !== right[i]);
  return at < 0 ? 0 : left[at]! - right[at]!;
}

function levelParts(text: string): readonly number[] {
  const level = trimBlanks(text);
  if (!/^[0-9]{1,9}(\.[0-9]{1,9}){0,2}$/.test(level)) {
    throw new ExpandError(`Cannot expand: "${text}" is no compatibility level`);
  }
  const [major = "0", minor = "0", patch = "0"] = level.split(".");
  return [Number(major), Number(minor), Number(patch)];
}

/** Position of the brace or parenthesis that closes the one at `open`. */
function closing(text: string, open: number): number {
  const [opener, closer] = text[open] === "{" ? ["{", "}"] : ["(", ")"];
  let level = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === opener) level++;
    else if (text[i] === closer && --level === 0) return i;
  }
  throw new ExpandError(`Cannot expand "${text.slice(Math.max(0, open - 1))}": "${opener}" is not closed`);
}

function nameEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && /[A-Za-z0-9_]/.test(text[end]!)) end++;
  return end;
}

function skipBlanks(text: string, start: number): number {
  let at = start;
  while (at < text.length && isBlank(text[at]!)) at++;
  return at;
}

function isBlank(char: string): boolean {
  return char === " " || char === "\t" || char === "\n" || char === "\r";
}
