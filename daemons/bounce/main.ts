/**
 * # bounce, defer, trace
 *
 * Keeps a log of what became of each recipient of a message, and turns it into delivery status reports.
 *
 * ## Description
 * One program, three services; each keeps the logs in the queue of its name: `bounce` of recipients that failed for
 * good, `defer` of those that will be tried again, `trace` of those whose sender asked for a success report. Serves
 * the `bounce` protocol of lib/proto/protocols.ts:
 *
 * - `append` writes one recipient's outcome to the message's log, which is named after the queue id. The answer
 *   `done` means that it is on the disk. When the write fails, what was written is taken back and the answer is
 *   `failed`; the recipient then stays in the queue.
 * - `returnOne` makes a report of one recipient's failure at once, to the address that is given with it: the owner of a
 *   list. It touches no log.
 * - `flush` makes a report (multipart/report) of the log and hands it to cleanup: `failure` to return a message,
 *   `delay` to say that it is late, `success`, `verify` to tell who posted with `sendmail -v` of the first attempt.
 *   Only when cleanup has it in the queue is the log removed and the answer `done`; `delay` leaves the log. A log that
 *   is lost or damaged still gives a report, with a note. With VERP delimiters there is a report for each recipient,
 *   to the sender's address that names it.
 * - `drop` removes a log.
 *
 * A report goes to the sender with the null sender as its own, so that it can cause no other. What happens to mail
 * from the null sender, and who among the postmasters gets copies, follows `notify_classes`. Mail from the
 * double-bounce address is never reported on. Recipients whose NOTIFY does not ask for the report are left out of
 * it; a report without recipients is not sent. A message longer than `bounce_size_limit`, or one sent with RET=HDRS,
 * comes back as its header only.
 *
 * The texts are Postfix's, or those of the file that `bounce_template_file` names, bounce(5). master reads that file
 * and replaces the names in it: a fault in it is said at start, and a change takes effect with `reload`.
 *
 * ## Security
 * Talks to other daemons only. What it reads is hostile all the same: addresses, replies of remote servers and the
 * message itself come from strangers. Every value is put through `printable` or has its control characters replaced
 * before it goes into a log line, a log file or a report. A report returns at most `bounce_size_limit` bytes of the
 * message. It reads messages in the queue, writes below bounce/, defer/ and trace/, and connects to cleanup.
 *
 * ## Standards
 * RFC 3461 (DSN extension), RFC 3464 (delivery status), RFC 3834 (automatic responses), RFC 5321 (null sender),
 * RFC 6522 (multipart/report), RFC 6533 (internationalised reports).
 *
 * ## Diagnostics
 * `ID: sender non-delivery notification: NEWID`, the same with "delay notification" and "delivery status
 * notification", and with "postmaster". Warnings: a log or message that cannot be read or written, a report that
 * could not be queued, a postmaster notification that could not be delivered.
 *
 * ## Parameters
 * 2bounce_notice_recipient, backwards_bounce_logfile_compatibility, bounce_notice_recipient, bounce_size_limit,
 * bounce_template_file, delay_notice_recipient, double_bounce_sender, enable_threaded_bounces, hash_queue_depth,
 * hash_queue_names, header_from_format, line_length_limit, mail_name, maximal_queue_lifetime, myhostname, myorigin,
 * notify_classes, queue_directory, smtputf8_enable.
 *
 * ## Known limits
 * No report for `sendmail -bv`. Host names in a template are not turned from ACE form (xn--) into UTF-8. Of a
 * failure, the report of `sendmail -v` does not say by which relay it was tried.
 *
 * @module
 */
// Protocols
import { BOUNCE, CLEANUP } from "../../lib/proto/protocols.ts";
// Server skeleton
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import type { LogQueue } from "./bounce_logs.ts";
import { BounceService } from "./bounce_service.ts";
import { SERVICE } from "./service.ts";

const QUEUES: readonly LogQueue[] = ["bounce", "defer", "trace"];

/** Makes the service that the process was started as. */
function start(context: Context<typeof SERVICE>): BounceService["handle"] {
  const queue = QUEUES.find((name) => name === context.serviceName);
  if (queue === undefined) context.fatal(`malformed service name: ${context.serviceName}`);
  return new BounceService(queue, context.settings, context.client(CLEANUP, "cleanup"), context.log).handle;
}

await runIpcDaemon(SERVICE, BOUNCE, start);
