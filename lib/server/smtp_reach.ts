/**
 * Where the SMTP client may connect: the ports that the configured transports use, any public host, and of private
 * and loopback networks only what the configuration routes to.
 *
 * @module
 */
// Utility
import type { Configuration } from "../config/configuration.ts";
import { splitBlanks } from "../vstring/ascii.ts";
// Tables
import { inNetwork, parseIpAddress, parseIpNetwork } from "../table/ip_network.ts";
import { openTable } from "../table/open.ts";
// Wire protocols
import { type Destination, parseDestination } from "../smtp/client_destination.ts";
import { parseKnownPorts, parsePort } from "../smtp/client_policy.ts";
// Server skeleton
import type { Denial, Grant } from "./sandbox.ts";

/** What the client is granted and refused. */
export interface SmtpReach {
  readonly grants: readonly Grant[];
  readonly denials: readonly Denial[];
  /** The next hosts that transport_maps names: the client's own check lets them be private. */
  readonly nexthops: readonly string[];
}

/** What only somebody in this host's own network may send to. IPv6 networks cannot be named in flags: the client's own check has them. */
const PRIVATE_NETWORKS: readonly string[] = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
];

/** Networks that no stranger's mail may make us connect to. */
export const FORBIDDEN_NETWORKS: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
  ...PRIVATE_NETWORKS,
];

/** Parameters whose values are next hops, and those whose values are `transport:nexthop`. */
const NEXTHOP_PARAMETERS = [
  "relayhost",
  "smtp_fallback_relay",
  "lmtp_fallback_relay",
  "smtp_trusted_nexthops",
] as const;
const TRANSPORT_PARAMETERS = [
  "default_transport",
  "relay_transport",
  "local_transport",
  "virtual_transport",
  "mailbox_transport",
  "fallback_transport",
] as const;
const TRANSPORT_TABLES = ["transport_maps", "mailbox_transport_maps", "fallback_transport_maps"] as const;

/** A destination that the configuration names, and where. */
interface Route {
  readonly destination: Destination;
  readonly because: string;
}

/** The grants and denials of the SMTP or LMTP client. */
export function smtpReach(
  configuration: Configuration,
  command: "smtp" | "lmtp",
  origin: (name: string) => string,
): SmtpReach {
  const { settings } = configuration;
  const knownPorts = parseKnownPorts(settings.known_tcp_ports);
  const standard = command === "lmtp" ? settings.lmtp_tcp_port : settings.smtp_tcp_port;
  const defaultPort = parsePort(standard, knownPorts) ?? (command === "lmtp" ? 24 : 25);
  const how = { dialect: command, defaultPort, knownPorts } as const;
  const own = new Set(
    configuration.services.filter((entry) => entry.command === command).map(({ name }) => name),
  );
  const ofTables = tableNexthops(configuration, own);
  const texts = [...parameterNexthops(configuration, own, origin), ...ofTables];
  const routes = texts.flatMap(({ nexthop, because }) =>
    splitBlanks(nexthop, true).map((word): Route => ({ destination: parseDestination(word, how), because }))
  );
  return {
    grants: [
      ...portGrants(routes, defaultPort, `${command}_tcp_port (${origin(`${command}_tcp_port`)})`),
      ...routes.flatMap(literalGrants),
    ],
    denials: denials(routes),
    nexthops: ofTables.flatMap(({ nexthop }) => splitBlanks(nexthop, true)),
  };
}

interface Nexthop {
  readonly nexthop: string;
  readonly because: string;
}

function parameterNexthops(
  configuration: Configuration,
  own: ReadonlySet<string>,
  origin: (name: string) => string,
): Nexthop[] {
  const { settings } = configuration;
  const plain = NEXTHOP_PARAMETERS.flatMap((name) => {
    const value: string | readonly string[] = settings[name];
    const because = `${name} (${origin(name)})`;
    return (typeof value === "string" ? [value] : value).map((nexthop) => ({ nexthop, because }));
  });
  const transports = TRANSPORT_PARAMETERS.map((name) => ({
    nexthop: nexthopOf(settings[name], own),
    because: `${name} (${origin(name)})`,
  }));
  return [...plain, ...transports].filter(({ nexthop }) => nexthop !== "");
}

/** The next hops of tables of transports, as far as they can be listed: what a pattern makes of an address cannot. */
function tableNexthops(configuration: Configuration, own: ReadonlySet<string>): Nexthop[] {
  return TRANSPORT_TABLES.flatMap((name) => nexthopsIn(name, configuration.settings[name], own));
}

function nexthopsIn(name: string, specs: readonly string[], own: ReadonlySet<string>): Nexthop[] {
  return specs.flatMap((spec) => {
    const table = openTable(spec, { soft: true });
    const nexthops = new Set(Array.from(table.entries?.() ?? [], ([, value]) => nexthopOf(value, own)));
    table.close?.();
    return [...nexthops].filter((nexthop) => nexthop !== "")
      .map((nexthop) => ({ nexthop, because: `${name} ${spec}` }));
  });
}

/**
 * What stands behind the transport's name, when that is one of ours or none: the next hop of another one, as the
 * host name in `local:$myhostname`, is nothing that this client connects to.
 *
 * @param own names of the services that run this client
 */
function nexthopOf(transport: string, own: ReadonlySet<string>): string {
  const colon = transport.indexOf(":");
  const name = transport.slice(0, Math.max(0, colon));
  return colon < 0 || (name !== "" && !own.has(name)) ? "" : transport.slice(colon + 1);
}

/** `:25` would stand for localhost:25; the whole of IPv4 can be named, the whole of IPv6 cannot. */
function portGrants(routes: readonly Route[], standard: number, because: string): Grant[] {
  const ports = new Map([[standard, because]]);
  for (const { destination, because } of routes) {
    if (destination.kind === "inet" && !ports.has(destination.port)) ports.set(destination.port, because);
  }
  return [...ports].map(([port, why]): Grant => ({ kind: "net", object: `0.0.0.0/0:${port}`, because: why }));
}

function literalGrants({ destination, because }: Route): Grant[] {
  if (destination.kind === "inet" && destination.literal?.includes(":")) {
    return [{ kind: "net", object: `[${destination.literal}]:${destination.port}`, because }];
  }
  if (destination.kind !== "unix") return [];
  return [
    { kind: "net", object: `unix:${destination.path}`, because },
    { kind: "read", object: destination.path, because },
    { kind: "write", object: destination.path, because },
  ];
}

function denials(routes: readonly Route[]): Denial[] {
  const hosts = routes.flatMap(({ destination }) => destination.kind === "inet" ? [destination] : []);
  // A host that is named may be in a private network: where, only its look-up tells, and then the client's own check
  // asks whether the configuration routes to that name.
  const named = hosts.some((host) => host.literal === undefined && host.host !== "localhost");
  return FORBIDDEN_NETWORKS
    .filter((network) => !(named && PRIVATE_NETWORKS.includes(network)))
    .filter((network) => !hosts.some((host) => isInside(network, host.literal ?? host.host)))
    .map((object): Denial => ({
      kind: "net",
      object,
      because: "private network that the configuration does not route to",
    }));
}

function isInside(network: string, host: string): boolean {
  const parsed = parseIpNetwork(network);
  const address = parseIpAddress(host === "localhost" ? "127.0.0.1" : host);
  return parsed.kind === "network" && address !== undefined && inNetwork(address, parsed.network);
}
