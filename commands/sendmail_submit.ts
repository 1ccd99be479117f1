/**
 * From standard input to a file in maildrop/.
 *
 * @module
 */
// Utility
import { encodeText } from "../lib/vstring/byte_builder.ts";
import { GREATER, startsWithIgnoreCase } from "../lib/vstring/ascii.ts";
// Mail
import type { QueueId } from "../lib/mail/queue_id.ts";
import { formatSizeRecord, formatTime, TRACE_RECORD, TRACE_USER_VERIFY } from "../lib/mail/queue_file.ts";
import { RECORD } from "../lib/mail/record.ts";
import { areVerpDelimiters } from "../lib/mail/verp.ts";
// This program
import { MaildropFile, type MaildropSettings } from "./maildrop_file.ts";
import { readRecipients, readSender } from "./sendmail_address.ts";
import { SendmailError } from "./sendmail_error.ts";
import { RecipientHeaders } from "./sendmail_headers.ts";
import { type LinePiece, readLines } from "./sendmail_lines.ts";
import type { SendmailPlan } from "./sendmail_options.ts";
import { EX } from "./sysexits.ts";

const CAPITAL_F = 0x46;

/** The parameters that posting depends on. */
export interface SubmitSettings extends MaildropSettings {
  readonly line_length_limit: number;
  readonly sendmail_fix_line_endings: string;
  readonly default_verp_delimiters: string;
  readonly verp_delimiter_filter: string;
}

/** Who posts. */
export interface Poster {
  /** Default sender. */
  readonly login: string;
  readonly fullName: string;
}

/** The envelope of a message. */
interface Envelope {
  readonly sender: string;
  /** VERP delimiters, or empty. */
  readonly verp: string;
  readonly recipients: readonly string[];
  readonly fullName: string;
}

/**
 * Posts one message: when this returns, the message is on the disk.
 *
 * @param opened is given the file as soon as there is one, so that a signal can remove it
 * @param demandSender throws for a sender that the user may not have
 * @throws SendmailError for what is wrong with the message; MessageTooBigError, SystemError
 */
export async function postMessage(
  plan: SendmailPlan,
  poster: Poster,
  input: AsyncIterable<Uint8Array>,
  settings: SubmitSettings,
  opened: (file: MaildropFile) => void,
  demandSender?: (sender: string) => Promise<void>,
): Promise<QueueId> {
  const envelope = readEnvelope(plan, poster, settings);
  await demandSender?.(envelope.sender);
  const file = new MaildropFile(settings);
  try {
    opened(file);
    writeEnvelope(file, plan, envelope);
    const found = plan.verified ? [] : await copyContent(file, plan, input, settings);
    if (plan.verified) writeProbe(file, envelope);
    if (envelope.recipients.length + found.length === 0) {
      throw new SendmailError(EX.DATAERR, "No recipient addresses found in message header");
    }
    file.record(RECORD.EXTRACTED, "");
    writeRecipients(file, found, plan.notify);
    file.record(RECORD.END, "");
    return await file.commit();
  } catch (error) {
    file.abandon();
    throw error;
  }
}

function readEnvelope(plan: SendmailPlan, poster: Poster, settings: SubmitSettings): Envelope {
  const sender = readSender(plan.sender ?? poster.login);
  const recipients = plan.recipients.flatMap(readRecipients);
  if (recipients.length === 0 && !plan.fromHeaders) {
    const text = "Recipient addresses must be specified on the command line or via the -t option";
    throw new SendmailError(EX.USAGE, text);
  }
  const fullName = plan.fullName ?? poster.fullName;
  if (encodeText(fullName).length > settings.line_length_limit || hasControl(fullName)) {
    throw new SendmailError(EX.USAGE, "bad full name");
  }
  return { sender, recipients, fullName, verp: readVerp(plan, sender, settings) };
}

/** The delimiters that -XV asks for, or empty. */
function readVerp({ verp }: SendmailPlan, sender: string, settings: SubmitSettings): string {
  if (verp === undefined) return "";
  const delimiters = verp === "" ? settings.default_verp_delimiters : verp;
  if (!areVerpDelimiters(delimiters, settings.verp_delimiter_filter)) {
    throw new SendmailError(EX.USAGE, `-XV requires two characters from ${settings.verp_delimiter_filter}`);
  }
  if (sender === "") throw new SendmailError(EX.USAGE, "-XV option requires non-null sender address");
  return delimiters;
}

