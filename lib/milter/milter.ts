/**
 * One filter during one session with a client: what it was told, what it has decided, and what its failure means.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal } from "../safe/error.ts";
import { NetworkError } from "../safe/connect.ts";
// Utility
import type { Logger } from "../log/log.ts";
import { encodeText } from "../vstring/byte_builder.ts";
// This protocol
import {
  ANSWER,
  codeName,
  COMMAND,
  encodePacket,
  encodeStrings,
  MilterFormatError,
  type Packet,
  STEP,
} from "./milter_codec.ts";
import { macroData, type MacroLists, type MacroLookup, type MacroStage } from "./milter_macro.ts";
import {
  CONTINUE,
  DEFAULT_VERDICTS,
  type MilterVerdict,
  readReplyCode,
  REJECTED,
  UNAVAILABLE,
} from "./milter_reply.ts";
import type { MilterRule } from "./milter_rule.ts";
import { type Agreement, type MilterStream, MilterWire } from "./milter_wire.ts";

/** Connects to a filter within its time limit. Throws a NetworkError. */
export type MilterConnect = (rule: MilterRule) => Promise<MilterStream>;

/** What all filters of a process have in common. */
export interface MilterParts {
  readonly connect: MilterConnect;
  readonly macros: MacroLists;
  /** milter_macro_defaults */
  readonly defaults: ReadonlyMap<string, string>;
  readonly log: Pick<Logger, "warning">;
}

/** Who the client is. */
export interface MilterClient {
  readonly name: string;
  /** Empty: not known. */
  readonly address: string;
  readonly port: number;
}

/** An event that ends with one answer. */
interface Event {
  readonly name: string;
  readonly command: number;
  readonly stage: MacroStage;
  /** STEP bits: the filter does not want it, or does not answer it. */
  readonly skip: number;
  readonly mute: number;
  /** The first version that has it. */
  readonly since: number;
}

const EVENTS = {
  connect: event("CONNECT", COMMAND.CONNECT, "connect", STEP.NO_CONNECT, STEP.MUTE_CONNECT),
  helo: event("HELO", COMMAND.HELO, "helo", STEP.NO_HELO, STEP.MUTE_HELO),
  mail: event("MAIL", COMMAND.MAIL, "mail", STEP.NO_MAIL, STEP.MUTE_MAIL),
  rcpt: event("RCPT", COMMAND.RCPT, "rcpt", STEP.NO_RCPT, STEP.MUTE_RCPT),
  data: event("DATA", COMMAND.DATA, "data", STEP.NO_DATA, STEP.MUTE_DATA, 4),
  unknown: event("UNKNOWN", COMMAND.UNKNOWN, "unknown", STEP.NO_UNKNOWN, STEP.MUTE_UNKNOWN, 3),
} as const;

function event(
  name: string,
  command: number,
  stage: MacroStage,
  skip: number,
  mute: number,
  since = 2,
): Event {
  return { name: `SMFIC_${name}`, command, stage, skip, mute, since };
}

/**
 * What the filter wants to hear: everything; nothing more of this message, or of this client; it has refused the
 * client; it has failed.
 */
type State =
  | { readonly kind: "new" | "open" | "acceptMessage" | "acceptConnection" | "failed" }
  | { readonly kind: "refused"; readonly verdict: MilterVerdict };

/** One filter. */
export class Milter {
  readonly rule: MilterRule;
  readonly #parts: MilterParts;
  #state: State = { kind: "new" };
  #wire: MilterWire | undefined;
  #stream: MilterStream | undefined;
  #agreement: Agreement | undefined;
  /** The filter was told of a message that is not over. */
  #inMessage = false;

  constructor(rule: MilterRule, parts: MilterParts) {
    this.rule = rule;
    this.#parts = parts;
  }

