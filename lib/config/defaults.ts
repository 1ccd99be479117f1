/**
 * Defaults that depend on the system: the host's name and the networks that it trusts.
 *
 * @module
 */
import { splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";

/** What the configuration must know about the system; gathered by the caller. */
export interface SystemFacts {
  /** Name of the host, as gethostname() has it. */
  readonly hostName: string;
  /** Addresses of its network interfaces, "192.0.2.1/24" or "2001:db8::1/64"; without "/n" one address. */
  readonly addresses: readonly string[];
  /** Bytes of memory that it has. */
  readonly memory?: number;
}

/** Gives other parameters' expanded values to the functions below. */
export interface DefaultSource {
  readonly facts: SystemFacts;
  readonly directory: string;
  /** The expanded value of a parameter. */
  get(name: string): string;
  /** True when the parameter is set, not left to its default. */
  isSet(name: string): boolean;
}

const COMPUTED: ReadonlyMap<string, (source: DefaultSource) => string> = new Map([
  ["config_directory", (source: DefaultSource) => source.directory],
  ["mailbox_helper_limit", computeHelperLimit],
  ["mydomain", computeDomain],
  ["myhostname", computeHostName],
  ["mynetworks", computeNetworks],
]);

/** The default of a parameter whose row says that it is computed, or undefined. */
export function computedDefault(name: string, source: DefaultSource): string | undefined {
  return COMPUTED.get(name)?.(source);
}

/** What a mailbox helper has resident by itself, rounded up, bytes (docs/performance.md has the figures). */
const HELPER_SIZE = 20 * 1024 * 1024;
/** The part of the memory that helpers may have. */
const HELPER_SHARE = 1 / 4;
const LEAST_HELPERS = 10;
const MOST_HELPERS = 200;

/** As many helpers as a quarter of the memory holds: a hundred busy mailboxes do not take turns where there is room. */
function computeHelperLimit({ facts }: DefaultSource): string {
  const fit = Math.floor((facts.memory ?? 0) * HELPER_SHARE / HELPER_SIZE);
  return String(Math.min(MOST_HELPERS, Math.max(LEAST_HELPERS, fit)));
}

/** The host's name; if it has no dot, with $mydomain. */
function computeHostName(source: DefaultSource): string {
  const name = source.facts.hostName || "localhost";
  if (name.includes(".")) return name;
  return `${name}.${source.isSet("mydomain") ? source.get("mydomain") : "localdomain"}`;
}

/** $myhostname without its first label. */
function computeDomain(source: DefaultSource): string {
  const name = source.get("myhostname");
  const dot = name.indexOf(".");
  return dot < 0 || dot === name.length - 1 ? "localdomain" : name.slice(dot + 1);
}

/** Own addresses (mynetworks_style host) or their networks (subnet), loopback among them; in main.cf's form. */
function computeNetworks(source: DefaultSource): string {
  const wholeNetworks = source.get("mynetworks_style") === "subnet";
  const protocols = splitBlanks(source.get("inet_protocols"), true);
  const out = new Set<string>();
  for (const text of usedAddresses(source)) {
    const { address, prefix } = splitPrefix(text);
    const bytes = parseIpAddress(address);
    if (bytes === undefined) continue;
    const version = bytes.length === 4 ? "ipv4" : "ipv6";
    if (!protocols.includes("all") && !protocols.includes(version)) continue;
    const bits = bytes.length * 8;
    const length = wholeNetworks && prefix !== undefined && prefix <= bits ? prefix : bits;
    const network = formatIpAddress(mask(bytes, length));
    out.add(version === "ipv6" ? `[${network}]/${length}` : `${network}/${length}`);
  }
  return [...out].join(" ");
}

/** Own addresses that inet_interfaces names; host names in it are left to master, which can look them up. */
function usedAddresses(source: DefaultSource): readonly string[] {
  const loopback = ["127.0.0.1/8", "::1/128"];
  const names = splitBlanks(source.get("inet_interfaces"), true);
  if (names.includes("all")) return [...loopback, ...source.facts.addresses];
  const own = source.facts.addresses.filter((text) => names.includes(splitPrefix(text).address));
  return [...loopback, ...own];
}

function splitPrefix(text: string): { readonly address: string; readonly prefix: number | undefined } {
  const [whole = "", prefix] = text.split("/");
  const [address = ""] = whole.replaceAll("[", "").replaceAll("]", "").split("%");
  return { address, prefix: prefix === undefined ? undefined : Number(prefix) };
}

function mask(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => {
    const keep = Math.min(8, Math.max(0, length - i * 8));
    return byte & (0xff << (8 - keep));
  });
}
