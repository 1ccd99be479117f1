/**
 * local - delivers mail to local users, by aliases, .forward files and lists
 *
 * Description: qmgr hands over the recipients of one message. For each recipient, in Postfix's order: too deep an
 * expansion, a Delivered-To header with this address (a loop), the alias of the whole local part, the alias without
 * the address extension, the user's .forward file (forward_path), mailbox_transport_maps and mailbox_transport, then
 * the user of that name: mailbox_command_maps, mailbox_command, or the mailbox in home_mailbox or
 * mail_spool_directory, a Maildir (final slash) or an mbox. A name that nobody has goes to fallback_transport_maps,
 * fallback_transport or luser_relay, or is returned. Targets of aliases, .forward files and lists are addresses,
 * `|command`, `/file/name` (`/directory/` for a Maildir, `~/` for the user's home in a .forward) and
 * `:include:/list`. Addresses are completed and resolved by trivial-rewrite: those that come back to this service are
 * delivered in the same run, the others are forwarded as a new message through cleanup; so is a list's member and
 * another user to whom a .forward leads. An alias LIST with a companion owner-LIST sends to all its members as the
 * owner, who is told when one of its commands or files fails, or when its mail comes back. Everything is found out
 * before anything is delivered: a table that fails defers the recipient without a copy that the next try would repeat.
 * In a file, what stands behind a line that was deferred is done when that is.
 *
 * Files are written, and lists and .forward files read, with the rights of the user whose they are; what an alias
 * names, with those of the alias file's owner, for root's with default_privs. Commands get the message on standard
 * input behind a `From ` line, and variables that tell of it: USER, LOGNAME, HOME, SHELL, LOCAL, EXTENSION, DOMAIN,
 * RECIPIENT, ORIGINAL_RECIPIENT, SENDER, ENVID, CLIENT_ADDRESS, CLIENT_HELO, CLIENT_HOSTNAME, CLIENT_PROTOCOL,
 * SASL_METHOD, SASL_SENDER, SASL_USERNAME. A command of plain words is started directly, one with other characters by
 * `/bin/sh -c`. Its exit status says what became of the mail, as sysexits.h has it, or its output, if that begins with
 * a status code.
 *
 * Security: reads queue files (content is hostile: only Delivered-To headers are looked at, the rest is copied) and
 * envelope addresses (hostile). Writes nothing and runs nothing: master starts helpers for it, and believes nothing of
 * what it asks for. A mailbox, a .forward and a mailbox command are those of the configuration and the password file.
 * A command, a file or a list is one that an alias names, which master looks up again in the files of alias_maps, or
 * one that the process which read the user's file has named to master: local can choose none. Alias tables are opened
 * here, without `$1` in results; those on a server are looked up by proxymap, the only process that may reach one, and
 * name no commands, files or lists. Expansion is limited in depth (100) and in number of targets (100,000). What mail
 * brings into paths and variables is filtered (forward_expansion_filter, command_expansion_filter,
 * execution_directory_expansion_filter). Must never be trusted to choose a file, a command or a user id.
 *
 * Standards: RFC 5321 section 3.9 (aliases and lists), RFC 3461 section 5.2.7 (NOTIFY of aliases and lists), RFC 3463
 * (status codes).
 *
 * Diagnostics: one log line per address, in Postfix's form. Warnings: .forward files and lists that must not be used,
 * words that are no targets, aliases without a recipient, a missing alias for postmaster or MAILER-DAEMON. Fatal: a
 * table of alias_maps of an unknown type.
 *
 * Parameters: alias_maps, allow_mail_to_commands, allow_mail_to_files, command_execution_directory,
 * command_expansion_filter, delay_logging_resolution_limit, double_bounce_sender, duplicate_filter_limit,
 * enable_original_recipient, execution_directory_expansion_filter, expand_owner_alias, fallback_transport,
 * fallback_transport_maps, forward_expansion_filter, forward_path, frozen_delivered_to, home_mailbox, local_delivery_status_filter, luser_relay,
 * mail_spool_directory, mailbox_command, mailbox_command_maps, mailbox_helper_idle, mailbox_helper_limit,
 * mailbox_transport, mailbox_transport_maps, owner_request_special, prepend_delivered_header,
 * propagate_unmatched_extensions, recipient_delimiter, require_home_directory, reset_owner_alias, soft_bounce; of the
 * helpers: command_time_limit, default_privs, export_environment, local_command_shell, mailbox_delivery_lock,
 * mailbox_size_limit, strict_mailbox_ownership.
 *
 * Known limits: users come from /etc/passwd only, and nothing is delivered to root or read as root. A failed address
 * of an alias is reported in the name of the alias. Copies that were delivered before another one failed for now are
 * delivered again with the next try, as in Postfix.
 * mailbox_command_maps are not asked on a server. A .forward whose name would have a comma is not looked for. Of files that are none, /dev/null alone takes mail. biff
 * is off.
 *
 * @module
 */
// Tables
import { openTable } from "../../lib/table/open.ts";
// Wire protocols
import { type Request } from "../../lib/ipc/protocol.ts";
import { type ServerExchange } from "../../lib/ipc/server.ts";
import { submitMessage } from "../../lib/proto/cleanup_client.ts";
import { CLEANUP, DELIVERY, PROXYMAP, REWRITE } from "../../lib/proto/protocols.ts";
import { openTables } from "../../lib/proto/proxy_table.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
// Server skeleton
import { type Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { type MailboxDeliveryJob, serveDelivery } from "../../lib/server/mailbox_agent.ts";
import { MailboxHelperPool } from "../../lib/server/mailbox_helper.ts";
import { makeResolver } from "../../lib/server/local_resolve.ts";
import { type LocalSources, openLocalTables } from "../../lib/server/local_sources.ts";
import { statusFilter } from "../../lib/server/status_filter.ts";
// This program
import { deliverLocally } from "./local_delivery.ts";
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
  const filter = statusFilter(
    "local_delivery_status_filter",
    openTables(
      "local_delivery_status_filter",
      settings.local_delivery_status_filter,
      maps,
      (spec) => openTable(spec, { ...how, paranoid: false }),
    ),
    (text) => log.warning(text),
  );
  const agent = { settings, log, serviceName, helpers, trouble, filter };
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
