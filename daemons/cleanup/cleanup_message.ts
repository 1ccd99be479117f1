/**
 * One message on its way into a queue file: records come in, canonical records go out. On an error it goes on
 * reading to the end, so that the client never blocks, and then says what was wrong.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { ByteBuilder, decodeText } from "../../lib/vstring/byte_builder.ts";
import { asciiLower, CR, LF, parseDecimal, SPACE } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import {
  appendAttribute,
  formatTime,
  QMGR_READ_ALL,
  SENDOPT_SMTPUTF8_REQUESTED,
} from "../../lib/mail/queue_file.ts";
import {
  appendRecord,
  appendRecordSlice,
  NUMBER_WIDTH,
  RECORD,
  RecordCursor,
} from "../../lib/mail/record.ts";
// Server skeleton
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// This program
import {
  continuesHeader,
  headerLines,
  headerNameOf,
  HeaderState,
  isAddressHeader,
  missingHeaders,
  noteHeader,
  rewriteAddressHeader,
} from "./cleanup_header.ts";
import type { QueueFileOutput } from "./cleanup_output.ts";
import type { AddressPipeline } from "./cleanup_recipient.ts";

/** What cleanup is told by its parameters. */
export interface CleanupRules {
  readonly alwaysAddMissingHeaders: boolean;
  readonly duplicateFilterLimit: number;
  readonly longIds: boolean;
  readonly originalRecipient: boolean;
  readonly headerTokenLimit: number;
  readonly fromFormat: "standard" | "obsolete";
  readonly headerSizeLimit: number;
  readonly hopcountLimit: number;
  /** Bytes; longer header lines become several records. */
  readonly lineLengthLimit: number;
  readonly dropHeaders: ReadonlySet<string>;
  /** Bytes; 0: no limit. */
  readonly messageSizeLimit: number;
  /** Seconds after which the sender is told of a delay; 0: never. */
  readonly delayWarningTime: number;
  readonly hostName: string;
  readonly undisclosedRecipients: string;
}

/** Attributes that a client may set; anything else is a protocol error. */
const ATTRIBUTES: ReadonlySet<string> = new Set([
  "client_address",
  "client_address_type",
  "client_name",
  "client_port",
  "dsn_orig_rcpt",
  "encoding",
  "envelope_id",
  "helo_name",
  "log_client_address",
  "log_client_name",
  "log_client_port",
  "log_helo_name",
  "log_ident",
  "log_message_origin",
  "log_protocol_name",
  "message_origin",
  "notify_flags",
  "protocol_name",
  "ret_flags",
  "reverse_client_name",
  "rewrite_context",
  "sasl_method",
  "sasl_sender",
  "sasl_username",
  "sendopts",
  "server_address",
  "server_port",
  "trace_flags",
]);

/**
 * Text by which a message may pass message_size_limit here, bytes: what the mail system itself puts in front of it.
 * smtpd holds its clients to the limit exactly.
 */
const OWN_HEADERS = 4096;
/** Most attributes in one envelope (queue_file_attribute_count_limit). */
const ATTRIBUTE_LIMIT = 100;

type Phase = "envelope" | "header" | "body" | "extracted" | "done";

/** A recipient's DSN attributes, which stand before it. */
interface Pending {
  original: string;
  dsnOriginal: string;
  notify: string;
}

/** Takes one message. */
export class CleanupMessage {
  readonly #out: QueueFileOutput;
  readonly #flags: number;
  readonly #rules: CleanupRules;
  readonly #addresses: AddressPipeline;
  readonly #log: Logger;
  #phase: Phase = "envelope";
  #status: number = CLEANUP_STATUS.OK;
  #reason = "";
  #sender: string | undefined;
  #fullName = "";
  #arrival = 0;
  #localContext = true;
  #encoding = "";
  #sendOptions = 0;
  #attributes = 0;
  #recipients = 0;
  readonly #known = new Set<string>();
  #pending: Pending = { original: "", dsnOriginal: "", notify: "" };
  readonly #header = new HeaderState();
  #field: ByteBuilder | undefined;
  #fieldName = "";
  #lineOpen = false;
  #dataOffset = 0;
  #contentEnd = 0;
  #contentLength = 0;
  /** Content with two bytes for each line end (RFC 1870 section 4). */
  #textSize = 0;
  #abandoned = false;
  /** Why the message goes back to its sender instead of on; the sender of local mail is not there to be told. */
  #returned = "";

