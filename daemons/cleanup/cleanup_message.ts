/**
 * One message on its way into a queue file: records come in, canonical records go out. On an error it goes on
 * reading to the end, so that the client never blocks, and then says what was wrong.
 */
// Safe primitives
import type { SystemError } from "../../lib/safe/error.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { CR, LF } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { findEither } from "../../lib/vstring/byte_search.ts";
// Mail
import { appendAttribute, QMGR_READ_ALL } from "../../lib/mail/queue_file.ts";
import { appendRecord, BadRecordError, RECORD, RecordCursor } from "../../lib/mail/record.ts";
import { SENDOPT_SMTPUTF8_REQUESTED } from "../../lib/mail/send_options.ts";
// Server skeleton
import type { RequestValues } from "../../lib/ipc/protocol.ts";
import { type CLEANUP, CLEANUP_FLAG, CLEANUP_STATUS, ENVELOPE_LIMIT } from "../../lib/proto/protocols.ts";
import type { LineLookup } from "../../lib/proto/proxymap_client.ts";
// This program
import { ContentStage } from "./cleanup_content.ts";
import { takeDecision } from "./cleanup_decision.ts";
import { type AddressServices, EnvelopeStage } from "./cleanup_envelope.ts";
import { filterMessage, type FilterSource, LentFilters } from "./cleanup_milter.ts";
import { MilterEditor } from "./cleanup_milter_edit.ts";
import type { LocalFilterMaker } from "./cleanup_milter_local.ts";
import type { RelayAnswer, RelayReply } from "./cleanup_milter_stream.ts";
import { type MessageMarks, MessageText } from "./cleanup_milter_text.ts";
import type { QueueFileOutput, Range } from "./cleanup_output.ts";
import type { CleanupRules } from "./cleanup_rules.ts";
import { MessageState } from "./cleanup_state.ts";
import type { ExpansionTrace } from "./cleanup_trace.ts";

/** Whom a message's stages ask. */
export interface MessageServices extends AddressServices {
  readonly lines: LineLookup;
  /** Filters of mail that does not come by SMTP; undefined: there are none. */
  readonly localFilters: LocalFilterMaker | undefined;
}

type Phase = "envelope" | "content" | "extracted" | "done";

/** Takes one message. */
export class CleanupMessage {
  readonly #state: MessageState;
  readonly #services: MessageServices;
  readonly #trace: ExpansionTrace;
  readonly #envelope: EnvelopeStage;
  #content: ContentStage | undefined;
  #phase: Phase = "envelope";
  #dataOffset = 0;
  #contentEnd = 0;
  #filters: FilterSource | undefined;

  constructor(
    out: QueueFileOutput,
    flags: number,
    rules: CleanupRules,
    services: MessageServices,
    trace: ExpansionTrace,
    log: Logger,
  ) {
    this.#state = new MessageState(out, flags, rules, log);
    this.#services = services;
    this.#trace = trace;
    this.#envelope = new EnvelopeStage(this.#state, services, trace);
    if (this.#state.has(CLEANUP_FLAG.MILTER)) this.#expectFilters();
  }

  /** The message will be looked at: by the filters of smtpd's session, or by our own. */
  #expectFilters(): void {
    const state = this.#state;
    if (!state.has(CLEANUP_FLAG.SMTP_REPLY)) {
      const local = this.#services.localFilters?.open(state);
      if (local === undefined) return;
      state.local = this.#filters = local;
    }
    state.notes = true;
    state.out.detour();
  }

  /** Takes the filters that smtpd lends. Throws a `BadRecordError` when none are expected. */
  lend(lent: RequestValues<typeof CLEANUP, "milters">, reply: RelayReply): void {
    if (!this.#state.has(CLEANUP_FLAG.SMTP_REPLY) || this.#filters !== undefined) {
      throw new BadRecordError("Cannot take filters: none are expected");
    }
    this.#filters = new LentFilters(lent, this.queueId, reply);
  }

