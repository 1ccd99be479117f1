/**
 * What the stages of one message have in common: where it is written, what is known of it so far, and what is wrong
 * with it.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
import { SENDOPT_REQUIRETLS } from "../../lib/mail/send_options.ts";
// Server skeleton
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// This program
import type { QueueFileOutput } from "./cleanup_output.ts";
import type { CleanupRules } from "./cleanup_rules.ts";

/**
 * Text by which a message may pass message_size_limit here, bytes: what the mail system itself puts in front of it.
 * smtpd holds its clients to the limit exactly.
 */
const OWN_HEADERS = 4096;

/** Most copies that checks may ask for, of one message. */
const BCC_LIMIT = 1000;

/** Who is told of the envelope while it is read. */
export interface EnvelopeListener {
  /** An attribute of the message. */
  note(name: string, value: () => string): void;
  /** A recipient in canonical form, before aliases. */
  recipient(address: string): Promise<void>;
}

/** One message under way. */
export class MessageState {
  readonly out: QueueFileOutput;
  readonly rules: CleanupRules;
  readonly log: Logger;
  /** CLEANUP_FLAG bits; actions take FILTER away and add HOLD and DISCARD. */
  flags: number;
  status: number = CLEANUP_STATUS.OK;
  reason = "";
  abandoned = false;
  /** Why the message goes back to its sender instead of on; the sender of local mail is not there to be told. */
  returned = "";
  sender: string | undefined;
  fullName = "";
  firstRecipient: string | undefined;
  /** Where headers are completed; undefined: they are not. */
  headerContext: "local" | "remote" | undefined = "local";
  /** "7bit" or "8bit" as the client says, or else as the header does. */
  encoding = "";
  foundEncoding = "";
  /** SENDOPT bits. */
  sendOptions = 0;
  recipients = 0;
  /** The queue manager must read the whole envelope for what is not about recipients. */
  mixed = false;
  /** For the log, of mail that is looked at. */
  origin = "";
  protocol = "";
  helo = "";
  /** What checks decided. */
  filter = "";
  redirect = "";
  readonly bcc: string[] = [];
  /** Where the sender's record, our own Received header and the end of the header stand; for filters. */
  senderFrom = 0;
  senderTo = 0;
  receivedAt: number | undefined;
  headerEnd = 0;
  /** Attributes are noted for the log and for filters. */
  notes: boolean;
  /** Filters of mail that does not come by SMTP, which are told of the envelope as it comes. */
  local: EnvelopeListener | undefined;
  /** Content with two bytes for each line end (RFC 1870 section 4). */
  #textSize = 0;
  /** Content as the user sees it, bytes. */
  contentLength = 0;

  constructor(out: QueueFileOutput, flags: number, rules: CleanupRules, log: Logger) {
    this.out = out;
    this.flags = rules.smtputf8 ? flags : flags & ~CLEANUP_FLAG.AUTOUTF8;
    this.rules = rules;
    this.log = log;
    if (this.has(CLEANUP_FLAG.REQUIRETLS)) this.sendOptions |= SENDOPT_REQUIRETLS;
    this.notes = rules.inspection !== undefined;
  }

  get queueId(): string {
    return this.out.id;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** True when it is of interest whether addresses and headers are ASCII: SMTPUTF8 was asked for, or may be needed. */
  get notesUtf8(): boolean {
    return this.has(CLEANUP_FLAG.AUTOUTF8 | CLEANUP_FLAG.SMTPUTF8);
  }

  /** True when nothing that follows is of interest. */
  get over(): boolean {
    return this.status !== CLEANUP_STATUS.OK || this.abandoned || this.has(CLEANUP_FLAG.DISCARD);
  }

  /** True when the text goes into the file; a report needs no more of it. */
  get writes(): boolean {
    return this.returned === "";
  }

  /** Counts text that goes into the file. */
  countText(length: number, lines: number): void {
    this.contentLength += length + lines;
    this.#textSize += length + 2 * lines;
    const limit = this.rules.messageSizeLimit;
    if (limit > 0 && this.#textSize > limit + OWN_HEADERS) {
      this.refuse(CLEANUP_STATUS.SIZE, "5.3.4 message file too big");
    }
  }

  /** Keeps an address for a copy. */
  copyTo(address: string): void {
    if (this.bcc.length < BCC_LIMIT) this.bcc.push(address);
  }

  /**
   * The content is at fault. A client that can tell the sender is told; for one that cannot (CLEANUP_FLAG.BOUNCE) the
   * message is queued for the error transport, so that it comes back like any mail that cannot be delivered.
   *
   * @param reason with its status code
   * @param logged the log says it already
   */
  refuse(status: number, reason: string, logged = false): void {
    const text = reason.slice(reason.indexOf(" ") + 1);
    if (!this.has(CLEANUP_FLAG.BOUNCE)) {
      return this.fail(status, status === CLEANUP_STATUS.CONTENT ? reason : text, logged);
    }
    if (this.returned !== "") return;
    this.returned = reason;
    if (!logged) this.log.info(`${this.queueId}: reject: ${text}`);
  }

  /** Trouble that may pass: the log says what, and the client tries again. */
  postpone(status: number, reason: string, why: string): void {
    this.log.warning(`${this.queueId}: ${why} -- message not accepted, try again later`);
    this.fail(status, reason);
  }

  /** Notes the first thing that is wrong with the message. */
  fail(status: number, reason: string, logged = false): undefined {
    if (this.status === CLEANUP_STATUS.OK) {
      this.status = status;
      this.reason = reason;
      if (logged) return;
      if (status === CLEANUP_STATUS.BAD) this.log.warning(`${this.queueId}: unexpected input: ${reason}`);
      else this.log.info(`${this.queueId}: reject: ${reason}`);
    }
    return undefined;
  }

  /** Logs what was done because of a part of the content: "ID: ACTION: WHERE TEXT from CLIENT; from=<> to=<> ...". */
  logContent(action: string, where: string, content: Uint8Array, text: string): void {
    const { protocol, helo } = this;
    const shown = printable(content.slice(0, CONTENT_SHOWN));
    let line = `${this.queueId}: ${action}: ${where} ${shown} ${this.#whose()}`;
    if (protocol !== "") line += ` proto=${printable(protocol)}`;
    if (helo !== "") line += ` helo=<${printable(helo)}>`;
    this.log.info(text === "" ? line : `${line}: ${printable(text)}`);
  }

  /** Logs what a filter has decided. */
  logMilter(action: string, stage: string, text: string): void {
    const { protocol, helo } = this;
    let line = `${this.queueId}: ${action}: ${stage} ${this.#client()}: ${text};${this.#envelope()}`;
    if (protocol !== "") line += ` proto=${printable(protocol)}`;
    if (helo !== "") line += ` helo=<${printable(helo)}>`;
    this.log.info(line);
  }

  /** Logs what is wrong with the structure of the content. */
  logFault(fault: string, text: Uint8Array): void {
    this.log.info(`${this.queueId}: reject: mime-error ${fault}: ${printable(text)} ${this.#whose()}`);
  }

  #whose(): string {
    return `${this.#client()};${this.#envelope()}`;
  }

  #client(): string {
    return `from ${printable(this.origin) || "local"}`;
  }

  #envelope(): string {
    const { sender, firstRecipient } = this;
    let text = "";
    if (sender !== undefined) text += ` from=<${printable(quoteAddress(sender))}>`;
    if (firstRecipient !== undefined) text += ` to=<${printable(quoteAddress(firstRecipient))}>`;
    return text;
  }
}

/** Characters of a header or line that the log shows. */
const CONTENT_SHOWN = 200;
