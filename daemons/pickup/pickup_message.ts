/**
 * From the records of a maildrop file to the records that cleanup gets. Nothing is passed on that was not
 * recognised: what a local user may say is a short list, and what `postsuper -r` brings back is stripped of
 * everything that cleanup and the queue manager had added.
 *
 * @module
 */
// Utility
import { isBlank, LF, parseDecimal, trimBlanks } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { envelopeText } from "../../lib/mail/address.ts";
import { formatTime, parseSizeRecord } from "../../lib/mail/queue_file.ts";
import { BadRecordError, RECORD, RecordReader } from "../../lib/mail/record.ts";
import { SENDOPT_ALL, SENDOPT_REQUIRETLS, SENDOPT_SMTPUTF8_REQUESTED } from "../../lib/mail/send_options.ts";
// Wire protocols
import type { RecordSink } from "../../lib/proto/cleanup_client.ts";
import { ADDRESS_LIMIT } from "../../lib/proto/protocols.ts";
// This program
import { judgeAttribute, readAttribute } from "./pickup_attribute.ts";
import type { MaildropFile } from "./pickup_file.ts";

/** Most pointers that are followed in a requeued file before it is called a loop. */
const POINTER_LIMIT = 100_000;
/** Most attributes of one file that belong to the message (queue_file_attribute_count_limit). */
const ATTRIBUTE_LIMIT = 100;

/** SENDOPT bits that a user may set. */
const USER_OPTIONS = SENDOPT_SMTPUTF8_REQUESTED | SENDOPT_REQUIRETLS;

/** What is known of a message when its content begins. */
export interface MessageFacts {
  /** Internal form; empty for the null sender. */
  readonly sender: string;
}

/** What is done with a record. */
type Action =
  | "copy"
  | "drop"
  | "time"
  | "size" // only what the message demands of its way is taken from it
  | "sender"
  | "recipient"
  | "pending" // goes with the next recipient
  | "forget" // a recipient that is done: what was pending was its own
  | "attribute"
  | "envelopeId"
  | "notify"
  | "pointer"
  | "text"
  | "next"; // the segment ends

/** A record type in a segment: what is done with it in a user's file and in a requeued one. */
interface RecordRow {
  readonly type: number;
  /** Undefined: the file is refused. */
  readonly local?: Action;
  readonly requeued: Action;
}

/** The envelope, up to M. */
const ENVELOPE: readonly RecordRow[] = [
  { type: RECORD.MESSAGE, local: "next", requeued: "next" },
  { type: RECORD.SIZE, local: "size", requeued: "size" },
  { type: RECORD.TIME, local: "drop", requeued: "time" },
  { type: RECORD.CTIME, requeued: "drop" },
  { type: RECORD.FULL, local: "copy", requeued: "copy" },
  { type: RECORD.INSPECT, requeued: "drop" },
  { type: RECORD.FILTER, requeued: "drop" },
  { type: RECORD.FROM, local: "sender", requeued: "sender" },
  { type: RECORD.DONE, requeued: "forget" },
  { type: RECORD.RECIPIENT, local: "recipient", requeued: "recipient" },
  { type: RECORD.ORIGINAL, requeued: "pending" },
  { type: RECORD.CANCELLED, requeued: "forget" },
  { type: RECORD.WARN, requeued: "drop" },
  { type: RECORD.ATTRIBUTE, local: "attribute", requeued: "attribute" },
  { type: RECORD.VERP, local: "copy", requeued: "copy" },
  { type: RECORD.KILLED, requeued: "drop" },
  { type: RECORD.REDIRECT, requeued: "drop" },
  { type: RECORD.PADDING, requeued: "drop" },
  { type: RECORD.POINTER, requeued: "pointer" },
  { type: RECORD.RETURN_RECEIPT, requeued: "drop" },
  { type: RECORD.ERRORS_TO, requeued: "drop" },
  { type: RECORD.PRIORITY, requeued: "drop" },
  { type: RECORD.DSN_ENVELOPE_ID, local: "envelopeId", requeued: "envelopeId" },
  { type: RECORD.DSN_RET, requeued: "copy" },
  { type: RECORD.DSN_ORIGINAL_RECIPIENT, requeued: "pending" },
  { type: RECORD.DSN_NOTIFY, local: "notify", requeued: "notify" },
];

/** The content, up to X. */
const CONTENT: readonly RecordRow[] = [
  { type: RECORD.EXTRACTED, local: "next", requeued: "next" },
  { type: RECORD.NORMAL, local: "text", requeued: "text" },
  { type: RECORD.CONTINUED, local: "text", requeued: "text" },
  { type: RECORD.PADDING, requeued: "drop" },
  { type: RECORD.POINTER, requeued: "pointer" },
];

