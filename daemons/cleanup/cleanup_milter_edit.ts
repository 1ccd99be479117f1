/**
 * The changes that filters ask for: headers, which milter_header_checks may have a say in, sender and recipients.
 */
// Utility
import { asciiUpper, COLON, SPACE, splitBlanks } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { parseAddressList } from "../../lib/mail/address_list.ts";
import { parseNotify, parseRet } from "../../lib/mail/notify.ts";
import { appendAttribute } from "../../lib/mail/queue_file.ts";
import { appendRecord, RECORD } from "../../lib/mail/record.ts";
import { decodeXtext } from "../../lib/mail/xtext.ts";
// Wire protocols
import { STEP } from "../../lib/milter/milter_codec.ts";
import type { MilterEdit } from "../../lib/milter/milter_content.ts";
// Server skeleton
import { CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import type { LineLookup } from "../../lib/proto/proxymap_client.ts";
// This program
import { actOnHeader } from "./cleanup_checks.ts";
import { type EnvelopeStage, hasControl } from "./cleanup_envelope.ts";
import { holdMessage } from "./cleanup_milter.ts";
import type { MessageText } from "./cleanup_milter_text.ts";
import type { Range } from "./cleanup_output.ts";
import type { MessageState } from "./cleanup_state.ts";

/** Who does what with addresses and tables. */
export interface EditServices {
  readonly envelope: EnvelopeStage;
  readonly lines: LineLookup;
  /** milter_header_checks has tables. */
  readonly checksHeaders: boolean;
}

type HeaderEdit = Extract<MilterEdit, { kind: "addHeader" | "insertHeader" | "changeHeader" }>;

/** Where a filter's headers are checked. */
const CHECKS = "milter_header_checks";
/** Longest sender or recipient that a filter may name, UTF-16 units. */
const ADDRESS_MOST = 1000;

/** Does what filters want changed in one message. */
export class MilterEditor {
  readonly #state: MessageState;
  readonly #text: MessageText;
  readonly #services: EditServices;

  constructor(state: MessageState, text: MessageText, services: EditServices) {
    this.#state = state;
    this.#text = text;
    this.#services = services;
  }

  /** A body that a filter has sent. */
  replaceBody(body: Range): void {
    this.#text.replaceBody(body);
  }

  /**
   * Does one change.
   *
   * @param steps STEP bits of the filter that asks for it
   */
  async apply(edit: Exclude<MilterEdit, { kind: "replaceBody" }>, steps: number): Promise<void> {
    switch (edit.kind) {
      case "addHeader":
      case "insertHeader":
      case "changeHeader":
        return await this.#header(edit, (steps & STEP.LEADING_SPACE) !== 0);
      case "changeFrom":
        return await this.#changeFrom(edit.address, edit.args);
      case "addRecipient":
        return await this.#addRecipient(edit.address, edit.args);
      case "deleteRecipient":
        return this.#deleteRecipient(edit.address);
      case "quarantine":
        return holdMessage(this.#state, "END-OF-MESSAGE");
      default:
        return edit satisfies never;
    }
  }

  /** A message that goes back to its sender is for the error transport. */
  addReturn(): void {
    const { out, returned } = this.#state;
    const from = out.position;
    appendRecord(out.records, RECORD.FILTER, `error:${returned}`);
    this.#addBehind(from);
  }

  // --- headers

  async #header(edit: HeaderEdit, ownSpace: boolean): Promise<void> {
    const removes = edit.kind === "changeHeader" && edit.value.length === 0;
    const made = removes ? undefined : fieldOf(edit.name, edit.value, ownSpace);
    const field = made === undefined ? undefined : await this.#checked(made);
    // What a check takes away was never there.
    if (made !== undefined && field === undefined || this.#state.over || this.#state.returned !== "") return;
    switch (edit.kind) {
      case "addHeader":
        return this.#text.addHeader(field!);
      case "insertHeader":
        return await this.#text.insertHeader(edit.index, field!);
      case "changeHeader":
        return await this.#text.changeHeader(decodeText(edit.name), edit.index, field);
      default:
        return edit satisfies never;
    }
  }

  /** The header as milter_header_checks leaves it; undefined when nothing is left of it. */
  async #checked(field: Uint8Array): Promise<Uint8Array | undefined> {
    const state = this.#state;
    if (!this.#services.checksHeaders) return field;
    const found = await this.#services.lines.findLines(CHECKS, [field]);
    if (state.over) return undefined;
    if (found.kind === "retry") {
      state.postpone(CLEANUP_STATUS.WRITE, "", `${CHECKS} map lookup problem: ${found.why}`);
      return undefined;
    }
    const value = found.values.get(0);
    if (value === undefined) return field;
    const before = { filter: state.filter, redirect: state.redirect, copies: state.bcc.length };
    const checked = actOnHeader(state, { field, parameter: CHECKS, prefix: "milter-header-" }, value);
    await this.#follow(before);
    if (checked.kind === "prepend") {
      state.log.warning(`the ${CHECKS} prepend action is not implemented`);
      return field;
    }
    return checked.kind === "drop" ? undefined : checked.kind === "replace" ? checked.bytes : field;
  }

  /** What a check decided of the message stands behind its content, which has been written by now. */
  async #follow(before: { filter: string; redirect: string; copies: number }): Promise<void> {
    const state = this.#state;
    const { records } = state.out;
    const from = state.out.position;
    if (state.filter !== before.filter) appendRecord(records, RECORD.FILTER, state.filter);
    if (state.redirect !== before.redirect) appendRecord(records, RECORD.REDIRECT, state.redirect);
    for (const address of state.bcc.slice(before.copies)) {
      if (!state.over) await this.#services.envelope.copy(address);
    }
    this.#addBehind(from);
  }

  // --- the envelope

  async #changeFrom(text: string, args: string): Promise<void> {
    const state = this.#state;
    const address = this.#addressOf(text, "sender");
    if (address === undefined) return;
    const from = state.out.position;
    const sender = await this.#services.envelope.putOtherSender(address);
    if (sender === undefined || state.over) return;
    this.#text.replaceSender({ from, to: state.out.position });
    state.sender = sender;
    const attributesFrom = state.out.position;
    for (const argument of splitBlanks(args)) this.#senderArgument(argument);
    this.#addBehind(attributesFrom);
  }

  #senderArgument(argument: string): void {
    const [keyword, value] = keywordOf(argument);
    const { records } = this.#state.out;
    if (keyword === "RET") {
      const ret = parseRet(value);
      if (ret !== undefined) return appendAttribute(records, "ret_flags", String(ret));
    } else if (keyword === "ENVID") {
      const id = decodeXtext(value);
      if (id !== undefined && id !== "") return appendAttribute(records, "envelope_id", id);
    }
    this.#warn(`ignoring bad ESMTP parameter "${printable(argument, 100)}" in SMFI_CHGFROM request`);
  }

  async #addRecipient(text: string, args: string): Promise<void> {
    const state = this.#state;
    const address = this.#addressOf(text, "recipient");
    if (address === undefined) return;
    if (address === "") return this.#warn("ignoring attempt from Milter to add null recipient");
    let notify = "";
    let original = "";
    for (const argument of splitBlanks(args)) {
      const [keyword, value] = keywordOf(argument);
      const bits = keyword === "NOTIFY" ? parseNotify(splitBlanks(value, true)) : undefined;
      const orcpt = keyword === "ORCPT" ? originalOf(value) : undefined;
      if (bits !== undefined) notify = String(bits);
      else if (orcpt !== undefined) original = orcpt;
      else this.#warn(`ignoring ESMTP argument from Milter: "${printable(argument, 100)}"`);
    }
    const from = state.out.position;
    await this.#services.envelope.add(address, notify, original);
    this.#addBehind(from);
  }

  #deleteRecipient(text: string): void {
    const address = this.#addressOf(text, "recipient");
    if (address === undefined) return;
    const count = this.#text.cancelRecipient(address);
    this.#state.recipients -= count;
    if (count > 0) this.#services.envelope.forget(address);
  }

  /** The address that a filter names, with or without brackets; undefined when there is none that can be used. */
  #addressOf(text: string, what: string): string | undefined {
    const addresses = parseAddressList(text);
    if (addresses.length > 1) this.#warn(`Milter request with multi-${what}: "${printable(text, 100)}"`);
    const address = addresses[0] ?? "";
    if (address.length <= ADDRESS_MOST && !hasControl(address)) return address;
    this.#warn(`ignoring malformed ${what} from Milter: "${printable(text, 100)}"`);
    return undefined;
  }

  #addBehind(from: number): void {
    const { out } = this.#state;
    if (out.position === from) return;
    this.#text.addBehind({ from, to: out.position });
    this.#state.mixed = true;
  }

  #warn(text: string): void {
    this.#state.log.warning(`${this.#state.queueId}: ${text}`);
  }
}

/** A header's text; a filter that knows of the blank behind the colon brings it itself. */
function fieldOf(name: Uint8Array, value: Uint8Array, ownSpace: boolean): Uint8Array {
  const gap = ownSpace ? 1 : 2;
  const field = new Uint8Array(name.length + gap + value.length);
  field.set(name);
  field[name.length] = COLON;
  if (!ownSpace) field[name.length + 1] = SPACE;
  field.set(value, name.length + gap);
  return field;
}

function keywordOf(argument: string): [keyword: string, value: string] {
  const equals = argument.indexOf("=");
  if (equals < 0) return [asciiUpper(argument), ""];
  return [asciiUpper(argument.slice(0, equals)), argument.slice(equals + 1)];
}

/** `type;xtext` decoded; undefined when it is none. */
function originalOf(value: string): string | undefined {
  const semicolon = value.indexOf(";");
  const address = semicolon <= 0 ? undefined : decodeXtext(value.slice(semicolon + 1));
  return address === undefined ? undefined : `${value.slice(0, semicolon)};${address}`;
}
