/**
 * Destinations as the configuration and qmgr write them (postfix-map section 6.1).
 *
 * @module
 */
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress, parseIpv6 } from "../vstring/ip_address.ts";
import { type ClientPolicy, parsePort } from "./client_policy.ts";

/** One place to deliver to. */
export type Destination =
  | {
    readonly kind: "inet";
    /** As it was written, lower case: what it is compared and remembered by. */
    readonly text: string;
    readonly host: string;
    /** MX hosts are looked up. */
    readonly mx: boolean;
    /** The address, if the host is one. */
    readonly literal: string | undefined;
    /** As it was written, lower case; empty where it was not. */
    readonly service: string;
    readonly port: number;
  }
  | { readonly kind: "unix"; readonly text: string; readonly path: string }
  | { readonly kind: "bad"; readonly text: string; readonly why: string };

/** Most destinations in one nexthop. */
const DESTINATION_LIMIT = 20;

/** The destinations of a nexthop, in order. */
export function parseDestinations(nexthop: string, policy: ClientPolicy): Destination[] {
  return splitBlanks(nexthop, true).slice(0, DESTINATION_LIMIT).map((word) => parseDestination(word, policy));
}

/**
 * SMTP: `domain`, `domain:service`, `[host]`, `[host]:service`, `[address]`, `[ipv6:address]`. LMTP: `unix:path`,
 * `inet:` and one of those, or just one of those. LMTP never looks for MX hosts.
 */
export function parseDestination(
  word: string,
  policy: Pick<ClientPolicy, "dialect" | "defaultPort" | "knownPorts">,
): Destination {
  const text = asciiLower(word);
  const lmtp = policy.dialect === "lmtp";
  if (lmtp && text.startsWith("unix:")) {
    const path = word.slice(5);
    return path.startsWith("/")
      ? { kind: "unix", text, path }
      : { kind: "bad", text, why: "path is not absolute" };
  }
  const rest = lmtp && text.startsWith("inet:") ? text.slice(5) : text;
  const split = splitService(rest);
  if (split === undefined) return { kind: "bad", text, why: "unmatched bracket" };
  const port = split.service === undefined ? policy.defaultPort : parsePort(split.service, policy.knownPorts);
  if (port === undefined) return { kind: "bad", text, why: `unknown service "${split.service}"` };
  if (split.host === "") return { kind: "bad", text, why: "no host" };
  const literal = split.bracketed || lmtp ? parseHostAddress(split.host) : undefined;
  const service = split.service ?? "";
  const mx = !lmtp && !split.bracketed;
  return { kind: "inet", text, host: literal ?? split.host, mx, literal, service, port };
}

interface HostAndService {
  readonly host: string;
  readonly service: string | undefined;
  readonly bracketed: boolean;
}

function splitService(text: string): HostAndService | undefined {
  if (text.startsWith("[")) {
    const close = text.indexOf("]");
    const rest = text.slice(close + 1);
    if (close < 0 || (rest !== "" && !rest.startsWith(":"))) return undefined;
    return { host: text.slice(1, close), service: rest === "" ? undefined : rest.slice(1), bracketed: true };
  }
  const colon = text.indexOf(":");
  if (colon < 0) return { host: text, service: undefined, bracketed: false };
  return { host: text.slice(0, colon), service: text.slice(colon + 1), bracketed: false };
}

/** RFC 5321 section 4.1.3: an IPv6 literal has the tag "IPv6:"; without the tag Postfix takes it too. */
function parseHostAddress(host: string): string | undefined {
  const bytes = host.startsWith("ipv6:") ? parseIpv6(host.slice(5)) : parseIpAddress(host);
  return bytes === undefined ? undefined : formatIpAddress(bytes);
}