/** Behind the content, up to E: recipients of `sendmail -t`; in a requeued file also what cleanup added. */
const EXTRACTED: readonly RecordRow[] = ENVELOPE
  .filter((row) => row.type !== RECORD.MESSAGE && row.type !== RECORD.FROM)
  .map((row): RecordRow => {
    if (row.type === RECORD.RECIPIENT || row.type === RECORD.ATTRIBUTE) return row;
    return { type: row.type, requeued: row.requeued === "copy" ? "drop" : row.requeued };
  })
  .concat({ type: RECORD.END, local: "next", requeued: "next" });

/**
 * Sends the message of a maildrop file to cleanup.
 *
 * @param recordLimit longest record, bytes (line_length_limit)
 * @param begin is told of the sender when the envelope is over; returns the lines that go in front of the content
 * @throws BadRecordError when the file is no message that its owner may send
 */
export async function sendMaildropMessage(
  file: MaildropFile,
  sink: RecordSink,
  recordLimit: number,
  begin: (facts: MessageFacts) => readonly string[] | Promise<readonly string[]>,
): Promise<void> {
  const copier = new MessageCopier(file, sink, recordLimit);
  await copier.copy(ENVELOPE);
  const facts = copier.endEnvelope();
  // cleanup wants every recipient in the envelope: those of `sendmail -t` stand behind the content. So the file is
  // read to its end before anything of the content is sent, and then once more.
  const content = copier.position;
  copier.passContent();
  await copier.copy(EXTRACTED);
  copier.endFile();
  const lines = await begin(facts);
  await sink.record(RECORD.MESSAGE, "");
  for (const line of lines) await sink.line(line);
  copier.position = content;
  await copier.copy(CONTENT);
  await sink.record(RECORD.EXTRACTED, "");
  await sink.record(RECORD.END, "");
}

/** One file on its way. */
class MessageCopier {
  readonly #file: MaildropFile;
  readonly #reader: RecordReader;
  readonly #sink: RecordSink;
  readonly #recordLimit: number;
  #sender: string | undefined;
  #timeSent = false;
  #contextSent = false;
  /** SENDOPT bits. */
  #sendOptions = 0;
  #attributes = 0;
  #pointers = 0;
  #contentBegun = false;
  #inExtracted = false;
  /** Records that go with the next recipient. */
  #pending: [number, string][] = [];

  constructor(file: MaildropFile, sink: RecordSink, recordLimit: number) {
    this.#file = file;
    this.#reader = new RecordReader((buffer, offset) => file.readAt(buffer, offset), 0, 16384);
    this.#sink = sink;
    this.#recordLimit = recordLimit;
  }

  /** Copies one segment, its last record excluded. */
  async copy(rows: readonly RecordRow[]): Promise<void> {
    this.#inExtracted = rows === EXTRACTED;
    for (;;) {
      const action = this.#nextAction(rows);
      if (action === "next") return;
      const wait = this.#apply(action);
      if (wait !== undefined) await wait;
    }
  }

  /** Offset of the next record. */
  get position(): number {
    return this.#reader.position;
  }

  set position(offset: number) {
    this.#reader.seek(offset);
  }

  /** Goes to the end of the content and sends nothing. */
  passContent(): void {
    for (;;) {
      const action = this.#nextAction(CONTENT);
      if (action === "next") return;
      if (action === "pointer") this.#follow();
    }
  }

