/**
 * # pickup
 *
 * Takes the mail of local users from maildrop/ and gives it to cleanup.
 *
 * ## Description
 * sendmail and postdrop leave complete messages in maildrop/, in the format of the queue. pickup looks there when it
 * is told to (the `pickup` protocol), when master's timer wakes it, and when it starts, until a look finds nothing
 * more to do. Each file is checked, its records are re-written for cleanup with a Received: header that names the
 * uid of its owner, and it is removed once cleanup says that the message is in the queue, synced. A crash in between
 * delivers twice and loses nothing.
 *
 * A file that cleanup cannot take now stays for the next look. A file that is no message (records that are cut off,
 * forbidden, in the wrong order, too long; no sender; no recipient) is moved to corrupt/.
 *
 * A file that belongs to the owner of the queue and that others may not read was put there by `postsuper -r`: it is
 * a queue file to be processed again. What cleanup and the queue manager had added to it is left out, Milters do not
 * see it again, and the log shows its old id (`orig_id=`).
 *
 * `authorized_submit_users` says whose files are taken, `local_login_sender_maps` which senders their owners may have;
 * sendmail and postdrop say so at once, but anybody can write a file without them. A file that is not allowed is moved
 * to corrupt/ with a warning; one that a table cannot tell of now stays.
 *
 * ## Security
 * maildrop/ is writable for everybody, so names, links, modes, content and timing of everything in it are hostile.
 * The owner of a file is the proven identity of its sender, and the only one: the file says nothing about clients or
 * logins that is believed. /etc/passwd gives the owner's login name where these two parameters ask for it. Only
 * regular files with one link, a queue id for a name and the ready bit are opened, and what was opened is compared
 * with what was looked at. Directories, links, FIFOs and sockets are never opened or removed. Every record is bounded and checked; envelope text with NUL, CR or LF ends the file's chances. It must
 * never be trusted to write anywhere but maildrop/ and corrupt/.
 *
 * ## Standards
 * RFC 5321 section 4.4 (trace information), RFC 3461 (DSN parameters that a file may carry).
 *
 * ## Diagnostics
 * Each message: `QUEUE_ID: uid=UID from=<SENDER>`. Warnings: files that are moved to corrupt/, that cannot be opened,
 * that are not regular or have several links, that are older than a day; a cleanup that cannot take mail.
 *
 * ## Parameters
 * authorized_submit_users, content_filter, double_bounce_sender, empty_address_local_login_sender_maps_lookup_key, hash_queue_depth,
 * hash_queue_names, line_length_limit, local_login_sender_maps, mail_name, myhostname, owner_request_special,
 * queue_directory, receive_override_options, recipient_delimiter.
 *
 * ## Known limits
 * Who may post may fill the disk: limits per user are the file system's quotas.
 *
 * @module
 */
// Safe primitives
import { findLogin } from "../../lib/safe/login.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
// Server skeleton
import { CLEANUP, PICKUP, PROXYMAP } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { allowsEverybody } from "../../lib/server/submit_access.ts";
// This program
import { PickupService } from "./pickup_service.ts";
import { SERVICE } from "./service.ts";

/** Looks through maildrop/ once at the start, then whenever somebody asks. */
function start(context: Context<typeof SERVICE>): () => Promise<void> {
  const { settings } = context;
  const pickup = new PickupService({
    queue: new QueueDirectory(settings.queue_directory, settings.hash_queue_names, settings.hash_queue_depth),
    cleanup: context.client(CLEANUP, "cleanup"),
    maps: allowsEverybody(settings)
      ? undefined
      : new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    loginOf: (uid) => findLogin(uid)?.name,
    log: context.log,
    settings,
  });
  context.onWakeup(() => pickup.scan());
  pickup.scan().catch((error) => context.fatal(error instanceof Error ? error.message : String(error)));
  return () => pickup.scan();
}

await runIpcDaemon(SERVICE, PICKUP, start);
