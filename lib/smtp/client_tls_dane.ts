/**
 * Which TLSA records a mail host has to match: RFC 7672, with the DNS answers that a validating resolver vouches for
 * (postfix-map section 6.11).
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import { toAsciiName } from "../mail/domain.ts";
import type { DnsAnswer, DnsLookup } from "../proto/dns_client.ts";
// TLS
import { type TlsaRecord, usableRecords } from "../tls/client_dane.ts";
// This program
import type { Destination } from "./client_destination.ts";
import type { Host } from "./client_hosts.ts";
import type { DaneConfiguration } from "./client_tls_settings.ts";

/** What DANE says of a host. */
export type DaneFinding =
  /** Records that the server has to match. `half`: the MX records themselves were not proven. */
  | {
    readonly kind: "records";
    readonly records: readonly TlsaRecord[];
    /** Where they stand: also the name for SNI. */
    readonly base: string;
    readonly names: readonly string[];
    readonly half: boolean;
  }
  /** Records are there, but none that can be used: TLS is known to be spoken, by nobody in particular. */
  | { readonly kind: "unusable" }
  /** No DANE here; `why` for level dane-only. `insecureMx`: because the MX records were not proven. */
  | { readonly kind: "absent"; readonly why: string; readonly insecureMx: boolean }
  /** It could not be found out, so that this host must not be used now. */
  | { readonly kind: "trouble"; readonly why: string };

/** Looks for the records of a host. */
export async function findTlsa(
  destination: Extract<Destination, { kind: "inet" }>,
  host: Host,
  dane: DaneConfiguration,
  dns: DnsLookup,
): Promise<DaneFinding> {
  const exchange = await lookAtExchange(destination, host, dns);
  if (exchange.insecure && dane.insecureMx !== "dane") {
    return { kind: "absent", why: "MX records are not DNSSEC validated", insecureMx: true };
  }
  const bases = await findBases(host, dane, dns);
  if (bases.length === 0) return { kind: "absent", why: "no DNSSEC validated address", insecureMx: false };
  for (const base of bases) {
    const answer = await dns.query(`_${host.port}._tcp.${base}`, "TLSA");
    // RFC 7672 section 2.1.1: a lookup that fails is no proof that there is nothing; the host is passed over.
    if (answer.rcode !== "ok" && answer.rcode !== "nxdomain") {
      return { kind: "trouble", why: `TLSA lookup error for ${printable(base)}:${host.port}` };
    }
    // RFC 7672 section 2.1.2: records that nobody vouches for are none.
    if (answer.rcode !== "ok" || answer.records.length === 0 || !answer.authenticated) continue;
    const records = usableRecords(answer.records.map((record) => record.data), dane.digests);
    if (records.length === 0) return { kind: "unusable" };
    return { kind: "records", records, base, names: [base, ...exchange.names], half: exchange.insecure };
  }
  return { kind: "absent", why: "no TLSA records found", insecureMx: false };
}

/** What the way from the destination to the host is worth, and the names that it proves. */
interface Exchange {
  readonly insecure: boolean;
  readonly names: readonly string[];
}

/** RFC 7672 section 2.2: MX records that are not proven may be an attacker's, and so may be the hosts that they name. */
async function lookAtExchange(
  destination: Extract<Destination, { kind: "inet" }>,
  host: Host,
  dns: DnsLookup,
): Promise<Exchange> {
  const domain = toAsciiName(destination.host);
  if (!destination.mx || domain === undefined) {
    return { insecure: false, names: [asciiLower(destination.host)] };
  }
  const answer = await dns.query(domain, "MX");
  // A domain without MX records is its own host; whether that one is proven is asked next.
  if (answer.rcode === "nxdomain" || (answer.rcode === "ok" && answer.records.length === 0)) {
    return { insecure: false, names: [domain] };
  }
  // The host must stand in the answer that is proven: it came from an earlier one, which might not have been.
  const listed = answer.records.some((record) => asciiLower(record.value) === host.name);
  if (!answer.authenticated || !listed) return { insecure: true, names: [domain] };
  return { insecure: false, names: [domain, asciiLower(answer.canonicalName)] };
}

/** RFC 7672 section 2.1.2, 2.1.3: the names below which TLSA records may stand, in the order in which to look. */
async function findBases(host: Host, dane: DaneConfiguration, dns: DnsLookup): Promise<string[]> {
  // A literal address has no records.
  if (host.name === host.address) return [];
  const answer: DnsAnswer = await dns.query(host.name, host.address.includes(":") ? "AAAA" : "A");
  const expanded = asciiLower(answer.canonicalName);
  const isAlias = answer.rcode === "ok" && expanded !== host.name;
  if (answer.rcode === "ok" && answer.authenticated) {
    return isAlias ? [expanded, host.name] : [host.name];
  }
  if (isAlias) {
    // The address is not proven, but the alias itself may be: then its owner may have published records for it.
    const alias = await dns.query(host.name, "CNAME");
    if (alias.rcode === "ok" && alias.authenticated && alias.records.length > 0) return [host.name];
  }
  return dane.forceInsecureHosts ? [host.name] : [];
}