  /** What smtpd says of a lent filter's connection. */
  taken(filter: number, answer: RelayAnswer): void {
    if (this.#filters instanceof LentFilters) this.#filters.taken(filter, answer);
  }

  /** Lets the filters look at the message when it is whole; undefined where there are none. */
  filter(): Promise<void> | undefined {
    const source = this.#filters;
    return source === undefined ? undefined : this.#runFilters(source);
  }

  async #runFilters(source: FilterSource): Promise<void> {
    const state = this.#state;
    state.flags |= source.flags;
    if (!state.over && this.#phase === "done") {
      const text = new MessageText(state.out, this.#marks(), state.rules.lineLengthLimit);
      if (state.returned === "") await this.#showFilters(source, text);
      if (!state.over) await this.#rebuild(text);
    }
    if (!state.abandoned) await source.end();
  }

  async #showFilters(source: FilterSource, text: MessageText): Promise<void> {
    const state = this.#state;
    await source.begin();
    if (state.over) return;
    const editor = new MilterEditor(state, text, {
      envelope: this.#envelope,
      lines: this.#services.lines,
      checksHeaders: state.rules.checksMilterHeaders,
    });
    await filterMessage(state, source, text, editor);
    if (state.returned !== "" && !state.over) editor.addReturn();
  }

