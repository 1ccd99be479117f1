/**
 * One client and one list.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
import { parseIpAddress, parseIpv4 } from "../../lib/vstring/ip_address.ts";
// Access
import { reverseLabels } from "../../lib/access/peer.ts";
// Internal protocols
import type { ReplyValues } from "../../lib/ipc/protocol.ts";
import type { DnsLookup } from "../../lib/proto/dns_client.ts";
import { DNSBLOG } from "../../lib/proto/protocols.ts";

/** What a list says. */
export type Listed = ReplyValues<typeof DNSBLOG, "listed">;

/** Most addresses of an answer that are looked at. */
const ADDRESS_COUNT = DNSBLOG.replies.listed.fields.addresses.most;

/** Asks a list about a client; a lookup that fails says nothing of the client, and that it has failed. */
export async function lookUpList(
  dns: DnsLookup,
  domain: string,
  address: string,
  log: Pick<Logger, "info" | "warning">,
): Promise<Listed> {
  const name = listName(domain, address);
  if (name === undefined) return { addresses: [], ttl: 0, failed: true };
  const answer = await dns.query(name, "A");
  if (answer.rcode !== "ok" && answer.rcode !== "nxdomain") {
    log.warning(`dnsblog_query: lookup error for DNS query ${printable(name)}: ${answer.rcode}`);
    return { addresses: [], ttl: 0, failed: true };
  }
  const addresses = answer.records.map(({ value }) => value).filter((value) => parseIpv4(value) !== undefined)
    .slice(0, ADDRESS_COUNT);
  for (const value of addresses) {
    log.info(`addr ${printable(address)} listed by domain ${printable(domain)} as ${value}`);
  }
  return { addresses: addresses.map((value) => ({ address: value })), ttl: answer.ttl, failed: false };
}

/** RFC 5782 section 2.1 and 2.4: octets of IPv4, nibbles of IPv6, the last one first, below the list's domain. */
export function listName(domain: string, address: string): string | undefined {
  const bytes = parseIpAddress(address);
  return bytes === undefined ? undefined : `${reverseLabels(bytes)}.${domain}`;
}
