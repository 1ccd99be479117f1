/**
 * From a destination to the hosts that take its mail: where their names come from (client_records.ts,
 * client_names.ts), loop detection, and the refusal of private addresses (postfix-map sections 6.2 and 6.3).
 *
 * @module
 */
import { printable } from "../vstring/printable.ts";
import { toAsciiName } from "../mail/domain.ts";
import { isForbiddenAddress, isLoopbackAddress } from "./address_policy.ts";
import type { Destination } from "./client_destination.ts";
import { type Failure, isLoop } from "./client_failure.ts";
import { type Host, orderHosts } from "./client_hosts.ts";
import { findHost, type Found, type LookupTools, notFound, siteFailure } from "./client_names.ts";
import type { ClientPolicy } from "./client_policy.ts";
import { findMailExchangers, findServers } from "./client_records.ts";

type InetDestination = Extract<Destination, { kind: "inet" }>;

/** The hosts of a destination, or why there are none. */
export type HostLookup =
  | { readonly kind: "hosts"; readonly hosts: readonly Host[]; readonly final: boolean }
  | {
    readonly kind: "failed";
    readonly failure: Failure;
    /** No further destination may be tried: it would make a loop worse. */
    readonly final: boolean;
    /** This host is the best one for the mail (best_mx_transport). */
    readonly loop: boolean;
  };

/** What a destination that leads back to this host is told. */
const LOOP_STATUS = "5.4.6";

/** Port on which mail between hosts travels: the only one where meeting our own address means a loop. */
const MAIL_PORT = 25;

/** Finds the hosts of a destination, in the order in which to try them. */
export async function lookUpHosts(destination: InetDestination, tools: LookupTools): Promise<HostLookup> {
  const found = await findAddresses(destination, tools);
  if ("failure" in found) return failed(found.failure, false);
  const withoutSelf = cutLoop(destination, found.hosts, tools.policy);
  if (withoutSelf.failure !== undefined) return failed(withoutSelf.failure, true);
  const allowed = withoutPrivate(destination, withoutSelf.hosts, tools);
  if ("failure" in allowed) return failed(allowed.failure, false);
  const { policy, random } = tools;
  // RFC 2782: the order of SRV records was drawn by their weights; it is not drawn again.
  const order = found.ordered === true ? { ...policy, randomize: false, sorts: false } : policy;
  return { kind: "hosts", hosts: orderHosts(allowed.hosts, order, random), final: withoutSelf.cut };
}

function failed(failure: Failure, final: boolean): HostLookup {
  return { kind: "failed", failure, final, loop: isLoop(failure) };
}

async function findAddresses(destination: InetDestination, tools: LookupTools): Promise<Found> {
  const { port, service } = destination;
  const { policy } = tools;
  if (destination.literal !== undefined) {
    const address = destination.literal;
    return { hosts: [{ kind: "inet", name: address, address, port, preference: 0, best: true }] };
  }
  const name = toAsciiName(destination.host);
  if (name === undefined) return { failure: notFound(destination.host, "MX", "Host not found") };
  const records = destination.mx && policy.hostLookup.includes("dns");
  if (records && policy.srv.services.includes(service || policy.defaultService)) {
    const found = await findServers(name, service || policy.defaultService, tools);
    if (found !== "fall back") return found;
  }
  return records
    ? await findMailExchangers(name, port, tools)
    : await findHost(name, { port, preference: 0, best: true }, tools);
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
    ? siteFailure(false, LOOP_STATUS, `mail for ${name} loops back to myself`)
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
    return { failure: siteFailure(false, LOOP_STATUS, `mail for ${name} loops back to myself`) };
  }
  return {
    failure: siteFailure(false, "5.4.4", `no host for ${name} has an address on the public internet`),
  };
}
