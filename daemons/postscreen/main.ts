/**
 * NAME
 *   postscreen - keeps zombies from the SMTP server
 *
 * DESCRIPTION
 *   Takes the port of the SMTP server, and looks at clients before smtpd has to. Who is on the permanent list
 *   (postscreen_access_list) goes in, or is refused, at once; who has passed the tests lately (postscreen_cache_map) goes in
 *   too. All others are kept waiting for postscreen_greet_wait behind the first half of a greeting: a client that talks
 *   meanwhile is no mail server, and block lists are asked (postscreen_dnsbl_sites) and their answers weighed. Where tests
 *   after the greeting are on (pipelining, commands of other protocols, bare newlines), the client talks to a server that
 *   takes no mail and tells it to come back. What a failed test does is the test's action: ignore, enforce (every recipient
 *   is refused, and logged) or drop.
 *
 *   A client that is let in is handed over to smtpd's private socket (service "smtpd" of type pass). The runtime cannot give
 *   an open connection to another process, so its bytes are carried in both directions, and smtpd is told in front of them
 *   who the client is.
 *
 * SECURITY
 *   Reads bytes from strangers, and has less than smtpd: the sockets of smtpd, dnsblog, proxymap, proxywrite and tlsproxy, no file and
 *   no network of its own. What a client sends is bounded (line_length_limit, postscreen_command_count_limit,
 *   postscreen_command_time_limit), and so are clients (postscreen_pre_queue_limit, postscreen_post_queue_limit,
 *   postscreen_session_limit, postscreen_client_connection_count_limit). Nobody but this process can reach the socket on which
 *   smtpd believes who the client is.
 *
 * STANDARDS
 *   RFC 5321 (SMTP), RFC 2920 (PIPELINING), RFC 5782 (DNS block lists)
 *
 * DIAGNOSTICS
 *   As Postfix: "CONNECT from", "ALLOWLISTED", "DENYLISTED", "PASS OLD", "PASS NEW", "PREGREET", "DNSBL rank", "HANGUP",
 *   "NON-SMTP COMMAND", "COMMAND PIPELINING", "BARE NEWLINE", "COMMAND TIME LIMIT", "COMMAND COUNT LIMIT", "COMMAND LENGTH
 *   LIMIT", "ALLOWLIST VETO", "NOQUEUE: reject: RCPT from", "DISCONNECT", "entering STRESS mode". Fatal: an item of
 *   postscreen_dnsbl_sites that makes no sense, no service smtpd of type pass.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   What a client that is handed over sends and gets passes two processes:
 *   docs/performance.md has what that costs.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
// Utility
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Wire protocols
import type { ProxiedEnds } from "../../lib/smtp/haproxy.ts";
import { readProxyHeader } from "../../lib/smtp/proxy_arrival.ts";
// Access
import { canonicalAddress } from "../../lib/access/peer.ts";
// Server skeleton
import { CacheClient } from "../../lib/proto/cache_client.ts";
import { CACHE, DNSBLOG, PROXYMAP } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runStreamDaemon, type StreamService } from "../../lib/server/daemon.ts";
// This program
import { ScreenedClient } from "./postscreen_client.ts";
import { Screen } from "./postscreen_screen.ts";
import { SERVICE } from "./service.ts";

const NOTHING: Uint8Array = new Uint8Array(0);

/** Takes a connection, by way of a proxy where there is one. */
function serve(screen: Screen, channel: Channel, done: () => void): void {
  const { settings } = screen;
  const own: ProxiedEnds = {
    clientAddress: channel.remoteAddress,
    clientPort: channel.remotePort,
    serverAddress: channel.localAddress,
    serverPort: channel.localPort,
  };
  const begin = (ends: ProxiedEnds, rest: Uint8Array) => {
    const clientAddress = canonicalAddress(ends.clientAddress);
    const serverAddress = canonicalAddress(ends.serverAddress);
    new ScreenedClient(screen, channel, { ...ends, clientAddress, serverAddress }, rest, done).begin();
  };
  if (settings.postscreen_upstream_proxy_protocol === "") return begin(own, NOTHING);
  readProxyHeader(channel, settings.postscreen_upstream_proxy_timeout * 1000, (arrival) => {
    if (arrival.kind === "arrived") return begin(arrival.ends ?? own, arrival.rest);
    if (arrival.kind === "bad") {
      screen.log.warning(`proxy header from [${channel.remoteAddress}]: ${arrival.why}`);
      channel.write(encodeText("421 4.3.2 No system resources\r\n"));
      channel.finish();
    }
    done();
  });
}

function start(context: Context<typeof SERVICE>): StreamService {
  const { settings } = context;
  const cached = settings.postscreen_cache_map !== "" && context.reaches("proxywrite");
  const smtpd = context.socketOf("smtpd");
  if (smtpd === undefined) return context.fatal('service "smtpd" of type pass is not in master.toml');
  const screen = new Screen({
    settings,
    stressed: context.stressed,
    maps: new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    dnsblog: context.reaches("dnsblog") ? context.client(DNSBLOG, "dnsblog") : undefined,
    cache: cached ? new CacheClient(context.client(CACHE, "proxywrite"), "postscreen_cache_map") : undefined,
    smtpd,
    tlsproxy: context.socketOf("tlsproxy"),
    log: context.log,
    trouble: (what, error) => context.trouble(what, error),
  });
  return {
    sessionLimit: settings.postscreen_session_limit,
    session: (channel, done) => serve(screen, channel, done),
  };
}

await runStreamDaemon(SERVICE, start);
