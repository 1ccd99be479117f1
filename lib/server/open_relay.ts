/**
 * Proof that strangers cannot relay: before a port is bound, each smtpd's rules are asked about clients that nobody knows.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../config/configuration.ts";
import { errorAt, type Problem, warningAt } from "../config/problem.ts";
// Server skeleton
import { type Decision, Decisions, type View } from "./decisions.ts";
import type { Service } from "./service.ts";

/**
 * Addresses far apart that nobody here knows. Those of one network are no strangers where the configuration names that
 * network, as tests do with documentation's; who trusts two of these trusts everybody.
 */
const ADDRESSES: readonly (readonly string[])[] = [
  ["203.0.113.251", "198.51.100.251", "5.255.255.251", "100.200.100.251"],
  ["2001:db8:fffe::251", "2a00:fffe::251", "2607:fffe::251"],
];
/** How many of a family must be able to relay. */
const ENOUGH = 2;

const NAMES: readonly string[] = ["mail.stranger.example", "unknown"];

const ELSEWHERE = "elsewhere.example";

/** Ways to write a recipient elsewhere; `own` is a domain of ours. */
const RECIPIENTS: readonly ((own: string) => string)[] = [
  () => `victim@${ELSEWHERE}`,
  (own) => `victim%${ELSEWHERE}@${own}`,
  (own) => `"victim@${ELSEWHERE}"@${own}`,
  (own) => `@${own}:victim@${ELSEWHERE}`,
  () => `${ELSEWHERE}!victim`,
  () => `victim%${ELSEWHERE}`,
];

/** What the proof finds: an error for each service that would relay for strangers. */
export async function findOpenRelays(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
  gateways: readonly string[],
): Promise<Problem[]> {
  const entries = configuration.services.filter((entry) => entry.command === "smtpd");
  if (entries.length === 0) return [];
  const decisions = new Decisions(configuration, services, { ignoreTrouble: true });
  const problems: Problem[] = [];
  for (const entry of entries) {
    if (
      configuration.scopeOf(entry).value("smtpd_open_relay") === true || isLoopbackOnly(configuration, entry)
    ) {
      continue;
    }
    const found = await findStranger(configuration, decisions, entry);
    if (found !== undefined) {
      problems.push(openRelay(configuration, entry, found));
      continue;
    }
    const behind = gateways.map((address) => ({ address, name: "unknown" }));
    const trusted = await findRelay(configuration, decisions, entry, behind);
    if (trusted !== undefined) problems.push(trustedGateway(configuration, entry, trusted));
  }
  return problems;
}

/** A stranger that may relay, with what he does; undefined when there is none. */
async function findStranger(
  configuration: Configuration,
  decisions: Decisions,
  entry: ServiceEntry,
): Promise<View | undefined> {
  for (const family of ADDRESSES) {
    for (const name of NAMES) {
      const found: View[] = [];
      for (const address of family) {
        const view = await findRelay(configuration, decisions, entry, [{ address, name }]);
        if (view !== undefined && found.push(view) >= ENOUGH) return found[0];
      }
    }
  }
  return undefined;
}

/** The first client and recipient that are taken, or undefined. */
async function findRelay(
  configuration: Configuration,
  decisions: Decisions,
  entry: ServiceEntry,
  clients: readonly Pick<View, "address" | "name">[],
): Promise<View | undefined> {
  const own = configuration.settings.myhostname;
  for (const client of clients) {
    for (const sender of [`stranger@${ELSEWHERE}`, ""]) {
      for (const make of RECIPIENTS) {
        const view = { ...client, helo: "mail.stranger.example", sender, recipient: make(own) };
        if (goesOn(await decisions.ask(entry, view))) return view;
      }
    }
  }
  return undefined;
}

/** True when it was accepted and its mail goes on to elsewhere: relay_domains that hold everything are open too. */
function goesOn({ accepted, resolved }: Decision): boolean {
  if (!accepted || resolved === undefined) return false;
  return resolved.routed || resolved.class === "default" || resolved.class === "relay";
}

function openRelay(configuration: Configuration, entry: ServiceEntry, view: View): Problem {
  const place = configuration.scopeOf(entry).setting("smtpd_relay_restrictions") ?? entry.place;
  const text =
    `service "${entry.name}" would relay for strangers: ${view.name}[${view.address}] may send to ` +
    `<${view.recipient}>`;
  const cure =
    'add "reject_unauth_destination", look into mynetworks, or say that it is meant: smtpd_open_relay = true';
  return errorAt(place, text, cure);
}

function trustedGateway(configuration: Configuration, entry: ServiceEntry, view: View): Problem {
  const place = configuration.scopeOf(entry).setting("mynetworks") ?? entry.place;
  const text =
    `service "${entry.name}" relays for the gateway ${view.address}: if it puts its own address in the place ` +
    "of its clients', strangers have it";
  return warningAt(place, text, `put "!${view.address}" in front of its network in mynetworks`);
}

/** No stranger reaches a port that is bound on loopback addresses only. */
function isLoopbackOnly(configuration: Configuration, entry: ServiceEntry): boolean {
  if (entry.pass) return false;
  if (entry.type !== "inet") return true;
  const host = entry.listen?.host;
  const hosts = host === undefined ? configuration.settings.inet_interfaces : [host];
  return hosts.every((one) =>
    one === "loopback-only" || one === "localhost" || one === "::1" || one === "[::1]" ||
    one.startsWith("127.")
  );
}
