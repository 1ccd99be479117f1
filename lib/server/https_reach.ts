/**
 * Where a daemon that asks web servers may connect: one port, any public host, and of private networks the addresses
 * that the configuration names.
 *
 * @module
 */
// Tables
import { inNetwork, parseIpAddress, parseIpNetwork } from "../table/ip_network.ts";
// Server skeleton
import type { Denial, Grant } from "./sandbox.ts";
import { FORBIDDEN_NETWORKS } from "./smtp_reach.ts";

/** The grants and denials of such a daemon: IPv4, as the runtime has no flag for all of IPv6. */
export function httpsReach(
  port: number,
  trusted: readonly string[],
  origin: (name: string) => string,
): { readonly grants: readonly Grant[]; readonly denials: readonly Denial[] } {
  const because = `https_port (${origin("https_port")})`;
  const named = `https_trusted_addresses (${origin("https_trusted_addresses")})`;
  const own = trusted.filter((address) => address.includes(":"))
    .map((address): Grant => ({ kind: "net", object: `[${address}]:${port}`, because: named }));
  return {
    grants: [{ kind: "net", object: `0.0.0.0/0:${port}`, because }, ...own],
    denials: FORBIDDEN_NETWORKS.filter((network) => !trusted.some((address) => isInside(network, address)))
      .map((object): Denial => ({
        kind: "net",
        object,
        because: "private network that https_trusted_addresses does not name",
      })),
  };
}

function isInside(network: string, host: string): boolean {
  const parsed = parseIpNetwork(network);
  const address = parseIpAddress(host);
  return parsed.kind === "network" && address !== undefined && inNetwork(address, parsed.network);
}
