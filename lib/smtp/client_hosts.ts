/**
 * The order in which a destination's addresses are tried (postfix-map section 6.2).
 *
 * @module
 */

/** One address of one host, ready to connect to. */
export interface Host {
  readonly kind: "inet" | "unix";
  /** Host name; the address itself for literals; our own name for unix sockets. */
  readonly name: string;
  /** Literal IP address, or the path of a unix socket. */
  readonly address: string;
  /** 0 for unix sockets. */
  readonly port: number;
  /** MX preference; 0 for hosts that no MX record names. */
  readonly preference: number;
  /** One of the best MX hosts. */
  readonly best: boolean;
}

/** "host[address]". */
export function hostLabel(host: Host): string {
  return `${host.name}[${host.address}]`;
}

/** "host[address]:port", as relay= in the log has it. */
export function relayLabel(host: Host): string {
  return host.kind === "unix" ? hostLabel(host) : `${hostLabel(host)}:${host.port}`;
}

/** Most addresses of a destination that are looked at, before the limit of those tried (Postfix: 100). */
export const ADDRESS_LIST_LIMIT = 100;

/** How addresses are ordered. */
export interface HostOrder {
  readonly randomize: boolean;
  readonly addressPreference: "any" | "ipv4" | "ipv6";
  readonly balance: boolean;
  /** Most addresses tried; 0: no limit. */
  readonly addressLimit: number;
  /** False: they are in order already. */
  readonly sorts?: boolean;
}

/**
 * RFC 5321 section 5.1: the lowest preference number first, equal ones in random order. Inside equal preference the
 * preferred address family first.
 *
 * @param random from 0 up to 1
 */
export function orderHosts(hosts: readonly Host[], order: HostOrder, random: () => number): Host[] {
  const shuffled = order.randomize ? shuffle(hosts, random) : [...hosts];
  const family = (host: Host) => order.addressPreference === "any" ? 0 : isPreferred(host, order) ? 0 : 1;
  const sorted = order.sorts === false
    ? shuffled
    : shuffled.sort((a, b) => a.preference - b.preference || family(a) - family(b));
  const limit = Math.min(order.addressLimit || ADDRESS_LIST_LIMIT, ADDRESS_LIST_LIMIT);
  return order.balance ? balanceFamilies(sorted, limit) : sorted;
}

function isPreferred(host: Host, order: HostOrder): boolean {
  return host.address.includes(":") === (order.addressPreference === "ipv6");
}

/** Fisher and Yates. */
function shuffle(hosts: readonly Host[], random: () => number): Host[] {
  const out = [...hosts];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/**
 * Keeps both families among the first `limit` addresses, so that a hundred IPv6 addresses behind a broken route do
 * not hide the one IPv4 address that works: the smaller family whole if it fits into half, otherwise half of each,
 * an odd one to the family that comes first. The order stays.
 */
export function balanceFamilies(hosts: readonly Host[], limit: number): Host[] {
  const isV6 = (host: Host) => host.address.includes(":");
  const v6 = hosts.filter(isV6).length;
  const v4 = hosts.length - v6;
  if (v4 === 0 || v6 === 0 || hosts.length <= limit) return [...hosts];
  const half = Math.floor(limit / 2);
  const firstIsV6 = isV6(hosts[0]!);
  const odd = limit % 2;
  let keepV4 = half + (firstIsV6 ? 0 : odd);
  let keepV6 = half + (firstIsV6 ? odd : 0);
  if (v4 <= half) [keepV4, keepV6] = [v4, limit - v4];
  else if (v6 <= half) [keepV4, keepV6] = [limit - v6, v6];
  return hosts.filter((host) => (isV6(host) ? keepV6-- : keepV4--) > 0);
}
