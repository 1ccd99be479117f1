/**
 * The right-hand side of an alias: addresses, and what is no address by its first character.
 *
 * @module
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Tables
import { type AliasToken, scanAlias } from "../../lib/table/alias_source.ts";
// Mail
import { envelopeText } from "../../lib/mail/address.ts";
import { ADDRESS_LIMIT } from "../../lib/proto/protocols.ts";

/** One target of an alias. Text is in internal form. */
export type AliasTarget =
  | { readonly kind: "address"; readonly address: string }
  /** A file, a command, an include list or a home directory: `what` names it for the log. */
  | { readonly kind: "unsupported"; readonly what: string; readonly text: string }
  | { readonly kind: "bad"; readonly why: string; readonly text: string };

const INCLUDE = ":include:";

/** The targets of an alias's value, in their order; undefined when it passes the scanner's limits. */
export function parseAliasValue(value: string): AliasTarget[] | undefined {
  const tokens = scanAlias(value);
  if (tokens === undefined) return undefined;
  const targets: AliasTarget[] = [];
  let item: AliasToken[] = [];
  const settle = () => {
    const text = internalText(item);
    if (text !== "") targets.push(toTarget(text));
    item = [];
  };
  for (const token of tokens) {
    if (token.kind === "operator" && token.text === ",") settle();
    else if (token.kind !== "comment") item.push(token);
  }
  settle();
  return targets;
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

function toTarget(text: string): AliasTarget {
  const first = text[0];
  if (first === "/") return { kind: "unsupported", what: "file", text };
  if (first === "~") return { kind: "unsupported", what: "file", text };
  if (first === "|") return { kind: "unsupported", what: "command", text };
  if (asciiLower(text.slice(0, INCLUDE.length)) === INCLUDE) {
    return { kind: "unsupported", what: "include list", text };
  }
  if (first === ":") return { kind: "bad", why: "unknown directive", text };
  if (envelopeText(text) === undefined) {
    return { kind: "bad", why: "address holds a control character", text };
  }
  if (encodeText(text).length > ADDRESS_LIMIT) return { kind: "bad", why: "address is too long", text };
  return { kind: "address", address: text };
}
