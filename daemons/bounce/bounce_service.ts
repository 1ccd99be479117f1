/**
 * Serves the bounce protocol: appends to logs, sends reports, removes logs.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
import type { SafeFile } from "../../lib/safe/file.ts";
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import type { IpcClient } from "../../lib/ipc/client.ts";
import type { RequestValues } from "../../lib/ipc/protocol.ts";
import type { Handler } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import type { BounceRecord } from "../../lib/mail/bounce_log.ts";
import { type Report, type ReportKind, type ReportSystem, wantsReport } from "../../lib/mail/dsn.ts";
import { RET } from "../../lib/mail/notify.ts";
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { type QueueId, toQueueId } from "../../lib/mail/queue_id.ts";
import { verpSender } from "../../lib/mail/verp.ts";
// Protocols
import {
  internalFlags,
  type RecordSink,
  type Submission,
  submitMessage,
  utf8Flag,
} from "../../lib/proto/cleanup_client.ts";
import { type BOUNCE, type CLEANUP, CLEANUP_FLAG } from "../../lib/proto/protocols.ts";
// This program
import { BounceLogs, LogError, type LogQueue } from "./bounce_logs.ts";
import { isOrdinarySender, type Notice, type Notices, noticesFor } from "./bounce_notice.ts";
import { isReadError, openOriginal, type Original } from "./bounce_original.ts";
import {
  onlyRecipient,
  produceReport,
  type Recipients,
  ReportRecipients,
  type ReportSource,
} from "./bounce_report.ts";
import type { SERVICE } from "./service.ts";

/** The settings that bounce, defer and trace are told. */
export type BounceSettings = Settings<typeof SERVICE["parameters"][number]>;
type Append = RequestValues<typeof BOUNCE, "append">;
type Flush = RequestValues<typeof BOUNCE, "flush">;
type ReturnOne = RequestValues<typeof BOUNCE, "returnOne">;
/** What a report is about. */
type Reported = Omit<Flush, "queueName" | "queueId" | "verp">;

/** A report could not be queued: the log stays and the client tries again. */
class ReportError extends Error {
  override name = "ReportError";
}

/** Words of the log line that says what was sent, for sender and postmaster. */
const NOTIFICATION: Readonly<Record<ReportKind, string>> = {
  failure: "non-delivery notification",
  delay: "delay notification",
  success: "delivery status notification",
  verify: "delivery status notification",
};

/** One of the services bounce, defer and trace. */
export class BounceService {
  readonly #settings: BounceSettings;
  readonly #system: ReportSystem;
  readonly #directory: QueueDirectory;
  readonly #logs: BounceLogs;
  readonly #cleanup: IpcClient<typeof CLEANUP>;
  readonly #log: Logger;

