/**
 * The content of one message as one filter is told it: headers, end of headers, body, end. What the filter changes is
 * gathered and given back as a whole when it has said its last word: half of its edits is never what it wanted.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { decodeText } from "../vstring/byte_builder.ts";
import { SPACE } from "../vstring/ascii.ts";
// This protocol
import { failureText, macroPackets, readRefusal } from "./milter.ts";
import {
  ACTION,
  ANSWER,
  codeName,
  COMMAND,
  encodePacket,
  encodeStrings,
  FieldReader,
  MilterFormatError,
  type Packet,
  STEP,
} from "./milter_codec.ts";
import type { MacroLookup } from "./milter_macro.ts";
import { CONTINUE, DEFAULT_VERDICTS, type MilterVerdict } from "./milter_reply.ts";
import type { MilterRule } from "./milter_rule.ts";
import { type Agreement, type MilterStream, MilterWire } from "./milter_wire.ts";

/** A change that a filter asks for; names and values of headers without the colon. */
export type MilterEdit =
  | { readonly kind: "addHeader"; readonly name: Uint8Array; readonly value: Uint8Array }
  /** In front of the header with this index; 0 is the first of the message as it is delivered. */
  | {
    readonly kind: "insertHeader";
    readonly index: number;
    readonly name: Uint8Array;
    readonly value: Uint8Array;
  }
  /** The header of this name with this index, from 1; an empty value removes it. */
  | {
    readonly kind: "changeHeader";
    readonly index: number;
    readonly name: Uint8Array;
    readonly value: Uint8Array;
  }
  | { readonly kind: "changeFrom"; readonly address: string; readonly args: string }
  | { readonly kind: "addRecipient"; readonly address: string; readonly args: string }
  | { readonly kind: "deleteRecipient"; readonly address: string }
  /** The pieces of the new body have been given to the source. */
  | { readonly kind: "replaceBody" }
  | { readonly kind: "quarantine"; readonly reason: string };

/** What is told, and who takes a new body. */
export interface MilterSource {
  /** The headers: name, and all that stands behind the colon, lines joined by LF. */
  headers(): AsyncIterable<{ readonly name: Uint8Array; readonly value: Uint8Array }>;
  /** The body with CR LF, in pieces of at most BODY_CHUNK bytes. */
  body(): AsyncIterable<Uint8Array>;
  /** Takes a piece of a new body, with whatever line ends the filter has; valid during the call only. */
  replaceBody(piece: Uint8Array): void;
}

/** What a filter has made of a message. */
export interface MilterOutcome {
  readonly verdict: MilterVerdict;
  /** Empty when the filter failed. */
  readonly edits: readonly MilterEdit[];
  /** The filter has failed: nothing it said counts. */
  readonly failed: boolean;
}

/** What was agreed on with a filter, as far as the content goes. */
export type ContentAgreement = Omit<Agreement, "asked">;

/** What a filter is, for the content. */
export type ContentRule = Pick<MilterRule, "name" | "defaultAction" | "contentTimeout">;

/** Who tells the content. */
export interface ContentParts {
  /** The macros that go with the end of the header and with the end of the message. */
  readonly headerMacros: readonly string[];
  readonly endMacros: readonly string[];
  readonly log: Pick<Logger, "warning">;
  /** For the log: the queue id. */
  readonly queueId: string;
}

/** Most edits of one message, and their bytes without the body's. */
export const EDIT_LIMIT = 10_000;
export const EDIT_BYTES_LIMIT = 4 * 1024 * 1024;
/** How often a filter may ask for more time, each time as much as content_timeout allows. */
export const PROGRESS_LIMIT = 1000;
/** The whole time that it gets that way, in content_timeouts. */
const TOTAL_TIMEOUTS = 10;

type AnsweredStep = "header" | "endOfHeader" | "body";

const STEP_BITS: Readonly<Record<AnsweredStep, { skip: number; mute: number }>> = {
  header: { skip: STEP.NO_HEADERS, mute: STEP.MUTE_HEADER },
  endOfHeader: { skip: STEP.NO_HEADER_END, mute: STEP.MUTE_HEADER_END },
  body: { skip: STEP.NO_BODY, mute: STEP.MUTE_BODY },
};

