/**
 * Templates of database tables: `%s` the key, `%u` and `%d` its local part and domain, `%1` to `%9` the labels of its
 * domain from the right; in the format of results `%s`, `%u`, `%d` stand for parts of the value and `%S`, `%U`, `%D`,
 * `%1` to `%9` for those of the key. A template that needs a part which is not there gives nothing: no query is made.
 *
 * @module
 */
// Utility
import { isDigit } from "../vstring/ascii.ts";

/** A template: text and parts in turn. */
export type QueryTemplate = readonly (string | { readonly part: string })[];

/** A template, or what is wrong with it. */
export type ParsedQuery =
  | { readonly kind: "template"; readonly template: QueryTemplate }
  | { readonly kind: "bad"; readonly why: string };

/** How a part is written so that it can be nothing but text. */
export type Quote = (text: string) => string;

/** Parses a template. */
export function parseQuery(text: string): ParsedQuery {
  const template: (string | { part: string })[] = [];
  let literal = "";
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== "%") {
      literal += text[at];
      continue;
    }
    const part = text[++at] ?? "";
    if (part === "%") literal += "%";
    else if (part === "" || !"sudSUD123456789".includes(part)) {
      return { kind: "bad", why: `invalid "%${part}" in "${text}"` };
    } else {
      template.push(literal, { part });
      literal = "";
    }
  }
  template.push(literal);
  return { kind: "template", template };
}

/** A key or a value cut at its last at-sign. */
interface Parts {
  readonly whole: string;
  readonly user: string | undefined;
  readonly domain: string | undefined;
  /** Labels of the domain, the last first. */
  readonly labels: readonly string[];
}

function partsOf(text: string): Parts {
  const at = text.lastIndexOf("@");
  // What is no address is its own user name.
  if (at < 0) return { whole: text, user: text, domain: undefined, labels: [] };
  const domain = text.slice(at + 1);
  return {
    whole: text,
    user: at === 0 ? undefined : text.slice(0, at),
    domain: domain === "" ? undefined : domain,
    labels: domain.split(".").reverse(),
  };
}

/**
 * The template with its parts filled in, each through `quote`, or undefined when a part is missing.
 *
 * @param value what small letters stand for; the key itself in a query
 */
export function expandQuery(
  template: QueryTemplate,
  key: string,
  value: string,
  quote: Quote,
): string | undefined {
  if (value === "") return undefined;
  const ofKey = partsOf(key);
  const ofValue = value === key ? ofKey : partsOf(value);
  let out = "";
  for (const piece of template) {
    if (typeof piece === "string") {
      out += piece;
      continue;
    }
    const text = pieceText(piece.part, ofKey, ofValue);
    if (text === undefined) return undefined;
    out += quote(text);
  }
  return out;
}

function pieceText(part: string, key: Parts, value: Parts): string | undefined {
  if (isDigit(part.charCodeAt(0))) return key.labels[Number(part) - 1];
  switch (part) {
    case "s":
      return value.whole;
    case "u":
      return value.user;
    case "d":
      return value.domain;
    case "S":
      return key.whole;
    case "U":
      return key.user;
    default:
      return key.domain;
  }
}

/** True when the result format can be filled for the key: else there is no need to ask. */
export function formatFits(template: QueryTemplate, key: string): boolean {
  const ofKeyOnly = template.filter((piece) => typeof piece === "string" || !"sud".includes(piece.part));
  return expandQuery(ofKeyOnly, key, key, (text) => text) !== undefined;
}
