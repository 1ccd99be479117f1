/**
 * The end of the way: what a transport does with a recipient, as far as it can be known without sending.
 *
 * @module
 */
// Safe primitives
import { systemHosts } from "../lib/safe/hosts_file.ts";
import { systemAddresses } from "../lib/safe/process.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../lib/config/configuration.ts";
import { PARAMETER_NAMES, type ParameterName, type Settings } from "../lib/config/parameters.ts";
import { formatPlace } from "../lib/config/problem.ts";
// Tables
import { openTable } from "../lib/table/open.ts";
import { TABLE_SERVERS } from "../lib/table/table_servers.ts";
import type { Table } from "../lib/table/table.ts";
// Mail
import { splitStatus, withClass } from "../lib/mail/status_code.ts";
// Internal protocols
import type { DnsLookup } from "../lib/proto/dns_client.ts";
// Wire protocols
import { type Destination, parseDestination, parseDestinations } from "../lib/smtp/client_destination.ts";
import type { Host } from "../lib/smtp/client_hosts.ts";
import { lookUpHosts } from "../lib/smtp/client_lookup.ts";
import { type ClientPolicy, lmtpPolicy, smtpPolicy } from "../lib/smtp/client_policy.ts";
// Server skeleton
import type { Decisions, Ground } from "../lib/server/decisions.ts";
import { smtpReach } from "../lib/server/smtp_reach.ts";
import { findMailbox, virtualSearch } from "../lib/server/virtual_mailbox.ts";
// This program
import type { Delivery, DestinationFacts, HostFacts } from "./explain_facts.ts";
import { deliveryToLocal } from "./explain_local.ts";
import { TlsExplainer } from "./explain_tls.ts";

/** Texts where the tables give none, as the error service has them. */
const UNDELIVERABLE = "Address is undeliverable";

/** What the ends of an explanation are found with. */
export interface EndTools {
  readonly configuration: Configuration;
  readonly dns: DnsLookup;
  readonly decisions: Decisions;
}

/** Transports that may hand an address on to another, and that to a third. */
const PASS_LIMIT = 5;

/** A recipient on its way into a transport. */
export interface Routed {
  /** Internal form. */
  readonly sender: string;
  readonly transport: string;
  readonly nexthop: string;
  readonly recipient: string;
  readonly bad: boolean;
}

/** What becomes of a recipient in its transport. */
export async function deliveryOf(tools: EndTools, routed: Routed, passed = 0): Promise<Delivery> {
  const { configuration } = tools;
  const { transport, nexthop } = routed;
  const deferred = configuration.settings.defer_transports.includes(transport);
  if (!routed.bad && deferred) {
    const place = configuration.origin("defer_transports");
    return { kind: "deferred", place, text: "4.3.2 deferred transport" };
  }
  const entry = configuration.services.find(({ name, type }) => name === transport && type === "unix");
  if (entry === undefined) {
    const text = `4.3.0 mail transport "${transport}" unavailable`;
    return { kind: "deferred", place: "", text, note: "master.toml has no such service" };
  }
  const place = formatPlace(entry.place);
  const settings = settingsOf(configuration, entry);
  const tls = () => new TlsExplainer(configuration, entry, settings, tools.decisions, tools.dns);
  switch (entry.command) {
    case "smtp":
      return await deliveryToHosts(smtpPolicy(settings, systemAddresses), nexthop, place, tools, tls());
    case "lmtp":
      return await deliveryToHosts(lmtpPolicy(settings, systemAddresses), nexthop, place, tools, tls());
    case "local": {
      const { sender, recipient } = routed;
      const deliver = (name: string, to: string, address: string): Promise<Delivery> => {
        const next = { sender, transport: name, nexthop: to, recipient: address, bad: false };
        return passed < PASS_LIMIT ? deliveryOf(tools, next, passed + 1) : Promise.resolve({
          kind: "deferred",
          place,
          text: "4.3.5 transports hand the address on without end",
        });
      };
      return await deliveryToLocal({ ...tools, deliver }, entry, settings, sender, recipient);
    }
    case "virtual":
      return await deliveryToVirtual(configuration, settings, routed.recipient, place);
    case "error":
    case "retry":
      return settledDelivery(entry, nexthop, settings.soft_bounce, place);
    case "discard":
      return { kind: "discarded", place, text: splitStatus(nexthop, "2.0.0").text };
    default:
      return { kind: "service", place, command: entry.command };
  }
}

