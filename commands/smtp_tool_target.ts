/**
 * Endpoints as smtp-source and smtp-sink take them: `[inet:]host[:port]`, `[inet:][host]:port`, `unix:path`.
 *
 * @module
 */
import { asciiLower, parseDecimal } from "../lib/vstring/ascii.ts";

/** An endpoint. */
export type ToolTarget =
  | { readonly kind: "inet"; readonly host: string; readonly port: number; readonly family: 0 | 4 | 6 }
  | { readonly kind: "unix"; readonly path: string };

/** Where a load tool connects or listens, or what is wrong with the argument. */
export type ParsedTarget =
  | { readonly kind: "parsed"; readonly target: ToolTarget }
  | { readonly kind: "invalid"; readonly why: string };

/** Services that may stand in place of a port number. */
const PORTS: ReadonlyMap<string, number> = new Map([
  ["smtp", 25],
  ["lmtp", 24],
  ["submission", 587],
]);

/**
 * Reads an endpoint.
 *
 * @param family 0: IPv4 or IPv6
 * @param defaultPort the port when none is given; undefined where one must be given, so that `2525` alone is a port
 */
export function parseTarget(text: string, family: 0 | 4 | 6, defaultPort?: number): ParsedTarget {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path === "") return { kind: "invalid", why: `${text}: no path` };
    return { kind: "parsed", target: { kind: "unix", path } };
  }
  const bare = text.startsWith("inet:") ? text.slice("inet:".length) : text;
  const parts = splitHostPort(bare, defaultPort === undefined);
  if (parts === undefined) return { kind: "invalid", why: `${text}: bad network address` };
  const port = parts.port === "" ? defaultPort : portNumber(parts.port);
  if (port === undefined) return { kind: "invalid", why: `${text}: Servname not supported for ai_socktype` };
  if (parts.host === "" && defaultPort !== undefined) {
    return { kind: "invalid", why: `${text}: bad network address` };
  }
  return { kind: "parsed", target: { kind: "inet", host: parts.host, port, family } };
}

/** Host and port of `host`, `host:port`, `:port`, `[address]` and `[address]:port`; undefined when it is none. */
function splitHostPort(text: string, portFirst: boolean): { host: string; port: string } | undefined {
  if (text.startsWith("[")) {
    const close = text.indexOf("]");
    const rest = text.slice(close + 1);
    if (close < 2 || (rest !== "" && !rest.startsWith(":"))) return undefined;
    return { host: text.slice(1, close), port: rest.slice(1) };
  }
  const colon = text.lastIndexOf(":");
  // A bare IPv6 address has no place for a port: brackets are asked for.
  if (colon !== text.indexOf(":")) return undefined;
  if (colon < 0) return portFirst ? { host: "", port: text } : { host: text, port: "" };
  return { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

function portNumber(text: string): number | undefined {
  return PORTS.get(asciiLower(text)) ?? parseDecimal(text, 65535);
}
