/**
 * The content of one message. Its header is read one logical header at a time; its body goes through as it is, unless
 * mail from outside is to be looked at: then the whole structure is read, a chunk of records at a time.
 */
// Utility
import { CR, LF, SPACE } from "../../lib/vstring/ascii.ts";
import { encodeText, isUtf8 } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { roleOfHeader } from "../../lib/mail/header_rewrite.ts";
import {
  type HeaderClass,
  MIME_FAULTS,
  type MimeFault,
  type MimeHandler,
  MimeReader,
} from "../../lib/mail/mime_structure.ts";
import { appendRecordSlice, RECORD, type RecordCursor } from "../../lib/mail/record.ts";
import {
  SENDOPT_REQUIRETLS,
  SENDOPT_SMTPUTF8_HEADER,
  SENDOPT_SMTPUTF8_REQUESTED,
  SENDOPT_TLS_NOT_REQUIRED,
} from "../../lib/mail/send_options.ts";
// Server skeleton
import { REQUIRE_TLS_HEADER } from "../../lib/proto/cleanup_bits.ts";
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import { type ContentEvent, lookUpEvents } from "../../lib/proto/content_checks.ts";
import type { LineLookup } from "../../lib/proto/proxymap_client.ts";
// Rewriting
import type { AddressPipeline } from "../../lib/rewrite/canonical_address.ts";
// This program
import { actOnContent, type Checked, KEEP } from "./cleanup_checks.ts";
import {
  headerLines,
  headerNameOf,
  HeaderState,
  missingHeaders,
  noteEncoding,
  noteHeader,
  rewriteAddressHeader,
} from "./cleanup_header.ts";
import type { MessageState } from "./cleanup_state.ts";

/** The order in which Postfix names one of several faults. */
const FAULT_ORDER: readonly MimeFault[] = ["nesting", "headerData", "bodyData", "encodingDomain"];
/** Characters of a faulty header or line that the log shows. */
const FAULT_SHOWN = 100;
const NOTHING = new Uint8Array(0);
const REQUIRE_TLS = encodeText(REQUIRE_TLS_HEADER);

/** Takes the content's records. */
export class ContentStage implements MimeHandler {
  readonly #state: MessageState;
  readonly #addresses: AddressPipeline;
  readonly #lines: LineLookup;
  readonly #header = new HeaderState();
  readonly #reader: MimeReader;
  /** The structure of the whole message is read, not just its header. */
  readonly #inspects: boolean;
  /** What was read of the current chunk and is not done yet; only where the message is inspected. */
  #events: ContentEvent[] = [];
  readonly #faults: MimeFault[] = [];
  /** What has to be waited for before more is read. */
  #waiting: Promise<void> | undefined;
  /** The header is over, and nothing behind it is of interest. */
  #passing = false;

  constructor(state: MessageState, addresses: AddressPipeline, lines: LineLookup) {
    this.#state = state;
    this.#addresses = addresses;
    this.#lines = lines;
    const { inspection, headerOnly } = state.rules;
    this.#inspects = inspection !== undefined && state.has(CLEANUP_FLAG.FILTER);
    this.#reader = new MimeReader(this.#inspects ? inspection!.mime : headerOnly, this);
  }

  /** Takes one record. What stands in it may be changed: a CR or LF becomes a space if `stray` says that there may be one. */
  record(cursor: RecordCursor, stray: boolean): Promise<void> | undefined {
    const { type } = cursor;
    if (!isText(type)) {
      return this.#state.fail(CLEANUP_STATUS.BAD, `record type ${type} in the content`);
    }
    if (stray) replaceStray(cursor.bytes, cursor.start, cursor.end);
    if (this.#passing) {
      this.#put(cursor.bytes, cursor.offset, cursor.position, cursor.end - cursor.start, lineEnds(type));
      return undefined;
    }
    this.#reader.piece(cursor.data, type === RECORD.NORMAL);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }

  /** True for a record of the body that goes through as it came. */
  passes(type: number): boolean {
    return this.#passing && isText(type);
  }

  /**
   * Passes records of the body through, from the current one as far as they are text: no string is made of them, and
   * no copy but one into the file's buffer.
   *
   * @returns false when there is no record behind them
   */
  passOn(cursor: RecordCursor): boolean {
    const from = cursor.offset;
    let to = from;
    let length = 0;
    let lines = 0;
    let more: boolean;
    do {
      to = cursor.position;
      length += cursor.end - cursor.start;
      lines += lineEnds(cursor.type);
      more = cursor.next();
    } while (more && isText(cursor.type));
    this.#put(cursor.bytes, from, to, length, lines);
    return more;
  }

  #put(records: Uint8Array, from: number, to: number, length: number, lines: number): void {
    const state = this.#state;
    if (!state.writes) return;
    state.out.records.slice(records, from, to);
    state.countText(length, lines);
    state.out.spill();
  }

