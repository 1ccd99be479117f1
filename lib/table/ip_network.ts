/**
 * IP addresses and networks as bytes. An IPv4 address in IPv6 form (`::ffff:192.0.2.1`) is the IPv4 address: a
 * client that connects through a dual-stack socket is judged by the same rules.
 *
 * @module
 */
// Utility
import { parseDecimal } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress as parsePlain } from "../vstring/ip_address.ts";

/** An address: 4 or 16 bytes. */
export type IpAddress = Uint8Array;

/** The addresses whose first `bits` bits are those of `address`. */
export interface IpNetwork {
  readonly address: IpAddress;
  readonly bits: number;
}

const COLON = 0x3a;

/** The address that the text stands for, or undefined. No zone, no brackets, no leading zeros in IPv4. */
export function parseIpAddress(text: string): IpAddress | undefined {
  const bytes = parsePlain(text);
  return bytes?.length === 16 ? unmap(bytes) : bytes;
}

/** RFC 3493 section 3.7: `::ffff:0:0/96` are the IPv4 addresses in IPv6 form. */
function unmap(bytes: Uint8Array): IpAddress {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return bytes;
  return bytes[10] === 0xff && bytes[11] === 0xff ? bytes.subarray(12) : bytes;
}

/** A network, or what is wrong with its text. */
export type ParsedNetwork =
  | { readonly kind: "network"; readonly network: IpNetwork }
  | { readonly kind: "bad"; readonly why: string };

/**
 * A network as lists and cidr tables write it: `192.0.2.0/24`, `[2001:db8::]/32`, `[2001:db8::/32]`, or a single
 * address. Host bits that are not zero are an error: they show that something else was meant. A network of IPv6 holds no
 * IPv4 address, not even one in `::ffff:0:0/96`: as a client's address is IPv4 whatever its form, nobody is in that.
 */
export function parseIpNetwork(pattern: string): ParsedNetwork {
  const parts = splitNetwork(pattern);
  // Without the step that makes IPv4 of the mapped form: a prefix length counts the bits as written.
  const bytes = parts === undefined ? undefined : parsePlain(parts.address);
  if (parts === undefined || bytes === undefined) {
    return { kind: "bad", why: `bad address pattern: "${pattern}"` };
  }
  const most = bytes.length * 8;
  let bits = most;
  if (parts.length !== undefined) {
    const length = parseDecimal(parts.length);
    if (length === undefined || length > most) return { kind: "bad", why: `bad mask length in "${pattern}"` };
    bits = length;
  }
  const cleared = maskAddress(bytes, bits);
  if (!sameBytes(cleared, bytes)) {
    const should = `${formatIpAddress(cleared)}/${bits}`;
    return {
      kind: "bad",
      why: `non-null host address bits in "${pattern}", perhaps you should use "${should}" instead`,
    };
  }
  return { kind: "network", network: { address: cleared, bits } };
}

function splitNetwork(pattern: string): { address: string; length: string | undefined } | undefined {
  let inner = pattern;
  let suffix = "";
  if (pattern.startsWith("[")) {
    const close = pattern.indexOf("]");
    if (close < 0) return undefined;
    inner = pattern.slice(1, close);
    suffix = pattern.slice(close + 1);
    if (suffix !== "" && (!suffix.startsWith("/") || inner.includes("/"))) return undefined;
  }
  const whole = inner + suffix;
  const slash = whole.indexOf("/");
  if (slash < 0) return { address: whole, length: undefined };
  return { address: whole.slice(0, slash), length: whole.slice(slash + 1) };
}

/** The address with all but its first `bits` bits cleared. */
export function maskAddress(address: IpAddress, bits: number): Uint8Array {
  return address.map((byte, index) => byte & byteMask(bits - index * 8));
}

/** The mask of one byte of which the first `bits` bits count. */
function byteMask(bits: number): number {
  return bits >= 8 ? 0xff : bits <= 0 ? 0 : (0xff00 >> bits) & 0xff;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, index) => byte === b[index]);
}

/** True when the address is in the network; one of the other family never is. */
export function inNetwork(address: IpAddress, network: IpNetwork): boolean {
  const wanted = network.address;
  if (address.length !== wanted.length) return false;
  let bits = network.bits;
  for (let i = 0; bits > 0; i++, bits -= 8) {
    if (((address[i]! ^ wanted[i]!) & byteMask(bits)) !== 0) return false;
  }
  return true;
}

/** True when the text begins as an IPv6 address does, so that its colons are no separator of a table's type. */
export function looksLikeIpv6(text: string): boolean {
  const slash = text.indexOf("/");
  return text.charCodeAt(0) === COLON || parsePlain(slash < 0 ? text : text.slice(0, slash))?.length === 16;
}
