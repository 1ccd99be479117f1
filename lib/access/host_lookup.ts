/**
 * Hosts behind a name: itself, its mail hosts or its name servers, and their addresses.
 */
// Internal protocols
import type { FilteredAnswer, FilteredDns } from "../proto/dns_filter.ts";

/** A: the name itself. MX: its mail hosts, the name itself where there are none. NS: the servers of its zone. */
export type HostKind = "A" | "MX" | "NS";

/** Names or addresses, or why nobody can tell now. */
export type Hosts =
  | { readonly kind: "found"; readonly names: readonly string[] }
  | { readonly kind: "retry"; readonly why: string };

/** Most hosts of one name. */
const HOST_LIMIT = 100;

/** True when the resolver has answered: with records, without, or that there is no such name. */
export function isAnswered(answer: FilteredAnswer): boolean {
  return answer.rcode === "ok" || answer.rcode === "nxdomain";
}

/** True when it has answered with nothing but what smtpd_dns_reply_filter keeps from us: no reason to refuse anything. */
export function isFilteredAway(
  answer: FilteredAnswer,
  warn: ((text: string) => void) | undefined,
  name: string,
): boolean {
  if (answer.rcode !== "policy") return false;
  warn?.(`${name}: MX or address lookup error: DNS reply filter drops all results`);
  return true;
}

/** The hosts behind a name. */
export async function hostsOf(dns: FilteredDns, kind: HostKind, name: string): Promise<Hosts> {
  if (kind === "A") return { kind: "found", names: [name] };
  let answer = await dns.query(name, kind);
  // Name servers are those of the zone that the name is in.
  for (let zone = name; kind === "NS" && isAnswered(answer) && answer.records.length === 0;) {
    const dot = zone.indexOf(".");
    if (dot < 0 || dot === zone.length - 1) break;
    zone = zone.slice(dot + 1);
    answer = await dns.query(zone, kind);
  }
  if (answer.rcode === "policy") return { kind: "found", names: [] };
  if (!isAnswered(answer)) return { kind: "retry", why: answer.rcode };
  const hosts = answer.records.map(({ value }) => value).filter((value) => value !== "" && value !== ".");
  if (kind === "MX" && answer.records.length === 0) return { kind: "found", names: [name] };
  return { kind: "found", names: hosts.slice(0, HOST_LIMIT) };
}

/** A host's addresses, of both families. */
export async function hostAddresses(dns: FilteredDns, host: string): Promise<Hosts> {
  const answers = [await dns.query(host, "A"), await dns.query(host, "AAAA")];
  const names = answers.flatMap(({ records }) => records.map(({ value }) => value));
  if (names.length > 0) return { kind: "found", names };
  const failed = answers.find((answer) => !isAnswered(answer) && answer.rcode !== "policy");
  return failed === undefined ? { kind: "found", names } : { kind: "retry", why: failed.rcode };
}
