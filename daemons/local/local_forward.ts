/**
 * Forwarding: a message for addresses that are not ours to deliver is submitted again, one new message for each
 * sender and Delivered-To address (postfix-map section 9.7).
 *
 * @module
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
// Mail
import { NOTIFY } from "../../lib/mail/notify.ts";
import { quoteAddress } from "../../lib/mail/address.ts";
import { formatMailDate } from "../../lib/mail/date.ts";
import { type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
import { formatTime } from "../../lib/mail/queue_file.ts";
import { RECORD } from "../../lib/mail/record.ts";
import { needsUtf8, SENDOPT_REQUIRETLS } from "../../lib/mail/send_options.ts";
// Wire protocols
import { type RecordSink, type Submission, utf8Flag } from "../../lib/proto/cleanup_client.ts";
import { CLEANUP_FLAG, CLEANUP_INTERNAL, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// Server skeleton
import { type DeliveryRecipient, type MailboxDeliveryJob } from "../../lib/server/mailbox_agent.ts";
// This program
import { type Action } from "../../lib/server/local_state.ts";
import { type LocalSettings } from "./local_settings.ts";

/** An address that the message is sent on to. */
export type ForwardAction = Extract<Action, { kind: "forward" }>;

/** Submits a message; the other end is cleanup. */
export type Submit = (flags: number, produce: (sink: RecordSink) => Promise<void>) => Promise<Submission>;

/** Addresses that share one new message. */
export interface ForwardBatch {
  readonly sender: string;
  readonly deliveredTo: string;
  readonly owned: boolean;
  readonly addresses: readonly string[];
}

/** Longest piece of a line in one record, bytes. */
const PIECE_LIMIT = 32768;

/** What cleanup's refusals mean for a forwarded message; everything else may pass. */
const FINAL_STATUS: readonly (readonly [bit: number, status: string, why: string])[] = [
  [CLEANUP_STATUS.HOPS, "5.4.6", "too many hops"],
  [CLEANUP_STATUS.SIZE, "5.3.4", "message too big"],
  [CLEANUP_STATUS.CONTENT, "5.7.1", "message content rejected"],
];

/** The batches of the forward actions, in the order in which they first appear. */
export function forwardBatches(actions: readonly Action[]): ForwardBatch[] {
  const batches = new Map<string, ForwardAction[]>();
  for (const action of actions) {
    if (action.kind !== "forward") continue;
    const key = `${action.owned}\n${action.sender}\n${action.deliveredTo}`;
    const batch = batches.get(key);
    if (batch === undefined) batches.set(key, [action]);
    else batch.push(action);
  }
  return Array.from(batches.values(), ([first, ...rest]) => ({
    sender: first!.sender,
    deliveredTo: first!.deliveredTo,
    owned: first!.owned,
    addresses: [first!, ...rest].map((action) => action.address),
  }));
}

