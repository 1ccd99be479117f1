/**
 * The system's file of host names, hosts(5). Permission needed: read on /etc/hosts.
 *
 * @module
 */
import { equalsIgnoreCase, splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
import { readTextFile } from "./file.ts";

/** Where it is. */
export const HOSTS_FILE = "/etc/hosts";
/** Most bytes that are read of it. */
const SIZE_LIMIT = 4 * 1024 * 1024;

/** The addresses that a file gives for a name, in its order. */
export function hostsAddresses(text: string, name: string): string[] {
  const found: string[] = [];
  for (const line of text.split("\n")) {
    const hash = line.indexOf("#");
    const [address = "", ...names] = splitBlanks(hash < 0 ? line : line.slice(0, hash));
    if (!names.some((each) => equalsIgnoreCase(each, name))) continue;
    const bytes = parseIpAddress(address);
    if (bytes !== undefined) found.push(formatIpAddress(bytes));
  }
  return found;
}

/** The addresses that the system's file gives for a name; it is read anew each time. */
export function systemHosts(name: string): string[] {
  return hostsAddresses(readTextFile(HOSTS_FILE, SIZE_LIMIT), name);
}
