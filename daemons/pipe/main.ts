/**
 * pipe - delivers mail to a program
 *
 * Description: qmgr hands over the recipients of one message. The program that master.toml names for the service is run
 * once for all of them, with its arguments made of the message's envelope, and is fed the message; its exit status and
 * the beginning of what it writes say what became of the mail. The service's `arguments` are the attributes of
 * Postfix's pipe(8):
 *
 * - `user=NAME` or `user=NAME:GROUP` (required): whose rights the program has. Not root, and not the mail system.
 * - `argv=/path/program ARGUMENT ...` (required, last): started directly, never by a shell. `{` and `}` around an
 *   argument keep its blanks. `${name}` stands for client_address, client_helo, client_hostname, client_port,
 *   client_protocol, domain, envid, extension, mailbox, nexthop, original_recipient, queue_id, recipient, sasl_method,
 *   sasl_sender, sasl_username, sender, size, user; `$$` for a dollar sign. An argument with a macro of the recipient
 *   stands once for each recipient.
 * - `flags=`: `B` empty line at the end, `D` Delivered-To header and refusal of loops, `F` line `From `, `O`
 *   X-Original-To header, `R` Return-Path header, `X` the program delivers finally, `h` and `u` fold the domain and the
 *   local part in arguments, `q` quotes local parts in arguments, `.` doubles dots at the beginning of lines, `>` marks
 *   lines that begin with `From `.
 * - `directory=`: where the program runs (queue_directory). `eol=`: what ends a line (`\n`). `null_sender=`: what
 *   stands for the null sender (MAILER-DAEMON). `size=`: larger messages are returned.
 *
 * Security: reads queue files (content is hostile: only Delivered-To headers are looked at, the rest is copied) and
 * envelopes (hostile: each value is one argument or a part of one). Runs nothing: master starts a helper that may run
 * the one program that master.toml names for this service, under its user, and no other daemon can ask for it. Must
 * never be trusted to name a program or a user.
 *
 * Standards: RFC 3463 (status codes), sysexits.h.
 *
 * Diagnostics: one log line per recipient, in Postfix's form. Warnings: a macro that there is not; such mail is
 * deferred. Fatal: a service without its attributes.
 *
 * Parameters: delay_logging_resolution_limit, double_bounce_sender, mailbox_helper_idle, mailbox_helper_limit,
 * owner_request_special, pipe_delivery_status_filter, recipient_delimiter, soft_bounce; of the helper: command_time_limit, TRANSPORT_time_limit,
 * export_environment.
 *
 * Known limits: no chroot attribute: the program's user and the system unit bound what it reaches. The program's path
 * holds no comma and no macro.
 *
 * @module
 */
// Tables
import { openTable } from "../../lib/table/open.ts";
// Wire protocols
import { type Request } from "../../lib/ipc/protocol.ts";
import { type ServerExchange } from "../../lib/ipc/server.ts";
import { DELIVERY, PROXYMAP } from "../../lib/proto/protocols.ts";
import { openTables } from "../../lib/proto/proxy_table.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
// Mail
import { type MailboxOutcome } from "../../lib/mail/mailbox_outcome.ts";
// Server skeleton
import { type Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { type MailboxDeliveryJob, serveDelivery } from "../../lib/server/mailbox_agent.ts";
import { MailboxHelperPool } from "../../lib/server/mailbox_helper.ts";
import { statusFilter } from "../../lib/server/status_filter.ts";
// This program
import { deliverToProgram } from "./pipe_delivery.ts";
import { SERVICE } from "./service.ts";

/** Seconds between two looks at idle helpers. */
const HOUSEKEEPING = 1;

/** The handler of delivery requests. */
function start(context: Context<typeof SERVICE>) {
  const { settings, log, serviceName, pipe: attributes } = context;
  if (attributes === undefined) return context.fatal("service has no attributes");
  const helpers = new MailboxHelperPool({
    start: (request) => context.startHelper(request),
    limit: settings.mailbox_helper_limit,
    idle: settings.mailbox_helper_idle,
  });
  context.every(HOUSEKEEPING, () => helpers.endIdle());
  const trouble = (what: string, error: unknown) => context.trouble(what, error);
  const maps = () => new MapClient(context.client(PROXYMAP, "proxymap"), settings);
  const filter = statusFilter(
    "pipe_delivery_status_filter",
    openTables("pipe_delivery_status_filter", settings.pipe_delivery_status_filter, maps, (spec) => {
      return openTable(spec, { log, refused: (error) => context.trouble("table", error), soft: true });
    }),
    (text) => log.warning(text),
  );
  const agent = { settings, log, serviceName, helpers, trouble, filter };
  const delivered = attributes.flags.includes("X") ? "delivered" : "relayed";
  return (exchange: ServerExchange<typeof DELIVERY>, request: Request<typeof DELIVERY>) => {
    let run: Promise<MailboxOutcome> | undefined;
    const deliver = async (job: MailboxDeliveryJob) =>
      await job.told(await deliverToProgram({ settings, attributes }, job));
    return serveDelivery(agent, exchange, request, async (job, recipient) => {
      const outcome = await (run ??= deliver(job));
      job.log(recipient.address, recipient, outcome);
      const { result } = outcome;
      const action = result === "sent" ? delivered : result === "bounced" ? "failed" : "delayed";
      return { ...outcome, action };
    });
  };
}

await runIpcDaemon(SERVICE, DELIVERY, start);
