/**
 * Where the client does not go by itself. A recipient's domain belongs to a stranger, and so does what its MX and
 * address records say; they must not steer us to our own loopback, to the private network behind us, or to the
 * cloud's metadata service. Deno's network flags say the same, with holes (PLATFORM.md); here is the whole list.
 *
 * @module
 */
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";

/** A network: its bytes and how many bits of them count. */
type Network = readonly [bytes: readonly number[], bits: number];

/** RFC 6890 and its updates: what is not the public internet. */
const FORBIDDEN_V4: readonly Network[] = [
  [[0], 8], // this network; 0.0.0.0 reaches loopback on Linux
  [[10], 8],
  [[100, 64], 10], // shared address space, RFC 6598
  [[127], 8],
  [[169, 254], 16], // link local, metadata services
  [[172, 16], 12],
  [[192, 168], 16],
  [[224], 4], // multicast
  [[240], 4], // reserved, broadcast
];

const FORBIDDEN_V6: readonly Network[] = [
  [[0xfc], 7], // unique local
  [[0xfe, 0x80], 10], // link local
  [[0xfe, 0xc0], 10], // site local, RFC 3879
  [[0xff], 8], // multicast
];

/** IPv4 inside IPv6: the prefix, its bits, and where the four bytes stand. */
const EMBEDDED_V4: readonly (readonly [bytes: readonly number[], bits: number, at: number])[] = [
  [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 96, 12], // mapped, RFC 4291 section 2.5.5.2
  [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 96, 12], // compatible, with :: and ::1
  [[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0], 96, 12], // NAT64, RFC 6052
  [[0x20, 0x02], 16, 2], // 6to4, RFC 3056
];

/** Local-use NAT64, RFC 8215: what it reaches is the operator's secret. */
const LOCAL_NAT64: Network = [[0, 0x64, 0xff, 0x9b, 0, 1], 48];

/** True for an address that is not the public internet, and for what is no address at all. */
export function isForbiddenAddress(address: string): boolean {
  const bytes = parseIpAddress(address);
  if (bytes === undefined) return true;
  return bytes.length === 4 ? isForbiddenV4(bytes) : isForbiddenV6(bytes);
}

/** True for an address that is this host whatever its interfaces are: loopback and "unspecified", in any clothing. */
export function isLoopbackAddress(address: string): boolean {
  const bytes = parseIpAddress(address);
  if (bytes === undefined) return false;
  const v4 = bytes.length === 4 ? bytes : embeddedV4(bytes);
  if (v4 === undefined) return false;
  const isIpv6One = bytes.length === 16 && bytes[10] === 0 && bytes.slice(0, 15).every((byte) => byte === 0);
  return v4[0] === 127 || v4[0] === 0 && (bytes.length === 4 || isIpv6One || v4.every((byte) => byte === 0));
}

function isForbiddenV4(bytes: Uint8Array): boolean {
  return FORBIDDEN_V4.some((network) => isWithin(bytes, network));
}

function isForbiddenV6(bytes: Uint8Array): boolean {
  const v4 = embeddedV4(bytes);
  if (v4 !== undefined) return isForbiddenV4(v4);
  return isWithin(bytes, LOCAL_NAT64) || FORBIDDEN_V6.some((network) => isWithin(bytes, network));
}

function embeddedV4(bytes: Uint8Array): Uint8Array | undefined {
  for (const [prefix, bits, at] of EMBEDDED_V4) {
    if (isWithin(bytes, [prefix, bits])) return bytes.subarray(at, at + 4);
  }
  return undefined;
}

function isWithin(bytes: Uint8Array, [network, bits]: Network): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== network[i]) return false;
  const rest = bits & 7;
  const mask = 0xff00 >> rest & 0xff;
  return rest === 0 || (bytes[whole]! & mask) === (network[whole]! & mask);
}

/** Values of the parameters that name next hosts. */
export interface ConfiguredRoutes {
  /** Next hosts as they are: relayhost, fallback relays, the right-hand sides of transport tables. */
  readonly nexthops: readonly string[];
  /** "transport" or "transport:nexthop": default_transport, relay_transport and their like. */
  readonly transports: readonly string[];
}

/**
 * The next hosts that the configuration routes to by name, lower case. Only for them are private addresses allowed,
 * and only as the whole word that the configuration has: mail for user@[127.0.0.1] is not sent to loopback because
 * somebody configured "[127.0.0.1]:2601".
 */
export function trustedNexthops(routes: ConfiguredRoutes): ReadonlySet<string> {
  const trusted = new Set<string>();
  const add = (nexthop: string) => {
    for (const word of splitBlanks(nexthop, true)) trusted.add(asciiLower(word));
  };
  for (const nexthop of routes.nexthops) add(nexthop);
  for (const transport of routes.transports) {
    const colon = transport.indexOf(":");
    if (colon >= 0) add(transport.slice(colon + 1));
  }
  return trusted;
}
