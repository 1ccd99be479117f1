/**
 * The other end of the milter protocol: one connection of smtpd or cleanup to a filter of our own kind. What the protocol
 * says piece by piece becomes a message, the filter is called, and what it says becomes packets.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { asciiLower } from "../vstring/ascii.ts";
import { bytesOfText, textOfBytes } from "../vstring/byte_text.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
// Wire protocols
import {
  ACTION,
  ANSWER,
  COMMAND,
  encodeNumbers,
  encodePacket,
  encodeStrings,
  FieldReader,
  MilterFormatError,
  type Packet,
  PacketReader,
  STEP,
} from "../milter/milter_codec.ts";
// Filters
import type { Filter, FilterEdit, FilterHeader, FilterMessage, FilterResult } from "./filter.ts";
import { checkResult, FilterResultError } from "./filter_result.ts";

/** Bytes of body in one packet. */
const BODY_PIECE = 60_000;
/** Most headers of a message, and their bytes; beyond that the filter has failed, as it would not know all. */
const HEADERS_LIMIT = 10_000;
const HEADER_BYTES_LIMIT = 4 * 1024 * 1024;
/** Most recipients of a message. */
const RECIPIENTS_LIMIT = 50_000;

/** What we do not want to hear, and do not answer. */
const NOT_HEARD = STEP.NO_DATA | STEP.NO_UNKNOWN;
const NOT_ANSWERED = STEP.MUTE_CONNECT | STEP.MUTE_HELO | STEP.MUTE_MAIL | STEP.MUTE_RCPT | STEP.MUTE_HEADER;
const ACTIONS = ACTION.ADD_HEADERS | ACTION.CHANGE_BODY | ACTION.ADD_RCPT | ACTION.DELETE_RCPT |
  ACTION.CHANGE_HEADERS | ACTION.QUARANTINE | ACTION.CHANGE_FROM;

/** Steps by the command that is not answered. */
const MUTE: ReadonlyMap<number, number> = new Map([
  [COMMAND.CONNECT, STEP.MUTE_CONNECT],
  [COMMAND.HELO, STEP.MUTE_HELO],
  [COMMAND.MAIL, STEP.MUTE_MAIL],
  [COMMAND.RCPT, STEP.MUTE_RCPT],
  [COMMAND.HEADER, STEP.MUTE_HEADER],
]);

/** What a session writes to. */
export interface FilterChannel {
  /** Sends bytes; resolves when more may be sent. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the connection: the message gets what default_action says. */
  close(): void;
}

/** What all sessions of a process share. */
export interface FilterHost {
  readonly filter: Filter;
  /** Seconds for one message. */
  readonly time: number;
  readonly log: Pick<Logger, "info" | "warning">;
}

/** One connection. */
export class FilterSession {
  readonly #host: FilterHost;
  readonly #channel: FilterChannel;
  readonly #reader = new PacketReader();
  #steps = 0;
  #client = { name: "", address: "" };
  #helo = "";
  #message: GatheredMessage | undefined;
  #queueId = "";
  #last: Promise<void> = Promise.resolve();
  #over = false;

  constructor(host: FilterHost, channel: FilterChannel) {
    this.#host = host;
    this.#channel = channel;
  }

  /** Takes bytes. What they say is done one after the other. */
  data(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.#last = this.#last.then(() => this.#push(copy)).catch((error) => this.#fail(error));
  }

  /** The other end has gone. */
  closed(): void {
    this.#over = true;
    this.#message?.giveUp();
  }