  constructor(queue: LogQueue, settings: BounceSettings, cleanup: IpcClient<typeof CLEANUP>, log: Logger) {
    this.#settings = settings;
    this.#system = reportSystem(settings);
    this.#directory = new QueueDirectory(
      settings.queue_directory,
      settings.hash_queue_names,
      settings.hash_queue_depth,
    );
    this.#logs = new BounceLogs(
      this.#directory,
      queue,
      settings.backwards_bounce_logfile_compatibility,
      log,
    );
    this.#cleanup = cleanup;
    this.#log = log;
  }

  /** Handles one request. Trouble with files is the answer `failed`, and the recipient stays in the queue. */
  readonly handle: Handler<typeof BOUNCE> = async (exchange, message) => {
    try {
      const id = toQueueId(message.queueId);
      if (id === undefined) {
        throw new LogError(`Cannot use queue id "${printable(message.queueId)}": it is malformed`);
      }
      switch (message.is) {
        case "append":
          await this.#logs.append(id, toRecord(message));
          break;
        case "returnOne":
          await this.#returnOne(id, message);
          break;
        case "flush":
          await this.#logs.withLog(id, (file) => this.#flush(id, message, file));
          break;
        case "drop":
          await this.#logs.drop(id);
          break;
        default:
          message satisfies never;
      }
      exchange.reply("done", {});
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#log.warning(`${printable(message.queueId)}: ${error.message}`);
      exchange.reply("failed", { reason: printable(error.message) });
    }
  };

  /** Sends what a log calls for, and says whether the log has served its purpose. */
  async #flush(id: QueueId, request: Flush, file: SafeFile | undefined): Promise<"keep" | "remove"> {
    const after = request.report === "delay" ? "keep" : "remove";
    const { notices, warning, info }: Notices = noticesFor(request.report, request.sender, this.#settings);
    if (warning !== undefined) this.#log.warning(`${id}: ${warning}`);
    if (info !== undefined) this.#log.info(`${id}: ${info}`);
    // Nothing was asked of a message without a trace log; a lost bounce log hides recipients that somebody waits for.
    if (notices.length === 0 || (file === undefined && isTrace(request.report))) return after;
    if (file?.size() === 0) return after;
    using original = this.#original(id, request.queueName);
    if (request.verp !== "" && isOrdinarySender(request.sender, this.#settings)) {
      const failed = new ReportRecipients(file, request.report, false);
      // A damaged log may hide recipients: then one report for all says so.
      if (!failed.damaged()) {
        await this.#notifySeparately(id, request, notices, failed, original);
        return after;
      }
    }
    for (const notice of notices) await this.#notify(id, request, notice, file, original);
    return after;
  }

  /** Reports a failure that is in no log. RFC 3461 section 4.1: unless NOTIFY says that nobody wants to hear of it. */
  async #returnOne(id: QueueId, message: ReturnOne): Promise<void> {
    if (!wantsReport("failure", message.notify)) return;
    const { notices, warning } = noticesFor("failure", message.sender, this.#settings);
    if (warning !== undefined) this.#log.warning(`${id}: ${warning}`);
    using original = notices.length === 0 ? undefined : this.#original(id, message.queueName);
    const reported = { ...message, report: "failure" } as const;
    for (const notice of notices) {
      await this.#send(id, reported, notice, onlyRecipient(toRecord(message)), false, original);
    }
  }

  /** The message in the queue; without it a report says so. */
  #original(id: QueueId, queueName: string): Original | undefined {
    const opened = openOriginal(this.#directory, queueName, id);
    if (opened.kind === "opened") return opened.original;
    if (opened.kind === "unreadable") this.#log.warning(`${id}: cannot read message file: ${opened.why}`);
    return undefined;
  }

  /** VERP: a report for each recipient, to the sender's address that names it, and the postmaster's copies alike. */
  async #notifySeparately(
    id: QueueId,
    request: Flush,
    notices: readonly Notice[],
    failed: ReportRecipients,
    original: Original | undefined,
  ): Promise<void> {
    for (const record of failed.each()) {
      const named = record.originalRecipient || record.recipient;
      for (const notice of notices) {
        const recipient = notice.postmaster
          ? notice.recipient
          : verpSender(request.verp, request.sender, named);
        await this.#send(id, request, { ...notice, recipient }, onlyRecipient(record), false, original);
      }
    }
  }

  async #notify(
    id: QueueId,
    request: Flush,
    notice: Notice,
    file: SafeFile | undefined,
    original: Original | undefined,
  ): Promise<void> {
    const recipients = new ReportRecipients(file, request.report, notice.everyone);
    const damaged = recipients.damaged();
    if (!damaged && recipients.empty()) return;
    if (damaged) this.#log.warning(`${id}: ${file === undefined ? "log is missing" : "log is damaged"}`);
    await this.#send(id, request, notice, recipients, damaged, original);
  }

  async #send(
    id: QueueId,
    request: Reported,
    notice: Notice,
    recipients: Recipients,
    damaged: boolean,
    original: Original | undefined,
  ): Promise<void> {
    const report = this.#report(id, request, notice, original);
    const submission = await this.#submit({
      report,
      system: this.#system,
      from: notice.from,
      recipients,
      damaged,
      original,
      headerLimit: this.#settings.bounce_size_limit,
      log: this.#log,
    });
    const whom = notice.postmaster ? "postmaster" : "sender";
    if (submission.status === 0) {
      this.#log.info(`${id}: ${whom} ${NOTIFICATION[report.kind]}: ${printable(submission.queueId)}`);
      return;
    }
    const why = submission.reason === ""
      ? `cleanup status ${submission.status}`
      : printable(submission.reason);
    if (notice.essential) throw new ReportError(`Cannot queue ${NOTIFICATION[report.kind]}: ${why}`);
    const doing = report.kind === "delay" ? "warning" : "bouncing to";
    this.#log.warning(`${id}: postmaster notice failed while ${doing} ${printable(request.sender)}: ${why}`);
  }

  #submit(source: ReportSource): Promise<Submission> {
    const flags = internalFlags(this.#settings.internal_mail_filter_classes, "bounce") |
      (source.report.smtputf8 ? CLEANUP_FLAG.SMTPUTF8 : 0) |
      utf8Flag(this.#settings.smtputf8_autodetect_classes, "bounce");
    const produce = (sink: RecordSink) => produceReport(sink, source);
    return submitMessage(this.#cleanup, flags, produce, { lineLimit: this.#settings.line_length_limit });
  }

  #report(id: QueueId, request: Reported, notice: Notice, original: Original | undefined): Report {
    const length = original?.contentLength ?? 0;
    // RFC 3461 section 6.2: RET=FULL need not be honoured for a long message; a reflector of large mail would be worse.
    const tooLong = length === 0 || length > this.#settings.bounce_size_limit;
    const asked = notice.content === "asked" && request.ret === RET.HEADERS;
    return {
      kind: request.report,
      postmaster: notice.postmaster,
      recipient: notice.recipient,
      queueId: id,
      sender: request.sender,
      envelopeId: request.envelopeId,
      arrivalTime: original?.arrivalTime ?? 0,
      smtputf8: request.smtputf8,
      encoding: request.encoding,
      messageId: this.#settings.enable_threaded_bounces ? readMessageId(original) : "",
      headersOnly: notice.content === "headers" || tooLong || asked,
      time: Date.now(),
    };
  }
}