/** Submits one batch and says what became of it. */
export async function forward(
  batch: ForwardBatch,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
  settings: LocalSettings,
  submit: Submit,
): Promise<MailboxOutcome> {
  const { sendOptions } = job.request;
  const flags = CLEANUP_INTERNAL | CLEANUP_FLAG.BOUNCE |
    (needsUtf8(sendOptions) ? CLEANUP_FLAG.SMTPUTF8 : 0) |
    ((sendOptions & SENDOPT_REQUIRETLS) === 0 ? 0 : CLEANUP_FLAG.REQUIRETLS) |
    utf8Flag(settings.smtputf8_autodetect_classes, "forward");
  try {
    const { status, reason, queueId } = await submit(flags, async (sink) => {
      await writeEnvelope(sink, batch, job, recipient);
      await writeContent(sink, batch, job, settings);
      await sink.record(RECORD.EXTRACTED, "");
      await sink.record(RECORD.END, "");
    });
    if (status === CLEANUP_STATUS.OK) return outcomeOf("2.0.0", `forwarded as ${queueId}`);
    const [, code, why] = FINAL_STATUS.find(([bit]) => (status & bit) !== 0) ??
      [0, "4.3.0", "unable to forward message"];
    return outcomeOf(code, reason === "" ? why : `${why}: ${reason}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return outcomeOf("4.3.0", `unable to forward message: ${why}`);
  }
}

async function writeEnvelope(
  sink: RecordSink,
  batch: ForwardBatch,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
): Promise<void> {
  const { request } = job;
  await sink.record(RECORD.TIME, formatTime(Date.now()));
  for (const [name, value] of clientAttributes(job)) {
    if (value !== "") await sink.record(RECORD.ATTRIBUTE, `${name}=${value}`);
  }
  if (!batch.owned && request.envelopeId !== "") {
    await sink.record(RECORD.ATTRIBUTE, `envelope_id=${request.envelopeId}`);
  }
  if (!batch.owned && request.ret !== 0) await sink.record(RECORD.ATTRIBUTE, `ret_flags=${request.ret}`);
  await sink.record(RECORD.FROM, batch.sender);
  // RFC 3461 section 5.2.7.1: an alias's members keep NOTIFY without SUCCESS; a list's members start anew.
  const notify = batch.owned ? 0 : recipient.notify & ~NOTIFY.SUCCESS;
  for (const address of batch.addresses) {
    if (!batch.owned) {
      const { dsnOriginalRecipient, originalRecipient } = recipient;
      if (dsnOriginalRecipient !== "") {
        await sink.record(RECORD.ATTRIBUTE, `dsn_orig_rcpt=${dsnOriginalRecipient}`);
      }
      if (notify !== 0) await sink.record(RECORD.ATTRIBUTE, `notify_flags=${notify}`);
      if (originalRecipient !== "") await sink.record(RECORD.ORIGINAL, originalRecipient);
    }
    await sink.record(RECORD.RECIPIENT, address);
  }
  await sink.record(RECORD.MESSAGE, "");
}

/** The client that brought the message, for the log and for whoever judges by it. */
function clientAttributes(job: MailboxDeliveryJob): readonly (readonly [name: string, value: string])[] {
  const { request } = job;
  return [
    ["rewrite_context", request.rewriteContext],
    ["encoding", request.encoding],
    ["log_ident", request.logIdent],
    ["log_client_name", request.clientName],
    ["log_client_address", request.clientAddress],
    ["log_client_port", request.clientPort],
    ["log_protocol_name", request.protocolName],
    ["log_helo_name", request.heloName],
    ["sasl_method", request.saslMethod],
    ["sasl_username", request.saslUsername],
    ["sasl_sender", request.saslSender],
  ];
}

async function writeContent(
  sink: RecordSink,
  batch: ForwardBatch,
  job: MailboxDeliveryJob,
  settings: LocalSettings,
): Promise<void> {
  await sink.line(`Received: by ${settings.myhostname} (${settings.mail_name})`);
  await sink.line(`\tid ${sink.queueId}; ${formatMailDate(Date.now())}`);
  if (settings.prepend_delivered_header.includes("forward")) {
    await sink.line(`Delivered-To: ${headerSafe(asciiLower(quoteAddress(batch.deliveredTo)))}`);
  }
  const content = job.source.content();
  while (content.next()) {
    await writePiece(sink, content.data, content.endsLine ? RECORD.NORMAL : RECORD.CONTINUED);
  }
}

/** One piece of a line; a queue file of another program may have pieces that are too long for one chunk. */
async function writePiece(sink: RecordSink, data: Uint8Array, lastType: number): Promise<void> {
  let start = 0;
  for (; data.length - start > PIECE_LIMIT; start += PIECE_LIMIT) {
    await sink.record(RECORD.CONTINUED, data.subarray(start, start + PIECE_LIMIT));
  }
  await sink.record(lastType, data.subarray(start));
}

/** The text with `?` for what could end the header. */
function headerSafe(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    out += unit < 0x20 || unit === 0x7f ? "?" : text[i];
  }
  return out;
}
