/**
 * The text format of postalias(1) and of /etc/aliases: `name: value, value` on each logical line. A line is cut into
 * the tokens of RFC 822, so that a colon or an at-sign inside quotes is no separator; the name is stored without its
 * quotes, the value is written anew from its tokens, as Postfix's postalias does.
 *
 * @module
 */
// Tables
import { isSpaceUnit, logicalLines } from "./logical_lines.ts";
import { type MapReading, storeEntry } from "./map_source.ts";

/** Most tokens on one logical line; Postfix has no bound of its own here. */
export const ALIAS_TOKEN_LIMIT = 100_000;
/** Deepest nesting of comments. */
const COMMENT_DEPTH_LIMIT = 100;

/** A token: an operator stands for itself; the others hold their text without quotes and escapes. */
export interface AliasToken {
  readonly kind: "operator" | "atom" | "quoted" | "comment" | "literal";
  readonly text: string;
}

/** Characters that are tokens of their own, or begin one. */
const OPERATORS = '|"(),.:;<>@[]%!\\';

/** The entries of an alias file; names in lower case unless asked otherwise, the first of several equal ones stands. */
export function parseAliasSource(text: string, how: MapReading): Map<string, string> {
  const entries = new Map<string, string>();
  for (const line of logicalLines(text, how.file, how.warn, how.anyBytes)) {
    const warn = (what: string) => how.warn({ file: how.file, line: line.line, text: what });
    const tokens = scanAlias(line.text);
    if (tokens === undefined) {
      warn(`more than ${ALIAS_TOKEN_LIMIT} tokens or comments nested too deep -- ignoring this line`);
      continue;
    }
    const colon = tokens.findIndex((token) => isOperator(token, ":"));
    const name = tokens.slice(0, colon);
    if (colon < 1 || colon === tokens.length - 1 || name.some((token) => isOperator(token, ","))) {
      warn("need name:value pair -- ignoring this line");
    } else if (name.some((token) => isOperator(token, "@") || isOperator(token, "%"))) {
      warn("name must be local -- ignoring this line");
    } else {
      storeEntry(
        entries,
        writeTokens(name, false),
        writeTokens(tokens.slice(colon + 1), true),
        how,
        warn,
        line.line,
      );
    }
  }
  return entries;
}

function isOperator(token: AliasToken, text: string): boolean {
  return token.kind === "operator" && token.text === text;
}

/** The tokens of a line, or undefined when it passes a limit. */
export function scanAlias(text: string): AliasToken[] | undefined {
  const tokens: AliasToken[] = [];
  for (let at = 0; at < text.length;) {
    const unit = text.charCodeAt(at);
    if (isSpaceUnit(unit)) {
      at++;
      continue;
    }
    if (tokens.length === ALIAS_TOKEN_LIMIT) return undefined;
    const char = text[at]!;
    let piece: Piece | undefined;
    if (char === "(") piece = scanComment(text, at + 1);
    else if (char === "[") piece = scanUntil(text, at + 1, "]", "literal");
    else if (char === '"') piece = scanUntil(text, at + 1, '"', "quoted");
    else if (char !== "\\" && OPERATORS.includes(char)) {
      piece = { token: { kind: "operator", text: char }, end: at + 1 };
    } else piece = scanAtom(text, at);
    if (piece === undefined) return undefined;
    tokens.push(piece.token);
    at = piece.end;
  }
  return tokens;
}

interface Piece {
  readonly token: AliasToken;
  readonly end: number;
}

/** A quoted string or a domain literal up to its closing character, or up to the end of the line. */
function scanUntil(text: string, from: number, close: string, kind: AliasToken["kind"]): Piece {
  let out = "";
  let at = from;
  for (; at < text.length && text[at] !== close; at++) {
    if (text[at] === "\\" && ++at === text.length) break;
    out += isSpaceUnit(text.charCodeAt(at)) ? " " : text[at];
  }
  return { token: { kind, text: out }, end: at + 1 };
}

/** An atom; one that a backslash gave a special character is a quoted string in all but its form. */
function scanAtom(text: string, from: number): Piece {
  let out = "";
  let special = false;
  let at = from;
  for (; at < text.length; at++) {
    if (text[at] === "\\") {
      if (++at === text.length) break;
      special ||= isSpaceUnit(text.charCodeAt(at)) || OPERATORS.includes(text[at]!);
    } else if (isSpaceUnit(text.charCodeAt(at)) || OPERATORS.includes(text[at]!)) break;
    out += isSpaceUnit(text.charCodeAt(at)) ? " " : text[at];
  }
  return { token: { kind: special ? "quoted" : "atom", text: out }, end: at };
}

/** A comment with those that it holds; its text is kept as it was written, with its last parenthesis if it has one. */
function scanComment(text: string, from: number): Piece | undefined {
  let depth = 1;
  let at = from;
  for (; at < text.length && depth > 0; at++) {
    if (text[at] === "(" && ++depth > COMMENT_DEPTH_LIMIT) return undefined;
    if (text[at] === ")") depth--;
    else if (text[at] === "\\") at++;
  }
  return { token: { kind: "comment", text: text.slice(from, at) }, end: at };
}

/** Text of tokens: with quotes where `quoted`, one space where two words meet, one behind each comma. */
function writeTokens(tokens: readonly AliasToken[], quoted: boolean): string {
  let out = "";
  tokens.forEach((token, index) => {
    out += tokenText(token, quoted);
    const next = tokens[index + 1];
    if (isOperator(token, ",")) out += " ";
    else if (next !== undefined && (isOperator(next, "<") || (isWord(token) && isWord(next)))) out += " ";
  });
  return out;
}

function isWord(token: AliasToken): boolean {
  return token.kind !== "operator";
}

function tokenText(token: AliasToken, quoted: boolean): string {
  switch (token.kind) {
    case "operator":
    case "atom":
      return token.text;
    case "quoted":
      return quoted ? `"${escapeQuoted(token.text)}"` : token.text;
    case "comment":
      return `(${token.text}`;
    case "literal":
      return `[${token.text.replaceAll("\\", "\\\\")}]`;
  }
}

function escapeQuoted(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}