  async #push(bytes: Uint8Array): Promise<void> {
    this.#reader.push(bytes);
    for (
      let packet = this.#reader.next();
      packet !== undefined && !this.#over;
      packet = this.#reader.next()
    ) {
      await this.#take(packet);
    }
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    const known = error instanceof MilterFormatError || error instanceof FilterResultError;
    const text = error instanceof Error
      ? (known ? error.message : error.stack ?? error.message)
      : String(error);
    this.#host.log.warning(`${this.#queueId || "NOQUEUE"}: filter failed: ${oneLine(text)}`);
    this.closed();
    this.#channel.close();
  }

  async #take(packet: Packet): Promise<void> {
    const fields = new FieldReader(packet.data);
    switch (packet.code) {
      case COMMAND.NEGOTIATE:
        return await this.#negotiate(fields);
      case COMMAND.MACRO:
        return this.#macros(fields);
      case COMMAND.CONNECT:
        this.#client = readClient(fields);
        break;
      case COMMAND.HELO:
        this.#helo = decodeText(fields.string());
        break;
      case COMMAND.MAIL:
        this.#message = new GatheredMessage(addressOf(fields.string()));
        break;
      case COMMAND.RCPT:
        this.#gathered().addRecipient(addressOf(fields.string()));
        break;
      case COMMAND.HEADER:
        this.#gathered().addHeader(textOfBytes(fields.string()), textOfBytes(fields.string()));
        break;
      case COMMAND.HEADER_END:
        this.#begin(this.#gathered());
        break;
      case COMMAND.BODY:
        await this.#gathered().push(fields.rest().slice());
        break;
      case COMMAND.BODY_END:
        return await this.#end(this.#gathered());
      case COMMAND.ABORT:
        this.#message?.giveUp();
        this.#message = undefined;
        return;
      case COMMAND.QUIT:
        this.closed();
        return this.#channel.close();
    }
    const mute = MUTE.get(packet.code) ?? 0;
    if ((this.#steps & mute) === 0) await this.#answer(ANSWER.CONTINUE);
  }

  #gathered(): GatheredMessage {
    if (this.#message === undefined) throw new MilterFormatError("message without MAIL");
    return this.#message;
  }

  async #negotiate(fields: FieldReader): Promise<void> {
    const [version, , offered] = [fields.number(), fields.number(), fields.number()];
    this.#steps = (NOT_HEARD | NOT_ANSWERED) & offered;
    await this.#answer(COMMAND.NEGOTIATE, encodeNumbers(Math.min(version, 6), ACTIONS, this.#steps));
  }

  #macros(fields: FieldReader): void {
    const [, ...pairs] = splitNul(fields.rest());
    for (let i = 0; i + 1 < pairs.length; i += 2) if (pairs[i] === "i") this.#queueId = pairs[i + 1]!;
  }

  /** The header is there: the filter is called, and takes the body as it comes. */
  #begin(message: GatheredMessage): void {
    message.begin(this.#host, { queueId: this.#queueId, client: this.#client, helo: this.#helo }, (error) => {
      // A filter that ends in an error need not be waited for.
      if (this.#message === message) this.#fail(error);
    });
  }

  async #end(message: GatheredMessage): Promise<void> {
    const result = await message.end();
    this.#message = undefined;
    this.#host.log.info(`${this.#queueId}: filter: ${describeResult(result)}`);
    switch (result.verdict) {
      case "pass":
        for (const edit of result.edits ?? []) await this.#edit(edit);
        return await this.#answer(ANSWER.CONTINUE);
      case "discard":
        return await this.#answer(ANSWER.DISCARD);
      case "reject":
      case "defer": {
        const code = result.verdict === "reject" ? "550 5.7.1" : "451 4.7.1";
        const reply = `${code} ${result.text.replaceAll("%", "%%")}`;
        return await this.#answer(ANSWER.REPLY_CODE, encodeStrings(encodeText(reply)));
      }
      default:
        result satisfies never;
    }
  }

  async #edit(edit: FilterEdit): Promise<void> {
    const text = (value: string) => bytesOfText(value);
    switch (edit.edit) {
      case "addHeader":
        return await this.#answer(ANSWER.ADD_HEADER, encodeStrings(text(edit.name), text(edit.value)));
      case "insertHeader": {
        const header = encodeStrings(text(edit.name), text(edit.value));
        return await this.#answer(ANSWER.INSERT_HEADER, encodeNumbers(edit.index), header);
      }
      case "changeHeader":
      case "removeHeader": {
        const value = edit.edit === "changeHeader" ? edit.value : "";
        const header = encodeStrings(text(edit.name), text(value));
        return await this.#answer(ANSWER.CHANGE_HEADER, encodeNumbers(edit.index ?? 1), header);
      }
      case "replaceBody":
        return await this.#replaceBody(edit.body);
      case "changeSender":
        return await this.#answer(ANSWER.CHANGE_FROM, encodeStrings(encodeText(`<${edit.address}>`)));
      case "addRecipient":
        return await this.#answer(ANSWER.ADD_RCPT, encodeStrings(encodeText(`<${edit.address}>`)));
      case "removeRecipient":
        return await this.#answer(ANSWER.DELETE_RCPT, encodeStrings(encodeText(`<${edit.address}>`)));
      case "hold":
        return await this.#answer(ANSWER.QUARANTINE, encodeStrings(encodeText("filter")));
      default:
        edit satisfies never;
    }
  }

  async #replaceBody(body: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    let some = false;
    for await (const bytes of body instanceof Uint8Array ? [body] : body) {
      for (let at = 0; at < bytes.length; at += BODY_PIECE) {
        some = true;
        await this.#answer(ANSWER.REPLACE_BODY, bytes.subarray(at, at + BODY_PIECE));
      }
    }
    if (!some) await this.#answer(ANSWER.REPLACE_BODY);
  }

  async #answer(code: number, ...parts: readonly Uint8Array[]): Promise<void> {
    if (!this.#over) await this.#channel.write(encodePacket(code, ...parts));
  }
}

