/**
 * virtual - delivers mail to virtual mailboxes
 *
 * Description: qmgr hands over the recipients of one message. Each recipient's address, letters folded, is searched
 * in virtual_mailbox_maps (whole, without extension, then `@domain`); the value is the mailbox's path below
 * virtual_mailbox_base, a Maildir if it ends in a slash, otherwise an mbox. Where virtual_mailbox_path is set, the
 * table only says that the recipient exists and the path is made from the recipient. virtual_uid_maps and
 * virtual_gid_maps give the identity that the mailbox is written under, by a helper that master starts for that
 * mailbox alone, or with virtual_mailbox_shared_helper for all mailboxes of that identity. There are no aliases and
 * no commands here, and no users of the system.
 *
 * Security: reads queue files (hostile content, copied) and envelope addresses (hostile; a part of one becomes a
 * single name in a path or the recipient is refused). Writes nothing: master starts the helpers, and checks path and
 * ids again. Tables are opened here, without `$1` in results; those on a server are looked up by proxymap, the only
 * process that may reach one. Must never be trusted to write a file or to choose a user id.
 *
 * Standards: RFC 3463 (status codes).
 *
 * Diagnostics: one log line per recipient, in Postfix's form. Warnings: paths, user and group ids that are missing
 * or not allowed; such mail is deferred.
 *
 * Parameters: delay_logging_resolution_limit, enable_original_recipient, mailbox_helper_idle, mailbox_helper_limit,
 * recipient_delimiter, soft_bounce, virtual_delivery_status_filter, virtual_gid_maps, virtual_mailbox_base, virtual_mailbox_maps,
 * virtual_mailbox_path, virtual_mailbox_shared_helper, virtual_minimum_uid, virtual_uid_maps; of the helper:
 * virtual_mailbox_limit, virtual_mailbox_lock.
 *
 * Known limits: the directory that holds a mailbox must exist; only the Maildir itself is made.
 *
 * @module
 */
// Safe primitives
import { withoutSlashes } from "../../lib/safe/path.ts";
// Tables
import { openTable } from "../../lib/table/open.ts";
// Wire protocols
import { type Request } from "../../lib/ipc/protocol.ts";
import { type ServerExchange } from "../../lib/ipc/server.ts";
import { DELIVERY, PROXYMAP } from "../../lib/proto/protocols.ts";
import { openTables } from "../../lib/proto/proxy_table.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
// Server skeleton
import { type Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { serveDelivery } from "../../lib/server/mailbox_agent.ts";
import { MailboxHelperPool } from "../../lib/server/mailbox_helper.ts";
import { statusFilter } from "../../lib/server/status_filter.ts";
import { type VirtualDelivery, virtualSearch } from "../../lib/server/virtual_mailbox.ts";
// This program
import { SERVICE } from "./service.ts";
import { deliverVirtually } from "./virtual_delivery.ts";

/** Seconds between two looks at idle helpers. */
const HOUSEKEEPING = 1;

/** The handler of delivery requests. */
function start(context: Context<typeof SERVICE>) {
  const { settings, log, serviceName } = context;
  const refused = (error: unknown) => context.trouble("table", error);
  const maps = () => new MapClient(context.client(PROXYMAP, "proxymap"), settings);
  const find = virtualSearch(
    settings,
    (parameter) =>
      openTables(parameter, settings[parameter], maps, (spec) => {
        return openTable(spec, { log, refused, paranoid: true, soft: true });
      }),
  );
  const helpers = new MailboxHelperPool({
    start: (task) => context.startHelper(task),
    limit: settings.mailbox_helper_limit,
    idle: settings.mailbox_helper_idle,
    ...(settings.virtual_mailbox_shared_helper
      ? { sharedBelow: withoutSlashes(settings.virtual_mailbox_base) }
      : {}),
  });
  context.every(HOUSEKEEPING, () => helpers.endIdle());
  const trouble = (what: string, error: unknown) => context.trouble(what, error);
  const filter = statusFilter(
    "virtual_delivery_status_filter",
    openTables("virtual_delivery_status_filter", settings.virtual_delivery_status_filter, maps, (spec) => {
      return openTable(spec, { log, refused, soft: true });
    }),
    (text) => log.warning(text),
  );
  const agent = { settings, log, serviceName, helpers, trouble, filter };
  return (exchange: ServerExchange<typeof DELIVERY>, request: Request<typeof DELIVERY>) => {
    const virtual: VirtualDelivery = {
      settings,
      find,
      warn: (text) => log.warning(`${request.queueId}: ${text}`),
    };
    return serveDelivery(
      agent,
      exchange,
      request,
      (job, recipient) => deliverVirtually(virtual, job, recipient),
    );
  };
}

await runIpcDaemon(SERVICE, DELIVERY, start);