/** What the filter must have been allowed for each edit. */
const NEEDED: ReadonlyMap<number, number> = new Map([
  [ANSWER.ADD_HEADER, ACTION.ADD_HEADERS],
  [ANSWER.INSERT_HEADER, ACTION.ADD_HEADERS],
  [ANSWER.CHANGE_HEADER, ACTION.CHANGE_HEADERS],
  [ANSWER.CHANGE_FROM, ACTION.CHANGE_FROM],
  [ANSWER.ADD_RCPT, ACTION.ADD_RCPT],
  [ANSWER.ADD_RCPT_ARGS, ACTION.ADD_RCPT_ARGS],
  [ANSWER.DELETE_RCPT, ACTION.DELETE_RCPT],
  [ANSWER.REPLACE_BODY, ACTION.CHANGE_BODY],
  [ANSWER.QUARANTINE, ACTION.QUARANTINE],
]);

/** Tells one filter one message. */
export class MilterContent {
  readonly #rule: ContentRule;
  readonly #agreement: ContentAgreement;
  readonly #parts: ContentParts;
  readonly #wire: MilterWire;
  readonly #edits: MilterEdit[] = [];
  #editBytes = 0;
  #where = "";

  constructor(rule: ContentRule, agreement: ContentAgreement, stream: MilterStream, parts: ContentParts) {
    this.#rule = rule;
    this.#agreement = agreement;
    this.#parts = parts;
    this.#wire = new MilterWire(stream);
  }