/** The settings of a transport's service, with the next hops that master tells the clients of. */
function settingsOf(configuration: Configuration, entry: ServiceEntry): Settings<ParameterName> {
  const settings = settingsFor(configuration, entry, PARAMETER_NAMES);
  const { command } = entry;
  if (command !== "smtp" && command !== "lmtp") return settings;
  const { nexthops } = smtpReach(configuration, command, (name) => configuration.origin(name));
  return { ...settings, smtp_trusted_nexthops: [...settings.smtp_trusted_nexthops, ...nexthops] };
}

/** What the error agent says: as a service named "retry" it defers, as any other it bounces. */
function settledDelivery(
  entry: ServiceEntry,
  nexthop: string,
  softBounce: boolean,
  place: string,
): Delivery {
  const retry = entry.name === "retry";
  const split = splitStatus(nexthop, retry ? "4.0.0" : "5.0.0");
  const soft = retry || softBounce;
  const status = withClass(split.status, soft ? "4" : "5");
  return { kind: soft ? "deferred" : "bounced", place, text: `${status} ${split.text || UNDELIVERABLE}` };
}

async function deliveryToHosts(
  policy: ClientPolicy,
  nexthop: string,
  place: string,
  tools: EndTools,
  tls: TlsExplainer,
): Promise<Delivery> {
  const stops = [
    ...parseDestinations(nexthop, policy),
    ...policy.fallbackRelays.map((word) => parseDestination(word, policy)),
  ];
  const destinations: DestinationFacts[] = [];
  for (const stop of stops) destinations.push(await findHosts(stop, policy, tools, tls));
  return { kind: policy.dialect, place, destinations };
}

async function findHosts(
  destination: Destination,
  policy: ClientPolicy,
  { dns }: EndTools,
  tls: TlsExplainer,
): Promise<DestinationFacts> {
  const { text } = destination;
  switch (destination.kind) {
    case "bad":
      return withoutHosts(text, "4.3.5", `bad destination: ${destination.why}`, true);
    case "unix": {
      const host = {
        kind: "unix",
        name: policy.myHostName,
        address: destination.path,
        port: 0,
        preference: 0,
        best: true,
      } as const;
      return { destination: text, hosts: [await hostFacts(destination, host, tls)] };
    }
    case "inet": {
      // The order among equals is one of those that a delivery may take.
      const found = await lookUpHosts(destination, {
        policy,
        dns,
        native: systemHosts,
        warn: () => {},
        random: () => 0.999,
      });
      if (found.kind === "failed") {
        const { status, text: why } = found.failure;
        const soft = found.failure.soft || policy.softBounce;
        return withoutHosts(text, soft ? withClass(status, "4") : status, why, soft);
      }
      const hosts: HostFacts[] = [];
      for (const host of found.hosts) hosts.push(await hostFacts(destination, host, tls));
      return { destination: text, hosts };
    }
    default:
      return destination satisfies never;
  }
}

async function hostFacts(destination: Destination, host: Host, tls: TlsExplainer): Promise<HostFacts> {
  const { name, address, port, preference } = host;
  return { name, address, port, preference, tls: await tls.of(destination, host) };
}

function withoutHosts(destination: string, status: string, text: string, soft: boolean): DestinationFacts {
  return { destination, hosts: [], failure: { status, text, soft } };
}

/** The mailbox that the virtual agent writes; its tables are opened as that opens them. */
async function deliveryToVirtual(
  configuration: Configuration,
  settings: Settings<ParameterName>,
  recipient: string,
  place: string,
): Promise<Delivery> {
  const grounds: Ground[] = [];
  const find = virtualSearch(settings, (parameter) =>
    settings[parameter].map((spec) => {
      const table = openTable(spec, { paranoid: true, soft: true, servers: TABLE_SERVERS });
      return watched(table, parameter, configuration.origin(parameter), grounds);
    }));
  const found = await findMailbox({ settings, find, warn: () => {} }, recipient);
  if (found.kind === "settled") {
    const { result, status, reason } = found.outcome;
    const soft = result !== "bounced" || settings.soft_bounce;
    const text = `${soft ? withClass(status, "4") : status} ${reason}`;
    return { kind: soft ? "deferred" : "bounced", place, text };
  }
  const { path, format, uid, gid } = found.task;
  return { kind: "mailbox", place, path, format, uid, gid, grounds };
}

/** The table, with a note for each entry that it gives. */
function watched(table: Table, parameter: string, origin: string, grounds: Ground[]): Table {
  return {
    spec: table.spec,
    partialKeys: table.partialKeys,
    lookup: async (key) => {
      const outcome = await table.lookup(key);
      if (outcome.kind === "found") {
        const place = table.placeOf?.(key) ?? "";
        const entry = { table: table.spec, key, value: outcome.value, place };
        grounds.push({ parameter, place: origin, key, entry });
      }
      return outcome;
    },
  };
}
