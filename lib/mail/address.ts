/**
 * Mail addresses as the envelope carries them.
 *
 * The internal form is what queue files, tables and protocols between daemons hold: the local part without
 * quotes, `@`, the domain. As a domain never holds an `@`, the last one separates. The external form is what
 * RFC 5321 commands and RFC 5322 headers hold: the local part in quotes where its characters need them.
 *
 * @module
 */
import { asciiLower, CR, LF, NUL } from "../vstring/ascii.ts";

declare const ENVELOPE_TEXT: unique symbol;
/** Text without NUL, CR and LF: it cannot end a line of a protocol, a record of a log or a string in C. */
export type EnvelopeText = string & { readonly [ENVELOPE_TEXT]: true };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DEL = 0x7f;

/** The text as `EnvelopeText`, or undefined when it holds NUL, CR or LF. */
export function envelopeText(text: string): EnvelopeText | undefined {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === NUL || unit === CR || unit === LF) return undefined;
  }
  return text as EnvelopeText;
}

/** The two sides of an address; `domain` is undefined when there is no `@`. */
export interface AddressParts {
  readonly localpart: string;
  readonly domain: string | undefined;
}

/** Splits an address in internal form at its last `@`. */
export function splitAddress(address: string): AddressParts {
  const at = address.lastIndexOf("@");
  if (at < 0) return { localpart: address, domain: undefined };
  return { localpart: address.slice(0, at), domain: address.slice(at + 1) };
}

/** The domain of an address in internal form, ASCII letters in lower case; empty when it has none. */
export function domainOf(address: string): string {
  const at = address.lastIndexOf("@");
  return at < 0 ? "" : asciiLower(address.slice(at + 1));
}

/** Puts the sides together again. */
export function joinAddress(localpart: string, domain: string | undefined): string {
  return domain === undefined ? localpart : `${localpart}@${domain}`;
}

/** True for a character of an RFC 5322 atom; everything outside ASCII counts (RFC 6532 section 3.2). */
export function isAtomText(unit: number): boolean {
  if (unit <= 0x20 || unit === DEL) return false;
  switch (unit) {
    case QUOTE:
    case BACKSLASH:
    case 0x28: // ( ) < > @ , ; : . [ ]
    case 0x29:
    case 0x3c:
    case 0x3e:
    case 0x40:
    case 0x2c:
    case 0x3b:
    case 0x3a:
    case 0x2e:
    case 0x5b:
    case 0x5d:
      return false;
    default:
      return true;
  }
}

/** True when the text is atoms with single dots between: a local part that needs no quotes. */
export function isDotString(text: string): boolean {
  let atom = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (isAtomText(unit)) atom = true;
    else if (unit === 0x2e && atom) atom = false;
    else return false;
  }
  return atom;
}

/** A local part as a command or header holds it: as it is, or as a quoted string. */
export function quoteLocalpart(localpart: string): string {
  // RFC 5321 section 4.1.2: a local part that is no dot-string is a quoted string.
  return isDotString(localpart) ? localpart : quoteString(localpart);
}

/** The text as a quoted string of RFC 5322. */
export function quoteString(text: string): string {
  let out = '"';
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit !== QUOTE && unit !== BACKSLASH && unit !== CR && unit !== LF) continue;
    out += text.slice(from, i) + "\\";
    from = i;
  }
  return out + text.slice(from) + '"';
}

/**
 * The external form of an internal address; the null address stays empty. CR, LF and NUL in an address of a
 * foreign queue file come through: who writes a protocol line checks with `envelopeText`.
 */
export function quoteAddress(address: string): string {
  if (address === "") return "";
  const at = address.lastIndexOf("@");
  if (at < 0) return quoteLocalpart(address);
  return quoteLocalpart(address.slice(0, at)) + address.slice(at);
}

/** The offset of the last `@` outside quotes of an external address, or -1. */
export function lastUnquotedAt(address: string): number {
  let last = -1;
  let quoted = false;
  for (let i = 0; i < address.length; i++) {
    const unit = address.charCodeAt(i);
    if (unit === BACKSLASH) i++;
    else if (unit === QUOTE) quoted = !quoted;
    else if (unit === 0x40 && !quoted) last = i;
  }
  return last;
}

/** Splits an external address at its last `@` outside quotes; the local part comes without its quotes. */
export function splitExternal(address: string): AddressParts {
  const at = lastUnquotedAt(address);
  if (at < 0) return { localpart: unquoteLocalpart(address), domain: undefined };
  return { localpart: unquoteLocalpart(address.slice(0, at)), domain: address.slice(at + 1) };
}

/** The internal form of an external address. */
export function unquoteAddress(address: string): string {
  const { localpart, domain } = splitExternal(address);
  return joinAddress(localpart, domain);
}

/** The text without its quotation marks and with each backslash taken off the character behind it. */
export function unquoteLocalpart(text: string): string {
  if (!text.includes('"') && !text.includes("\\")) return text;
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === QUOTE) continue;
    if (unit === BACKSLASH && i + 1 < text.length) i++;
    out += text[i];
  }
  return out;
}

/** The parameters that say how a local part splits into user and extension. */
export interface ExtensionRule {
  /** Any one of these characters separates; empty: addresses have no extension. */
  readonly recipient_delimiter: string;
  readonly owner_request_special: boolean;
  readonly double_bounce_sender: string;
}

/** A local part in two. */
export interface ExtensionParts {
  readonly user: string;
  /** The extension without its delimiter; empty when there is none. */
  readonly extension: string;
  /** The character that separated them, also before an extension of no characters; empty when there is none. */
  readonly delimiter: string;
}

/**
 * Splits a local part at the first delimiter. System addresses (postmaster, mailer-daemon, the double-bounce
 * sender) stay whole, with a delimiter of `-` owner-LIST and LIST-request too, and nothing is split so that
 * the user would be empty: Postfix's split_addr.
 */
export function splitExtension(localpart: string, rule: ExtensionRule): ExtensionParts {
  const delimiters = rule.recipient_delimiter;
  const whole = { user: localpart, extension: "", delimiter: "" };
  if (delimiters === "") return whole;
  const at = firstOf(localpart, delimiters);
  if (at <= 0 || isNeverSplit(asciiLower(localpart), rule)) return whole;
  return { user: localpart.slice(0, at), extension: localpart.slice(at + 1), delimiter: localpart[at]! };
}

function isNeverSplit(folded: string, rule: ExtensionRule): boolean {
  if (folded === "postmaster" || folded === "mailer-daemon") return true;
  if (folded === asciiLower(rule.double_bounce_sender)) return true;
  if (!rule.owner_request_special || !rule.recipient_delimiter.includes("-")) return false;
  return folded.startsWith("owner-") || (folded.endsWith("-request") && folded.length > "-request".length);
}

/** Offset of the first character that is one of `set`, or -1. */
function firstOf(text: string, set: string): number {
  for (let i = 0; i < text.length; i++) if (set.includes(text[i]!)) return i;
  return -1;
}
