/**
 * NAME
 *   qmqpd - the QMQP server
 *
 * DESCRIPTION
 *   Takes mail from the clients of qmqpd_authorized_clients by the Quick Mail Queueing Protocol, as qmail's hosts without a
 *   queue and list managers speak it: one message for each connection, with one reply for all of its recipients. A sender
 *   that ends in "-@[]" asks for a return path for each recipient (VERP).
 *
 * SECURITY
 *   Only clients that are named are listened to; without any, nobody. What they send is bounded by message_size_limit,
 *   line_length_limit for an address, 16 MiB for all recipients, 64 MiB for the messages of all sessions together,
 *   qmqpd_timeout with 500 bytes per second, and qmqpd_session_limit. They may send to anybody, as qmail's may: name no
 *   strangers. The process reaches cleanup, dns and proxymap, and no file.
 *
 * STANDARDS
 *   QMQP and netstrings, as D. J. Bernstein published them
 *
 * DIAGNOSTICS
 *   "connect from", "ID: client=", "disconnect from", and what happened "while receiving ..." when a session is broken off, as
 *   Postfix.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   A message is in memory until its envelope is there, which comes behind it.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
// Utility
import { listSubject, type MatchList, matchLiteral, parseAddressList } from "../../lib/table/match_list.ts";
import { parentStyle } from "../../lib/table/parameter_lists.ts";
// Access
import { canonicalAddress, isLoopback, type Peer } from "../../lib/access/peer.ts";
import { lookUpNames } from "../../lib/access/peer_name.ts";
// Server skeleton
import { receiveFlags, utf8Flag } from "../../lib/proto/cleanup_client.ts";
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { CLEANUP, DNS, PROXYMAP } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runStreamDaemon, type StreamService } from "../../lib/server/daemon.ts";
// This program
import { type QmqpdShared, QmqpSession } from "./qmqpd_session.ts";
import { SERVICE } from "./service.ts";

/** Bytes that wait while it is found out who the client is; more stops reading. */
const EARLY_LIMIT = 65_536;

/** Finds out who clients are, and whether they may send. */
class Door {
  readonly #shared: QmqpdShared;
  readonly #authorized: MatchList;
  readonly #maps: MapClient;
  readonly #dns: DnsClient;
  readonly #sessions = new Set<QmqpSession>();

  constructor(shared: QmqpdShared, maps: MapClient, dns: DnsClient) {
    const { qmqpd_authorized_clients, parent_domain_matches_subdomains } = shared.settings;
    this.#shared = shared;
    this.#maps = maps;
    this.#dns = dns;
    this.#authorized = parseAddressList(qmqpd_authorized_clients, {
      parents: parentStyle("qmqpd_authorized_clients", parent_domain_matches_subdomains),
      name: "qmqpd_authorized_clients",
    });
  }

  /** Takes a connection. */
  open(channel: Channel, done: () => void): void {
    const address = canonicalAddress(channel.remoteAddress);
    const early: Uint8Array[] = [];
    let waiting = 0;
    let gone = false;
    channel.start({
      data: (bytes) => {
        early.push(bytes.slice());
        waiting += bytes.length;
        if (waiting > EARLY_LIMIT) channel.pause();
      },
      closed: () => gone = true,
    });
    const begin = (peer: Peer, authorized: boolean) => {
      if (gone) return done();
      const session = new QmqpSession(this.#shared, peer, channel, () => {
        this.#sessions.delete(session);
        done();
      });
      this.#sessions.add(session);
      channel.start({ data: (bytes) => session.data(bytes), closed: () => session.closed() });
      session.begin(authorized);
      for (const bytes of early) session.data(bytes);
      channel.resume();
    };
    this.#judge(channel, address).then(({ peer, authorized }) => begin(peer, authorized), (error) => {
      this.#shared.trouble(`client [${address}]`, error);
      channel.destroy();
      done();
    });
  }

  /** Ends sessions that take too long; to be called every second. */
  checkDeadlines(): void {
    for (const session of [...this.#sessions]) if (session.late) session.timeout();
  }

  async #judge(channel: Channel, address: string): Promise<{ peer: Peer; authorized: boolean }> {
    const { name, reverseName, trouble } = await lookUpNames(this.#dns, address);
    const serverAddress = canonicalAddress(channel.localAddress);
    const peer: Peer = {
      name,
      reverseName,
      address,
      port: channel.remotePort,
      serverAddress,
      serverPort: channel.localPort,
      nameTrouble: trouble,
      ours: isLoopback(address) || address === serverAddress,
    };
    const key = `${name} ${address}`;
    const verdict = matchLiteral(this.#authorized, listSubject("address", key));
    if (verdict !== "ask") return { peer, authorized: verdict === "match" };
    const found = await this.#maps.find("qmqpd_authorized_clients", "list", key);
    return { peer, authorized: found.kind === "found" };
  }
}

function start(context: Context<typeof SERVICE>): StreamService {
  const { settings } = context;
  const shared: QmqpdShared = {
    settings,
    cleanup: context.client(CLEANUP, "cleanup"),
    flags: receiveFlags(settings.receive_override_options) |
      utf8Flag(settings.smtputf8_autodetect_classes, "qmqpd"),
    log: context.log,
    held: 0,
    trouble: (what, error) => context.trouble(what, error),
  };
  const maps = new MapClient(context.client(PROXYMAP, "proxymap"), settings);
  const door = new Door(shared, maps, new DnsClient(context.client(DNS, "dns")));
  context.every(1, () => door.checkDeadlines());
  return {
    sessionLimit: settings.qmqpd_session_limit,
    session: (channel, done) => door.open(channel, done),
  };
}

await runStreamDaemon(SERVICE, start);
