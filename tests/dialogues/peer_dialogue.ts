/**
 * Dialogues that are made from a table and held with Debian's Postfix and with Postern: the same parameters, the same
 * facts about the client, the same commands; each reply must have the same code, the same enhanced code and the same text.
 *
 * Postfix gets each configuration as a service of its own, and the client's facts by XCLIENT. Postern runs in the test: the
 * real smtpd, cleanup, trivial-rewrite and proxymap. Both get the same answers from DNS. Not a test itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import { MailHost } from "../daemons/smtpd/mail_host.ts";
import { Postfix } from "../support/postfix.ts";
import { ScriptedDns, type Zone, zoneLookup } from "../support/scripted_dns.ts";
import { testNeeding } from "../support/tools.ts";
import { SmtpClient } from "./smtp_client.ts";
import { toToml } from "./words.ts";

/** Parameters in words that both read. */
export type Words = Readonly<Record<string, string>>;

/** Who the client is. */
export interface ClientFacts {
  readonly address: string;
  /** Verified name; "unknown" when there is none, "tempfail" when nobody can tell now. */
  readonly name: string;
  /** The name that the address has, verified or not. */
  readonly reverse: string;
}

/** One dialogue. */
export interface PeerCase {
  readonly name: string;
  readonly settings: Words;
  readonly client?: Partial<ClientFacts>;
  /** Commands; the reply to each is compared, and the greeting. */
  readonly says: readonly string[];
  /** What Postfix says otherwise, by the command's index from 0 (-1: the greeting), and why. */
  readonly differs?: Readonly<Record<number, readonly [postfix: string, postern: string]>>;
}

const STRANGER: ClientFacts = { address: "198.51.100.9", name: "unknown", reverse: "unknown" };

/** What both servers are told, beside the dialogue's own parameters. */
const COMMON: Words = {
  myhostname: "mx.test",
  mydomain: "test",
  myorigin: "mx.test",
  mydestination: "mx.test, local.test",
  mynetworks: "192.0.2.0/24, 203.0.113.0/24",
  relay_domains: "relay.test",
  local_recipient_maps: "inline:{alice=x, bob=x, postmaster=x}",
  alias_maps: "",
  default_transport: "discard",
  local_transport: "discard",
  relay_transport: "discard",
  virtual_transport: "discard",
  smtpd_banner: "$myhostname ESMTP",
  smtpd_relay_restrictions: "permit_mynetworks, reject_unauth_destination",
  smtpd_discard_ehlo_keywords: "etrn, smtputf8, chunking, xclient",
  smtpd_error_sleep_time: "0",
  smtpd_hard_error_limit: "100",
  message_size_limit: "100000",
};

/** What only Postfix has to be told for the same. */
const POSTFIX_ONLY: Words = {
  inet_interfaces: "127.0.0.1",
  inet_protocols: "ipv4",
  disable_dns_lookups: "no",
  smtpd_authorized_xclient_hosts: "127.0.0.0/8",
  smtpd_peername_lookup: "no",
  smtpd_forbid_unauth_pipelining: "no",
  smtputf8_enable: "yes",
  compatibility_level: "3.6",
  parent_domain_matches_subdomains:
    "debug_peer_list, fast_flush_domains, mynetworks, permit_mx_backup_networks, qmqpd_authorized_clients, relay_domains, smtpd_access_maps",
};

/** Declares a test that holds every dialogue with both. */
export function comparePeers(title: string, cases: readonly PeerCase[], zone: Zone): void {
  testNeeding(["root", "postfix"], title, async (context) => {
    await using dns = await ScriptedDns.start(zone);
    const groups = [...new Set(cases.map(({ settings }) => JSON.stringify(settings)))];
    await using postfix = await Postfix.start({
      settings: { ...COMMON, ...POSTFIX_ONLY },
      servers: groups.map((group) => JSON.parse(group) as Words),
      resolver: dns.address,
    });
    for (const [i, group] of groups.entries()) {
      const settings = Object.entries({ ...COMMON, ...JSON.parse(group) as Words });
      await using host = new MailHost({
        settings: Object.fromEntries(settings.map(([name, value]) => [name, toToml(name, value)])),
        dns: zoneLookup(zone),
      });
      for (const one of cases.filter((other) => JSON.stringify(other.settings) === group)) {
        await context.step(one.name, async () => {
          const theirs = await holdWithPostfix(one, postfix.ports[i]!);
          const ours = await holdWithPostern(one, host);
          compare(one, theirs, ours);
        });
      }
    }
  });
}

function factsOf({ client }: PeerCase): ClientFacts {
  const facts = { ...STRANGER, ...client };
  return client?.name !== undefined && client.reverse === undefined && client.name !== "tempfail"
    ? { ...facts, reverse: client.name }
    : facts;
}

/** The replies to the greeting and to each command. */
async function holdWithPostfix(one: PeerCase, port: number): Promise<string[]> {
  using client = await SmtpClient.connect(port);
  await client.reply();
  const { address, name, reverse } = factsOf(one);
  const shown = (text: string) =>
    text === "unknown" ? "[UNAVAILABLE]" : text === "tempfail" ? "[TEMPUNAVAIL]" : text;
  const facts = `NAME=${shown(name)} ADDR=${address} REVERSE_NAME=${shown(reverse)}`;
  const replies = [await client.say(`XCLIENT ${facts}`)];
  for (const command of one.says) replies.push(await client.say(command));
  return replies;
}

async function holdWithPostern(one: PeerCase, host: MailHost): Promise<string[]> {
  const { address, name, reverse } = factsOf(one);
  const plain = (text: string) => text === "tempfail" ? "unknown" : text;
  const client = host.connect(address, "", {
    name: plain(name),
    reverseName: plain(reverse),
    nameTrouble: name === "tempfail",
    reverseTrouble: reverse === "tempfail",
    ours: false,
  });
  const replies = [await client.reply()];
  for (const command of one.says) replies.push(await client.say(command));
  client.leave();
  return replies;
}

/**
 * What is compared of a reply: its codes and its text. Of EHLO's the code; and Postfix shows addresses without their quotes,
 * as they are inside (docs/differences.md).
 */
function essence(reply: string): string {
  if (reply.startsWith("250-")) return "250";
  return reply.replace(/queued as .*/, "queued").replaceAll('"', "");
}

function compare(one: PeerCase, theirs: readonly string[], ours: readonly string[]): void {
  for (const [i, reply] of theirs.entries()) {
    const what = i === 0 ? "the greeting" : `"${one.says[i - 1]}"`;
    const known = one.differs?.[i - 1];
    const [postfix, postern] = [essence(reply), essence(ours[i] ?? "")];
    if (known === undefined) assert.equal(postern, postfix, `${one.name}: reply to ${what}`);
    else assert.deepEqual([postfix, postern], known, `${one.name}: known difference at ${what}`);
  }
}
