/**
 * SPF records (RFC 7208 sections 4.6, 5 and 6): the whole record is read before anything in it is asked, as one error
 * anywhere makes all of it void.
 */
// Utility
import {
  asciiLower,
  equalsIgnoreCase,
  isAlnum,
  isAlpha,
  isDigit,
  parseDecimal,
} from "../../lib/vstring/ascii.ts";
import { parseIpv4, parseIpv6 } from "../../lib/vstring/ip_address.ts";
// This program
import { endsLikeDomain, type MacroPiece, parseMacros } from "./policy_spf_macro.ts";

/** What a mechanism's match means. */
export type Qualifier = "pass" | "fail" | "softfail" | "neutral";

/** A domain with macros, and as it is written. */
export type DomainSpec = readonly MacroPiece[];

/** A mechanism. */
export interface Mechanism {
  readonly kind: "all" | "include" | "a" | "mx" | "ptr" | "ip4" | "ip6" | "exists";
  readonly qualifier: Qualifier;
  /** As it stands in the record, for the header that tells of it. */
  readonly text: string;
  /** Undefined: the domain that the record is of. */
  readonly domain: DomainSpec | undefined;
  /** Network of ip4 and ip6. */
  readonly address: Uint8Array | undefined;
  /** Prefix lengths for IPv4 and IPv6 addresses. */
  readonly bits4: number;
  readonly bits6: number;
}

/** A record. */
export interface SpfRecord {
  readonly mechanisms: readonly Mechanism[];
  readonly redirect: DomainSpec | undefined;
  readonly explanation: DomainSpec | undefined;
}

const QUALIFIERS: Readonly<Record<string, Qualifier>> = {
  "+": "pass",
  "-": "fail",
  "~": "softfail",
  "?": "neutral",
};
const VERSION = "v=spf1";

/** True for a text that is an SPF record, good or bad. */
export function isSpfRecord(text: string): boolean {
  return equalsIgnoreCase(text.slice(0, VERSION.length), VERSION) &&
    (text.length === VERSION.length || text[VERSION.length] === " ");
}

/** Reads a record; undefined when it has an error. */
export function parseSpfRecord(text: string): SpfRecord | undefined {
  const mechanisms: Mechanism[] = [];
  const modifiers = new Map<string, DomainSpec>();
  for (const term of text.slice(VERSION.length).split(" ")) {
    if (term === "") continue;
    const name = modifierName(term);
    if (name !== undefined) {
      if (!readModifier(name, term.slice(name.length + 1), modifiers)) return undefined;
      continue;
    }
    const mechanism = readMechanism(term);
    if (mechanism === undefined) return undefined;
    mechanisms.push(mechanism);
  }
  return { mechanisms, redirect: modifiers.get("redirect"), explanation: modifiers.get("exp") };
}

/** The name in front of "=", or undefined when the term is no modifier. */
function modifierName(term: string): string | undefined {
  const equals = term.indexOf("=");
  if (equals < 1 || !isAlpha(term.charCodeAt(0))) return undefined;
  for (let i = 1; i < equals; i++) {
    if (!isAlnum(term.charCodeAt(i)) && !"-_.".includes(term[i]!)) return undefined;
  }
  return term.slice(0, equals);
}

function readModifier(name: string, value: string, modifiers: Map<string, DomainSpec>): boolean {
  const known = asciiLower(name);
  // RFC 7208 section 6: unrecognized modifiers are ignored, but what they say is a macro-string all the same.
  if (known !== "redirect" && known !== "exp") return parseMacros(value) !== undefined;
  const domain = domainSpec(value);
  // RFC 7208 section 6: each of these must not be there more than once.
  if (domain === undefined || modifiers.has(known)) return false;
  modifiers.set(known, domain);
  return true;
}

function domainSpec(text: string): DomainSpec | undefined {
  const pieces = parseMacros(text);
  return pieces !== undefined && endsLikeDomain(text, pieces) ? pieces : undefined;
}

function readMechanism(term: string): Mechanism | undefined {
  const qualifier = QUALIFIERS[term[0]!];
  const text = qualifier === undefined ? term : term.slice(1);
  let end = 0;
  while (end < text.length && text[end] !== ":" && text[end] !== "/") end++;
  const kind = asciiLower(text.slice(0, end));
  const base = {
    qualifier: qualifier ?? "pass",
    text: term,
    domain: undefined,
    address: undefined,
    bits4: 32,
    bits6: 128,
  };
  const rest = text.slice(end);
  switch (kind) {
    case "all":
      return rest === "" ? { ...base, kind } : undefined;
    case "include":
    case "exists": {
      const domain = rest.startsWith(":") ? domainSpec(rest.slice(1)) : undefined;
      return domain === undefined ? undefined : { ...base, kind, domain };
    }
    case "ptr": {
      if (rest === "") return { ...base, kind };
      const domain = rest.startsWith(":") ? domainSpec(rest.slice(1)) : undefined;
      return domain === undefined ? undefined : { ...base, kind, domain };
    }
    case "a":
    case "mx": {
      const read = readHosts(rest);
      return read === undefined ? undefined : { ...base, kind, ...read };
    }
    case "ip4":
    case "ip6": {
      const read = readNetwork(rest, kind);
      return read === undefined ? undefined : { ...base, kind, ...read };
    }
    default:
      return undefined;
  }
}

/** `[":" domain-spec] ["/" bits] ["//" bits]` */
function readHosts(rest: string): Pick<Mechanism, "domain" | "bits4" | "bits6"> | undefined {
  const six = takePrefix(rest, "//");
  const bits6 = six === undefined ? 128 : prefixLength(six.digits, 128);
  const before = six?.before ?? rest;
  const four = takePrefix(before, "/");
  const bits4 = four === undefined ? 32 : prefixLength(four.digits, 32);
  const name = four?.before ?? before;
  if (bits4 === undefined || bits6 === undefined) return undefined;
  if (name === "") return { domain: undefined, bits4, bits6 };
  const domain = name.startsWith(":") ? domainSpec(name.slice(1)) : undefined;
  return domain === undefined ? undefined : { domain, bits4, bits6 };
}

/** Digits behind a mark at the end of a text. */
function takePrefix(
  text: string,
  mark: string,
): { readonly before: string; readonly digits: string } | undefined {
  let start = text.length;
  while (start > 0 && isDigit(text.charCodeAt(start - 1))) start--;
  if (start === text.length || !text.slice(0, start).endsWith(mark)) return undefined;
  return { before: text.slice(0, start - mark.length), digits: text.slice(start) };
}

/** A number without zeros in front of it, up to a limit. */
function prefixLength(digits: string, most: number): number | undefined {
  return digits.length > 1 && digits.startsWith("0") ? undefined : parseDecimal(digits, most);
}

function readNetwork(
  rest: string,
  kind: "ip4" | "ip6",
): Pick<Mechanism, "address" | "bits4" | "bits6"> | undefined {
  if (!rest.startsWith(":")) return undefined;
  const slash = rest.indexOf("/");
  const most = kind === "ip4" ? 32 : 128;
  const bits = slash < 0 ? most : prefixLength(rest.slice(slash + 1), most);
  const text = rest.slice(1, slash < 0 ? undefined : slash);
  const address = kind === "ip4" ? parseIpv4(text) : parseIpv6(text);
  if (address === undefined || bits === undefined) return undefined;
  return { address, bits4: bits, bits6: bits };
}
