/**
 * Where the SMTP client may connect: the ports that the configured transports use, any public host, and of private
 * and loopback networks only what the configuration routes to.
 *
 * @module
 */
// Safe primitives
import { HOSTS_FILE } from "../safe/hosts_file.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import type { ParameterName } from "../config/parameters.ts";
import { equalsIgnoreCase, splitBlanks } from "../vstring/ascii.ts";
// Tables
import { inNetwork, parseIpAddress, parseIpNetwork } from "../table/ip_network.ts";
import { openTable } from "../table/open.ts";
// Wire protocols
import { type Destination, parseDestination } from "../smtp/client_destination.ts";
import { bindPolicy, hostLookupWays, parseKnownPorts, parsePort } from "../smtp/client_policy.ts";
// Server skeleton
import { filterRoutes } from "./filter_routes.ts";
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

/** Tables whose results are `transport:nexthop`, and those whose results are next hops. */
const TRANSPORT_TABLES = [
  "transport_maps",
  "sender_dependent_default_transport_maps",
  "mailbox_transport_maps",
  "fallback_transport_maps",
] as const;
const NEXTHOP_TABLES = ["sender_dependent_relayhost_maps"] as const;

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
  entry?: ServiceEntry,
): SmtpReach {
  const { settings } = configuration;
  const knownPorts = parseKnownPorts(settings.known_tcp_ports);
  const standard = command === "lmtp" ? settings.lmtp_tcp_port : settings.smtp_tcp_port;
  const defaultPort = parsePort(standard, knownPorts) ?? (command === "lmtp" ? 24 : 25);
  const how = { dialect: command, defaultPort, knownPorts } as const;
  const own = new Set(
    configuration.services.filter((entry) => entry.command === command).map(({ name }) => name),
  );
  const ofTables = [...tableNexthops(configuration, own), ...filterNexthops(configuration, own, origin)];
  const texts = [...parameterNexthops(configuration, own, origin), ...ofTables];
  const routes = texts.flatMap(({ nexthop, because }) =>
    splitBlanks(nexthop, true).map((word): Route => ({ destination: parseDestination(word, how), because }))
  );
  return {
    grants: [
      ...portGrants(routes, defaultPort, `${command}_tcp_port (${origin(`${command}_tcp_port`)})`),
      ...routes.flatMap(literalGrants),
      ...(entry === undefined ? [] : settingGrants(configuration, command, entry, origin)),
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

/** The next hops of tables, as far as those can be listed: what a pattern makes of an address cannot. */
function tableNexthops(configuration: Configuration, own: ReadonlySet<string>): Nexthop[] {
  const { settings } = configuration;
  const listed = (name: ParameterName, specs: readonly string[], nexthop: (value: string) => string) =>
    specs.flatMap((spec) => {
      const table = openTable(spec, { soft: true });
      const nexthops = new Set(Array.from(table.entries?.() ?? [], ([, value]) => nexthop(value)));
      table.close?.();
      return [...nexthops].filter((one) => one !== "")
        .map((one): Nexthop => ({ nexthop: one, because: `${name} ${spec}` }));
    });
  return [
    ...TRANSPORT_TABLES.flatMap((name) => listed(name, settings[name], (value) => nexthopOf(value, own))),
    ...NEXTHOP_TABLES.flatMap((name) =>
      listed(name, settings[name], (value) => equalsIgnoreCase(value, "dunno") ? "" : value)
    ),
  ];
}

/** The next hops of content filters; where a filter has none of its own, default_filter_nexthop. */
function filterNexthops(
  configuration: Configuration,
  own: ReadonlySet<string>,
  origin: (name: string) => string,
): Nexthop[] {
  const routes = filterRoutes(configuration);
  const { default_filter_nexthop } = configuration.settings;
  const named = routes.map(({ target, because }) => ({ nexthop: nexthopOf(target, own), because }));
  const because = `default_filter_nexthop (${origin("default_filter_nexthop")})`;
  return [...named, { nexthop: routes.length === 0 ? "" : default_filter_nexthop, because }]
    .filter(({ nexthop }) => nexthop !== "");
}

/** What single settings of the client need: the address to connect from, the file of host names, ports of services. */
function settingGrants(
  configuration: Configuration,
  command: "smtp" | "lmtp",
  entry: ServiceEntry,
  origin: (name: string) => string,
): Grant[] {
  const own = settingsFor(configuration, entry, [
    "disable_dns_lookups",
    "inet_interfaces",
    `${command}_bind_address`,
    `${command}_bind_address6`,
    `${command}_bind_address_enforce`,
    `${command}_dns_support_level`,
    `${command}_host_lookup`,
    "known_tcp_ports",
    "use_srv_lookup",
  ]) as Readonly<Record<string, unknown>>;
  const of = <T>(suffix: string) => own[`${command}_${suffix}`] as T;
  const because = (name: string) => `${name} (${origin(name)})`;
  const bind = bindPolicy({ inet_interfaces: own["inet_interfaces"] as readonly string[] }, {
    smtp_bind_address: of("bind_address"),
    smtp_bind_address6: of("bind_address6"),
    smtp_bind_address_enforce: of("bind_address_enforce"),
  });
  const ways = hostLookupWays(
    own["disable_dns_lookups"] === true,
    of("dns_support_level"),
    of("host_lookup"),
  );
  const ports = parseKnownPorts(own["known_tcp_ports"] as readonly string[]);
  const services = command === "smtp" ? own["use_srv_lookup"] as readonly string[] : [];
  return [
    ...bindGrants(bind.ipv4, because(`${command}_bind_address`)),
    ...bindGrants(bind.ipv6, because(`${command}_bind_address6`)),
    ...ways.includes("native")
      ? [{ kind: "read" as const, object: HOSTS_FILE, because: because(`${command}_host_lookup`) }]
      : [],
    ...services.flatMap((name) => parsePort(name, ports) ?? []).map((port): Grant => ({
      kind: "net",
      object: `0.0.0.0/0:${port}`,
      because: because("use_srv_lookup"),
    })),
  ];
}

/** The local end of a connection is bound to a port that the system chooses. */
function bindGrants(address: string | undefined, because: string): Grant[] {
  if (address === undefined) return [];
  return [{ kind: "net", object: address.includes(":") ? `[${address}]:0` : `${address}:0`, because }];
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
