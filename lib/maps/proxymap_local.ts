/**
 * Domains whose users are also known by their bare name: `user` in a table stands for `user@$myorigin`,
 * `user@` a domain of mydestination, and `user@[address]` of this host.
 *
 * @module
 */
// Utility
import { formatIpAddress } from "../vstring/ip_address.ts";
import { equalsIgnoreCase } from "../vstring/ascii.ts";
// Tables
import { parseIpAddress, parseIpNetwork } from "../table/ip_network.ts";
import { matchDomainList, type MatchList } from "../table/match_list.ts";
import { MISSING, type Outcome } from "../table/table.ts";
// Mail
import { parseAddressLiteral } from "../mail/domain.ts";

const FOUND: Outcome = { kind: "found", value: "" };

/** What makes a domain local. */
export interface LocalDomains {
  readonly myorigin: string;
  readonly mydestination: MatchList;
  /** Addresses of this host as `addressSet` makes them. */
  readonly addresses: ReadonlySet<string>;
}

/** Whether the domain is local; `retry` when a table of mydestination fails. */
export async function isLocalDomain(domain: string, local: LocalDomains): Promise<Outcome> {
  if (equalsIgnoreCase(domain, local.myorigin)) return FOUND;
  const listed = await matchDomainList(local.mydestination, domain);
  if (listed.kind !== "missing") return listed;
  const literal = parseAddressLiteral(domain);
  if (literal === undefined) return MISSING;
  return local.addresses.has(normalAddress(formatIpAddress(literal.bytes)) ?? "") ? FOUND : MISSING;
}

/**
 * The addresses that inet_interfaces and proxy_interfaces name.
 *
 * @param system the addresses of this machine's interfaces
 */
export function addressSet(items: readonly string[], system: () => readonly string[]): Set<string> {
  const texts = items.flatMap((item) => {
    if (equalsIgnoreCase(item, "all")) return system();
    const loopback = equalsIgnoreCase(item, "loopback-only") || equalsIgnoreCase(item, "localhost");
    return loopback ? ["127.0.0.1", "::1"] : [item];
  });
  return new Set(texts.flatMap((text) => normalAddress(text) ?? []));
}

/** One text for an address, whatever way it was written; IPv4 in IPv6 form is IPv4. */
function normalAddress(text: string): string | undefined {
  const parsed = parseIpNetwork(text);
  if (parsed.kind === "bad") return undefined;
  const plain = formatIpAddress(parsed.network.address);
  return formatIpAddress(parseIpAddress(plain) ?? parsed.network.address);
}
