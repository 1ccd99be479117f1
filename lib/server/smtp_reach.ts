/**
 * Where the SMTP client may connect: the ports that the configured transports use, any public host, and of private
 * and loopback networks only what the configuration routes to by literal address.
 *
 * @module
 */
import type { Configuration } from "../config/configuration.ts";
import { inNetwork, parseIpAddress, parseIpNetwork } from "../table/ip_network.ts";
import { readTextFile } from "../safe/file.ts";
import { parseDecimal, splitBlanks } from "../vstring/ascii.ts";
import type { Denial, Grant } from "./sandbox.ts";

export interface SmtpReach {
  readonly grants: readonly Grant[];
  readonly denials: readonly Denial[];
}

/** Networks that no stranger's mail may make us connect to. IPv6 networks cannot be named in flags: the client's own check has them. */
export const FORBIDDEN_NETWORKS: readonly string[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

/** Parameters whose values name a next hop, as `transport:nexthop` or `nexthop`. */
const ROUTE_PARAMETERS = [
  "relayhost",
  "default_transport",
  "relay_transport",
  "local_transport",
  "virtual_transport",
  "smtp_fallback_relay",
  "lmtp_fallback_relay",
] as const;

/** Largest transport table that is read for the ports and addresses that it names, bytes. */
const TABLE_LIMIT = 64 * 1024 * 1024;

/** A literal destination named in the configuration. */
interface Route {
  readonly host: string;
  readonly port: number;
  readonly unixPath: string;
  readonly because: string;
}

/** The grants and denials of the SMTP or LMTP client. */
export function smtpReach(
  configuration: Configuration,
  command: string,
  origin: (name: string) => string,
): SmtpReach {
  const standard = command === "lmtp" ? 24 : 25;
  const routes = configuredRoutes(configuration, origin);
  const ports = new Map<number, string>();
  ports.set(standard, `standard port of ${command}`);
  for (const route of routes) if (route.port > 0) ports.set(route.port, route.because);
  // ":25" alone would stand for localhost:25. IPv6 networks cannot be named: literal IPv6 destinations get a grant each.
  const grants: Grant[] = [...ports].map(([port, because]) => ({
    kind: "net",
    object: `0.0.0.0/0:${port}`,
    because,
  }));
  for (const route of routes) {
    if (!route.host.includes(":")) continue;
    const port = route.port > 0 ? route.port : standard;
    grants.push({ kind: "net", object: `[${route.host}]:${port}`, because: route.because });
  }
  for (const route of routes) {
    if (route.unixPath === "") continue;
    const because = route.because;
    grants.push(
      { kind: "net", object: `unix:${route.unixPath}`, because },
      { kind: "read", object: route.unixPath, because },
      { kind: "write", object: route.unixPath, because },
    );
  }
  const denials = FORBIDDEN_NETWORKS.filter((network) => !routes.some((route) => inside(network, route.host)))
    .map((object): Denial => ({
      kind: "net",
      object,
      because: "private network that the configuration does not route to",
    }));
  return { grants, denials };
}

function inside(network: string, host: string): boolean {
  const parsed = parseIpNetwork(network);
  const address = parseIpAddress(host === "localhost" ? "127.0.0.1" : host);
  return parsed.kind === "network" && address !== undefined && inNetwork(address, parsed.network);
}

/** The literal hosts and ports that the configuration routes to; also what the client itself may treat as allowed. */
export function configuredRoutes(configuration: Configuration, origin: (name: string) => string): Route[] {
  const settings = configuration.settings as unknown as Record<string, unknown>;
  const routes: Route[] = [];
  for (const name of ROUTE_PARAMETERS) {
    const value = settings[name];
    const texts = Array.isArray(value) ? value as string[] : [String(value ?? "")];
    for (const text of texts) addRoutes(routes, text, `${name} (${origin(name)})`);
  }
  for (const spec of (settings["transport_maps"] ?? []) as readonly string[]) {
    for (const text of tableValues(spec)) addRoutes(routes, text, `transport_maps ${spec}`);
  }
  return routes;
}

function addRoutes(routes: Route[], text: string, because: string): void {
  const unix = text.indexOf("unix:");
  if (unix >= 0) {
    routes.push({ host: "", port: 0, unixPath: text.slice(unix + "unix:".length), because });
    return;
  }
  const open = text.indexOf("[");
  const close = text.indexOf("]", open);
  const bracketed = open >= 0 && close > open;
  const host = bracketed ? text.slice(open + 1, close) : "";
  const colon = text.indexOf(":", bracketed ? close : Math.max(0, text.indexOf(":") + 1));
  const port = colon >= 0 ? parseDecimal(text.slice(colon + 1), 65535) ?? 0 : 0;
  if (host !== "" || port > 0) {
    routes.push({ host: host.startsWith("ipv6:") ? host.slice(5) : host, port, unixPath: "", because });
  }
}

/** The values of a text table: the last word of each line is enough to see hosts and ports. */
function tableValues(spec: string): string[] {
  const colon = spec.indexOf(":");
  const type = spec.slice(0, colon);
  const rest = spec.slice(colon + 1);
  if (!rest.startsWith("/")) {
    return splitBlanks(rest.split("=").join(" ").split("{").join(" ").split("}").join(" "), true);
  }
  if (!["texthash", "regexp", "cidr"].includes(type)) return [];
  return readTextFile(rest, TABLE_LIMIT).split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => splitBlanks(line).at(-1) ?? "")
    .filter((word) => word !== "");
}
