/**
 * The keys that a search asks tables for, in their order: a name and its parents, an address and the networks around
 * it, an address with and without its extension.
 *
 * @module
 */
// Utility
import { asciiLower, isAlnum } from "../vstring/ascii.ts";

/** How parents of a domain are asked for: `example.com`, or `.example.com`. */
export type ParentStyle = "plain" | "dotted";

/** The name, then each parent domain: `a.b.c`, `b.c`, `c`, or with a dot before each parent. */
export function domainKeys(name: string, parents: ParentStyle): string[] {
  const keys = [name];
  for (let dot = name.indexOf(".", 1); dot >= 0 && dot < name.length - 1; dot = name.indexOf(".", dot + 1)) {
    keys.push(name.slice(parents === "dotted" ? dot : dot + 1));
  }
  return keys;
}

/** The address, then the networks around it: `1.2.3.4`, `1.2.3`, `1.2`, `1`; for IPv6 by its groups. */
export function networkKeys(text: string): string[] {
  const keys = [text];
  const separator = text.includes(":") ? ":" : ".";
  for (let end = text.lastIndexOf(separator); end > 0; end = text.lastIndexOf(separator, end - 1)) {
    const key = text.slice(0, end);
    if (!key.endsWith(":")) keys.push(key);
  }
  return keys;
}

/** A local part and what follows its last at-sign; undefined when there is none. */
export interface AddressParts {
  readonly localpart: string;
  readonly domain: string | undefined;
}

/** Cuts an address (in its internal, unquoted form) at the last at-sign. */
export function splitAddress(address: string): AddressParts {
  const at = address.lastIndexOf("@");
  if (at < 0) return { localpart: address, domain: undefined };
  return { localpart: address.slice(0, at), domain: address.slice(at + 1) };
}

/** What decides where a local part's extension begins. */
export interface ExtensionHow {
  /** Parameter recipient_delimiter: a set of characters. */
  readonly delimiters: string;
  /** Parameter owner_request_special. */
  readonly ownerRequestSpecial: boolean;
  /** Parameter double_bounce_sender. */
  readonly doubleBounceSender: string;
}

/**
 * A local part without its extension, and that with its delimiter; empty when it has none. It begins at the first
 * delimiter; the names that the mail system needs itself, and owners of lists, have none.
 */
export function splitExtension(localpart: string, how: ExtensionHow): { user: string; extension: string } {
  const whole = { user: localpart, extension: "" };
  if (how.delimiters === "") return whole;
  const folded = asciiLower(localpart);
  if (
    folded === "postmaster" || folded === "mailer-daemon" || folded === asciiLower(how.doubleBounceSender)
  ) {
    return whole;
  }
  if (how.ownerRequestSpecial && how.delimiters.includes("-")) {
    if (folded.startsWith("owner-") || (folded.endsWith("-request") && folded.length > "-request".length)) {
      return whole;
    }
  }
  let at = 0;
  while (at < localpart.length && !how.delimiters.includes(localpart[at]!)) at++;
  if (at === 0 || at === localpart.length) return whole;
  return { user: localpart.slice(0, at), extension: localpart.slice(at) };
}

/** RFC 5322 section 3.2.3: an atom's characters beside letters and digits. Those above ASCII are RFC 6532's. */
const ATOM_PUNCTUATION = "!#$%&'*+-/=?^_`{|}~";

/** RFC 5322 section 3.4.1: a local part that is no dot-atom is a quoted string. Tables hold addresses in this form. */
export function quoteLocalpart(localpart: string): string {
  if (isDotAtom(localpart)) return localpart;
  let out = '"';
  for (const char of localpart) {
    const special = char === '"' || char === "\\" || char === "\r" || char === "\n";
    out += special ? `\\${char}` : char;
  }
  return `${out}"`;
}

function isDotAtom(text: string): boolean {
  if (text === "" || text.startsWith(".") || text.endsWith(".")) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (text[i] === ".") {
      if (text[i + 1] === ".") return false;
    } else if (unit < 0x80 && !isAlnum(unit) && !ATOM_PUNCTUATION.includes(text[i]!)) return false;
  }
  return true;
}