/** A message while it comes in. */
class GatheredMessage {
  readonly #sender: string;
  readonly #recipients: string[] = [];
  readonly #headers: FilterHeader[] = [];
  #headerBytes = 0;
  readonly #body = new BodyStream();
  #result: Promise<FilterResult> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(sender: string) {
    this.#sender = sender;
  }

  addRecipient(address: string): void {
    if (this.#recipients.length >= RECIPIENTS_LIMIT) throw new MilterFormatError("too many recipients");
    this.#recipients.push(address);
  }

  addHeader(name: string, value: string): void {
    this.#headerBytes += name.length + value.length;
    if (this.#headers.length >= HEADERS_LIMIT || this.#headerBytes > HEADER_BYTES_LIMIT) {
      throw new MilterFormatError("too many headers");
    }
    this.#headers.push({ name, value });
  }

  /** Calls the filter. @param failed told when it ends in an error, or not in time */
  begin(
    { filter, time }: FilterHost,
    facts: Pick<FilterMessage, "queueId" | "client" | "helo">,
    failed: (error: unknown) => void,
  ): void {
    const headers = this.#headers;
    const message: FilterMessage = {
      ...facts,
      sender: this.#sender,
      recipients: this.#recipients,
      headers,
      header: (name) => headers.find((one) => asciiLower(one.name) === asciiLower(name))?.value,
      body: () => this.#body,
    };
    const late = new Promise<never>((_, reject) => {
      const error = new FilterResultError(`it took longer than ${time} seconds`);
      this.#timer = setTimeout(() => reject(error), time * 1000);
    });
    const called = new Promise<FilterResult>((resolve) => resolve(filter(message))).then(checkResult);
    this.#result = Promise.race([called, late]);
    this.#result.then(() => this.#settled(), (error) => {
      this.#settled();
      failed(error);
    });
  }

  /** The filter has said what it wants: the rest of the body is of no interest. */
  #settled(): void {
    clearTimeout(this.#timer);
    this.#body.giveUp();
  }

  /** Hands a piece of the body over; resolves when it was taken. */
  push(piece: Uint8Array): Promise<void> {
    return this.#body.push(piece);
  }

  /** The message is complete: what the filter makes of it. */
  async end(): Promise<FilterResult> {
    this.#body.end();
    if (this.#result === undefined) throw new MilterFormatError("end of message without end of header");
    return await this.#result;
  }

  /** Nobody waits for the result any more. */
  giveUp(): void {
    clearTimeout(this.#timer);
    this.#body.giveUp();
  }
}

/** The body on its way to the filter: one piece at a time, as fast as it takes them. */
class BodyStream implements AsyncIterable<Uint8Array> {
  #piece: Uint8Array | undefined;
  #ended = false;
  #dropped = false;
  #wake: () => void = () => {};

  async push(piece: Uint8Array): Promise<void> {
    while (this.#piece !== undefined && !this.#dropped) await this.#change();
    if (this.#dropped) return;
    this.#piece = piece;
    this.#changed();
  }

  end(): void {
    this.#ended = true;
    this.#changed();
  }

  giveUp(): void {
    this.#dropped = true;
    this.#piece = undefined;
    this.#changed();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const piece = this.#piece;
      if (piece !== undefined) {
        this.#piece = undefined;
        this.#changed();
        yield piece;
      } else if (this.#ended || this.#dropped) return;
      else await this.#change();
    }
  }

  #change(): Promise<void> {
    const before = this.#wake;
    return new Promise((resolve) => {
      this.#wake = () => {
        before();
        resolve();
      };
    });
  }

  #changed(): void {
    const wake = this.#wake;
    this.#wake = () => {};
    wake();
  }
}

/** Name, family, port and address; of a client whose address is not known only the name. */
function readClient(fields: FieldReader): { name: string; address: string } {
  const name = decodeText(fields.string());
  const rest = fields.rest();
  if (rest.length < 4) return { name, address: "" };
  const address = decodeText(new FieldReader(rest.subarray(3)).string());
  return { name, address: address.startsWith("IPv6:") ? address.slice("IPv6:".length) : address };
}

/** The address without its angle brackets. */
function addressOf(bytes: Uint8Array): string {
  const text = decodeText(bytes);
  return text.startsWith("<") && text.endsWith(">") ? text.slice(1, -1) : text;
}

function splitNul(bytes: Uint8Array): string[] {
  // The first byte is the command that the macros go with.
  return ["", ...decodeText(bytes.subarray(1)).split("\0").slice(0, -1)];
}

function oneLine(text: string): string {
  return text.split("\n").map((line) => line.replaceAll("\r", "")).join(" | ");
}

function describeResult(result: FilterResult): string {
  switch (result.verdict) {
    case "pass":
      return result.edits === undefined || result.edits.length === 0
        ? "pass"
        : `pass, ${result.edits.map(({ edit }) => edit).join(" ")}`;
    case "reject":
    case "defer":
      return `${result.verdict}: ${result.text}`;
    default:
      return result.verdict;
  }
}
