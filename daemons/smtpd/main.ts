/**
 * NAME
 *   smtpd - the SMTP server
 *
 * DESCRIPTION
 *   Speaks SMTP with clients, decides by the restriction lists which recipients are accepted, and hands each message
 *   to cleanup as records. It says 250 after the message only when cleanup says that it is on the disk. One process
 *   serves many sessions.
 *
 *   When something went wrong in a session that notify_classes names (data, policy, protocol, resource, software), its
 *   transcript is mailed to error_notice_recipient; passwords and message text are not in it.
 *
 * SECURITY
 *   Reads bytes from strangers. It has no permission for TCP at all (the listening socket is inherited), for files,
 *   or to run anything: it reaches cleanup, trivial-rewrite, proxymap, dns, flush and anvil over their sockets. It must never be
 *   trusted with more. Input is bounded by line_length_limit, sessions by smtpd_session_limit, silence by
 *   smtpd_timeout, errors by smtpd_hard_error_limit. End of data is CR LF . CR LF and nothing else.
 *
 * STANDARDS
 *   RFC 5321 (SMTP), RFC 1870 (SIZE), RFC 1985 (ETRN), RFC 2034 (ENHANCEDSTATUSCODES), RFC 2920 (PIPELINING), RFC 3461 (DSN), RFC 6152
 *   (8BITMIME), RFC 7505 (null MX)
 *
 * DIAGNOSTICS
 *   "connect from", "ID: client=", "NOQUEUE: reject: ...", "disconnect from", as Postfix. (A configuration that would
 *   relay for strangers is refused when it is loaded.)
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   No TLS, no AUTH, no SMTPUTF8 extension, no milters. Refusals are delayed until RCPT, as with smtpd_delay_reject = yes.
 *
 * @module
 */
// Safe primitives
import { type Channel, InputGate } from "../../lib/safe/channel.ts";
// Tables
import { connectTo } from "../../lib/table/stream_target.ts";
// Server skeleton
import { ANVIL, CLEANUP, DNS, FLUSH, PROXYMAP, REWRITE, SASL, VERIFY } from "../../lib/proto/protocols.ts";
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import { queryAddress } from "../../lib/proto/verify_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runStreamDaemon, type StreamService } from "../../lib/server/daemon.ts";
// Access
import { canonicalAddress, isLoopback, type Peer } from "../../lib/access/peer.ts";
import { PolicyServers } from "../../lib/access/policy_server.ts";
// This program
import { lookUpNames } from "./smtpd_peer.ts";
import { Server } from "./smtpd_server.ts";
import type { ClientStanding } from "./smtpd_client.ts";
import { Session } from "./smtpd_session.ts";
import type { SmtpdServices } from "./smtpd_settings.ts";
import { SmtpdSasl } from "./smtpd_sasl.ts";
import { SmtpdTls } from "./smtpd_tls.ts";
import { SERVICE } from "./service.ts";

/** Bytes that a client may send before it is greeted; it is refused anyway. */
const EARLY_LIMIT = 4096;
/** Connections above smtpd_session_limit that are told so instead of being left waiting. */
const REFUSED_SESSIONS = 100;

/** Finds out who the client is and runs its session. */
function serve(
  server: Server,
  services: SmtpdServices,
  gate: InputGate,
  channel: Channel,
  done: () => void,
): void {
  const address = canonicalAddress(channel.remoteAddress);
  const serverAddress = canonicalAddress(channel.localAddress);
  let early: Uint8Array = new Uint8Array(0);
  let gone = false;
  let ended = false;
  // In wrapper mode the first byte is the handshake's.
  const listens = server.tls?.wrapper !== true;
  if (listens) {
    channel.start({
      data: (bytes) => {
        if (early.length === 0) early = bytes.slice(0, EARLY_LIMIT);
      },
      ended: () => ended = true,
      closed: () => gone = true,
    });
  }
  const drop = () => {
    channel.destroy();
    done();
  };
  const begin = (names: Pick<Peer, "name" | "reverseName"> & { readonly trouble: boolean }) => {
    if (gone) return done();
    const peer: Peer = {
      name: names.name,
      reverseName: names.reverseName,
      address,
      port: channel.remotePort,
      serverAddress,
      serverPort: channel.localPort,
      nameTrouble: names.trouble,
      ours: isLoopback(address) || address === serverAddress,
    };
    const greet = (standing: ClientStanding) => {
      if (gone) return done();
      const session = new Session(server, peer, standing, channel, done);
      if (listens) {
        channel.start({
          data: (bytes) => session.data(bytes),
          ended: () => session.ended(),
          closed: () => session.closed(),
        });
      }
      session.begin(early);
      if (ended) session.ended();
    };
    const standing = server.standingOf(peer);
    // What the client has sent already must be seen before the greeting.
    if (!(standing instanceof Promise)) gate.pass(() => greet(standing));
    else standing.then(greet, drop);
  };
  if (services.settings.smtpd_peername_lookup && !isLoopback(address)) {
    lookUpNames(services.dns, address).then(begin, drop);
  } else {
    const name = isLoopback(address) ? "localhost" : "unknown";
    begin({ name, reverseName: name, trouble: false });
  }
}

function start(context: Context<typeof SERVICE>): StreamService {
  const { settings } = context;
  const senderMatters = settings.sender_dependent_relayhost_maps.length > 0 ||
    settings.sender_dependent_default_transport_maps.length > 0;
  const localpartMatters = settings.transport_maps.length > 0 || settings.relocated_maps.length > 0;
  const verify = context.reaches("verify") ? context.client(VERIFY, "verify") : undefined;
  const policy = new PolicyServers(settings, { stream: connectTo }, context.log);
  const services: SmtpdServices = {
    settings,
    origin: (parameter) => context.origin(parameter),
    warning: (text) => context.log.warning(text),
    probe: verify === undefined ? undefined : (address) => queryAddress(verify, address),
    askPolicy: (server, question) => policy.ask(server, question),
    serviceName: context.serviceName,
    anvil: context.reaches("anvil") ? context.client(ANVIL, "anvil") : undefined,
    maps: new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    dns: new DnsClient(context.client(DNS, "dns")),
    rewrite: new RewriteClient(context.client(REWRITE, "rewrite"), { senderMatters, localpartMatters }),
    sasl: SmtpdSasl.of(settings, () => context.client(SASL, "sasl"), context.log),
    tls: SmtpdTls.of(settings, context.tls, context.log),
    flush: context.reaches("flush") ? context.client(FLUSH, "flush") : undefined,
  };
  const cleanup = context.client(CLEANUP, "cleanup");
  const server = new Server(services, cleanup, context.log, (what, error) => context.trouble(what, error));
  const gate = new InputGate();
  context.every(1, () => server.checkDeadlines());
  return {
    sessionLimit: settings.smtpd_session_limit + REFUSED_SESSIONS,
    session: (channel, done) => serve(server, services, gate, channel, done),
  };
}

await runStreamDaemon(SERVICE, start);
