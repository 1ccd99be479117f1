/**
 * The envelope of one message: its sender, its attributes, its recipients and those who get a copy.
 */
// Utility
import { asciiLower, isAscii, parseDecimal, SPACE } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { NOTIFY } from "../../lib/mail/notify.ts";
import { appendAttribute, formatTime } from "../../lib/mail/queue_file.ts";
import { appendRecord, NUMBER_WIDTH, RECORD } from "../../lib/mail/record.ts";
import {
  SENDOPT_ALL,
  SENDOPT_SMTPUTF8_RECIPIENT,
  SENDOPT_SMTPUTF8_REQUESTED,
  SENDOPT_SMTPUTF8_SENDER,
} from "../../lib/mail/send_options.ts";
import { areVerpDelimiters } from "../../lib/mail/verp.ts";
// Server skeleton
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// Rewriting
import type { AliasExpander, Expanded } from "../../lib/rewrite/alias_expander.ts";
import type { AddressPipeline } from "../../lib/rewrite/canonical_address.ts";
// This program
import { takeDecision } from "./cleanup_decision.ts";
import { ATTRIBUTES, isPerRecipient } from "./cleanup_attribute.ts";
import type { MessageState } from "./cleanup_state.ts";
import { type ExpansionTrace, originalOf } from "./cleanup_trace.ts";

/** Who knows what becomes of addresses. */
export interface AddressServices {
  readonly addresses: AddressPipeline;
  /** Undefined when virtual_alias_maps is empty. */
  readonly aliases: AliasExpander | undefined;
  /** Tables of sender_bcc_maps and recipient_bcc_maps; undefined for one that is empty. */
  readonly senderBcc: MapLookup | undefined;
  readonly recipientBcc: MapLookup | undefined;
}

/** Most attributes in one envelope (queue_file_attribute_count_limit). */
const ATTRIBUTE_LIMIT = 100;

const EQUALS = 0x3d;
const DEL = 0x7f;

/** What goes with a recipient. */
interface Pending {
  original: string;
  dsnOriginal: string;
  notify: string;
}

/** Takes the envelope's records. */
export class EnvelopeStage {
  readonly #state: MessageState;
  readonly #services: AddressServices;
  readonly #trace: ExpansionTrace;
  #arrival = 0;
  #attributes = 0;
  #senderBccDone = false;
  readonly #known = new Set<string>();
  #pending: Pending = { original: "", dsnOriginal: "", notify: "" };

  constructor(state: MessageState, services: AddressServices, trace: ExpansionTrace) {
    this.#state = state;
    this.#services = services;
    this.#trace = trace;
  }

  /** Takes one record; the one that ends the envelope is for the caller. */
  record(type: number, data: Uint8Array): Promise<void> | undefined {
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
        this.#state.fullName = decodeText(data);
        return undefined;
      case RECORD.FROM:
        return this.#takeSender(decodeText(data));
      case RECORD.ATTRIBUTE:
        return this.#takeAttribute(data);
      case RECORD.VERP:
        return this.#takeVerp(decodeText(data));
      case RECORD.FILTER:
      case RECORD.REDIRECT:
      case RECORD.FLAGS:
        return takeDecision(this.#state, type, decodeText(data));
      case RECORD.ORIGINAL:
        this.#pending.original = decodeText(data);
        return undefined;
      case RECORD.RECIPIENT:
        return this.#takeRecipient(decodeText(data));
      case RECORD.DONE:
        this.#forgetPending();
        return undefined;
      default:
        return this.#state.fail(CLEANUP_STATUS.BAD, `record type ${type} in the envelope`);
    }
  }

  /** True when the envelope is whole. */
  end(): boolean {
    const state = this.#state;
    if (state.sender === undefined) state.fail(CLEANUP_STATUS.BAD, "no sender");
    else if (state.recipients === 0) state.fail(CLEANUP_STATUS.RECIPIENT, "no recipients specified");
    else return true;
    return false;
  }

  // --- the sender

