/**
 * local - delivers mail to local users and expands aliases
 *
 * Description: qmgr hands over the recipients of one message. For each recipient, in Postfix's order: too deep an
 * expansion, a Delivered-To header with this address (a loop), the alias of the whole local part, the alias without
 * the address extension, then the user of that name. An alias's addresses are completed and resolved by
 * trivial-rewrite: those that come back to this service are delivered in the same run, the others are forwarded as a
 * new message through cleanup. An alias LIST with a companion owner-LIST sends to all its members as the owner. Mail
 * for a user goes to home_mailbox or to mail_spool_directory, as Maildir (final slash) or mbox, written by a helper
 * that master starts for that mailbox alone. Everything is found out before anything is delivered: a table that
 * fails defers the recipient without a copy that the next try would repeat.
 *
 * Security: reads queue files (content is hostile: only Delivered-To headers are looked at, the rest is copied) and
 * envelope addresses (hostile). Writes nothing and runs nothing: master starts the helpers, and checks path, user and
 * ids again. Alias tables are opened here, without `$1` in results; those on a server are looked up by proxymap, the
 * only process that may reach one. Expansion is limited in depth (100) and in number of addresses. Must never be trusted to write a file or to choose a user id.
 *
 * Standards: RFC 5321 section 3.9 (aliases and lists), RFC 3461 section 5.2.7 (NOTIFY of aliases and lists).
 *
 * Diagnostics: one log line per address, in Postfix's form. Warnings: targets that are not supported, aliases
 * without a recipient, a missing alias for postmaster or MAILER-DAEMON. Fatal: a table of alias_maps of an unknown
 * type.
 *
 * Parameters: alias_maps, delay_logging_resolution_limit, double_bounce_sender, duplicate_filter_limit,
 * enable_original_recipient, expand_owner_alias, frozen_delivered_to, home_mailbox, luser_relay,
 * mail_spool_directory, mailbox_helper_idle, mailbox_helper_limit, owner_request_special, prepend_delivered_header,
 * propagate_unmatched_extensions, recipient_delimiter, reset_owner_alias, soft_bounce.
 *
 * Known limits: commands, files and include lists in aliases, and the parameters mailbox_command,
 * mailbox_command_maps, mailbox_transport, mailbox_transport_maps, fallback_transport and fallback_transport_maps are
 * not supported: mail for them is deferred with a warning. A user's .forward file is not read. Users come from
 * /etc/passwd only. A failed address of an alias is reported in the name of the alias. Copies that were delivered
 * before another one failed for now are delivered again with the next try, as in Postfix.
 *
 * @module
 */
// Wire protocols
import { type Request } from "../../lib/ipc/protocol.ts";
import { type ServerExchange } from "../../lib/ipc/server.ts";
import { submitMessage } from "../../lib/proto/cleanup_client.ts";
import { CLEANUP, DELIVERY, PROXYMAP, REWRITE } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
// Server skeleton
import { type Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { type MailboxDeliveryJob, serveDelivery } from "../../lib/server/mailbox_agent.ts";
import { MailboxHelperPool } from "../../lib/server/mailbox_helper.ts";
import { type LocalSources, openLocalTables } from "../../lib/server/local_sources.ts";
// This program
import { deliverLocally } from "./local_delivery.ts";
import { makeResolver } from "../../lib/server/local_resolve.ts";
import { SERVICE } from "./service.ts";

/** Seconds between two looks at idle helpers. */
const HOUSEKEEPING = 1;

/** The handler of delivery requests. */
function start(context: Context<typeof SERVICE>) {
  const { settings, log, serviceName } = context;
  const how = { log, refused: (error: unknown) => context.trouble("table", error), soft: true };
  const maps = () => new MapClient(context.client(PROXYMAP, "proxymap"), settings);
  const lookups = openLocalTables(settings, how, maps);
  const helpers = new MailboxHelperPool({
    start: (request) => context.startHelper(request),
    limit: settings.mailbox_helper_limit,
    idle: settings.mailbox_helper_idle,
  });
  context.every(HOUSEKEEPING, () => helpers.endIdle());
  const cleanup = context.client(CLEANUP, "cleanup");
  const resolver = makeResolver(context.client(REWRITE, "rewrite"));
  const sourcesOf = (job: MailboxDeliveryJob): LocalSources => ({
    ...resolver,
    ...lookups,
    read: (request) => helpers.read(request),
    wasDeliveredTo: (address) => job.source.wasDeliveredTo(address),
    warn: (text) => log.warning(`${job.request.queueId}: ${text}`),
  });
  const trouble = (what: string, error: unknown) => context.trouble(what, error);
  const agent = { settings, log, serviceName, helpers, trouble };
  const submit = (flags: number, produce: Parameters<typeof submitMessage>[2]) =>
    submitMessage(cleanup, flags, produce, { lineLimit: settings.line_length_limit });
  const transports = (name: string) => context.reaches(name) ? context.client(DELIVERY, name) : undefined;
  return (exchange: ServerExchange<typeof DELIVERY>, request: Request<typeof DELIVERY>) =>
    serveDelivery(
      agent,
      exchange,
      request,
      (job, recipient) =>
        deliverLocally({ settings, sources: sourcesOf(job), submit, transports }, job, recipient),
    );
}

await runIpcDaemon(SERVICE, DELIVERY, start);
