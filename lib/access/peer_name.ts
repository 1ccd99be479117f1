/**
 * Who the client is: its address in one form, and its name if the name leads back to the address.
 *
 * @module
 */
// Utility
import { parseIpAddress } from "../vstring/ip_address.ts";
// Internal protocols
import type { DnsLookup } from "../proto/dns_client.ts";
// Access
import { canonicalAddress, isLoopback, reverseLabels } from "./peer.ts";

/** Most names of one address that are tried. */
const NAME_LIMIT = 5;

/** Names of an address. */
export interface Names {
  readonly name: string;
  readonly reverseName: string;
  readonly trouble: boolean;
}

const UNKNOWN: Names = { name: "unknown", reverseName: "unknown", trouble: false };

/** Looks up a client's name: the name of its address, if one of the name's addresses is the client's. */
export async function lookUpNames(dns: DnsLookup, address: string): Promise<Names> {
  if (isLoopback(address)) return { name: "localhost", reverseName: "localhost", trouble: false };
  const bytes = parseIpAddress(address);
  if (bytes === undefined) return UNKNOWN;
  const pointers = await dns.query(reverseDomain(bytes), "PTR");
  if (pointers.rcode !== "ok") return { ...UNKNOWN, trouble: pointers.rcode !== "nxdomain" };
  const names = pointers.records.slice(0, NAME_LIMIT).map((record) => record.value);
  const first = names[0];
  if (first === undefined) return UNKNOWN;
  let trouble = false;
  for (const name of names) {
    const forward = await dns.query(name, bytes.length === 4 ? "A" : "AAAA");
    if (forward.rcode !== "ok" && forward.rcode !== "nxdomain") trouble = true;
    if (forward.records.some((record) => canonicalAddress(record.value) === address)) {
      return { name, reverseName: first, trouble: false };
    }
  }
  return { name: "unknown", reverseName: first, trouble };
}

/** RFC 1035 section 3.5 and RFC 3596 section 2.5: the domain under which an address has its names. */
export function reverseDomain(bytes: Uint8Array): string {
  return `${reverseLabels(bytes)}.${bytes.length === 4 ? "in-addr" : "ip6"}.arpa`;
}
