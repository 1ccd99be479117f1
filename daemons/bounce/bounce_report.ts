/**
 * Makes one report and gives it to cleanup.
 *
 * @module
 */
// Safe primitives
import type { SafeFile } from "../../lib/safe/file.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { type BounceDefaults, BounceLogReader, type BounceRecord } from "../../lib/mail/bounce_log.ts";
import { formatMailDate } from "../../lib/mail/date.ts";
import {
  closingLines,
  headerLines,
  notificationEntry,
  notificationHead,
  notificationUnavailable,
  originalHead,
  originalUnavailable,
  type Report,
  type ReportSystem,
  statusEntry,
  statusHead,
  wantsReport,
} from "../../lib/mail/dsn.ts";
import { formatTime } from "../../lib/mail/queue_file.ts";
import { RECORD } from "../../lib/mail/record.ts";
import type { RecordSink } from "../../lib/proto/cleanup_client.ts";
// This program
import { isReadError, type Original } from "./bounce_original.ts";

/** The recipients that a report is about: those of a log that want it, read as often as they are needed. */
export class ReportRecipients {
  readonly #file: SafeFile | undefined;
  readonly #defaults: BounceDefaults;
  readonly #wanted: (record: BounceRecord) => boolean;

  /**
   * @param file the log; undefined when it is lost
   * @param everyone take all, whatever NOTIFY says
   */
  constructor(file: SafeFile | undefined, kind: Report["kind"], everyone: boolean) {
    this.#file = file;
    this.#defaults = kind === "delay"
      ? { status: "4.0.0", action: "delayed" }
      : kind === "failure"
      ? { status: "5.0.0", action: "failed" }
      : { status: "2.0.0", action: "delivered" };
    this.#wanted = everyone ? () => true : (record) => wantsReport(kind, record.notify);
  }

  /** True when the log is lost, or holds something that cannot be read: there may be recipients that it hides. */
  damaged(): boolean {
    if (this.#file === undefined) return true;
    const reader = this.#reader(this.#file);
    while (reader.next() !== undefined);
    return reader.damaged;
  }

  /** True when there is nobody to report on. */
  empty(): boolean {
    return this.each().next().done === true;
  }

  *each(): Generator<BounceRecord> {
    if (this.#file === undefined) return;
    const reader = this.#reader(this.#file);
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (this.#wanted(record)) yield record;
    }
  }

  #reader(file: SafeFile): BounceLogReader {
    return new BounceLogReader((buffer, offset) => file.read(buffer, offset), this.#defaults);
  }
}

/** Recipients that are given out as often as they are needed. */
export type Recipients = Pick<ReportRecipients, "each" | "empty">;

/** A report about one recipient. */
export function onlyRecipient(record: BounceRecord): Recipients {
  return {
    empty: () => false,
    *each() {
      yield record;
    },
  };
}

/** Everything that a report is made of. */
export interface ReportSource {
  readonly report: Report;
  readonly system: ReportSystem;
  readonly from: string;
  readonly recipients: Recipients;
  /** The log does not tell everything. */
  readonly damaged: boolean;
  /** Undefined when it cannot be read. */
  readonly original: Original | undefined;
  /** Most bytes of header that are returned (bounce_size_limit). */
  readonly headerLimit: number;
  readonly log: Logger;
}

/** Sends the records of a report's queue file. Content and logs are passed on piece by piece. */
export async function produceReport(sink: RecordSink, source: ReportSource): Promise<void> {
  await sendEnvelope(sink, source);
  await sendLines(sink, traceHeaders(sink.queueId, source));
  const { report, system, recipients } = source;
  await sendLines(sink, headerLines(report, system));
  await sendLines(sink, notificationHead(report, system));
  for (const record of recipients.each()) await sendLines(sink, notificationEntry(record));
  if (source.damaged) await sendLines(sink, notificationUnavailable());
  await sendLines(sink, statusHead(report, system));
  for (const record of recipients.each()) await sendLines(sink, statusEntry(record, report, system));
  await sendLines(sink, originalHead(report, system));
  await sendOriginal(sink, source);
  await sendLines(sink, closingLines(report, system));
  await sink.record(RECORD.EXTRACTED, "");
  await sink.record(RECORD.END, "");
}

async function sendEnvelope(sink: RecordSink, source: ReportSource): Promise<void> {
  const { report, system, from } = source;
  const encoding = system.smtputf8Enable ? "8bit" : report.encoding;
  await sink.record(RECORD.TIME, formatTime(report.time));
  await sink.record(RECORD.ATTRIBUTE, "log_message_origin=local");
  await sink.record(RECORD.ATTRIBUTE, "rewrite_context=local");
  if (encoding !== "") await sink.record(RECORD.ATTRIBUTE, `encoding=${encoding}`);
  await sink.record(RECORD.FROM, from);
  await sink.record(RECORD.RECIPIENT, report.recipient);
  await sink.record(RECORD.MESSAGE, "");
}

/** RFC 5321 section 4.4: whoever brings a message into being as a mail system marks it with time and place. */
function traceHeaders(queueId: string, source: ReportSource): string[] {
  const { report, system } = source;
  const date = formatMailDate(report.time);
  return [
    `Received: by ${system.myhostname} (${system.mailName})`,
    `\tid ${queueId}; ${date}`,
    `Date: ${date}`,
  ];
}

async function sendLines(sink: RecordSink, lines: readonly string[]): Promise<void> {
  for (const line of lines) await sink.line(line);
}

async function sendOriginal(sink: RecordSink, source: ReportSource): Promise<void> {
  const { original, report } = source;
  if (original === undefined) return sendLines(sink, originalUnavailable());
  let open = false;
  try {
    const pieces = report.headersOnly ? original.headers(source.headerLimit) : original.content();
    for (const piece of pieces) {
      await sink.record(piece.endsLine ? RECORD.NORMAL : RECORD.CONTINUED, piece.data);
      open = !piece.endsLine;
    }
    if (open) await sink.line("");
  } catch (error) {
    // What was read so far is worth more to the sender than nothing.
    if (!isReadError(error)) throw error;
    source.log.warning(`${report.queueId}: read message file: ${error.message}`);
    if (open) await sink.line("");
    await sendLines(sink, originalUnavailable());
  }
}
