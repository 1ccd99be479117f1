/**
 * Domains of mail addresses: host name rules, address literals, UTF-8 names.
 *
 * @module
 */
import { asciiLower, isAlnum, isAscii, isDigit } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { domainToAscii } from "../vstring/domain_ascii.ts";
import { parseIpv4, parseIpv6 } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";

/** Longest domain, bytes (RFC 5321 section 4.5.3.1.2). */
export const DOMAIN_LIMIT = 255;
/** Longest label of a domain, bytes (RFC 1035 section 2.3.4). */
export const LABEL_LIMIT = 63;

const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;
const IPV6_TAG = "ipv6:";

/**
 * What other software takes for a dot or does not show at all, and what compatibility normalisation leaves alone:
 * soft hyphen, fillers, Ogham space, zero-width space and joiner, word joiner, ideographic full stop.
 */
const DECEPTIVE: ReadonlySet<number> = new Set([
  ...[0x00ad, 0x034f, 0x115f, 0x1160, 0x1680, 0x17b4, 0x17b5, 0x180e],
  ...[0x200b, 0x2060, 0x3002, 0x3164],
]);

/** An address literal as bytes. */
export interface AddressLiteral {
  readonly family: 4 | 6;
  /** 4 or 16 bytes. */
  readonly bytes: Uint8Array;
}

/** How far beyond the letter of the RFC a host name may go. */
export interface HostnameOptions {
  /** Labels may hold characters outside ASCII (RFC 6531). Default false. */
  readonly utf8?: boolean;
  /** Labels may hold an underscore, as names in use do. Default true. */
  readonly underscore?: boolean;
}

/**
 * True for a host name: labels of letters, digits and inner hyphens, none empty, no final dot, and a last label
 * that is no number, so that nobody's address parser takes the name for an IPv4 address ("1.2.3", "0x7f.1").
 */
export function isValidHostname(name: string, options: HostnameOptions = {}): boolean {
  const ascii = isAscii(name);
  if (name.length === 0 || name.length > DOMAIN_LIMIT || (!ascii && options.utf8 !== true)) return false;
  if (!ascii && encodeText(name).length > DOMAIN_LIMIT) return false;
  let start = 0;
  for (;;) {
    const dot = name.indexOf(".", start);
    const label = name.slice(start, dot < 0 ? name.length : dot);
    if (!isValidLabel(label, options.underscore ?? true)) return false;
    if (dot < 0) return !isNumeric(label);
    start = dot + 1;
  }
}

function isValidLabel(label: string, underscore: boolean): boolean {
  if (label.length === 0 || label.length > LABEL_LIMIT) return false;
  if (label.charCodeAt(0) === HYPHEN || label.charCodeAt(label.length - 1) === HYPHEN) return false;
  let ascii = true;
  for (let i = 0; i < label.length; i++) {
    const unit = label.charCodeAt(i);
    if (unit > 0x7f) ascii = false;
    else if (!isAlnum(unit) && unit !== HYPHEN && !(underscore && unit === UNDERSCORE)) return false;
  }
  return ascii || isValidUtf8Label(label);
}

/**
 * A label outside ASCII must be in the one form that IDNA mapping leaves as it is. Another form (full-width
 * letters, an ideographic full stop, capitals) would be one name to the access check and another to the resolver.
 */
function isValidUtf8Label(label: string): boolean {
  if (encodeText(label).length > LABEL_LIMIT || printable(label) !== label) return false;
  for (const character of label) if (DECEPTIVE.has(character.codePointAt(0)!)) return false;
  return label.normalize("NFKC").toLowerCase() === asciiLower(label);
}

/** All digits, or hexadecimal after 0x. */
function isNumeric(label: string): boolean {
  const hex = label.length >= 2 && label.startsWith("0") && (label.charCodeAt(1) | 0x20) === 0x78;
  for (let i = hex ? 2 : 0; i < label.length; i++) {
    const unit = label.charCodeAt(i);
    const lower = unit | 0x20;
    if (!isDigit(unit) && !(hex && lower >= 0x61 && lower <= 0x66)) return false;
  }
  return true;
}

/** The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]`, or undefined for anything else. */
export function parseAddressLiteral(domain: string): AddressLiteral | undefined {
  // RFC 5321 section 4.1.3: an IPv6 literal has the tag "IPv6:"; an IPv4 literal is four decimal numbers.
  if (!isBracketed(domain)) return undefined;
  const inner = domain.slice(1, -1);
  if (asciiLower(inner.slice(0, IPV6_TAG.length)) === IPV6_TAG) {
    const bytes = parseIpv6(inner.slice(IPV6_TAG.length));
    return bytes === undefined ? undefined : { family: 6, bytes };
  }
  const bytes = parseIpv4(inner);
  return bytes === undefined ? undefined : { family: 4, bytes };
}

/** True when the domain has the form of a literal, valid or not. */
export function isBracketed(domain: string): boolean {
  return domain.length >= 2 && domain.startsWith("[") && domain.endsWith("]");
}

/** True for a host name or an address literal: what may stand right of the `@`. */
export function isValidDomain(domain: string, options: HostnameOptions = {}): boolean {
  if (domain.startsWith("[")) return parseAddressLiteral(domain) !== undefined;
  return isValidHostname(domain, options);
}

/** The name in ASCII (RFC 5890 A-labels); undefined when it is no host name. */
export function toAsciiName(name: string): string | undefined {
  if (!isValidHostname(name, { utf8: !isAscii(name) })) return undefined;
  const ascii = domainToAscii(name);
  return ascii !== undefined && isValidHostname(ascii) ? ascii : undefined;
}