function writeEnvelope(file: MaildropFile, plan: SendmailPlan, envelope: Envelope): void {
  file.record(RECORD.TIME, formatTime(Date.now()));
  if (plan.sendOptions !== 0) file.record(RECORD.SIZE, sizeOf(plan.sendOptions));
  if (plan.envelopeId !== "") attribute(file, "envelope_id", plan.envelopeId);
  if (plan.ret !== 0) attribute(file, "ret_flags", plan.ret);
  attribute(file, "rewrite_context", plan.gateway ? "remote" : "local");
  file.record(RECORD.FULL, envelope.fullName);
  if (plan.verified) attribute(file, "trace_flags", TRACE_USER_VERIFY);
  else if (plan.reported) attribute(file, "trace_flags", TRACE_RECORD);
  file.record(RECORD.FROM, envelope.sender);
  if (envelope.verp !== "") file.record(RECORD.VERP, envelope.verp);
  if (plan.encoding !== "") attribute(file, "encoding", plan.encoding);
  writeRecipients(file, envelope.recipients, plan.notify);
  file.record(RECORD.MESSAGE, "");
}

/** A size record before anybody knows the size: as Postfix's sendmail says what the message demands of its way. */
function sizeOf(sendOptions: number): string {
  const unknown = { contentSize: 0, dataOffset: 0, recipientCount: 0, qmgrFlags: 0, contentLength: 0 };
  return formatSizeRecord({ ...unknown, sendOptions });
}

function writeRecipients(file: MaildropFile, recipients: readonly string[], notify: number): void {
  for (const recipient of recipients) {
    if (notify !== 0) attribute(file, "notify_flags", notify);
    file.record(RECORD.RECIPIENT, recipient);
  }
}

/** The text of a probe, of which only the headers are ever seen: in the report. */
function writeProbe(file: MaildropFile, { sender, recipients }: Envelope): void {
  const lines = [
    `From: ${sender}`,
    "Subject: probe",
    ...recipients.map((recipient, i) =>
      `${i === 0 ? "To:" : ""}\t${recipient}${i < recipients.length - 1 ? "," : ""}`
    ),
  ];
  for (const line of lines) file.record(RECORD.NORMAL, line);
}

function attribute(file: MaildropFile, name: string, value: string | number): void {
  file.record(RECORD.ATTRIBUTE, `${name}=${value}`);
}

/** Copies the text; returns the recipients that -t found in it. */
async function copyContent(
  file: MaildropFile,
  plan: SendmailPlan,
  input: AsyncIterable<Uint8Array>,
  settings: SubmitSettings,
): Promise<readonly string[]> {
  const headers = plan.fromHeaders ? new RecipientHeaders() : undefined;
  const lines = readLines(input, {
    pieceLimit: settings.line_length_limit,
    dotEnds: plan.dotEnds,
    fixLineEndings: settings.sendmail_fix_line_endings,
  });
  const mailbox = new MailboxLines();
  for await (const piece of lines) {
    if (mailbox.drops(piece)) continue;
    if (headers?.take(piece) === false) continue;
    file.record(piece.ends ? RECORD.NORMAL : RECORD.CONTINUED, piece.bytes);
  }
  return headers?.finish() ?? [];
}

/** Lines in front of a message that was taken from a mailbox file: they are no header, and would end the headers. */
class MailboxLines {
  #atStart = true;
  #dropping = false;

  /** True for a piece of such a line. */
  drops(piece: LinePiece): boolean {
    if (!this.#atStart) return false;
    if (piece.begins) {
      this.#dropping = isMailboxLine(piece.bytes);
      this.#atStart = this.#dropping;
    }
    return this.#dropping;
  }
}

/** `From `, as it is written there and with the quotation of some programs. */
function isMailboxLine(line: Uint8Array): boolean {
  const start = line[0] === GREATER ? 1 : 0;
  return line[start] === CAPITAL_F && startsWithIgnoreCase(line, "from ", start);
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x20 || text.charCodeAt(i) === 0x7f) return true;
  }
  return false;
}
