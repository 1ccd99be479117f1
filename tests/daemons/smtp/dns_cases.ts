/**
 * What a domain's zone may say: the table behind dns_peer_test.ts, which gives each domain to Debian's client and to
 * ours. Not a test itself.
 *
 * @module
 */
import type { ServedZone } from "../../support/zone_server.ts";

/** Servers by address; all on one port. Nothing listens on DEAD. */
export const GOOD = "127.3.0.1";
export const GOOD_TOO = "127.3.0.2";
export const BUSY = "127.3.0.3"; // 421 in its greeting
export const BUSY_TOO = "127.3.0.4";
export const BUSY_THREE = "127.3.0.5";
export const LATER = "127.3.0.6"; // 450 for every recipient
export const LATER_TOO = "127.3.0.7";
export const NEVER = "127.3.0.8"; // 550 for every recipient
export const DEAD = "127.3.9.1";
export const DEAD_TOO = "127.3.9.2";
/** The only address of both clients. */
export const OWN = "127.0.0.1";

/** One domain. `D` in names and values stands for it. */
export interface DnsCase {
  readonly name: string;
  readonly zone: ServedZone;
  /** Next hop; D and the servers' port by default. */
  readonly nexthop?: "D" | "[D]" | "[D]:PORT" | "D:PORT, fallback.test:PORT" | "D:PORT, nowhere.test:PORT";
  /** Ours is another result on purpose (docs/differences.md): what it begins with. */
  readonly meant?: string;
}

/** A chain of so many aliases to a host. */
function chain(length: number, end: string): ServedZone {
  const zone: Record<string, string[]> = { "D": ["CNAME c1.D"] };
  for (let i = 1; i < length; i++) zone[`c${i}.D`] = [`CNAME c${i + 1}.D`];
  zone[`c${length}.D`] = [`A ${end}`];
  return zone;
}

const NO_ANSWER = "4.4.3 deferred (Host or domain name not found. Name service error for name=";

