/**
 * The right-hand side of an alias, a line of a .forward file or of an :include: list: addresses, and what is no address
 * by its first character (postfix-map section 9.2).
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
// Tables
import { type AliasToken, scanAlias } from "../table/alias_source.ts";
// Wire protocols
import { ADDRESS_LIMIT } from "../proto/protocols.ts";

/** One target. Text is in internal form. */
export type LocalTarget =
  | { readonly kind: "address"; readonly address: string }
  /** As it is written, `~/` at its beginning included. */
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "include"; readonly path: string }
  | { readonly kind: "bad"; readonly why: string; readonly text: string };

const INCLUDE = ":include:";
/** Longest command or path, bytes. */
const TEXT_LIMIT = 4000;

/** The targets of a value, in their order; undefined when it passes the scanner's limits. */
export function parseTargets(value: string): LocalTarget[] | undefined {
  const tokens = scanAlias(value);
  if (tokens === undefined) return undefined;
  const targets: LocalTarget[] = [];
  let item: AliasToken[] = [];
  const settle = () => {
    for (const part of separateWords(item)) {
      const text = internalText(part);
      if (text !== "") targets.push(toTarget(text));
    }
    item = [];
  };
  for (const token of tokens) {
    if (token.kind === "operator" && token.text === ",") settle();
    else if (token.kind !== "comment") item.push(token);
  }
  settle();
  return targets;
}

/** The lines of a .forward file or a list that hold targets, cut where they are longer than the limit. */
export function* targetLines(text: string, lineLimit: number): Generator<string> {
  for (let at = 0; at < text.length;) {
    const lineEnd = text.indexOf("\n", at);
    const end = Math.min(lineEnd < 0 ? text.length : lineEnd, at + lineLimit);
    if (text[at] !== "#") yield text.slice(at, end);
    at = end === lineEnd ? end + 1 : end;
  }
}

/** A target that is no address, as one text: what master compares. */
export function targetName(target: Exclude<LocalTarget, { kind: "address" | "bad" }>): string {
  return target.kind === "command"
    ? `|${target.command}`
    : `${target.kind === "file" ? "" : INCLUDE}${target.path}`;
}

/** The names of all targets that are no addresses. */
export function targetNames(targets: readonly LocalTarget[]): string[] {
  return targets.flatMap((target) =>
    target.kind === "address" || target.kind === "bad" ? [] : [targetName(target)]
  );
}

/** Two words in a row are two targets, unless they are the name before an address in angle brackets. */
function separateWords(item: readonly AliasToken[]): readonly (readonly AliasToken[])[] {
  if (item.some((token) => token.kind === "operator" && token.text === "<")) return [item];
  const parts: AliasToken[][] = [];
  let wasWord = false;
  for (const token of item) {
    const isWord = token.kind !== "operator";
    if (parts.length === 0 || (isWord && wasWord)) parts.push([]);
    parts.at(-1)!.push(token);
    wasWord = isWord;
  }
  return parts;
}

/** The address in a list of tokens: what stands between angle brackets if there are some, without quotes. */
function internalText(tokens: readonly AliasToken[]): string {
  const open = tokens.findIndex((token) => token.kind === "operator" && token.text === "<");
  const close = tokens.findLastIndex((token) => token.kind === "operator" && token.text === ">");
  const address = open >= 0 && close > open ? tokens.slice(open + 1, close) : tokens;
  let out = "";
  let wasWord = false;
  for (const { kind, text } of address) {
    const isWord = kind !== "operator";
    // Two words in a row were separated by blanks.
    if (isWord && wasWord) out += " ";
    out += kind === "literal" ? `[${text}]` : text;
    wasWord = isWord;
  }
  return out;
}

/** True for what no address, path or command of an alias needs. */
function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit === 0x7f) return true;
  }
  return false;
}

function toTarget(text: string): LocalTarget {
  if (hasControl(text)) return { kind: "bad", why: "control character", text };
  const length = encodeText(text).length;
  if (length > TEXT_LIMIT) return { kind: "bad", why: "text is too long", text: text.slice(0, 100) };
  if (text[0] === "/" || text[0] === "~") return { kind: "file", path: text };
  if (text[0] === "|") return { kind: "command", command: text.slice(1) };
  if (asciiLower(text.slice(0, INCLUDE.length)) === INCLUDE) {
    return { kind: "include", path: text.slice(INCLUDE.length) };
  }
  if (text[0] === ":") return { kind: "bad", why: "unknown directive", text };
  if (length > ADDRESS_LIMIT) return { kind: "bad", why: "address is too long", text };
  return { kind: "address", address: text };
}
