/**
 * NAME
 *   smtpd - the SMTP server
 *
 * DESCRIPTION
 *   Speaks SMTP with clients, decides by the restriction lists which recipients are accepted, and hands each message
 *   to cleanup as records. It says 250 after the message only when cleanup says that it is on the disk. One process
 *   serves many sessions.
 *
 *   REQUIRETLS is offered inside TLS (requiretls_enable). Mail that comes with it goes on only to servers that
 *   smtp_requiretls_policy finds good enough; a filter before the queue (smtpd_proxy_filter) is told of it in the header.
 *
 *   Filters (milters) that smtpd_milters and smtpd_milter_maps name are told of the connection and of each command, and may
 *   refuse it. The content is told them by cleanup, to which smtpd lends their connections for the length of a message.
 *
 *   When something went wrong in a session that notify_classes names (data, policy, protocol, resource, software), its
 *   transcript is mailed to error_notice_recipient; passwords and message text are not in it.
 *
 *   STARTTLS, or TLS from the first byte on (smtpd_tls_wrappermode), with the certificate of smtpd_tls_chain_files. After
 *   the handshake another session begins: nothing that was said in the clear is left of the first. AUTH by Dovecot, saslauthd
 *   or the sasl daemon (smtpd_sasl_type).
 *
 * SECURITY
 *   Reads bytes from strangers. It has no permission for TCP (the listening socket is inherited) but for the address and
 *   port of each policy server, filter and SASL backend that the configuration names, none for files, or to run anything: it reaches
 *   cleanup, trivial-rewrite, proxymap, dns, flush, anvil and verify over their sockets. Private keys come from master on
 *   standard input. It sees the passwords of those who log in by PLAIN and LOGIN, and none that is stored. It must never be
 *   trusted with more. Input is bounded by line_length_limit, sessions by smtpd_session_limit, silence by
 *   smtpd_timeout, errors by smtpd_hard_error_limit. End of data is CR LF . CR LF and nothing else.
 *
 * STANDARDS
 *   RFC 5321 (SMTP), RFC 8689 (REQUIRETLS), RFC 1870 (SIZE), RFC 1985 (ETRN), RFC 2034 (ENHANCEDSTATUSCODES), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 3461
 *   (DSN), RFC 3848 (ESMTPSA), RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 7505 (null MX), RFC 8314 (submissions), RFC 3030
 *   (CHUNKING), RFC 6531 (SMTPUTF8), RFC 9422 (LIMITS)
 *
 * DIAGNOSTICS
 *   "ID: milter-reject: ...", "milter-hold", "milter-discard" for what filters decide, "milter NAME: ..." for one that
 *   fails; "connect from", "ID: client=", "NOQUEUE: reject: ...", "disconnect from", "... TLS connection established from ...",
 *   "SSL_accept error from", "SASL ... authentication failed: ...", as Postfix. Behind a refusal stand
 *   a short id and the rule that decided, with its file and line: `postern explain --reply ID` tells its story. (A configuration that would
 *   relay for strangers is refused when it is loaded.)
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   BINARYMIME is not offered. A chunk that is more than half over message_size_limit ends the session.
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
// Utility
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Wire protocols
import type { ProxiedEnds } from "../../lib/smtp/haproxy.ts";
import { readProxyHeader } from "../../lib/smtp/proxy_arrival.ts";
// Access
import { lookUpNames } from "../../lib/access/peer_name.ts";
import { canonicalAddress, isLoopback, type Peer } from "../../lib/access/peer.ts";
import { PolicyServers } from "../../lib/access/policy_server.ts";
// This program
import { Server } from "./smtpd_server.ts";
import type { ClientStanding } from "./smtpd_client.ts";
import { Session } from "./smtpd_session.ts";
import type { SmtpdServices } from "./smtpd_settings.ts";
import { SmtpdSasl } from "./smtpd_sasl.ts";
import { SmtpdTls } from "./smtpd_tls.ts";
import { SERVICE } from "./service.ts";

/** Bytes that a client may send before it is greeted; it is refused anyway. */
const EARLY_LIMIT = 4096;
/** What all sessions without TLS read into: each is done with its bytes before the next one reads. */
const INPUT = new Uint8Array(64 * 1024);
/** Connections above smtpd_session_limit that are told so instead of being left waiting. */
const REFUSED_SESSIONS = 100;

/** Takes a connection, by way of whoever has taken it first. */
function serve(
  server: Server,
  services: SmtpdServices,
  gate: InputGate,
  channel: Channel,
  done: () => void,
): void {
  const { settings } = services;
  const proxied = services.passed === true || settings.smtpd_upstream_proxy_protocol !== "";
  if (!proxied) return welcome(server, services, gate, channel, endsOf(channel), NOTHING, done);
  readProxyHeader(channel, settings.smtpd_upstream_proxy_timeout * 1000, (arrival) => {
    if (arrival.kind === "gone") return done();
    if (arrival.kind === "arrived" && (arrival.ends !== undefined || !services.passed)) {
      return welcome(server, services, gate, channel, arrival.ends ?? endsOf(channel), arrival.rest, done);
    }
    const why = arrival.kind === "bad" ? arrival.why : "a client without an address";
    server.log.warning(`proxy header from [${channel.remoteAddress || "postscreen"}]: ${why}`);
    channel.write(encodeText(`421 4.3.0 ${settings.myhostname} Server local error\r\n`));
    channel.finish();
    done();
  });
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** The ends of a connection that the client made itself. */
function endsOf(channel: Channel): ProxiedEnds {
  return {
    clientAddress: channel.remoteAddress,
    clientPort: channel.remotePort,
    serverAddress: channel.localAddress,
    serverPort: channel.localPort,
  };
}

/** Finds out who the client is and runs its session. */
function welcome(
  server: Server,
  services: SmtpdServices,
  gate: InputGate,
  channel: Channel,
  ends: ProxiedEnds,
  rest: Uint8Array,
  done: () => void,
): void {
  const address = canonicalAddress(ends.clientAddress);
  const serverAddress = canonicalAddress(ends.serverAddress);
  let early = rest;
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
      port: ends.clientPort,
      serverAddress,
      serverPort: ends.serverPort,
      nameTrouble: names.trouble,
      ours: isLoopback(address) || address === serverAddress,
    };
    const greet = (standing: ClientStanding) => {
      if (gone) return done();
      const session = new Session(server, peer, standing, channel, done);
      if (listens) {
        channel.start({
          data: (bytes) => session.data(bytes),
          room: () => INPUT,
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
    stressed: context.stressed,
    passed: context.passed,
    socketOf: (service) => context.socketOf(service),
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
  context.onStress(() => server.stress());
  context.every(1, () => server.checkDeadlines());
  return {
    sessionLimit: settings.smtpd_session_limit + REFUSED_SESSIONS,
    session: (channel, done) => serve(server, services, gate, channel, done),
  };
}

await runStreamDaemon(SERVICE, start);