  constructor(
    out: QueueFileOutput,
    flags: number,
    rules: CleanupRules,
    addresses: AddressPipeline,
    log: Logger,
  ) {
    this.#out = out;
    this.#flags = flags;
    this.#rules = rules;
    this.#addresses = addresses;
    this.#log = log;
  }

  get queueId(): string {
    return this.#out.id;
  }

  /** Takes a chunk of whole records. Throws a `BadRecordError` when it is none. */
  take(records: Uint8Array): Promise<void> | undefined {
    const cursor = new RecordCursor(records);
    // One native search tells whether any line may hold a stray CR or LF; lengths can look like one, text rarely.
    const stray = records.indexOf(CR) >= 0 || records.indexOf(LF) >= 0;
    return this.#run(cursor, stray);
  }

  #run(cursor: RecordCursor, stray: boolean): Promise<void> | undefined {
    while (cursor.next()) {
      if (this.#status !== CLEANUP_STATUS.OK || this.#abandoned) continue;
      const pending = this.#record(cursor, stray);
      if (pending !== undefined) return pending.then(() => this.#run(cursor, stray));
    }
    return undefined;
  }

  #record(cursor: RecordCursor, stray: boolean): Promise<void> | undefined {
    switch (this.#phase) {
      case "envelope":
        return this.#envelopeRecord(cursor.type, cursor.data);
      case "header":
      case "body":
        return this.#contentRecord(cursor, stray);
      case "extracted":
        return this.#extractedRecord(cursor.type);
      case "done":
        return this.#fail(CLEANUP_STATUS.BAD, "record after the end");
    }
  }

  // --- envelope