  /** Ends a chunk: its bytes are not there any more when this is done. */
  flush(): Promise<void> | undefined {
    if (this.#events.length === 0) return undefined;
    const events = this.#events;
    this.#events = [];
    return this.#work(events);
  }

  /** Ends the content. */
  finish(): Promise<void> | undefined {
    if (!this.#passing) this.#reader.finish();
    const waiting = this.#waiting ?? this.flush();
    this.#waiting = undefined;
    if (waiting !== undefined) return waiting.then(() => this.#judge());
    this.#judge();
    return undefined;
  }

  /** What can be said of the message as a whole. */
  #judge(): void {
    const state = this.#state;
    if (state.over) return;
    if (this.#header.received === 0) {
      state.fail(CLEANUP_STATUS.BAD, "message without Received header");
      return;
    }
    if (state.encoding === "") state.foundEncoding = this.#header.encoding;
    const fault = FAULT_ORDER.find((one) => this.#faults.includes(one));
    if (fault !== undefined) state.refuse(CLEANUP_STATUS.CONTENT, `5.6.0 ${MIME_FAULTS[fault]}`, true);
  }

  // --- what the reader finds

  header(field: Uint8Array, where: HeaderClass): void {
    if (this.#inspects) this.#events.push({ kind: "header", field, where });
    else this.#then(() => this.#takeHeader(field));
  }

  headerEnd(separated: boolean): void {
    if (this.#inspects) this.#events.push({ kind: "headerEnd", separated });
    else this.#then(() => this.#endHeader(separated));
  }

  body(data: Uint8Array, endsLine: boolean, offset: number): void {
    if (this.#inspects) {
      this.#events.push({ kind: "line", data, endsLine, offset });
      return;
    }
    this.#passing = true;
    this.#then(() => this.#putText(data, endsLine));
  }

  fault(fault: MimeFault, text: Uint8Array): void {
    this.#faults.push(fault);
    this.#state.logFault(MIME_FAULTS[fault], text.subarray(0, FAULT_SHOWN));
  }

  /** Does something now, or when what came before is done. */
  #then(work: () => Promise<void> | undefined): void {
    if (this.#waiting === undefined) {
      if (!this.#state.over) this.#waiting = work();
      return;
    }
    // Whoever abandons the message meanwhile gives its buffer to another one.
    this.#waiting = this.#waiting.then(() => this.#state.over ? undefined : work());
  }

  // --- what is done with it

  /** Does what a chunk's events ask for, in their order, when the tables have said what they have for them. */
  async #work(events: readonly ContentEvent[]): Promise<void> {
    const state = this.#state;
    let values: ReadonlyMap<number, Uint8Array> | undefined;
    const { checks } = state.rules.inspection!;
    if (state.has(CLEANUP_FLAG.FILTER) && checks.size > 0) {
      const found = await lookUpEvents(events, state.rules.inspection!, this.#lines);
      if (state.over) return;
      if (found.kind === "retry") return state.postpone(CLEANUP_STATUS.WRITE, "", found.why);
      values = found.values;
    }
    for (const [index, event] of events.entries()) {
      if (state.over) return;
      const pending = this.#take(event, values?.get(index));
      if (pending !== undefined) await pending;
    }
  }

  #take(event: ContentEvent, value: Uint8Array | undefined): Promise<void> | undefined {
    switch (event.kind) {
      case "header":
        return this.#takeHeader(event.field, event.where, () => this.#check(event, value));
      case "headerEnd":
        return this.#endHeader(event.separated);
      case "line": {
        const checked = this.#check(event, value);
        if (checked.kind === "prepend") this.#putText(checked.bytes, true);
        if (checked.kind !== "drop") {
          this.#putText(checked.kind === "replace" ? checked.bytes : event.data, event.endsLine);
        }
        return undefined;
      }
      default:
        return event satisfies never;
    }
  }

  /** One action ends the checks of a whole message: what follows in the chunk is not acted on then. */
  #check(event: ContentEvent, value: Uint8Array | undefined): Checked {
    if (value === undefined || !this.#state.has(CLEANUP_FLAG.FILTER)) return KEEP;
    return actOnContent(this.#state, event, value);
  }

  #takeHeader(
    original: Uint8Array,
    where: HeaderClass = "primary",
    check?: () => Checked,
  ): Promise<void> | undefined {
    const state = this.#state;
    let field = original;
    let name = headerNameOf(field);
    // Counted before a check can take it away: mail that goes round must be seen to.
    if (where === "primary" && name === "received" && ++this.#header.received >= state.rules.hopcountLimit) {
      state.refuse(CLEANUP_STATUS.HOPS, "5.4.0 too many hops");
      if (state.over) return undefined;
    }
    const checked = check?.() ?? KEEP;
    if (checked.kind === "drop" || state.over) return undefined;
    if (checked.kind === "prepend") this.#putField(checked.bytes);
    if (checked.kind === "replace") {
      field = checked.bytes;
      name = headerNameOf(field);
    }
    if (where === "primary") return this.#takeOwnHeader(field, name);
    noteEncoding(this.#header, name, field);
    this.#putField(field);
    return undefined;
  }

  /** A header of the message itself: what it tells, whether it stays, and what becomes of its addresses. */
  #takeOwnHeader(field: Uint8Array, name: string): Promise<void> | undefined {
    const state = this.#state;
    noteHeader(this.#header, name, field);
    // The first is ours: whoever hands mail to cleanup has put it there.
    if (name === "received" && this.#header.received === 1) state.receivedAt = state.out.position;
    if (state.notesUtf8 && (state.sendOptions & SENDOPT_SMTPUTF8_HEADER) === 0) {
      if (!isPlain(field) && isUtf8(field)) {
        state.sendOptions |= SENDOPT_SMTPUTF8_HEADER | SENDOPT_SMTPUTF8_REQUESTED;
      }
    }
    if (state.rules.dropHeaders.has(name)) return undefined;
    const context = state.headerContext;
    const role = context === undefined ? undefined : roleOfHeader(name);
    // Headers of mail from elsewhere stay as they are, byte for byte.
    if (context === undefined || role === undefined) {
      this.#putField(field);
      return undefined;
    }
    const how = { context, role, maps: state.has(CLEANUP_FLAG.MAP) };
    const rewritten = rewriteAddressHeader(field, state.rules.headerTokenLimit, this.#addresses, how);
    if (rewritten instanceof Uint8Array) {
      this.#putField(rewritten);
      return undefined;
    }
    return rewritten.then((outcome) => {
      if (state.over) return;
      if (outcome instanceof Uint8Array) this.#putField(outcome);
      else state.postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
    });
  }

  #putField(field: Uint8Array): void {
    if (!this.#state.writes) return;
    for (const line of headerLines(field)) this.#putText(line, true);
  }

  /** Text that may have been put together from several records is cut again: no record is longer than any reader takes. */
  #putText(line: Uint8Array, endsLine: boolean): undefined {
    const state = this.#state;
    if (!state.writes) return;
    const { records } = state.out;
    const most = state.rules.lineLengthLimit;
    let start = 0;
    for (; line.length - start > most; start += most) {
      appendRecordSlice(records, RECORD.CONTINUED, line, start, start + most);
    }
    appendRecordSlice(records, endsLine ? RECORD.NORMAL : RECORD.CONTINUED, line, start, line.length);
    state.countText(line.length, endsLine ? 1 : 0);
    state.out.spill();
  }

  /** What the header says of TLS; the note of REQUIRETLS is for a filter that knows nothing of envelopes. */
  #noteTls(): void {
    const state = this.#state;
    const { rules } = state;
    const { tlsNotRequired, requireTls } = this.#header;
    if (tlsNotRequired && rules.heedsTlsRequired) state.sendOptions |= SENDOPT_TLS_NOT_REQUIRED;
    if (!rules.notesRequireTls) return;
    if (requireTls) state.sendOptions |= SENDOPT_REQUIRETLS;
    else if ((state.sendOptions & SENDOPT_REQUIRETLS) !== 0) this.#putField(REQUIRE_TLS);
  }

  #endHeader(separated: boolean): undefined {
    const state = this.#state;
    if (state.over) return;
    this.#noteTls();
    if (state.headerContext !== undefined || state.rules.alwaysAddMissingHeaders) {
      const made = missingHeaders(this.#header, {
        queueId: state.out.id,
        longIds: state.rules.longIds,
        time: state.out.time,
        date: () => state.out.date(),
        hostName: state.rules.hostName,
        sender: state.sender ?? "",
        fullName: state.fullName,
        fromFormat: state.rules.fromFormat,
        undisclosed: state.rules.undisclosedRecipients,
      });
      for (const line of made) this.#putField(line);
    }
    state.headerEnd = state.out.position;
    state.log.info(`${state.queueId}: message-id=${printable(this.#header.messageId) || "<>"}`);
    // RFC 5322 section 2.1: an empty line separates the header from the body; one that is missing is put in.
    if (!separated) this.#putText(NOTHING, true);
  }
}

function isPlain(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 0x7f) return false;
  return true;
}

function isText(type: number): boolean {
  return type === RECORD.NORMAL || type === RECORD.CONTINUED;
}

/** Line ends that a record of text stands for. */
function lineEnds(type: number): number {
  return type === RECORD.NORMAL ? 1 : 0;
}

/** Replaces CR and LF inside a line by a space, so that no later reader sees two lines (cleanup_replace_stray_cr_lf). */
function replaceStray(bytes: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i++) if (bytes[i] === CR || bytes[i] === LF) bytes[i] = SPACE;
}
