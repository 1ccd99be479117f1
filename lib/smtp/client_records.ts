/**
 * The hosts that a domain's MX or SRV records name: RFC 5321 section 5.1, RFC 7505 (null MX), RFC 2782 (SRV), as
 * postfix-map section 6.2 has them.
 *
 * @module
 */
import { printable } from "../vstring/printable.ts";
import type { DnsAnswer } from "../proto/dns_client.ts";
import { softened } from "./client_failure.ts";
import { ADDRESS_LIST_LIMIT } from "./client_hosts.ts";
import {
  findHost,
  type Found,
  type HostPlace,
  lookupFailure,
  type LookupTools,
  notFound,
  siteFailure,
} from "./client_names.ts";

type ServerRecord = DnsAnswer["records"][number];

/** Most hosts of one domain whose addresses are looked up. */
const RECORD_LIMIT = 20;

/** RFC 5321 section 5.1: MX records first; a name without any is its own mail exchanger. */
export async function findMailExchangers(name: string, port: number, tools: LookupTools): Promise<Found> {
  const itself = () => findHost(name, { port, preference: 0, best: true }, tools);
  const answer = await tools.dns.query(name, "MX");
  if (answer.rcode === "policy") return { failure: lookupFailure(name, "MX", answer) };
  if (answer.rcode !== "ok" && answer.rcode !== "nxdomain") {
    return tools.policy.ignoreMxErrors ? await itself() : { failure: lookupFailure(name, "MX", answer) };
  }
  if (answer.rcode === "nxdomain" || answer.records.length === 0) return await itself();
  const real = answer.records.filter((record) => record.value !== ".");
  // RFC 7505 section 3: a domain whose only MX is "." accepts no mail. Beside other records "." means nothing.
  if (real.length === 0) {
    const text = `Domain ${printable(name)} does not accept mail (nullMX)`;
    return { failure: siteFailure(false, "5.1.10", text) };
  }
  const sorted = [...real].sort((a, b) => a.priority - b.priority).slice(0, RECORD_LIMIT);
  const best = sorted[0]!.priority;
  const found = await Promise.all(sorted.map((record) => {
    const place: HostPlace = { port, preference: record.priority, best: record.priority === best };
    return findHost(record.value, place, tools);
  }));
  return mergeFound(`no MX host for ${printable(name)} has a valid address record`, found, tools);
}

/** The hosts of a service, or "fall back" where the configuration wants MX and addresses instead. */
export async function findServers(
  name: string,
  service: string,
  tools: LookupTools,
): Promise<Found | "fall back"> {
  const { srv } = tools.policy;
  const asked = `_${service}._tcp.${name}`;
  const answer = await tools.dns.query(asked, "SRV");
  const absent = answer.rcode === "nxdomain" || (answer.rcode === "ok" && answer.records.length === 0);
  if (absent) {
    if (srv.fallback) return "fall back";
    const why = answer.rcode === "ok" ? "Host found but no data record of requested type" : "Host not found";
    return { failure: notFound(asked, "SRV", why) };
  }
  if (answer.rcode !== "ok") {
    return srv.fallback || srv.ignoreErrors ? "fall back" : { failure: lookupFailure(asked, "SRV", answer) };
  }
  // RFC 2782, "Target": a single "." says that the service is decidedly not available at this domain.
  const real = answer.records.filter((record) => record.value !== ".");
  if (real.length === 0) {
    const text = `Service ${printable(asked)} is not available (nullSRV)`;
    return { failure: siteFailure(false, "5.1.0", text) };
  }
  const sorted = orderServers(real, tools.random).slice(0, RECORD_LIMIT);
  const best = sorted[0]!.priority;
  const found = await Promise.all(sorted.map((record) => {
    const { priority, port } = record;
    return findHost(record.value, { port, preference: priority, best: priority === best }, tools);
  }));
  const merged = mergeFound(`no SRV host for ${printable(asked)} has a valid address record`, found, tools);
  return "hosts" in merged ? { ...merged, ordered: true } : merged;
}

/**
 * RFC 2782: the lowest priority first; inside one, each next record drawn with a chance by its weight, those of
 * weight 0 before all others so that they have a chance at all.
 *
 * @param random from 0 up to 1
 */
export function orderServers<R extends Pick<ServerRecord, "priority" | "weight">>(
  records: readonly R[],
  random: () => number,
): R[] {
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: R[] = [];
  while (left.length > 0) {
    const group = left.findIndex((record) => record.priority !== left[0]!.priority);
    const size = group < 0 ? left.length : group;
    const sum = left.slice(0, size).reduce((total, record) => total + record.weight, 0);
    const drawn = Math.floor(random() * (sum + 1));
    let passed = 0;
    let at = 0;
    while (at < size - 1 && (passed += left[at]!.weight) < drawn) at++;
    ordered.push(...left.splice(at, 1));
  }
  return ordered;
}

/**
 * Any address found hides what went wrong with the others; without one, the last failure is told, and passes when any
 * of them may.
 */
function mergeFound(nothing: string, found: readonly Found[], tools: LookupTools): Found {
  const hosts = found.flatMap((each) => "hosts" in each ? each.hosts : []);
  if (hosts.length > 0) return { hosts: hosts.slice(0, ADDRESS_LIST_LIMIT) };
  const failures = found.flatMap((each) => "failure" in each ? [each.failure] : []);
  const failure = failures[failures.length - 1]!;
  tools.warn(nothing);
  const passes = failures.some((each) => each.soft) || tools.policy.deferIfNoAddress;
  return { failure: passes ? softened(failure) : failure };
}