  #envelopeRecord(type: number, data: Uint8Array): Promise<void> | undefined {
    switch (type) {
      case RECORD.SIZE:
      case RECORD.CTIME:
      case RECORD.WARN:
        return undefined; // cleanup makes its own
      case RECORD.TIME: {
        const [seconds = "", microseconds = "0"] = decodeText(data).split(" ");
        this.#arrival = (parseDecimal(seconds) ?? 0) * 1000 +
          Math.floor((parseDecimal(microseconds) ?? 0) / 1000);
        return undefined;
      }
      case RECORD.FULL:
        this.#fullName = decodeText(data);
        return undefined;
      case RECORD.FROM:
        return this.#takeSender(decodeText(data));
      case RECORD.ATTRIBUTE:
        return this.#takeAttribute(decodeText(data));
      case RECORD.ORIGINAL:
        this.#pending.original = decodeText(data);
        return undefined;
      case RECORD.RECIPIENT:
        return this.#takeRecipient(decodeText(data));
      case RECORD.DONE:
        this.#forgetPending();
        return undefined;
      case RECORD.MESSAGE:
        return this.#startContent();
      default:
        return this.#fail(CLEANUP_STATUS.BAD, `record type ${type} in the envelope`);
    }
  }

  #takeSender(sender: string): Promise<void> | undefined {
    if (this.#sender !== undefined) return this.#fail(CLEANUP_STATUS.BAD, "second sender");
    if (hasControl(sender)) return this.#fail(CLEANUP_STATUS.BAD, "control character in sender");
    const known = sender === "" ? "" : this.#addresses.known(sender);
    if (known !== undefined) {
      this.#putSender(known);
      return undefined;
    }
    return this.#addresses.rewrite(sender).then((outcome) => {
      if (this.#abandoned) return;
      if (outcome.kind === "retry") this.#postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
      else this.#putSender(outcome.address);
    });
  }

  /** Trouble that may pass: the log says what, and the client tries again. */
  #postpone(status: number, reason: string, why: string): void {
    this.#log.warning(`${this.queueId}: ${why} -- message not accepted, try again later`);
    this.#fail(status, reason);
  }

  #putSender(sender: string): void {
    this.#sender = sender;
    const records = this.#out.records;
    appendRecord(records, RECORD.TIME, formatTime(this.#arrival || this.#out.time));
    appendAttribute(records, "create_time", String(Math.floor(this.#out.time / 1000)));
    appendRecord(records, RECORD.FROM, sender);
    const { delayWarningTime } = this.#rules;
    if (delayWarningTime === 0 || sender === "") return;
    const due = Math.floor((this.#arrival || this.#out.time) / 1000) + delayWarningTime;
    appendRecord(records, RECORD.WARN, String(due).padStart(NUMBER_WIDTH));
  }

  #takeAttribute(pair: string): undefined {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(0, equals));
    const value = pair.slice(equals + 1);
    if (
      !ATTRIBUTES.has(name) || hasControl(value) ||
      !isPerRecipient(name) && ++this.#attributes > ATTRIBUTE_LIMIT
    ) {
      return this.#fail(CLEANUP_STATUS.BAD, `attribute "${printable(name)}"`);
    }
    if (name === "notify_flags") this.#pending.notify = value;
    else if (name === "dsn_orig_rcpt") this.#pending.dsnOriginal = value;
    else {
      if (name === "rewrite_context") this.#localContext = value === "local";
      if (name === "encoding") this.#encoding = value;
      if (name === "sendopts") this.#sendOptions = parseDecimal(value, 0xff) ?? 0;
      appendAttribute(this.#out.records, name, value);
    }
    return undefined;
  }

  #takeRecipient(address: string): Promise<void> | undefined {
    if (this.#sender === undefined) return this.#fail(CLEANUP_STATUS.BAD, "recipient before sender");
    if (hasControl(address) || address === "") return this.#fail(CLEANUP_STATUS.BAD, "malformed recipient");
    const pending = this.#pending;
    this.#forgetPending();
    const known = this.#addresses.known(address);
    if (known !== undefined) {
      this.#putRecipient(known, address, pending);
      return undefined;
    }
    return this.#addresses.expand(address).then((outcome) => {
      if (this.#abandoned) return;
      switch (outcome.kind) {
        case "addresses":
          for (const one of outcome.addresses) this.#putRecipient(one, address, pending);
          return;
        case "retry":
          return this.#postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
        case "unreasonable":
          return this.#postpone(CLEANUP_STATUS.DEFER, "4.6.0 Alias expansion error", outcome.why);
        default:
          outcome satisfies never;
      }
    });
  }

  #putRecipient(address: string, received: string, pending: Pending): void {
    const original = pending.original || received;
    // Postfix tells duplicates apart by what a bounce would say of them.
    const key = this.#rules.originalRecipient
      ? `${asciiLower(address)}\0${asciiLower(original)}\0${pending.dsnOriginal}\0${pending.notify}`
      : asciiLower(address);
    if (this.#known.has(key)) return;
    if (this.#rules.duplicateFilterLimit === 0 || this.#known.size < this.#rules.duplicateFilterLimit) {
      this.#known.add(key);
    }
    const records = this.#out.records;
    if (pending.dsnOriginal !== "") appendAttribute(records, "dsn_orig_rcpt", pending.dsnOriginal);
    if (pending.notify !== "" && pending.notify !== "0") {
      appendAttribute(records, "notify_flags", pending.notify);
    }
    if (this.#rules.originalRecipient) appendRecord(records, RECORD.ORIGINAL, original);
    appendRecord(records, RECORD.RECIPIENT, address);
    this.#recipients++;
    this.#out.spill();
  }

  #forgetPending(): void {
    this.#pending = { original: "", dsnOriginal: "", notify: "" };
  }

  #startContent(): undefined {
    if (this.#sender === undefined) return this.#fail(CLEANUP_STATUS.BAD, "no sender");
    if (this.#recipients === 0) return this.#fail(CLEANUP_STATUS.RECIPIENT, "no recipients specified");
    appendRecord(this.#out.records, RECORD.MESSAGE, "");
    this.#dataOffset = this.#out.position;
    this.#phase = "header";
    return undefined;
  }

  // --- content

  #contentRecord(cursor: RecordCursor, stray: boolean): Promise<void> | undefined {
    const type = cursor.type;
    if (type === RECORD.EXTRACTED) return this.#endContent();
    if (type !== RECORD.NORMAL && type !== RECORD.CONTINUED) {
      return this.#fail(CLEANUP_STATUS.BAD, `record type ${type} in the content`);
    }
    if (stray) replaceStray(cursor.bytes, cursor.start, cursor.end);
    if (this.#phase === "body") {
      this.#putLine(cursor.bytes, cursor.offset, cursor.position, cursor.end - cursor.start, type);
      return undefined;
    }
    return this.#headerLine(cursor, type);
  }

  /** Passes a record of the body through as it came: no string is made of it, and no copy but into the file's buffer. */
  #putLine(bytes: Uint8Array, from: number, to: number, length: number, type: number): void {
    if (this.#returned !== "") return; // a report needs no more of it
    this.#out.records.slice(bytes, from, to);
    this.#countText(length, type);
    this.#out.spill();
  }

  #countText(length: number, type: number): void {
    const whole = type === RECORD.NORMAL;
    this.#contentLength += length + (whole ? 1 : 0);
    this.#textSize += length + (whole ? 2 : 0);
    const limit = this.#rules.messageSizeLimit;
    if (limit > 0 && this.#textSize > limit + OWN_HEADERS) {
      this.#refuse(CLEANUP_STATUS.SIZE, "5.3.4", "message file too big");
    }
  }

  #headerLine(cursor: RecordCursor, type: number): Promise<void> | undefined {
    const line = cursor.data;
    if (this.#lineOpen || (this.#field !== undefined && continuesHeader(line))) {
      this.#extendField(line, this.#lineOpen);
      this.#lineOpen = type === RECORD.CONTINUED;
      return undefined;
    }
    const name = headerNameOf(line);
    const finished = this.#endField();
    if (name === "") {
      if (finished !== undefined) return finished.then(() => this.#startBody(cursor, type));
      this.#startBody(cursor, type);
      return undefined;
    }
    this.#lineOpen = type === RECORD.CONTINUED;
    this.#fieldName = name;
    this.#field = new ByteBuilder(this.#rules.headerSizeLimit, Math.min(256, this.#rules.headerSizeLimit));
    this.#extendField(line, true);
    return finished;
  }

  /** Adds a line to the current header; what passes header_size_limit is dropped, as Postfix does. */
  #extendField(line: Uint8Array, sameLine: boolean): void {
    const field = this.#field;
    if (field === undefined) return;
    if (!sameLine && field.room > 0) field.byte(LF);
    field.bytes(line.subarray(0, field.room));
  }

  #endField(): Promise<void> | undefined {
    const field = this.#field;
    if (field === undefined) return undefined;
    this.#field = undefined;
    const name = this.#fieldName;
    noteHeader(this.#header, name, field.view());
    if (this.#header.received >= this.#rules.hopcountLimit) {
      this.#refuse(CLEANUP_STATUS.HOPS, "5.4.0", "too many hops");
      if (this.#status !== CLEANUP_STATUS.OK) return undefined;
    }
    if (this.#rules.dropHeaders.has(name)) return undefined;
    // Headers of mail from elsewhere stay as they are, byte for byte.
    if (!this.#localContext || !isAddressHeader(name) || (this.#flags & CLEANUP_FLAG.MAP) === 0) {
      this.#putField(field.view());
      return undefined;
    }
    const rewrite = (address: string) => this.#addresses.rewriteHeader(address);
    return rewriteAddressHeader(field.view(), this.#rules.headerTokenLimit, rewrite).then((changed) => {
      if (!this.#abandoned) this.#putField(changed);
    });
  }

  #putField(field: Uint8Array): void {
    if (this.#returned !== "") return;
    for (const line of headerLines(field)) this.#putHeaderLine(line);
    this.#out.spill();
  }

  /** A line that was put together from several records is cut again: no record is longer than any reader takes. */
  #putHeaderLine(line: Uint8Array): void {
    const most = this.#rules.lineLengthLimit;
    let start = 0;
    for (; line.length - start > most; start += most) {
      appendRecordSlice(this.#out.records, RECORD.CONTINUED, line, start, start + most);
    }
    appendRecordSlice(this.#out.records, RECORD.NORMAL, line, start, line.length);
    this.#countText(line.length, RECORD.NORMAL);
  }

  #startBody(cursor: RecordCursor, type: number): void {
    if (this.#status !== CLEANUP_STATUS.OK || this.#abandoned) return;
    this.#addMissingHeaders();
    this.#phase = "body";
    // RFC 5322 section 2.1: an empty line separates the header from the body; one that is missing is put in.
    if (cursor.end > cursor.start) this.#putField(NOTHING);
    this.#putLine(cursor.bytes, cursor.offset, cursor.position, cursor.end - cursor.start, type);
  }

  #addMissingHeaders(): void {
    if (this.#localContext || this.#rules.alwaysAddMissingHeaders) {
      const made = missingHeaders(this.#header, {
        queueId: this.#out.id,
        longIds: this.#rules.longIds,
        time: this.#out.time,
        hostName: this.#rules.hostName,
        sender: this.#sender ?? "",
        fullName: this.#fullName,
        fromFormat: this.#rules.fromFormat,
        undisclosed: this.#rules.undisclosedRecipients,
      });
      for (const line of made) this.#putField(line);
    }
    this.#log.info(`${this.queueId}: message-id=${printable(this.#header.messageId) || "<>"}`);
  }

  #endContent(): Promise<void> | undefined {
    if (this.#phase === "header") {
      const finished = this.#endField();
      if (finished !== undefined) return finished.then(() => this.#finishContent());
    }
    this.#finishContent();
    return undefined;
  }

  #finishContent(): void {
    if (this.#status !== CLEANUP_STATUS.OK || this.#abandoned) return;
    if (this.#phase === "header") this.#addMissingHeaders();
    if (this.#header.received === 0) {
      this.#fail(CLEANUP_STATUS.BAD, "message without Received header");
      return;
    }
    this.#contentEnd = this.#out.position;
    appendRecord(this.#out.records, RECORD.EXTRACTED, "");
    if (this.#encoding === "" && this.#header.encoding !== "") {
      appendAttribute(this.#out.records, "encoding", this.#header.encoding);
    }
    if (this.#returned !== "") appendRecord(this.#out.records, RECORD.FILTER, `error:${this.#returned}`);
    this.#phase = "extracted";
  }

  #extractedRecord(type: number): undefined {
    if (type !== RECORD.END) return this.#fail(CLEANUP_STATUS.BAD, `record type ${type} behind the content`);
    appendRecord(this.#out.records, RECORD.END, "");
    this.#phase = "done";
    return undefined;
  }

  // --- end

  /**
   * Commits the file, or throws it away when something was wrong. Undefined when it is done at once.
   *
   * @param report gets the status and a reason; after OK the message is safe on the disk
   */
  finish(report: (status: number, reason: string) => void): Promise<void> | undefined {
    if (this.#status === CLEANUP_STATUS.OK && this.#phase !== "done") {
      this.#fail(CLEANUP_STATUS.BAD, "message without end");
    }
    if (this.#status !== CLEANUP_STATUS.OK) {
      this.abandon();
      report(this.#status, this.#reason);
      return undefined;
    }
    const utf8 = (this.#flags & CLEANUP_FLAG.SMTPUTF8) !== 0 ? SENDOPT_SMTPUTF8_REQUESTED : 0;
    const committed = this.#out.commit({
      contentSize: this.#contentEnd - this.#dataOffset,
      dataOffset: this.#dataOffset,
      recipientCount: this.#recipients,
      qmgrFlags: this.#returned === "" ? 0 : QMGR_READ_ALL,
      contentLength: this.#contentLength,
      sendOptions: this.#sendOptions | utf8,
    });
    const done = () => {
      this.#out.close();
      report(CLEANUP_STATUS.OK, "");
    };
    if (committed !== undefined) return committed.then(done);
    done();
    return undefined;
  }

  /** Removes the file: the client broke off, or the message was refused. */
  abandon(): void {
    if (this.#abandoned) return;
    this.#abandoned = true;
    this.#out.abandon();
  }

  /**
   * The content is at fault. A client that can tell the sender is told; for one that cannot (CLEANUP_FLAG.BOUNCE) the
   * message is queued for the error transport, so that it comes back like any mail that cannot be delivered.
   */
  #refuse(status: number, code: string, reason: string): void {
    if ((this.#flags & CLEANUP_FLAG.BOUNCE) === 0) this.#fail(status, reason);
    else if (this.#returned === "") {
      this.#returned = `${code} ${reason}`;
      this.#log.info(`${this.queueId}: reject: ${reason}`);
    }
  }

  /** Notes the first thing that is wrong with the message. */
  #fail(status: number, reason: string): undefined {
    if (this.#status === CLEANUP_STATUS.OK) {
      this.#status = status;
      this.#reason = reason;
      if (status === CLEANUP_STATUS.BAD) this.#log.warning(`${this.queueId}: unexpected input: ${reason}`);
      else this.#log.info(`${this.queueId}: reject: ${reason}`);
    }
    return undefined;
  }
}

const NOTHING = new Uint8Array(0);

function isPerRecipient(name: string): boolean {
  return name === "notify_flags" || name === "dsn_orig_rcpt";
}

/** True when text that stands in the envelope has a control character: it could end a line elsewhere. */
function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < SPACE || unit === 0x7f) return true;
  }
  return false;
}

/** Replaces CR and LF inside a line by a space, so that no later reader sees two lines (cleanup_replace_stray_cr_lf). */
function replaceStray(bytes: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i++) if (bytes[i] === CR || bytes[i] === LF) bytes[i] = SPACE;
}