  #takeSender(sender: string): Promise<void> | undefined {
    const state = this.#state;
    if (state.sender !== undefined) return state.fail(CLEANUP_STATUS.BAD, "second sender");
    if (hasControl(sender)) return state.fail(CLEANUP_STATUS.BAD, "control character in sender");
    const { addresses } = this.#services;
    const maps = state.has(CLEANUP_FLAG.MAP);
    const known = addresses.known("envelope_sender", sender, maps);
    if (known !== undefined) {
      this.#putSender(known);
      return undefined;
    }
    return addresses.canonical("envelope_sender", sender, maps).then((outcome) => {
      if (state.abandoned) return;
      if (outcome.kind === "retry") state.postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
      else this.#putSender(outcome.address);
    });
  }

  #putSender(sender: string): void {
    const state = this.#state;
    state.sender = sender;
    this.#noteUtf8(sender, SENDOPT_SMTPUTF8_SENDER);
    const { records, time } = state.out;
    appendRecord(records, RECORD.TIME, formatTime(this.#arrival || time));
    appendAttribute(records, "create_time", String(Math.floor(time / 1000)));
    state.senderFrom = state.out.position;
    appendRecord(records, RECORD.FROM, sender);
    state.senderTo = state.out.position;
    const { delayWarningTime } = state.rules;
    if (delayWarningTime === 0 || sender === "") return;
    const due = Math.floor((this.#arrival || time) / 1000) + delayWarningTime;
    appendRecord(records, RECORD.WARN, String(due).padStart(NUMBER_WIDTH));
  }

  /** Puts the record of another sender; its canonical form, or undefined when the message cannot be accepted now. */
  async putOtherSender(address: string): Promise<string | undefined> {
    const state = this.#state;
    const maps = state.has(CLEANUP_FLAG.MAP);
    const outcome = await this.#services.addresses.canonical("envelope_sender", address, maps);
    if (state.over) return undefined;
    if (outcome.kind === "retry") {
      state.postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
      return undefined;
    }
    this.#noteUtf8(outcome.address, SENDOPT_SMTPUTF8_SENDER);
    appendRecord(state.out.records, RECORD.FROM, outcome.address);
    return outcome.address;
  }

  /** Mail of a client that asked for SMTPUTF8, or cannot say so itself, needs it when an address is not ASCII. */
  #noteUtf8(address: string, bit: number): void {
    if (!this.#state.notesUtf8 || isAscii(address)) return;
    this.#state.sendOptions |= bit | SENDOPT_SMTPUTF8_REQUESTED;
  }

  // --- attributes

  #takeVerp(delimiters: string): undefined {
    const state = this.#state;
    const good = state.sender !== undefined && areVerpDelimiters(delimiters, state.rules.verpFilter);
    if (!good) return state.fail(CLEANUP_STATUS.BAD, `VERP delimiters "${printable(delimiters)}"`);
    appendRecord(state.out.records, RECORD.VERP, delimiters);
    return undefined;
  }

  /** Most attributes are passed on as they are: only those that cleanup acts on are made into text. */
  #takeAttribute(pair: Uint8Array): undefined {
    const state = this.#state;
    const equals = pair.indexOf(EQUALS);
    const name = decodeText(pair.subarray(0, Math.max(0, equals)));
    if (
      !ATTRIBUTES.has(name) || hasControlByte(pair) ||
      !isPerRecipient(name) && ++this.#attributes > ATTRIBUTE_LIMIT
    ) {
      return state.fail(CLEANUP_STATUS.BAD, `attribute "${printable(name)}"`);
    }
    const value = () => decodeText(pair.subarray(equals + 1));
    if (name === "notify_flags") this.#pending.notify = value();
    else if (name === "dsn_orig_rcpt") this.#pending.dsnOriginal = value();
    else {
      if (name === "rewrite_context") this.#takeContext(value());
      else if (name === "encoding") state.encoding = value();
      else if (name === "sendopts") {
        // They stand in the size record.
        state.sendOptions |= parseDecimal(value(), SENDOPT_ALL) ?? 0;
        return undefined;
      } else if (state.notes) this.#note(name, value);
      appendRecord(state.out.records, RECORD.ATTRIBUTE, pair);
      if (state.recipients > 0) state.mixed = true;
    }
    return undefined;
  }

  #takeContext(context: string): void {
    const state = this.#state;
    const local = context === "local";
    state.headerContext = local ? "local" : state.rules.rewritesRemote ? "remote" : undefined;
  }

  #note(name: string, value: () => string): void {
    this.#state.local?.note(name, value);
    if (name === "log_message_origin") this.#state.origin = value();
    else if (name === "log_protocol_name") this.#state.protocol = value();
    else if (name === "log_helo_name") this.#state.helo = value();
  }

  // --- recipients

  #takeRecipient(address: string): Promise<void> | undefined {
    const state = this.#state;
    if (state.sender === undefined) return state.fail(CLEANUP_STATUS.BAD, "recipient before sender");
    if (hasControl(address) || address === "") return state.fail(CLEANUP_STATUS.BAD, "malformed recipient");
    const pending = this.#pending;
    this.#forgetPending();
    const { addresses, aliases, senderBcc, recipientBcc } = this.#services;
    const maps = state.has(CLEANUP_FLAG.MAP);
    const copies = state.has(CLEANUP_FLAG.BCC) && (senderBcc ?? recipientBcc) !== undefined;
    if (!copies && (aliases === undefined || !maps) && state.local === undefined) {
      const known = addresses.known("envelope_recipient", address, maps);
      if (known !== undefined) {
        state.firstRecipient ??= known;
        pending.dsnOriginal ||= originalOf(known);
        this.#putRecipient(known, pending.original || address, pending);
        return undefined;
      }
    }
    return this.#askAbout(address, pending, copies);
  }

  /** A recipient that somebody has to be asked about: what it stands for, and who gets copies. */
  async #askAbout(address: string, pending: Pending, copies: boolean): Promise<void> {
    const state = this.#state;
    if (copies && !this.#senderBccDone) {
      this.#senderBccDone = true;
      await this.#putCopy(this.#services.senderBcc, "sender_bcc_maps", state.sender!);
    }
    const maps = state.has(CLEANUP_FLAG.MAP);
    if (state.over) return;
    const outcome = await this.#services.addresses.canonical("envelope_recipient", address, maps);
    if (state.over) return;
    if (outcome.kind === "retry") return state.postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
    state.firstRecipient ??= outcome.address;
    await state.local?.recipient(outcome.address);
    if (state.over) return;
    await this.#expand(outcome.address, pending.original || address, pending);
    if (copies && !state.over) {
      await this.#putCopy(this.#services.recipientBcc, "recipient_bcc_maps", outcome.address);
    }
  }

  /** Puts a recipient in canonical form, or what it stands for. */
  async #expand(address: string, original: string, pending: Pending, silent = false): Promise<void> {
    const state = this.#state;
    const { aliases } = this.#services;
    const expanded: Expanded = aliases === undefined || !state.has(CLEANUP_FLAG.MAP)
      ? { kind: "addresses", addresses: [address], alias: undefined }
      : await aliases.expand(address);
    if (state.over) return;
    switch (expanded.kind) {
      case "addresses": {
        const { addresses, alias } = expanded;
        // Who gets a copy without the sender's knowledge has no part in his reports.
        if (!silent) pending.dsnOriginal ||= originalOf(alias ?? addresses[0]!);
        const traced = await this.#trace.report(state.queueId, alias, pending);
        if (state.over) return;
        if (traced !== undefined && traced.kind !== "done") {
          return state.postpone(CLEANUP_STATUS.WRITE, "", traced.why);
        }
        return addresses.forEach((one) => this.#putRecipient(one, original, pending));
      }
      case "retry":
        return state.postpone(CLEANUP_STATUS.WRITE, "", expanded.why);
      case "unreasonable":
        return state.postpone(CLEANUP_STATUS.DEFER, "4.6.0 Alias expansion error", expanded.why);
      default:
        expanded satisfies never;
    }
  }

  /** Whom the tables name for a sender or recipient gets a copy. */
  async #putCopy(tables: MapLookup | undefined, parameter: string, address: string): Promise<void> {
    if (tables === undefined || address === "") return;
    const found = await tables.find(parameter, "address", address);
    const state = this.#state;
    if (state.over || found.kind === "missing") return;
    if (found.kind === "retry") {
      const why = `${parameter} map lookup problem for ${printable(address)}: ${found.why}`;
      return state.postpone(CLEANUP_STATUS.WRITE, "", why);
    }
    await this.copy(found.value);
  }

  /** Adds a recipient that the sender does not know of, and hears nothing of. */
  async copy(address: string): Promise<void> {
    const state = this.#state;
    if (hasControl(address)) {
      return state.log.warning(`${state.queueId}: control character in BCC address: ${printable(address)}`);
    }
    await this.add(address, String(NOTIFY.NEVER), "");
  }

  /** Adds a recipient that the sender did not name. @param notify NOTIFY bits as text, or empty */
  async add(address: string, notify: string, dsnOriginal: string): Promise<void> {
    const state = this.#state;
    const maps = state.has(CLEANUP_FLAG.MAP);
    const outcome = await this.#services.addresses.canonical("envelope_recipient", address, maps);
    if (state.over) return;
    if (outcome.kind === "retry") return state.postpone(CLEANUP_STATUS.WRITE, "", outcome.why);
    await this.#expand(outcome.address, outcome.address, { original: "", dsnOriginal, notify }, true);
  }

  /** A recipient was cancelled: one that is added later is no duplicate of it. */
  forget(original: string): void {
    const wanted = asciiLower(original);
    for (const key of this.#known) {
      const [address, named] = key.split("\0");
      if ((named ?? address) === wanted) this.#known.delete(key);
    }
  }

  #putRecipient(address: string, original: string, pending: Pending): void {
    const { rules, out } = this.#state;
    // Postfix tells duplicates apart by what a bounce would say of them.
    const key = rules.originalRecipient
      ? asciiLower(`${address}\0${original}\0${pending.dsnOriginal}\0${pending.notify}`)
      : asciiLower(address);
    if (this.#known.has(key)) return;
    if (rules.duplicateFilterLimit === 0 || this.#known.size < rules.duplicateFilterLimit) {
      this.#known.add(key);
    }
    this.#noteUtf8(address, SENDOPT_SMTPUTF8_RECIPIENT);
    const { records } = out;
    if (pending.dsnOriginal !== "") appendAttribute(records, "dsn_orig_rcpt", pending.dsnOriginal);
    if (pending.notify !== "" && pending.notify !== "0") {
      appendAttribute(records, "notify_flags", pending.notify);
    }
    appendRecord(records, RECORD.ORIGINAL, original);
    appendRecord(records, RECORD.RECIPIENT, address);
    this.#state.recipients++;
    out.spill();
  }

  #forgetPending(): void {
    this.#pending = { original: "", dsnOriginal: "", notify: "" };
  }
}

/** True when text that stands in the envelope has a control character: it could end a line elsewhere. */
export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < SPACE || unit === DEL) return true;
  }
  return false;
}

function hasControlByte(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! < SPACE || bytes[i] === DEL) return true;
  return false;
}