  /** Connects and says who the client is. */
  async connected(client: MilterClient, lookup: MacroLookup): Promise<MilterVerdict> {
    const { rule } = this;
    try {
      const stream = await this.#parts.connect(rule);
      stream.deadline(rule.connectTimeout);
      this.#stream = stream;
      this.#wire = new MilterWire(stream);
      this.#agreement = await this.#wire.negotiate(rule.protocol);
      this.#wire.rest();
    } catch (error) {
      return this.#failed("SMFIC_OPTNEG", error);
    }
    this.#state = { kind: "open" };
    return await this.#send(EVENTS.connect, connectData(client), lookup);
  }

  /** The client has greeted. */
  helo(name: string, lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#event(EVENTS.helo, [encodeStrings(encodeText(name))], lookup);
  }

  /** A message begins. @param words the sender in angle brackets, then ESMTP parameters */
  mail(words: readonly string[], lookup: MacroLookup): Promise<MilterVerdict> {
    if (this.#state.kind === "acceptMessage") this.#state = { kind: "open" };
    if (this.#state.kind === "open") this.#inMessage = true;
    return this.#event(EVENTS.mail, [encodeWords(words)], lookup);
  }

  /** True when the filter is told of recipients that were refused already. */
  get wantsRejected(): boolean {
    return this.#state.kind === "open" && ((this.#agreement?.steps ?? 0) & STEP.REJECTED_RCPT) !== 0;
  }

  rcpt(words: readonly string[], lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#event(EVENTS.rcpt, [encodeWords(words)], lookup);
  }

  data(lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#event(EVENTS.data, [], lookup);
  }

  /** A command that nobody knows. */
  unknown(line: Uint8Array, lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#event(EVENTS.unknown, [encodeStrings(line)], lookup);
  }

  /** The message is over, whatever became of it. */
  async abort(): Promise<void> {
    const tell = this.#inMessage && this.#wire !== undefined;
    this.#inMessage = false;
    if (this.#state.kind === "acceptMessage") this.#state = { kind: "open" };
    if (tell) await this.#say("SMFIC_ABORT", COMMAND.ABORT);
  }

  /** The client has gone. */
  async quit(): Promise<void> {
    if (this.#wire !== undefined) await this.#say("SMFIC_QUIT", COMMAND.QUIT);
    this.#close();
  }

  /** What the content may be told with; undefined when the filter wants none of it. */
  get content(): { readonly agreement: Agreement; readonly stream: MilterStream } | undefined {
    if (this.#state.kind !== "open") return undefined;
    return { agreement: this.#agreement!, stream: this.#stream! };
  }

  /** What a message gets that the filter is told nothing of. */
  get standing(): MilterVerdict {
    if (this.#state.kind === "failed") return DEFAULT_VERDICTS[this.rule.defaultAction];
    return this.#state.kind === "refused" ? this.#state.verdict : CONTINUE;
  }

  /** The filter has failed where the content was told, which has been logged. */
  lost(): void {
    this.#close();
    this.#state = { kind: "failed" };
  }

  #event(what: Event, parts: readonly Uint8Array[], lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#state.kind === "open" ? this.#send(what, parts, lookup) : Promise.resolve(this.standing);
  }

  async #send(
    what: Event,
    parts: readonly Uint8Array[],
    lookup: MacroLookup,
  ): Promise<MilterVerdict> {
    const { version, steps } = this.#agreement!;
    if (what.since > version || (steps & what.skip) !== 0) return CONTINUE;
    const wire = this.#wire!;
    try {
      wire.deadline(this.rule.commandTimeout);
      const macros = this.#macros(what.stage, lookup);
      await wire.send([...macros, encodePacket(what.command, ...parts)]);
      if ((steps & what.mute) !== 0) return CONTINUE;
      const packet = await wire.receive();
      wire.quiet();
      return this.#judge(what, packet);
    } catch (error) {
      return this.#failed(what.name, error);
    } finally {
      wire.rest();
    }
  }

  /** The macros that the filter is told at a stage, if they have values. */
  macroNames(stage: MacroStage): readonly string[] {
    const asked = stage === "unknown" ? undefined : this.#agreement?.asked[stage];
    return asked ?? this.#parts.macros[stage];
  }

  #macros(stage: MacroStage, lookup: MacroLookup): Uint8Array[] {
    const { defaults } = this.#parts;
    return macroPackets(stage, this.macroNames(stage), (name) => lookup(name) ?? defaults.get(name));
  }

  /** What an answer means. Throws a MilterFormatError for one that may not be given here. */
  #judge(what: Event, packet: Packet): MilterVerdict {
    const early = what === EVENTS.connect || what === EVENTS.helo;
    switch (packet.code) {
      case ANSWER.CONTINUE:
      case ANSWER.SKIP:
        return CONTINUE;
      case ANSWER.ACCEPT:
        this.#state = { kind: early ? "acceptConnection" : "acceptMessage" };
        return CONTINUE;
      case ANSWER.DISCARD:
        if (early) throw new MilterFormatError("DISCARD action is not allowed for connect or helo");
        return { kind: "discard" };
      case ANSWER.SHUTDOWN:
        return this.#refuse({ kind: "shutdown" });
      case ANSWER.CONNECTION_FAILURE:
        throw new MilterFormatError("the filter reports a connection failure");
    }
    const verdict = readRefusal(packet);
    if (verdict === undefined) {
      throw new MilterFormatError(`unexpected filter response ${codeName(packet.code)}`);
    }
    const ends = verdict.kind === "reply" && verdict.text.startsWith("421");
    return early || ends ? this.#refuse(verdict) : verdict;
  }

  /** The client is refused whatever it says. */
  #refuse(verdict: MilterVerdict): MilterVerdict {
    this.#state = { kind: "refused", verdict };
    return verdict;
  }

  /** A message to the filter that has no answer. */
  async #say(name: string, command: number): Promise<void> {
    const wire = this.#wire!;
    try {
      wire.deadline(this.rule.commandTimeout);
      await wire.send([encodePacket(command)]);
    } catch (error) {
      this.#failed(name, error);
    } finally {
      wire.rest();
    }
  }

  #failed(where: string, error: unknown): MilterVerdict {
    const why = failureText(error);
    this.#parts.log.warning(`milter ${this.rule.name}: ${where}: ${why}`);
    this.lost();
    return DEFAULT_VERDICTS[this.rule.defaultAction];
  }