export const DNS_CASES: readonly DnsCase[] = [
  { name: "one MX", zone: { "D": ["MX 10 a.D"], "a.D": [`A ${GOOD}`] } },
  {
    name: "the better MX comes first",
    zone: { "D": ["MX 20 b.D", "MX 10 a.D"], "a.D": [`A ${GOOD}`], "b.D": [`A ${GOOD_TOO}`] },
  },
  {
    name: "the better MX is dead",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": [`A ${DEAD}`], "b.D": [`A ${GOOD}`] },
  },
  {
    name: "the better MX is busy",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": [`A ${BUSY}`], "b.D": [`A ${GOOD}`] },
  },
  {
    name: "the better MX defers the recipient",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": [`A ${LATER}`], "b.D": [`A ${GOOD}`] },
  },
  {
    name: "the better MX refuses the recipient",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": [`A ${NEVER}`], "b.D": [`A ${GOOD}`] },
  },
  {
    name: "all MX are dead",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": [`A ${DEAD}`], "b.D": [`A ${DEAD_TOO}`] },
  },
  {
    name: "busy hosts are no sessions",
    zone: {
      "D": ["MX 10 a.D", "MX 20 b.D", "MX 30 c.D", "MX 40 d.D"],
      "a.D": [`A ${BUSY}`],
      "b.D": [`A ${BUSY_TOO}`],
      "c.D": [`A ${BUSY_THREE}`],
      "d.D": [`A ${GOOD}`],
    },
  },
  {
    name: "two sessions are enough",
    zone: {
      "D": ["MX 10 a.D", "MX 20 b.D", "MX 30 c.D"],
      "a.D": [`A ${LATER}`],
      "b.D": [`A ${LATER_TOO}`],
      "c.D": [`A ${GOOD}`],
    },
  },
  {
    name: "five addresses are enough",
    zone: {
      "D": ["MX 10 a.D", "MX 20 b.D", "MX 30 c.D", "MX 40 d.D", "MX 50 e.D", "MX 60 f.D"],
      "a.D": [`A ${DEAD}`],
      "b.D": [`A ${DEAD_TOO}`],
      "c.D": [`A ${BUSY}`],
      "d.D": [`A ${BUSY_TOO}`],
      "e.D": [`A ${BUSY_THREE}`],
      "f.D": [`A ${GOOD}`],
    },
  },
  { name: "no MX, an address", zone: { "D": [`A ${GOOD}`] } },
  { name: "no MX, a dead address", zone: { "D": [`A ${DEAD}`] } },
  { name: "DNS-20: neither MX nor address", zone: { "D": ["TXT nothing"] } },
  { name: "no such domain", zone: {} },
  { name: "SERVFAIL for MX", zone: { "D MX": "SERVFAIL", "D": [`A ${GOOD}`] } },
  { name: "SERVFAIL for all", zone: { "D": "SERVFAIL" } },
  { name: "SERVFAIL for the address", zone: { "D A": "SERVFAIL", "D": ["TXT x"] } },
  { name: "DNS-16: REFUSED for MX", zone: { "D": "REFUSED" } },
  { name: "DNS-16: NOTIMP for MX", zone: { "D": "NOTIMP" } },
  { name: "DNS-16: FORMERR for MX", zone: { "D": "FORMERR" }, meant: NO_ANSWER },
  { name: "DNS-17: silence for MX", zone: { "D": "SILENT" } },
  { name: "garbage for MX", zone: { "D": "GARBAGE" } },
  { name: "an MX host that does not exist", zone: { "D": ["MX 10 a.D"] } },
  { name: "an MX host without address", zone: { "D": ["MX 10 a.D"], "a.D": ["TXT x"] } },
  { name: "an MX host that cannot be looked up", zone: { "D": ["MX 10 a.D"], "a.D": "SERVFAIL" } },
  {
    name: "one MX host does not exist, the other one does",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "b.D": [`A ${GOOD}`] },
  },
  {
    name: "one MX host cannot be looked up, the other one can",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": "SERVFAIL", "b.D": [`A ${GOOD}`] },
  },
  {
    name: "one MX host does not exist, the other one cannot be looked up",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": "SERVFAIL" },
  },
  {
    name: "DNS-11: MX at an alias",
    zone: { "D": ["MX 10 a.D"], "a.D": ["CNAME b.D"], "b.D": [`A ${GOOD}`] },
  },
  {
    name: "a domain that is an alias",
    zone: { "D": ["CNAME e.D"], "e.D": ["MX 10 a.D"], "a.D": [`A ${GOOD}`] },
  },
  { name: "a domain that is an alias of a host", zone: { "D": ["CNAME e.D"], "e.D": [`A ${GOOD}`] } },
  { name: "five aliases", zone: chain(5, GOOD) },
  { name: "DNS-10: twenty aliases", zone: chain(20, GOOD), meant: NO_ANSWER },
  { name: "aliases in a circle", zone: { "D": ["CNAME e.D"], "e.D": ["CNAME D"] } },
  { name: "an alias of nothing", zone: { "D": ["CNAME e.D"] } },
  {
    name: "DNS-01: a null MX",
    zone: { "D": ["MX 0 ."], "D A": [`A ${GOOD}`] },
    meant: "5.1.10 bounced (Domain ",
  },
  {
    name: "DNS-02: a null MX beside another",
    zone: { "D": ["MX 0 .", "MX 10 a.D"], "a.D": [`A ${GOOD}`] },
    meant: "2.0.0 sent",
  },
  { name: "an address in the place of an MX host", zone: { "D": [`MX 10 ${GOOD}`] } },
  { name: "an MX host that is no name", zone: { "D": ["MX 10 a b.D", "MX 20 -x.D"] } },
  {
    name: "an MX host that is no name beside one that is",
    zone: { "D": ["MX 10 -x.D", "MX 20 a.D"], "a.D": [`A ${GOOD}`] },
  },
  {
    name: "a thousand MX records",
    zone: {
      "D": Array.from({ length: 1000 }, (_, i) => `MX ${i} h${i}.D`),
      "h0.D": [`A ${DEAD}`],
      "h1.D": [`A ${GOOD}`],
    },
  },
  { name: "DNS-13: many addresses", zone: { "D": Array.from({ length: 300 }, () => `A ${GOOD}`) } },
  { name: "brackets", zone: { "D": ["MX 10 a.D", `A ${GOOD}`], "a.D": [`A ${DEAD}`] }, nexthop: "[D]:PORT" },
  {
    name: "a second destination",
    zone: { "D": ["MX 10 a.D"], "a.D": [`A ${DEAD}`] },
    nexthop: "D:PORT, fallback.test:PORT",
  },
  {
    name: "a second destination for one that does not exist",
    zone: {},
    nexthop: "D:PORT, fallback.test:PORT",
  },
  {
    name: "a second destination that does not exist for one that defers",
    zone: { "D": ["MX 10 a.D"], "a.D": [`A ${LATER}`] },
    nexthop: "D:PORT, nowhere.test:PORT",
    meant: "4.2.1 deferred",
  },
  {
    name: "a second destination that does not exist for one that is dead",
    zone: { "D": ["MX 10 a.D"], "a.D": [`A ${DEAD}`] },
    nexthop: "D:PORT, nowhere.test:PORT",
    meant: "4.4.1 deferred",
  },
  {
    name: "a second destination for one that does not answer",
    zone: { "D": "SERVFAIL" },
    nexthop: "D:PORT, fallback.test:PORT",
  },
  { name: "DNS-04: MX at ourselves", zone: { "D": ["MX 10 a.D"], "a.D": [`A ${OWN}`] }, nexthop: "D" },
  { name: "an address that is ours", zone: { "D": [`A ${OWN}`] }, nexthop: "[D]" },
  {
    name: "we are the backup of a host that does not exist",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "b.D": [`A ${OWN}`] },
    nexthop: "D",
  },
  {
    name: "we are better than another",
    zone: { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": [`A ${OWN}`], "b.D": [`A ${GOOD}`] },
    nexthop: "D",
  },
  {
    name: "we are as good as another",
    zone: { "D": ["MX 10 a.D", "MX 10 b.D"], "a.D": [`A ${OWN}`], "b.D": [`A ${GOOD}`] },
    nexthop: "D",
  },
];
