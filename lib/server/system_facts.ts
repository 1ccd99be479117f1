/**
 * What the machine says of itself: its name, its addresses, its resolver.
 *
 * @module
 */
import { readTextFile } from "../safe/file.ts";
import { isMissing, SystemError } from "../safe/error.ts";
import { environmentVariable, systemAddresses, systemHostName, systemMemory } from "../safe/process.ts";
import { splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";

/** Facts beside the configuration. */
export interface MachineFacts {
  readonly hostName: string;
  readonly addresses: readonly string[];
  /** Bytes. */
  readonly memory: number;
  /** Address and port of the first resolver, as "127.0.0.53:53". */
  readonly resolver: string;
  readonly ipv6: boolean;
  /** Another one each time that the system is started. */
  readonly bootId: string;
}

/** Holds the boot id where /proc does not show it, as in the systemd unit. */
export const BOOT_ID_VARIABLE = "POSTERN_BOOT_ID";
const BOOT_ID = "/proc/sys/kernel/random/boot_id";
const RESOLV_CONF = "/etc/resolv.conf";
const RESOLV_CONF_LIMIT = 65536;
const IPV4_ROUTES = "/proc/net/route";
const IPV6_ROUTES = "/proc/net/ipv6_route";
const ROUTES_LIMIT = 16 * 1024 * 1024;

/** Asks the system. Needs `-A`. */
export function systemFacts(): MachineFacts {
  const addresses = systemAddresses();
  const ipv6 = addresses.some((address) => address.includes(":"));
  return {
    hostName: systemHostName(),
    addresses,
    memory: systemMemory(),
    resolver: systemResolver(),
    ipv6,
    bootId: systemBootId(),
  };
}

/** The boot id in the form that the service manager gives it. */
function systemBootId(): string {
  const given = environmentVariable(BOOT_ID_VARIABLE) ?? splitBlanks(readTextFile(BOOT_ID, 100))[0] ?? "";
  const digits = given.replaceAll("-", "");
  if (digits.length === 32 && [...digits].every((digit) => "0123456789abcdef".includes(digit))) return digits;
  throw new Error(`Cannot use boot id "${printable(given, 100)}": it is not 32 hexadecimal digits`);
}

/** Addresses of the routers that packets to elsewhere go to: with some, other hosts' packets seem to come from them. */
export function systemGateways(): string[] {
  const found = new Set<string>();
  for (const line of routes(IPV4_ROUTES)) {
    const [, , gateway = "", flags = ""] = splitBlanks(line);
    const bytes = hexBytes(gateway, 4)?.reverse();
    if (isGateway(flags) && bytes !== undefined) found.add(formatIpAddress(bytes));
  }
  for (const line of routes(IPV6_ROUTES)) {
    const [, , , , gateway = "", , , , flags = ""] = splitBlanks(line);
    const bytes = hexBytes(gateway, 16);
    if (isGateway(flags) && bytes !== undefined && bytes.some((byte) => byte !== 0)) {
      found.add(formatIpAddress(bytes));
    }
  }
  return [...found];
}

/** RTF_UP and RTF_GATEWAY. */
function isGateway(flags: string): boolean {
  return /^[0-9A-Fa-f]+$/.test(flags) && (parseInt(flags, 16) & 3) === 3;
}

function routes(path: string): readonly string[] {
  try {
    return readTextFile(path, ROUTES_LIMIT).split("\n");
  } catch (error) {
    if (error instanceof SystemError) return []; // no such protocol, or no such file in a jail
    throw error;
  }
}

function hexBytes(text: string, length: number): Uint8Array<ArrayBuffer> | undefined {
  if (text.length !== 2 * length || !/^[0-9A-Fa-f]+$/.test(text)) return undefined;
  return Uint8Array.from({ length }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** The first nameserver of /etc/resolv.conf; the one on this machine when there is none, as resolvers do. */
function systemResolver(): string {
  let text = "";
  try {
    text = readTextFile(RESOLV_CONF, RESOLV_CONF_LIMIT);
  } catch (error) {
    if (!(error instanceof SystemError && isMissing(error.cause))) throw error;
  }
  for (const line of text.split("\n")) {
    const [word, address] = splitBlanks(line);
    if (word !== "nameserver" || address === undefined) continue;
    return address.includes(":") ? `[${address}]:53` : `${address}:53`;
  }
  return "127.0.0.1:53";
}
