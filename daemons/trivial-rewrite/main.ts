/**
 * # trivial-rewrite
 *
 * Brings addresses into their standard form and decides where they lead.
 *
 * ## Description
 * Serves the `rewrite` protocol of lib/proto/protocols.ts with two requests.
 *
 * *rewrite* makes `user@domain` of an address in external form: a source route is dropped, `site!user` and
 * `user%site` become `user@site`, an address without domain gets `@$myorigin`, a domain without a dot gets
 * `.$mydomain` (where configured), one dot at the end goes. In *remote* context, for the headers of strangers'
 * mail, `$remote_header_rewrite_domain` completes addresses, and nothing does while it is empty.
 *
 * *resolve* tells a recipient's class, transport and next hop. Domains of this host are stripped and routing in
 * the local part followed until a user of this host or a foreign domain is left. The classes, in this order:
 * local (`mydestination`, or a literal of one of our addresses), virtual alias, virtual mailbox, relay, default.
 * Each has its transport; next hops of mail that leaves come from the relay hosts; then `transport_maps` and
 * `relocated_maps` have their say. smtpd asks for its decisions, qmgr for its schedule: one answer for both.
 *
 * ## Security
 * Every sender and recipient passes through here, so it reads what strangers write. It opens no file and no
 * connection but the one to proxymap. Routing characters in a local part, quoted or not, are followed when the
 * domain is ours, and marked (`routed`) when it is not, so that nobody relays through us or through the next host
 * by an address with two domains. A recipient that begins with `-`, an empty local part and a domain that is
 * neither a host name nor a literal are bad, and bad addresses lead nowhere but back. A table that cannot answer
 * is "retry", never "unknown".
 *
 * ## Standards
 * RFC 5321 (addresses, source routes), RFC 5322 (addresses in headers), RFC 6531 (UTF-8 addresses).
 *
 * ## Diagnostics
 * Warnings: tables that cannot answer, a domain in two lists, empty results of tables of routes by sender.
 *
 * ## Parameters
 * See service.ts.
 *
 * ## Known limits
 * Addresses of `inet_interfaces` are those at start; host names in it have no meaning here, addresses have. Domains are compared with ASCII letters folded; a name in UTF-8
 * and its A-label are two names.
 *
 * @module
 */
// Safe primitives
import { systemAddresses } from "../../lib/safe/process.ts";
// Mail
import { OwnAddresses } from "../../lib/mail/own_address.ts";
// Rewriting
import { probeMaps, probeSettings } from "../../lib/rewrite/rewrite_probe.ts";
import { rewriteHandler, RewriteService } from "../../lib/rewrite/rewrite_service.ts";
// Server skeleton
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { PROXYMAP, REWRITE } from "../../lib/proto/protocols.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";

/** Makes the service from the settings. */
function start(context: Context<typeof SERVICE>): ReturnType<typeof rewriteHandler> {
  const { settings, log } = context;
  const own = new OwnAddresses(settings.inet_interfaces, settings.proxy_interfaces, systemAddresses);
  const maps = new MapClient(context.client(PROXYMAP, "proxymap"), settings);
  const probes = new RewriteService(probeSettings(settings), probeMaps(maps), own, log);
  return rewriteHandler(new RewriteService(settings, maps, own, log), probes);
}

await runIpcDaemon(SERVICE, REWRITE, start);