  #close(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.#wire = undefined;
    this.#inMessage = false;
  }
}

/** What is wrong with a filter, for the log. What is no fault of a filter is thrown on. */
export function failureText(error: unknown): string {
  if (isSandboxRefusal(error)) throw error;
  if (error instanceof NetworkError) return error.reason;
  if (error instanceof MilterFormatError) return error.message;
  throw error;
}

/** The packet with the macros of a stage, if any has a value. */
export function macroPackets(
  stage: MacroStage,
  names: readonly string[],
  lookup: MacroLookup,
): Uint8Array[] {
  const data = macroData(stage, names, lookup);
  return data === undefined ? [] : [encodePacket(COMMAND.MACRO, ...data)];
}

/** A refusal that a filter may give at any time; undefined when it is none. */
export function readRefusal(packet: Packet): MilterVerdict | undefined {
  switch (packet.code) {
    case ANSWER.REJECT:
      return REJECTED;
    case ANSWER.TEMPFAIL:
      return UNAVAILABLE;
    case ANSWER.REPLY_CODE:
      return { kind: "reply", text: readReplyCode(packet) };
    default:
      return undefined;
  }
}

const FAMILY = { unknown: "U", inet: "4", inet6: "6" } as const;

/** Name, family, port and address of the client; no more than the family where the address is not known. */
function connectData({ name, address, port }: MilterClient): Uint8Array[] {
  const name_ = encodeStrings(encodeText(name));
  if (address === "") return [name_, encodeText(FAMILY.unknown)];
  const inet6 = address.includes(":");
  const family = encodeText(inet6 ? FAMILY.inet6 : FAMILY.inet);
  return [
    name_,
    family,
    new Uint8Array([port >> 8, port & 0xff]),
    encodeStrings(encodeText(inet6 ? `IPv6:${address}` : address)),
  ];
}

function encodeWords(words: readonly string[]): Uint8Array {
  return encodeStrings(...words.map((word) => encodeText(word)));
}
