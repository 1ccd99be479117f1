/**
 * From a destination to the hosts that take its mail: RFC 5321 section 5.1, RFC 7505 (null MX), loop detection, and
 * the refusal of private addresses (postfix-map sections 6.2 and 6.3).
 *
 * @module
 */
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";
import { toAsciiName } from "../mail/domain.ts";
import type { DnsAnswer, DnsLookup } from "../proto/dns_client.ts";
import { isForbiddenAddress, isLoopbackAddress } from "./address_policy.ts";
import type { Destination } from "./client_destination.ts";
import { type Failure, localFailure } from "./client_failure.ts";
import { ADDRESS_LIST_LIMIT, type Host, orderHosts } from "./client_hosts.ts";
import type { ClientPolicy } from "./client_policy.ts";

type InetDestination = Extract<Destination, { kind: "inet" }>;

/** The hosts of a destination, or why there are none. */
export type HostLookup =
  | { readonly kind: "hosts"; readonly hosts: readonly Host[]; readonly final: boolean }
  | {
    readonly kind: "failed";
    readonly failure: Failure;
    /** No further destination may be tried: it would make a loop worse. */
    readonly final: boolean;
  };

/** What a lookup needs beside the destination. */
export interface LookupTools {
  readonly policy: ClientPolicy;
  readonly dns: DnsLookup;
  readonly warn: (text: string) => void;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** Port on which mail between hosts travels: the only one where meeting our own address means a loop. */
const MAIL_PORT = 25;
/** Most MX hosts whose addresses are looked up. */
const MX_HOST_LIMIT = 20;

/** Finds the hosts of a destination, in the order in which to try them. */
export async function lookUpHosts(destination: InetDestination, tools: LookupTools): Promise<HostLookup> {
  const found = await findAddresses(destination, tools);
  if ("failure" in found) return { kind: "failed", failure: found.failure, final: false };
  const withoutSelf = cutLoop(destination, found.hosts, tools.policy);
  if (withoutSelf.failure !== undefined) return { kind: "failed", failure: withoutSelf.failure, final: true };
  const allowed = withoutPrivate(destination, withoutSelf.hosts, tools);
  if ("failure" in allowed) return { kind: "failed", failure: allowed.failure, final: false };
  return {
    kind: "hosts",
    hosts: orderHosts(allowed.hosts, tools.policy, tools.random),
    final: withoutSelf.cut,
  };
}

type Found = { readonly hosts: readonly Host[] } | { readonly failure: Failure };

async function findAddresses(destination: InetDestination, tools: LookupTools): Promise<Found> {
  const { port } = destination;
  if (destination.literal !== undefined) {
    const address = destination.literal;
    return { hosts: [{ kind: "inet", name: address, address, port, preference: 0, best: true }] };
  }
  const name = toAsciiName(destination.host);
  if (name === undefined) return { failure: notFound(destination.host, "MX", "Host not found") };
  if (!tools.policy.lookups && name !== "localhost") {
    return {
      failure: siteFailure(true, "4.3.5", `unable to look up host ${name}: DNS lookups are disabled`),
    };
  }
  return destination.mx ? await findMailExchangers(name, port, tools) : await findHost(name, port, 0, tools);
}

/** RFC 5321 section 5.1: MX records first; a name without any is its own mail exchanger. */
async function findMailExchangers(name: string, port: number, tools: LookupTools): Promise<Found> {
  const answer = await tools.dns.query(name, "MX");
  if (answer.rcode !== "ok" && answer.rcode !== "nxdomain") {
    return tools.policy.ignoreMxErrors
      ? await findHost(name, port, 0, tools)
      : { failure: lookupFailure(name, "MX", answer) };
  }
  if (answer.rcode === "nxdomain" || answer.records.length === 0) return await findHost(name, port, 0, tools);
  const real = answer.records.filter((record) => record.value !== ".");
  // RFC 7505 section 3: a domain whose only MX is "." accepts no mail. Beside other records "." means nothing.
  if (real.length === 0) {
    const text = `Domain ${printable(name)} does not accept mail (nullMX)`;
    return { failure: siteFailure(false, "5.1.10", text) };
  }
  const sorted = [...real].sort((a, b) => a.priority - b.priority).slice(0, MX_HOST_LIMIT);
  const best = sorted[0]!.priority;
  const found = await Promise.all(
    sorted.map((record) => findHost(record.value, port, record.priority, tools, record.priority === best)),
  );
  return mergeExchangers(name, found, tools);
}

/** Any address found hides what went wrong with the others; without one, the failure that may pass wins. */
function mergeExchangers(name: string, found: readonly Found[], tools: LookupTools): Found {
  const hosts = found.flatMap((each) => "hosts" in each ? each.hosts : []);
  if (hosts.length > 0) return { hosts: hosts.slice(0, ADDRESS_LIST_LIMIT) };
  const failures = found.flatMap((each) => "failure" in each ? [each.failure] : []);
  const failure = failures.find((each) => each.soft) ?? failures[failures.length - 1]!;
  tools.warn(`no MX host for ${printable(name)} has a valid address record`);
  return tools.policy.deferIfNoAddress && !failure.soft
    ? { failure: { ...failure, soft: true, status: "4.4.4" } }
    : { failure };
}

/** The addresses of one host, in the families that are configured. */
async function findHost(
  name: string,
  port: number,
  preference: number,
  tools: LookupTools,
  best = true,
): Promise<Found> {
  const toHost = (address: string): Host => ({ kind: "inet", name, address, port, preference, best });
  // An address in the place of an MX host's name.
  const numeric = parseIpAddress(name);
  if (numeric !== undefined) return { hosts: [toHost(formatIpAddress(numeric))] };
  // RFC 6761 section 6.3: localhost is not asked for.
  if (name === "localhost") return { hosts: localAddresses(tools.policy).map(toHost) };
  const types = [...tools.policy.ipv4 ? ["A" as const] : [], ...tools.policy.ipv6 ? ["AAAA" as const] : []];
  const answers = await Promise.all(types.map((type) => tools.dns.query(name, type)));
  const addresses = answers.flatMap((answer) => answer.rcode === "ok" ? answer.records : []);
  if (addresses.length > 0) {
    return { hosts: addresses.slice(0, ADDRESS_LIST_LIMIT).map((record) => toHost(record.value)) };
  }
  const failures = answers.map((answer, i) => lookupFailure(name, types[i]!, answer));
  const failure = failures.find((each) => each.soft) ?? failures[failures.length - 1];
  return {
    failure: failure ?? siteFailure(true, "4.3.5", "no address family is configured (inet_protocols)"),
  };
}

function localAddresses(policy: ClientPolicy): string[] {
  return [...policy.ipv4 ? ["127.0.0.1"] : [], ...policy.ipv6 ? ["::1"] : []];
}

/** Only NXDOMAIN and NODATA say that there is nothing; whatever else went wrong may be right tomorrow. */
function lookupFailure(name: string, type: string, answer: DnsAnswer): Failure {
  switch (answer.rcode) {
    case "nxdomain":
      return notFound(name, type, "Host not found");
    case "ok":
      return notFound(name, type, "Host found but no data record of requested type");
    case "malformed":
      return siteFailure(
        true,
        "4.4.3",
        nameServiceError(name, type, "Malformed or unexpected name server reply"),
      );
    default:
      return siteFailure(true, "4.4.3", nameServiceError(name, type, "Host not found, try again"));
  }
}

function notFound(name: string, type: string, why: string): Failure {
  return siteFailure(false, "5.4.4", nameServiceError(name, type, why));
}

function nameServiceError(name: string, type: string, why: string): string {
  return `Host or domain name not found. Name service error for name=${printable(name)} type=${type}: ${why}`;
}

function siteFailure(soft: boolean, status: string, text: string): Failure {
  return localFailure("site", soft, status, text);
}

/** True for an address of this host; loopback is, whatever the interfaces are. */
function isOwn(address: string, policy: ClientPolicy): boolean {
  const literal = address.includes(":") ? `[IPv6:${address}]` : `[${address}]`;
  return isLoopbackAddress(address) || policy.own.includes(literal);
}

interface WithoutSelf {
  readonly hosts: readonly Host[];
  /** Hosts were left out because they are this host, or no better than it. */
  readonly cut: boolean;
  readonly failure?: Failure;
}

/**
 * RFC 5321 section 5.1: when this host is among the mail exchangers, only better ones may be tried. An address that
 * is loopback whatever it is called counts as this host too.
 */
function cutLoop(destination: InetDestination, hosts: readonly Host[], policy: ClientPolicy): WithoutSelf {
  const detects = policy.dialect === "smtp" && destination.port === MAIL_PORT;
  const own = hosts.filter((host) => isOwn(host.address, policy));
  if (!detects || own.length === 0) return { hosts, cut: false };
  const limit = Math.min(...own.map((host) => host.preference));
  const better = hosts.filter((host) => host.preference < limit);
  if (better.length > 0) return { hosts: better, cut: true };
  const name = printable(destination.host);
  const failure = own.some((host) => host.best)
    ? siteFailure(false, "5.4.6", `mail for ${name} loops back to myself`)
    : siteFailure(true, "4.4.4", `unable to find primary relay for ${name}`);
  return { hosts: [], cut: true, failure };
}

/** Leaves private addresses out, unless the configuration itself routes to this destination. */
function withoutPrivate(destination: InetDestination, hosts: readonly Host[], tools: LookupTools): Found {
  if (tools.policy.trusted.has(destination.text)) return { hosts };
  const allowed = hosts.filter((host) => !isForbiddenAddress(host.address));
  const name = printable(destination.host);
  for (const host of hosts) {
    if (!allowed.includes(host)) {
      tools.warn(
        `${name}: address ${host.address} of host ${host.name} is not on the public internet: not used`,
      );
    }
  }
  if (allowed.length > 0) return { hosts: allowed };
  if (hosts.every((host) => isLoopbackAddress(host.address))) {
    return { failure: siteFailure(false, "5.4.6", `mail for ${name} loops back to myself`) };
  }
  return {
    failure: siteFailure(false, "5.4.4", `no host for ${name} has an address on the public internet`),
  };
}