/** A damaged message has no Message-ID to refer to; that it is damaged is said where its content is read. */
function readMessageId(original: Original | undefined): string {
  try {
    return original?.messageId() ?? "";
  } catch (error) {
    if (!isReadError(error)) throw error;
    return "";
  }
}

/** True for the reports that are made of a trace log. */
function isTrace(kind: ReportKind): boolean {
  return kind === "success" || kind === "verify";
}

function toRecord(values: Append | ReturnOne): BounceRecord {
  return {
    recipient: values.recipient,
    originalRecipient: values.originalRecipient,
    dsnOriginalRecipient: values.dsnOriginalRecipient,
    offset: values.offset,
    notify: values.notify,
    status: values.status,
    action: values.action,
    diagnosticType: values.diagnosticType,
    diagnosticText: values.diagnosticText,
    remoteMtaType: values.remoteMta === "" ? "" : "dns",
    remoteMta: values.remoteMta,
    reason: values.reason,
  };
}

function reportSystem(settings: BounceSettings): ReportSystem {
  return {
    myhostname: settings.myhostname,
    myorigin: settings.myorigin,
    mailName: settings.mail_name,
    smtputf8Enable: settings.smtputf8_enable,
    headerFromFormat: settings.header_from_format,
    templates: settings.bounce_template_file,
    maximalQueueLifetime: settings.maximal_queue_lifetime,
  };
}

/** Trouble of the disk, of a file, or of cleanup; anything else is a fault of ours and ends the process. */
function isExpected(error: unknown): error is Error {
  return error instanceof SystemError || error instanceof LogError || error instanceof ReportError;
}
