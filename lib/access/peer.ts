/**
 * Who a client is.
 *
 * @module
 */
// Utility
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";

/** A client. */
export interface Peer {
  /** Verified name, or "unknown". */
  readonly name: string;
  /** Name that the address has, verified or not, or "unknown". */
  readonly reverseName: string;
  /** IPv4, also for a client that came in the IPv4-mapped form, or IPv6. */
  readonly address: string;
  readonly port: number;
  readonly serverAddress: string;
  readonly serverPort: number;
  /** The names could not be looked up now: a refusal for lack of one must be soft. */
  readonly nameTrouble: boolean;
  /** The same of the name that the address has; the same as `nameTrouble` where nothing is said. */
  readonly reverseTrouble?: boolean;
  /** The client's address is one of this machine's. */
  readonly ours: boolean;
}

/** The text form that all comparisons and logs use; an address that is none stays as it is. */
export function canonicalAddress(text: string): string {
  const zone = text.indexOf("%");
  const plain = zone < 0 ? text : text.slice(0, zone);
  const bytes = parseIpAddress(plain);
  if (bytes === undefined) return plain;
  return formatIpAddress(isMapped(bytes) ? bytes.subarray(12) : bytes);
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff &&
    bytes[11] === 0xff;
}

/** True for an address of this machine's loopback network. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** The bytes of an address backwards, as the labels below a domain that has names for addresses. */
export function reverseLabels(bytes: Uint8Array): string {
  if (bytes.length === 4) return [...bytes].reverse().join(".");
  const nibbles = [...bytes].flatMap((byte) => [byte >> 4, byte & 15]);
  return nibbles.reverse().map((nibble) => nibble.toString(16)).join(".");
}
