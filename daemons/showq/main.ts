/**
 * # showq
 *
 * Lists the queue for `postqueue` and `mailq`.
 *
 * ## Description
 * Serves the `showq` protocol of lib/proto/protocols.ts: the messages of the queues maildrop, active, incoming,
 * deferred and hold, each with queue and id, arrival, size, sender, whether it is to expire at once, and the
 * recipients that are not done. Recipients in the message's defer and bounce logs come first, with the reason. Files
 * that are not complete, and files that vanish while the listing is made, are left out. The listing comes in pages;
 * the next one is read when the client asks for it.
 *
 * ## Security
 * Everybody on the system may ask, so whoever can reach its socket sees who writes to whom; the `public` directory's
 * mode is the place to narrow that. It reads the queue and writes nothing. Addresses and reasons in the listing are
 * as strangers sent them: `postqueue` makes them printable.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * Warnings: a queue file that cannot be read.
 *
 * ## Parameters
 * duplicate_filter_limit, hash_queue_depth, hash_queue_names, queue_directory.
 *
 * ## Known limits
 * A recipient that occurs twice in a message is listed twice beyond duplicate_filter_limit recipients. A damaged
 * queue file is listed as far as it can be read, or not at all.
 *
 * @module
 */
// Protocols
import { SHOWQ } from "../../lib/proto/protocols.ts";
// Server skeleton
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";
import { showqHandler } from "./showq_service.ts";

await runIpcDaemon(SERVICE, SHOWQ, (context) => showqHandler(context.settings, context.log));
