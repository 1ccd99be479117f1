/**
 * Names to addresses for the client: by the dns daemon, by the file of host names, and what is told when there is
 * none (postfix-map section 6.2).
 *
 * @module
 */
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";
import type { FilteredAnswer, FilteredDns } from "../proto/dns_filter.ts";
import { type Failure, localFailure } from "./client_failure.ts";
import { ADDRESS_LIST_LIMIT, type Host } from "./client_hosts.ts";
import type { ClientPolicy } from "./client_policy.ts";

/** What a lookup needs beside the destination. */
export interface LookupTools {
  readonly policy: ClientPolicy;
  readonly dns: FilteredDns;
  /** Addresses of a name by the system's file of host names (smtp_host_lookup = native). */
  readonly native: (name: string) => readonly string[];
  readonly warn: (text: string) => void;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** Hosts, or why there are none. */
export type Found =
  | {
    readonly hosts: readonly Host[];
    /** They are in the order in which to try them. */
    readonly ordered?: true;
  }
  | { readonly failure: Failure };

/** What a host's addresses are for. */
export interface HostPlace {
  readonly port: number;
  /** Preference of the record that names the host; 0 without one. */
  readonly preference: number;
  readonly best: boolean;
}

/** The addresses of one host, in the families that are configured. */
export async function findHost(name: string, place: HostPlace, tools: LookupTools): Promise<Found> {
  const { policy } = tools;
  const toHost = (address: string, called = name): Host => ({
    kind: "inet",
    name: called,
    address,
    ...place,
  });
  // An address in the place of an MX host's name.
  const numeric = parseIpAddress(name);
  if (numeric !== undefined) return { hosts: [toHost(formatIpAddress(numeric))] };
  // RFC 6761 section 6.3: localhost is not asked for.
  if (name === "localhost") return { hosts: localAddresses(policy).map((address) => toHost(address)) };
  const failures: Failure[] = [];
  for (const way of policy.hostLookup) {
    const found = way === "dns" ? await byDns(name, toHost, tools) : byFile(name, toHost, tools);
    if ("hosts" in found) return found;
    failures.push(found.failure);
    // The file is asked only where the DNS has said that there is no such name.
    if (found.failure.soft) break;
  }
  return { failure: failures.at(-1) ?? siteFailure(true, "4.3.5", "smtp_host_lookup names no way") };
}

type ToHost = (address: string, called?: string) => Host;

async function byDns(name: string, toHost: ToHost, { policy, dns }: LookupTools): Promise<Found> {
  const types = [...policy.ipv4 ? ["A" as const] : [], ...policy.ipv6 ? ["AAAA" as const] : []];
  const answers = await Promise.all(types.map((type) => dns.query(name, type)));
  const hosts = answers.flatMap((answer) => {
    const called = policy.cnameOverridesName ? answer.canonicalName : name;
    return answer.rcode === "ok" ? answer.records.map((record) => toHost(record.value, called)) : [];
  });
  if (hosts.length > 0) return { hosts: hosts.slice(0, ADDRESS_LIST_LIMIT) };
  const failures = answers.map((answer, i) => lookupFailure(name, types[i]!, answer));
  const failure = failures.find((each) => each.soft) ?? failures[failures.length - 1];
  return {
    failure: failure ?? siteFailure(true, "4.3.5", "no address family is configured (inet_protocols)"),
  };
}

function byFile(name: string, toHost: ToHost, { policy, native }: LookupTools): Found {
  const hosts = native(name)
    .filter((address) => address.includes(":") ? policy.ipv6 : policy.ipv4)
    .map((address) => toHost(address));
  if (hosts.length > 0) return { hosts: hosts.slice(0, ADDRESS_LIST_LIMIT) };
  const text = `unable to look up host ${printable(name)}: Name or service not known`;
  return { failure: siteFailure(false, "5.4.4", text) };
}

function localAddresses(policy: ClientPolicy): string[] {
  return [...policy.ipv4 ? ["127.0.0.1"] : [], ...policy.ipv6 ? ["::1"] : []];
}

/** Only NXDOMAIN and NODATA say that there is nothing; whatever else went wrong may be right tomorrow. */
export function lookupFailure(name: string, type: string, answer: FilteredAnswer): Failure {
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
    case "loop":
      return siteFailure(false, "5.4.4", `Name server loop for ${printable(name)}`);
    case "policy": {
      const text = `Error looking up name=${printable(name)} type=${type}`;
      return siteFailure(true, "4.7.0", `${text}: DNS reply filter drops all results`);
    }
    default:
      return siteFailure(true, "4.4.3", nameServiceError(name, type, "Host not found, try again"));
  }
}

/** A name that does not exist. */
export function notFound(name: string, type: string, why: string): Failure {
  return siteFailure(false, "5.4.4", nameServiceError(name, type, why));
}

function nameServiceError(name: string, type: string, why: string): string {
  return `Host or domain name not found. Name service error for name=${printable(name)} type=${type}: ${why}`;
}

/** A failure of the destination as a whole. */
export function siteFailure(soft: boolean, status: string, text: string): Failure {
  return localFailure("site", soft, status, text);
}