  /** Checks that the envelope is whole and adds what it lacks. */
  endEnvelope(): MessageFacts {
    const sender = this.#sender;
    if (sender === undefined) throw bad("it has no sender");
    this.#sendTime(undefined);
    if (!this.#file.requeued) this.#sink.record(RECORD.ATTRIBUTE, "log_message_origin=local");
    if (this.#sendOptions !== 0) this.#sink.record(RECORD.ATTRIBUTE, `sendopts=${this.#sendOptions}`);
    if (!this.#contextSent) this.#sink.record(RECORD.ATTRIBUTE, "rewrite_context=local");
    return { sender };
  }

  /** Checks that nothing follows: edits of a requeued file stand behind its end, a user's file has none. */
  endFile(): void {
    if (!this.#file.requeued && this.#reader.next()) throw bad("something follows its end");
  }

  #nextAction(rows: readonly RecordRow[]): Action {
    const reader = this.#reader;
    if (!reader.next()) throw bad("it has no end");
    if (reader.data.length > this.#recordLimit) throw bad(`it has a record of ${reader.data.length} bytes`);
    const row = rows.find((one) => one.type === reader.type);
    const action = this.#file.requeued ? row?.requeued : row?.local;
    if (action === undefined) throw bad(`it has a record of type ${reader.type} that is not allowed there`);
    return action;
  }

  #apply(action: Exclude<Action, "next">): Promise<void> | undefined {
    switch (action) {
      case "drop":
        return undefined;
      case "text":
        return this.#takeText();
      case "pointer":
        return this.#follow();
      case "forget":
        this.#pending = [];
        return undefined;
      case "size":
        this.#takeOptions();
        return undefined;
      case "time":
        this.#sendTime(this.#text());
        return undefined;
      case "copy":
        return this.#send(this.#reader.type, this.#text());
      case "envelopeId":
        return this.#send(RECORD.ATTRIBUTE, `envelope_id=${this.#text()}`);
      case "notify":
        return this.#takeAttribute(`notify_flags=${this.#text()}`);
      case "attribute":
        return this.#takeAttribute(this.#text());
      case "pending":
        this.#pend(this.#reader.type, this.#text());
        return undefined;
      case "sender":
        return this.#takeSender(this.#text());
      case "recipient":
        return this.#takeRecipient(this.#text());
    }
  }

  /** The record's data as text that cannot end a line of anything. */
  #text(): string {
    const text = envelopeText(decodeText(this.#reader.data));
    if (text === undefined) throw bad("its envelope holds a control character");
    return text;
  }

  #send(type: number, data: string): Promise<void> | undefined {
    this.#sendTime(undefined);
    return this.#sink.record(type, data);
  }

  /** The arrival time goes first: that of the file, or the one that a requeued message came at. */
  #sendTime(given: string | undefined): void {
    if (this.#timeSent) return;
    this.#timeSent = true;
    const known = given !== undefined && isTime(given) ? given : formatTime(this.#file.written);
    this.#sink.record(RECORD.TIME, known);
  }

  /** A user may ask for what a client may ask for; what a message turned out to need is cleanup's to find. */
  #takeOptions(): void {
    const { sendOptions } = parseSizeRecord(this.#reader.data);
    this.#sendOptions = sendOptions & (this.#file.requeued ? SENDOPT_ALL : USER_OPTIONS);
  }

  #takeSender(sender: string): Promise<void> | undefined {
    if (this.#sender !== undefined) throw bad("it has two senders");
    this.#checkAddress();
    this.#sender = sender;
    return this.#send(RECORD.FROM, sender);
  }

  #takeRecipient(recipient: string): Promise<void> | undefined {
    if (this.#sender === undefined) throw bad("it has a recipient before its sender");
    if (recipient === "") throw bad("it has an empty recipient");
    this.#checkAddress();
    for (const [type, data] of this.#pending) this.#sink.record(type, data);
    this.#pending = [];
    return this.#send(RECORD.RECIPIENT, recipient);
  }

  #checkAddress(): void {
    if (this.#reader.data.length > ADDRESS_LIMIT) throw bad("it has an address that is too long");
  }

  #pend(type: number, data: string): void {
    if (this.#pending.length >= ATTRIBUTE_LIMIT) throw bad("it has too many attributes");
    this.#pending.push([type, data]);
  }

  #takeAttribute(data: string): Promise<void> | undefined {
    const attribute = readAttribute(data);
    if (attribute === undefined) throw bad("it has a malformed attribute");
    const verdict = judgeAttribute(attribute, this.#file.requeued);
    switch (verdict) {
      case "refuse":
        throw bad(`it has the attribute ${data}, which is not allowed there`);
      case "drop":
        return undefined;
      case "recipient":
        this.#pend(RECORD.ATTRIBUTE, data);
        return undefined;
      case "message":
        // Behind the content stand only recipients' attributes; what else a requeued file has there is cleanup's.
        if (this.#inExtracted && this.#file.requeued) return undefined;
        if (this.#inExtracted) throw bad(`it has the attribute ${data} behind its content`);
        if (++this.#attributes > ATTRIBUTE_LIMIT) throw bad("it has too many attributes");
        if (attribute.name === "rewrite_context") this.#contextSent = true;
        return this.#send(RECORD.ATTRIBUTE, data);
      default:
        return verdict satisfies never;
    }
  }

  #takeText(): Promise<void> | undefined {
    const { data, type } = this.#reader;
    // A line end inside a record would be a line end for some later reader and none for us.
    if (data.includes(LF)) throw bad("its content has a record with a line feed in it");
    const first = !this.#contentBegun;
    this.#contentBegun = true;
    // A first line that begins with white space would continue our own header.
    if (first && data.length > 0 && isBlank(data[0]!)) this.#sink.record(RECORD.NORMAL, "");
    return this.#sink.record(type, data);
  }

  #follow(): undefined {
    const target = parseDecimal(trimBlanks(this.#text()));
    if (target === undefined) throw bad("it has a malformed pointer");
    if (target === 0) return; // a place that was kept free for one
    if (++this.#pointers > POINTER_LIMIT) throw bad("its pointers form a loop");
    this.#reader.seek(target);
  }
}

/** True for `seconds` or `seconds microseconds`. */
function isTime(text: string): boolean {
  const space = text.indexOf(" ");
  const seconds = space < 0 ? text : text.slice(0, space);
  return parseDecimal(seconds) !== undefined &&
    (space < 0 || parseDecimal(text.slice(space + 1), 999_999) !== undefined);
}

function bad(why: string): BadRecordError {
  return new BadRecordError(`Cannot take message: ${why}`);
}
