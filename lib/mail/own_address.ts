/**
 * The addresses of this host: `user@[192.0.2.1]` is local when 192.0.2.1 is ours.
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
import { isBracketed, parseAddressLiteral } from "./domain.ts";

const LOOPBACK = ["127.0.0.1", "::1"] as const;
const V4_LENGTH = 4;

/** The addresses of the network interfaces and those that a translating router has for us. */
export class OwnAddresses {
  readonly #addresses: ReadonlySet<string>;

  /**
   * @param inetInterfaces `inet_interfaces`: `all`, `loopback-only`, `localhost`, or addresses; other host names
   *   have no meaning here
   * @param proxyInterfaces `proxy_interfaces`: addresses
   * @param system the addresses of this machine's interfaces, asked for with `all`
   */
  constructor(
    inetInterfaces: readonly string[],
    proxyInterfaces: readonly string[],
    system: () => readonly string[],
  ) {
    const own = new Set<string>();
    for (const item of inetInterfaces) addAll(own, expand(item, system));
    addAll(own, proxyInterfaces);
    this.#addresses = own;
  }

  /** True when the domain is a literal of one of our addresses. Compares addresses, not their spelling. */
  includes(domain: string): boolean {
    const literal = parseAddressLiteral(domain);
    return literal !== undefined && this.#addresses.has(addressKey(literal.bytes));
  }
}

function expand(item: string, system: () => readonly string[]): readonly string[] {
  switch (asciiLower(item)) {
    case "all":
      return system();
    case "loopback-only":
    case "localhost":
      return LOOPBACK;
    default:
      return [item];
  }
}

function addAll(own: Set<string>, texts: readonly string[]): void {
  for (const text of texts) {
    const bytes = parseIpAddress(isBracketed(text) ? text.slice(1, -1) : text);
    if (bytes !== undefined) own.add(addressKey(bytes));
  }
}

/** One text per address: an IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5.2) is the IPv4 address. */
function addressKey(bytes: Uint8Array): string {
  const mapped = bytes.length > V4_LENGTH && bytes[10] === 0xff && bytes[11] === 0xff &&
    bytes.subarray(0, 10).every((byte) => byte === 0);
  return formatIpAddress(mapped ? bytes.subarray(12) : bytes);
}