  #marks(): MessageMarks {
    const { senderFrom: from, senderTo: to, receivedAt: received, headerEnd } = this.#state;
    return {
      sender: { from, to },
      received,
      dataOffset: this.#dataOffset,
      headerEnd,
      contentEnd: this.#contentEnd,
    };
  }

  /** Puts the message together as the filters have left it. */
  async #rebuild(text: MessageText): Promise<void> {
    const state = this.#state;
    if (state.recipients === 0) {
      // Nobody is left to get it, as in Postfix, where the queue manager finds that out.
      state.log.info(`${state.queueId}: milter-discard: no recipients left`);
      state.flags |= CLEANUP_FLAG.DISCARD;
      return;
    }
    const { head, content, tail } = text.whole;
    if (!text.changed && state.out.whole) return;
    if (text.changed) state.contentLength = await text.contentLength();
    await state.out.rebuild([...head, ...content, ...tail], () => state.abandoned);
    this.#dataOffset = lengthOf(head);
    this.#contentEnd = this.#dataOffset + lengthOf(content);
  }

  get queueId(): string {
    return this.#state.queueId;
  }

  /** True when an accepted message is for the queue manager: it is neither discarded nor on hold. */
  get isQueued(): boolean {
    return !this.#state.has(CLEANUP_FLAG.DISCARD) && !this.#state.has(CLEANUP_FLAG.HOLD);
  }

  /** Takes a chunk of whole records. Throws a `BadRecordError` when it is none. */
  take(records: Uint8Array): Promise<void> | undefined {
    const cursor = new RecordCursor(records);
    // One search tells whether any line may hold a stray CR or LF; lengths can look like one, text rarely.
    const stray = findEither(records, CR, LF, 0, records.length) >= 0;
    return this.#run(cursor, stray);
  }

  #run(cursor: RecordCursor, stray: boolean): Promise<void> | undefined {
    for (let more = cursor.next(); more;) {
      const passes = !stray && this.#phase === "content" && this.#content!.passes(cursor.type);
      if (this.#state.over) more = cursor.next();
      else if (passes) more = this.#content!.passOn(cursor);
      else {
        const pending = this.#record(cursor, stray);
        if (pending !== undefined) return pending.then(() => this.#run(cursor, stray));
        more = cursor.next();
      }
    }
    return this.#phase === "content" ? this.#content!.flush() : undefined;
  }

  #record(cursor: RecordCursor, stray: boolean): Promise<void> | undefined {
    switch (this.#phase) {
      case "envelope":
        return cursor.type === RECORD.MESSAGE
          ? this.#startContent()
          : this.#envelope.record(cursor.type, cursor.data);
      case "content":
        return cursor.type === RECORD.EXTRACTED ? this.#endContent() : this.#content!.record(cursor, stray);
      case "extracted":
        return this.#extractedRecord(cursor.type, cursor.data);
      case "done":
        return this.#state.fail(CLEANUP_STATUS.BAD, "record after the end");
    }
  }

  #startContent(): undefined {
    if (!this.#envelope.end()) return;
    const { out } = this.#state;
    appendRecord(out.records, RECORD.MESSAGE, "");
    this.#dataOffset = out.position;
    this.#content = new ContentStage(this.#state, this.#services.addresses, this.#services.lines);
    this.#phase = "content";
  }

  #endContent(): Promise<void> | undefined {
    const pending = this.#content!.finish();
    if (pending !== undefined) return pending.then(() => this.#startExtracted());
    this.#startExtracted();
    return undefined;
  }

  /** What the content told, behind it. */
  #startExtracted(): void {
    const state = this.#state;
    if (state.over) return;
    const { records } = state.out;
    this.#contentEnd = state.out.position;
    appendRecord(records, RECORD.EXTRACTED, "");
    if (state.foundEncoding !== "") appendAttribute(records, "encoding", state.foundEncoding);
    this.#phase = "extracted";
  }

  /** Where the message goes instead. */
  #putDecisions(): void {
    const state = this.#state;
    const { records } = state.out;
    const filter = state.returned === "" ? state.filter : `error:${state.returned}`;
    if (filter !== "") appendRecord(records, RECORD.FILTER, filter);
    const redirect = state.returned === "" ? state.redirect : "";
    if (redirect !== "") appendRecord(records, RECORD.REDIRECT, redirect);
    state.mixed ||= filter !== "" || redirect !== "";
  }

  /** What smtpd has decided when it had seen the whole message; a recipient here gets a copy. */
  #lateRecord(type: number, data: Uint8Array): undefined {
    const state = this.#state;
    switch (type) {
      case RECORD.FILTER:
      case RECORD.REDIRECT:
      case RECORD.FLAGS:
        return takeDecision(state, type, decodeText(data));
      case RECORD.ATTRIBUTE:
        return undefined; // that nobody is told of the copy
      case RECORD.RECIPIENT:
        state.copyTo(decodeText(data));
        return undefined;
      default:
        return state.fail(CLEANUP_STATUS.BAD, `record type ${type} behind the content`);
    }
  }

  #extractedRecord(type: number, data: Uint8Array): Promise<void> | undefined {
    const state = this.#state;
    if (type !== RECORD.END) return this.#lateRecord(type, data);
    this.#phase = "done";
    this.#putDecisions();
    const copies = state.returned === "" && state.has(CLEANUP_FLAG.BCC)
      ? [...state.bcc, ...state.rules.alwaysBcc === "" ? [] : [state.rules.alwaysBcc]]
      : [];
    if (copies.length > 0) return this.#putCopies(copies);
    appendRecord(state.out.records, RECORD.END, "");
    return undefined;
  }

  async #putCopies(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      if (this.#state.over) return;
      await this.#envelope.copy(address);
    }
    if (!this.#state.over) appendRecord(this.#state.out.records, RECORD.END, "");
  }

  // --- end

  /**
   * Commits the file, or throws it away when something was wrong.
   *
   * @param report gets the status and a reason, once; after OK the message is safe on the disk
   * @param failed gets the disk's trouble instead; the file is still there
   */
  finish(report: (status: number, reason: string) => void, failed: (failure: SystemError) => void): void {
    const state = this.#state;
    if (state.has(CLEANUP_FLAG.DISCARD)) {
      this.abandon();
      return report(CLEANUP_STATUS.OK, "");
    }
    if (state.status === CLEANUP_STATUS.OK && this.#phase !== "done") {
      state.fail(CLEANUP_STATUS.BAD, "message without end");
    }
    if (state.status !== CLEANUP_STATUS.OK) {
      this.abandon();
      return report(state.status, state.reason);
    }
    const utf8 = state.has(CLEANUP_FLAG.SMTPUTF8) ? SENDOPT_SMTPUTF8_REQUESTED : 0;
    const size = {
      contentSize: this.#contentEnd - this.#dataOffset,
      dataOffset: this.#dataOffset,
      recipientCount: state.recipients,
      qmgrFlags: state.mixed ? QMGR_READ_ALL : 0,
      contentLength: state.contentLength,
      sendOptions: state.sendOptions | utf8,
    };
    const queue = state.has(CLEANUP_FLAG.HOLD) ? "hold" : "incoming";
    state.out.commit(
      size,
      queue,
      (failure) => failure === undefined ? report(CLEANUP_STATUS.OK, "") : failed(failure),
    );
  }

  /**
   * The file without its content, for `finish` to pass on: what stands before and what behind. Undefined when it is
   * not in memory, or is so long that it is better read from the file, a part at a time.
   */
  envelope(): { readonly head: Uint8Array; readonly tail: Uint8Array } | undefined {
    const { out } = this.#state;
    if (!out.whole || this.#dataOffset > ENVELOPE_LIMIT) return undefined;
    const file = out.records.view();
    const tail = file.subarray(this.#contentEnd);
    return tail.length > ENVELOPE_LIMIT ? undefined : { head: file.subarray(0, this.#dataOffset), tail };
  }

  /** Removes the file: the client broke off, or the message was refused. */
  abandon(): void {
    if (this.#state.abandoned) return;
    this.#state.abandoned = true;
    this.#filters?.abandon();
    this.#trace.drop(this.queueId);
    this.#state.out.abandon();
  }
}

function lengthOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0);
}