  /** Tells the filter everything that it wants to hear, and gathers what it wants changed. */
  async run(source: MilterSource, lookup: MacroLookup): Promise<MilterOutcome> {
    try {
      const verdict = await this.#tell(source, lookup) ?? await this.#end(source, lookup);
      this.#wire.quiet();
      return { verdict, edits: verdict.kind === "continue" ? this.#edits : [], failed: false };
    } catch (error) {
      const why = failureText(error);
      const { name, defaultAction } = this.#rule;
      this.#parts.log.warning(`${this.#parts.queueId}: milter ${name}: ${this.#where}: ${why}`);
      return { verdict: DEFAULT_VERDICTS[defaultAction], edits: [], failed: true };
    } finally {
      this.#wire.rest();
    }
  }

  /** All that comes before the end; a verdict when the filter has decided. */
  async #tell(source: MilterSource, lookup: MacroLookup): Promise<MilterVerdict | undefined> {
    if (this.#wants("header")) {
      for await (const { name, value } of source.headers()) {
        const text = (this.#agreement.steps & STEP.LEADING_SPACE) === 0 ? withoutSpace(value) : value;
        const step = await this.#step("header", COMMAND.HEADER, [], encodeStrings(name, text));
        if (step === "skip") break;
        if (step !== undefined) return step;
      }
    }
    if (this.#wants("endOfHeader")) {
      const names = this.#agreement.version >= 6 ? this.#parts.headerMacros : [];
      const macros = macroPackets("endOfHeader", names, lookup);
      const step = await this.#step("endOfHeader", COMMAND.HEADER_END, macros);
      if (step !== undefined && step !== "skip") return step;
    }
    if (this.#wants("body")) {
      for await (const piece of source.body()) {
        const step = await this.#step("body", COMMAND.BODY, [], piece);
        if (step === "skip") break;
        if (step !== undefined) return step;
      }
    }
    return undefined;
  }

  #wants(step: AnsweredStep): boolean {
    return (this.#agreement.steps & STEP_BITS[step].skip) === 0;
  }

  /** Sends one event; undefined: go on. */
  async #step(
    step: AnsweredStep,
    command: number,
    macros: readonly Uint8Array[],
    ...data: readonly Uint8Array[]
  ): Promise<MilterVerdict | "skip" | undefined> {
    this.#where = `SMFIC_${step === "endOfHeader" ? "EOH" : step === "header" ? "HEADER" : "BODY"}`;
    this.#wire.quiet();
    this.#wire.deadline(this.#rule.contentTimeout);
    await this.#wire.send([...macros, encodePacket(command, ...data)]);
    if ((this.#agreement.steps & STEP_BITS[step].mute) !== 0) return undefined;
    const packet = await this.#answer();
    if (packet.code === ANSWER.CONTINUE) return undefined;
    if (packet.code === ANSWER.SKIP && (this.#agreement.steps & STEP.SKIP) !== 0) return "skip";
    return this.#decision(packet);
  }

  /** The next packet that is not just a request for more time. */
  async #answer(): Promise<Packet> {
    const latest = performance.now() + this.#rule.contentTimeout * TOTAL_TIMEOUTS;
    for (let round = 0; round < PROGRESS_LIMIT; round++) {
      const packet = await this.#wire.receive();
      if (packet.code !== ANSWER.PROGRESS) return packet;
      const left = latest - performance.now();
      if (left <= 0) break;
      this.#wire.deadline(Math.min(left, this.#rule.contentTimeout));
    }
    throw new MilterFormatError("the filter asks for more time again and again");
  }

  /** A verdict on the message. Throws a MilterFormatError when it is none. */
  #decision(packet: Packet): MilterVerdict {
    switch (packet.code) {
      case ANSWER.CONTINUE:
      case ANSWER.ACCEPT:
        return CONTINUE;
      case ANSWER.DISCARD:
        return { kind: "discard" };
      case ANSWER.SHUTDOWN:
        return { kind: "shutdown" };
      case ANSWER.CONNECTION_FAILURE:
        throw new MilterFormatError("the filter reports a connection failure");
    }
    const refusal = readRefusal(packet);
    if (refusal !== undefined) return refusal;
    throw new MilterFormatError(`unexpected filter response ${codeName(packet.code)}`);
  }

  /** Says that the message is complete, and takes edits until there is a verdict. */
  async #end(source: MilterSource, lookup: MacroLookup): Promise<MilterVerdict> {
    this.#where = "SMFIC_BODYEOB";
    this.#wire.quiet();
    this.#wire.deadline(this.#rule.contentTimeout);
    const macros = macroPackets("endOfData", this.#parts.endMacros, lookup);
    await this.#wire.send([...macros, encodePacket(COMMAND.BODY_END)]);
    for (;;) {
      const packet = await this.#answer();
      const needed = NEEDED.get(packet.code);
      if (needed === undefined) return this.#decision(packet);
      if ((this.#agreement.actions & needed) === 0) {
        throw new MilterFormatError(`change ${codeName(packet.code)} that was not agreed on`);
      }
      if (packet.code === ANSWER.REPLACE_BODY) {
        if (!this.#edits.some(({ kind }) => kind === "replaceBody")) {
          this.#edits.push({ kind: "replaceBody" });
        }
        source.replaceBody(packet.data);
      } else this.#gather(packet);
    }
  }

  #gather(packet: Packet): void {
    this.#editBytes += packet.data.length;
    if (this.#edits.length >= EDIT_LIMIT || this.#editBytes > EDIT_BYTES_LIMIT) {
      throw new MilterFormatError("too many changes");
    }
    this.#edits.push(readEdit(packet));
  }
}

/** A packet that changes the message. Throws a MilterFormatError. */
export function readEdit(packet: Packet): MilterEdit {
  const fields = new FieldReader(packet.data);
  const edit = readFields(packet.code, fields);
  fields.end();
  return edit;
}

function readFields(code: number, fields: FieldReader): MilterEdit {
  switch (code) {
    case ANSWER.ADD_HEADER:
      return { kind: "addHeader", name: headerName(fields), value: fields.string() };
    case ANSWER.INSERT_HEADER:
    case ANSWER.CHANGE_HEADER: {
      const index = fields.number();
      const kind = code === ANSWER.INSERT_HEADER ? "insertHeader" : "changeHeader";
      return { kind, index, name: headerName(fields), value: fields.string() };
    }
    case ANSWER.CHANGE_FROM:
      return { kind: "changeFrom", address: decodeText(fields.string()), args: optional(fields) };
    case ANSWER.ADD_RCPT:
      return { kind: "addRecipient", address: decodeText(fields.string()), args: "" };
    case ANSWER.ADD_RCPT_ARGS:
      return { kind: "addRecipient", address: decodeText(fields.string()), args: optional(fields) };
    case ANSWER.DELETE_RCPT:
      return { kind: "deleteRecipient", address: decodeText(fields.string()) };
    case ANSWER.QUARANTINE:
      return { kind: "quarantine", reason: decodeText(fields.string()) };
    default:
      throw new MilterFormatError(`unexpected filter response ${codeName(code)}`);
  }
}

/** Longest name of a header, bytes. */
const NAME_LIMIT = 998;

/** RFC 5322 section 2.2: a header's name is printable ASCII without a colon; anything else would be no header. */
function headerName(fields: FieldReader): Uint8Array {
  const name = fields.string();
  const good = name.every((byte) => byte > SPACE && byte < 0x7f && byte !== 0x3a);
  if (name.length === 0) throw new MilterFormatError("null change header name");
  if (!good || name.length > NAME_LIMIT) throw new MilterFormatError("malformed header name");
  return name;
}

function optional(fields: FieldReader): string {
  return fields.left === 0 ? "" : decodeText(fields.string());
}

/** The value as filters of the older kind have it: without the space behind the colon. */
function withoutSpace(value: Uint8Array): Uint8Array {
  return value[0] === SPACE ? value.subarray(1) : value;
}
