/**
 * Results of regexp tables: text with `$1`, `${1}` or `$(1)` for what a group matched and `$$` for a dollar sign.
 *
 * @module
 */
// Utility
import { isAlnum, parseDecimal } from "../vstring/ascii.ts";

/** A result: pieces of text and numbers of groups in turn. */
export interface Template {
  readonly kind: "template";
  readonly pieces: readonly (string | number)[];
  /** Highest group that it uses; 0 when it is plain text. */
  readonly highest: number;
}

/** A result with its places for groups, or what is wrong. */
export type ParsedTemplate = Template | { readonly kind: "bad"; readonly why: string };

const UNDERSCORE = 0x5f;

/** Parses a result's text. */
export function parseTemplate(text: string): ParsedTemplate {
  const pieces: (string | number)[] = [];
  let highest = 0;
  let literal = "";
  for (let at = 0; at < text.length;) {
    if (text[at] !== "$" || text[at + 1] === "$") {
      literal += text[at];
      at += text[at] === "$" ? 2 : 1;
      continue;
    }
    const name = parseName(text, at + 1);
    if (typeof name === "string") return { kind: "bad", why: name };
    const group = parseDecimal(name.text);
    if (group === undefined) return { kind: "bad", why: `non-numeric replacement index "${name.text}"` };
    if (group === 0) return { kind: "bad", why: 'out of range replacement index "0"' };
    pieces.push(literal, group);
    literal = "";
    highest = Math.max(highest, group);
    at = name.end;
  }
  pieces.push(literal);
  return { kind: "template", pieces, highest };
}

/** The name behind a dollar sign, or what is wrong with it. */
function parseName(text: string, from: number): { text: string; end: number } | string {
  const close = text[from] === "{" ? "}" : text[from] === "(" ? ")" : undefined;
  if (close !== undefined) {
    const end = text.indexOf(close, from);
    return end < 0
      ? `truncated macro reference "${text.slice(from - 1)}"`
      : { text: text.slice(from + 1, end), end: end + 1 };
  }
  let end = from;
  while (end < text.length && (isAlnum(text.charCodeAt(end)) || text.charCodeAt(end) === UNDERSCORE)) end++;
  return end === from ? `empty macro name in "${text}"` : { text: text.slice(from, end), end };
}

/** The result with the groups filled in; `groups[0]` is group 1. */
export function expandTemplate(template: Template, groups: readonly string[]): string {
  let out = "";
  for (const piece of template.pieces) out += typeof piece === "string" ? piece : groups[piece - 1] ?? "";
  return out;
}
