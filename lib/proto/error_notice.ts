/**
 * Mail to the postmaster about a session in which something went wrong (notify_classes): what smtpd and the clients
 * have in common of it.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
// Configuration
import type { Settings } from "../config/parameters.ts";
// Mail
import { formatMailDate } from "../mail/date.ts";
import { mailerDaemon, wrapLine } from "../mail/dsn.ts";
import { formatTime } from "../mail/queue_file.ts";
import { RECORD } from "../mail/record.ts";
// Internal protocols
import {
  type CleanupClient,
  internalFlags,
  type RecordSink,
  submitMessage,
  utf8Flag,
} from "./cleanup_client.ts";

/** Parameters that shape the message. */
export type NoticeSettings = Settings<
  | "double_bounce_sender"
  | "error_notice_recipient"
  | "header_from_format"
  | "internal_mail_filter_classes"
  | "line_length_limit"
  | "mail_name"
  | "myhostname"
  | "smtputf8_autodetect_classes"
>;

/** Width of a line of the transcript without the blank in front. */
const WIDTH = 78;

/** A line of a transcript as the message has it. */
export function transcriptLine(text: string): string[] {
  return wrapLine(text, WIDTH).map((line) => ` ${line}`);
}

/**
 * The lines of the message.
 *
 * @param subject what follows the mail system's name in Subject:
 * @param body lines behind the header
 * @param time milliseconds since 1970
 */
export function noticeLines(
  settings: NoticeSettings,
  queueId: string,
  subject: string,
  body: readonly string[],
  time: number,
): string[] {
  const { mail_name, myhostname, error_notice_recipient, header_from_format } = settings;
  const date = formatMailDate(time);
  const named = (name: string, address: string) =>
    header_from_format === "obsolete" ? `${address} (${name})` : `${name} <${address}>`;
  return [
    `Received: by ${myhostname} (${mail_name})`,
    `\tid ${queueId}; ${date}`,
    `Date: ${date}`,
    `From: ${named("Mail Delivery System", mailerDaemon(myhostname))}`,
    `To: ${named("Postmaster", printable(error_notice_recipient))}`,
    `Subject: ${mail_name} ${subject}`,
    "",
    ...body,
    "",
    "For other details, see the local mail logfile",
  ];
}

/** Mails it to the postmaster; gives what went wrong, or undefined. */
export async function sendNotice(
  cleanup: CleanupClient,
  settings: NoticeSettings,
  lines: (queueId: string, time: number) => readonly string[],
): Promise<string | undefined> {
  const { double_bounce_sender, myhostname, error_notice_recipient, line_length_limit } = settings;
  const time = Date.now();
  const produce = async (sink: RecordSink) => {
    await sink.record(RECORD.TIME, formatTime(time));
    await sink.record(RECORD.ATTRIBUTE, "log_message_origin=local");
    await sink.record(RECORD.ATTRIBUTE, "rewrite_context=local");
    await sink.record(RECORD.FROM, `${double_bounce_sender}@${myhostname}`);
    await sink.record(RECORD.RECIPIENT, error_notice_recipient);
    await sink.record(RECORD.MESSAGE, "");
    for (const line of lines(sink.queueId, time)) await sink.line(line);
    await sink.record(RECORD.EXTRACTED, "");
    await sink.record(RECORD.END, "");
  };
  const flags = internalFlags(settings.internal_mail_filter_classes, "notify") |
    utf8Flag(settings.smtputf8_autodetect_classes, "notify");
  const done = await submitMessage(cleanup, flags, produce, { lineLimit: line_length_limit });
  return done.status === 0 ? undefined : done.reason || `cleanup status ${done.status}`;
}
