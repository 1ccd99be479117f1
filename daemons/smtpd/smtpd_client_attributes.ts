/**
 * `name=value ...`, the argument of XCLIENT and XFORWARD: what another mail program, which is trusted to, says of its own
 * client. One row for each attribute, with what its value may be.
 */
// Utility
import { asciiLower, asciiUpper, isAlnum, parseDecimal, splitBlanks } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { parseIpAddress } from "../../lib/vstring/ip_address.ts";
// Mail
import { isValidHostname } from "../../lib/mail/domain.ts";
import { decodeXtext } from "../../lib/mail/xtext.ts";
// Access
import { canonicalAddress } from "../../lib/access/peer.ts";
import { type ReplyText, shown } from "../../lib/access/reply.ts";

/** Longest value, bytes of the command line are bounded already. */
const VALUE_LIMIT = 255;
/** Most attributes of one command. */
const ATTRIBUTE_LIMIT = 20;
const IPV6_PREFIX = "IPV6:";
const PORT_MOST = 65_535;

/** A value; undefined: the other program does not know it, and `again` says that it may know it later. */
export interface AttributeValue {
  readonly text: string | undefined;
  readonly again: boolean;
}

/** What a value is made into; undefined: it is none. */
export type AttributeRow = (value: string) => string | undefined;

/** Attributes by name, or the reply to what is wrong with them. */
export type Attributes = ReadonlyMap<string, AttributeValue> | ReplyText;

/** A host's name. */
export const hostName: AttributeRow = (value) => isValidHostname(value) ? asciiLower(value) : undefined;

/** An address, with a prefix where it is IPv6. */
export const hostAddress: AttributeRow = (value) => {
  const prefixed = asciiUpper(value.slice(0, IPV6_PREFIX.length)) === IPV6_PREFIX;
  const text = prefixed ? value.slice(IPV6_PREFIX.length) : value;
  const bytes = parseIpAddress(text);
  return bytes === undefined || prefixed === (bytes.length === 4) ? undefined : canonicalAddress(text);
};

/** A port. */
export const portNumber: AttributeRow = (value) =>
  parseDecimal(value, PORT_MOST) === undefined ? undefined : value;

/** A protocol's name. */
export const protocolName: AttributeRow = (value) => isWord(value) ? value : undefined;

/** Text that a log can show and that holds no syntax of another place. */
export const plainText: AttributeRow = (value) => {
  let out = "";
  for (const character of value.slice(0, VALUE_LIMIT)) {
    const code = character.charCodeAt(0);
    out += code <= 0x20 || code >= 0x7f || '<>()\\";@'.includes(character) ? "?" : character;
  }
  return out;
};

/** One of a few words. */
export const oneOf = (...words: readonly string[]): AttributeRow => (value) => {
  const word = asciiUpper(value);
  return words.includes(word) ? word : undefined;
};

/** Reads the attributes of a command. */
export function readAttributes(
  command: string,
  rows: Readonly<Record<string, AttributeRow>>,
  argument: Uint8Array,
): Attributes {
  const words = splitBlanks(decodeText(argument));
  if (words.length === 0 || words.length > ATTRIBUTE_LIMIT) {
    return `501 5.5.4 Syntax: ${command} attribute=value...`;
  }
  const found = new Map<string, AttributeValue>();
  for (const pair of words) {
    const equal = pair.indexOf("=");
    if (equal < 0) return "501 5.5.4 Error: attribute=value expected";
    const name = asciiUpper(pair.slice(0, equal));
    const raw = pair.slice(equal + 1);
    const row = Object.hasOwn(rows, name) ? rows[name] : undefined;
    if (row === undefined) return `501 5.5.4 Bad ${command} attribute name: ${shown(pair.slice(0, equal))}`;
    const word = asciiUpper(raw);
    // Only a name may be known later: it is looked up.
    const again = word === "[TEMPUNAVAIL]" && command === "XCLIENT" && row === hostName;
    if (word === "[UNAVAILABLE]" || again) {
      found.set(name, { text: undefined, again });
      continue;
    }
    const value = decodeXtext(raw);
    if (value === undefined) return `501 5.5.4 Bad attribute value syntax: ${shown(raw)}`;
    const text = value.length > VALUE_LIMIT ? undefined : row(value);
    if (text === undefined) return `501 5.5.4 Bad ${name} syntax: ${shown(value)}`;
    found.set(name, { text, again: false });
  }
  return found;
}

function isWord(value: string): boolean {
  if (value === "") return false;
  for (let i = 0; i < value.length; i++) if (!isAlnum(value.charCodeAt(i))) return false;
  return true;
}
