/**
 * Filters (milters) of one message: when it has been written whole, each of them is told the content, one after the
 * other, and what it wants changed is done. A filter that fails on the way has changed nothing.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Wire protocols
import {
  type ContentAgreement,
  type ContentRule,
  MilterContent,
  type MilterOutcome,
  type MilterSource,
} from "../../lib/milter/milter_content.ts";
import { type MilterVerdict, SHUTDOWN_REPLY } from "../../lib/milter/milter_reply.ts";
import type { MilterStream } from "../../lib/milter/milter_wire.ts";
// Server skeleton
import type { RequestValues } from "../../lib/ipc/protocol.ts";
import { type CLEANUP, CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// This program
import type { MilterEditor } from "./cleanup_milter_edit.ts";
import { type RelayAnswer, RelayedStream, type RelayReply } from "./cleanup_milter_stream.ts";
import type { BodyWriter, MessageText } from "./cleanup_milter_text.ts";
import type { Range } from "./cleanup_output.ts";
import type { MessageState } from "./cleanup_state.ts";

/** One filter, ready to be told the content. */
export interface ContentFilter {
  readonly rule: ContentRule;
  readonly agreement: ContentAgreement;
  readonly stream: MilterStream;
  readonly headerMacros: readonly string[];
  readonly endMacros: readonly string[];
  macro(name: string): string | undefined;
}

/** Where the filters of a message come from. */
export interface FilterSource {
  /** CLEANUP_FLAG bits that they have asked for already. */
  readonly flags: number;
  readonly filters: readonly ContentFilter[];
  /** The message is whole: what comes before its content is told them now, if it has not been. */
  begin(): Promise<void> | void;
  /** The message is over. */
  end(): Promise<void> | void;
  /** The message was given up: whoever waits for a filter has to stop. */
  abandon(): void;
}

/** The filters of a session of smtpd's, which has the connections. */
export class LentFilters implements FilterSource {
  readonly flags: number;
  readonly filters: readonly ContentFilter[];
  readonly #streams: ReadonlyMap<number, RelayedStream>;

  constructor(lent: RequestValues<typeof CLEANUP, "milters">, queueId: string, reply: RelayReply) {
    this.flags = lent.flags & (CLEANUP_FLAG.HOLD | CLEANUP_FLAG.DISCARD);
    const macros = new Map(lent.macros.map(({ name, value }) => [name, value]));
    macros.set("i", queueId);
    this.#streams = new Map(lent.filters.map(({ filter }) => [filter, new RelayedStream(reply, filter)]));
    this.filters = lent.filters.map((one) => ({
      rule: { name: one.name, defaultAction: one.defaultAction, contentTimeout: one.contentTimeout },
      agreement: { version: one.version, actions: one.actions, steps: one.steps },
      stream: this.#streams.get(one.filter)!,
      headerMacros: one.headerMacros.map(({ name }) => name),
      endMacros: one.endMacros.map(({ name }) => name),
      macro: (name) => macros.get(name),
    }));
  }

  /** What smtpd says of a connection. */
  taken(filter: number, answer: RelayAnswer): void {
    this.#streams.get(filter)?.take(answer);
  }

  begin(): void {}

  end(): void {}

  abandon(): void {
    for (const stream of this.#streams.values()) stream.abandon();
  }
}

/** Tells all filters a message and does what they want. */
export async function filterMessage(
  state: MessageState,
  source: FilterSource,
  text: MessageText,
  editor: MilterEditor,
): Promise<void> {
  for (const filter of source.filters) {
    if (state.over || state.returned !== "") return;
    const told = new ToldMessage(state, text);
    const parts = { ...filter, log: state.log, queueId: state.queueId };
    const content = new MilterContent(filter.rule, filter.agreement, filter.stream, parts);
    const outcome = await content.run(told, (name) => filter.macro(name));
    if (state.abandoned) return;
    // Other edits are written behind it.
    const body = told.endBody();
    // A connection in an unknown state is of no use to the next message either.
    if (outcome.failed) filter.stream.close();
    await applyOutcome(state, outcome, { body, tooBig: told.tooBig }, editor, filter.agreement.steps);
  }
}

async function applyOutcome(
  state: MessageState,
  { verdict, edits, failed }: MilterOutcome,
  told: { readonly body: Range | undefined; readonly tooBig: boolean },
  editor: MilterEditor,
  steps: number,
): Promise<void> {
  if (!failed && told.tooBig) {
    return state.refuse(CLEANUP_STATUS.SIZE, "5.3.4 message file too big");
  }
  if (applyVerdict(state, "END-OF-MESSAGE", verdict)) return;
  for (const edit of edits) {
    if (state.over || state.returned !== "") return;
    if (edit.kind === "replaceBody") editor.replaceBody(told.body!);
    else await editor.apply(edit, steps);
  }
}

/** Does what a verdict says; true when the message is decided. */
export function applyVerdict(state: MessageState, stage: string, verdict: MilterVerdict): boolean {
  switch (verdict.kind) {
    case "continue":
      return false;
    case "hold":
      holdMessage(state, stage);
      return false;
    case "discard":
      state.logMilter("milter-discard", stage, "milter triggers DISCARD action");
      state.flags |= CLEANUP_FLAG.DISCARD;
      return true;
    case "shutdown":
      return refuseBy(state, stage, SHUTDOWN_REPLY);
    case "reply":
      return refuseBy(state, stage, verdict.text);
    default:
      return verdict satisfies never;
  }
}

/** The message goes to the hold queue. */
export function holdMessage(state: MessageState, stage: string): void {
  if (state.has(CLEANUP_FLAG.HOLD)) return;
  state.logMilter("milter-hold", stage, "milter triggers HOLD action");
  state.flags |= CLEANUP_FLAG.HOLD;
}

/** A client that speaks SMTP passes a filter's reply on; another one is told the status code and the text. */
function refuseBy(state: MessageState, stage: string, reply: string): true {
  const text = printable(reply.slice(4));
  state.logMilter("milter-reject", stage, text);
  const soft = reply.startsWith("4");
  const reason = state.has(CLEANUP_FLAG.SMTP_REPLY) ? reply : text;
  if (soft) state.fail(CLEANUP_STATUS.DEFER, reason, true);
  else state.refuse(CLEANUP_STATUS.CONTENT, reason, true);
  return true;
}

/** The message as one filter is told it, and the new body that it may send. */
class ToldMessage implements MilterSource {
  readonly #state: MessageState;
  readonly #text: MessageText;
  #newBody: BodyWriter | undefined;
  tooBig = false;

  constructor(state: MessageState, text: MessageText) {
    this.#state = state;
    this.#text = text;
  }

  async *headers(): AsyncGenerator<{ name: Uint8Array; value: Uint8Array }> {
    for await (const header of this.#text.headers()) {
      if (this.#state.abandoned) return;
      yield header;
      if (this.#state.abandoned) return;
    }
  }

  async *body(): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#text.body()) {
      if (this.#state.abandoned) return;
      yield piece;
      if (this.#state.abandoned) return;
    }
  }

  /** Where the new body stands; undefined when the filter has sent none. */
  endBody(): Range | undefined {
    return this.#newBody?.end();
  }

  replaceBody(piece: Uint8Array): void {
    if (this.#state.abandoned || this.tooBig) return;
    this.#newBody ??= this.#text.newBody();
    const limit = this.#state.rules.messageSizeLimit;
    // What passes the limit is not kept; the message is refused when the filter has ended.
    this.tooBig = limit > 0 && this.#newBody.size + piece.length > limit;
    if (!this.tooBig) this.#newBody.push(piece);
  }
}
