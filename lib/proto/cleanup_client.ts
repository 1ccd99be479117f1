/**
 * The client side of cleanup for whoever submits a whole message: bounce, pickup, local. Records are gathered into
 * chunks and sent as fast as cleanup takes them, so that the size of a message does not matter.
 *
 * @module
 */
import type { ClientExchange, IpcClient, IpcError } from "../ipc/client.ts";
import type { Reply } from "../ipc/protocol.ts";
import { appendRecord, RECORD, recordSize } from "../mail/record.ts";
import { ByteBuilder, encodeText } from "../vstring/byte_builder.ts";
import {
  CHUNK_LIMIT,
  type CLEANUP,
  CLEANUP_EXTERNAL,
  CLEANUP_FLAG,
  CLEANUP_INTERNAL,
  CLEANUP_STATUS,
} from "./protocols.ts";

/** Where mail comes from: the words of smtputf8_autodetect_classes. */
export type MailSource = "bounce" | "forward" | "notify" | "qmqpd" | "sendmail" | "smtpd" | "verify";

/** The flag for mail of a source that cleanup finds out of whether it needs SMTPUTF8; 0 where it does not. */
export function utf8Flag(autodetectClasses: readonly string[], source: MailSource): number {
  return autodetectClasses.includes(source) || autodetectClasses.includes("all") ? CLEANUP_FLAG.AUTOUTF8 : 0;
}

/** What is done with mail that the mail system makes itself; internal_mail_filter_classes lets it be filtered. */
export function internalFlags(filterClasses: readonly string[], source: "bounce" | "notify"): number {
  return filterClasses.includes(source)
    ? CLEANUP_INTERNAL | CLEANUP_FLAG.FILTER | CLEANUP_FLAG.MILTER
    : CLEANUP_INTERNAL;
}

/** What is done with mail from outside, but for what receive_override_options leaves out. */
export function receiveFlags(overrides: readonly string[]): number {
  let flags = CLEANUP_EXTERNAL;
  if (overrides.includes("no_address_mappings")) flags &= ~(CLEANUP_FLAG.MAP | CLEANUP_FLAG.BCC);
  if (overrides.includes("no_header_body_checks")) flags &= ~CLEANUP_FLAG.FILTER;
  if (overrides.includes("no_milters")) flags &= ~CLEANUP_FLAG.MILTER;
  return flags;
}

/** What is needed of a connection to cleanup. */
export type CleanupClient = Pick<IpcClient<typeof CLEANUP>, "open">;

/** What became of a message. */
export interface Submission {
  /** CLEANUP_STATUS bits; 0: it is in the queue, synced. */
  readonly status: number;
  readonly reason: string;
  readonly queueId: string;
}

/** Where a producer puts its records. */
export interface RecordSink {
  /** Id of the queue file that cleanup opened. */
  readonly queueId: string;
  /**
   * Appends one record; `type` is a value of RECORD. Await what it returns, so that a slow cleanup slows the producer.
   *
   * @throws SubmissionOverError when cleanup has answered already: stop producing
   */
  record(type: number, data: Uint8Array | string): Promise<void> | undefined;
  /** Appends one line of message text without its line end, in pieces when it is longer than `lineLimit`. */
  line(data: Uint8Array | string): Promise<void> | undefined;
}

/** Cleanup answered before the end of the message, or went away: nothing that follows is read. */
export class SubmissionOverError extends Error {
  override name = "SubmissionOverError";
}

/** Longest text record unless the caller says otherwise, bytes (line_length_limit). */
const LINE_LIMIT = 2048;
/** Seconds that cleanup may take for its first and for its last answer, and to take more when its window is full. */
const ANSWER_TIMEOUT = 100;
/** The same for the last answer where filters may look at the message, each for its content_timeout. */
const FILTER_TIMEOUT = 3600;

/** How a message is submitted. */
export interface SubmissionOptions {
  /** Bytes of text in one record (line_length_limit). */
  readonly lineLimit?: number;
}

/**
 * Submits one message: opens it, lets `produce` send all records as far as the E record, asks for the commit and
 * waits for the answer. An error in `produce` breaks the message off, so that nothing of it stays.
 *
 * @param flags CLEANUP_FLAG bits
 * @returns what cleanup says; status WRITE when it cannot be reached, as trying again may help
 */
export async function submitMessage(
  client: CleanupClient,
  flags: number,
  produce: (sink: RecordSink) => Promise<void>,
  options: SubmissionOptions = {},
): Promise<Submission> {
  const message = new OutgoingMessage(client, options.lineLimit ?? LINE_LIMIT);
  try {
    if (await message.begin(flags)) await produce(message);
    return await message.finish();
  } catch (error) {
    message.cancel();
    if (error instanceof SubmissionOverError) return message.result();
    throw error;
  }
}

/** One message on its way to cleanup. */
class OutgoingMessage implements RecordSink {
  queueId = "";
  readonly #exchange: ClientExchange<typeof CLEANUP>;
  readonly #chunk = new ByteBuilder(CHUNK_LIMIT, 4096);
  readonly #lineLimit: number;
  #result: Submission | undefined;
  #wake: (() => void) | undefined;
  /** Seconds for the last answer. */
  #patience = ANSWER_TIMEOUT;

  constructor(client: CleanupClient, lineLimit: number) {
    this.#lineLimit = lineLimit;
    this.#exchange = client.open((reply) => this.#take(reply), (error) => this.#fail(error));
  }

  /** Opens the message; false when cleanup refuses it. */
  async begin(flags: number): Promise<boolean> {
    if ((flags & CLEANUP_FLAG.MILTER) !== 0) this.#patience = FILTER_TIMEOUT;
    this.#exchange.send("begin", { flags });
    await this.#waitFor(() => this.queueId !== "");
    return this.#result === undefined;
  }

  record(type: number, data: Uint8Array | string): Promise<void> | undefined {
    if (this.#result !== undefined) throw new SubmissionOverError("Cannot send record: cleanup has answered");
    const bytes = typeof data === "string" ? encodeText(data) : data;
    if (recordSize(bytes.length) > this.#chunk.room) this.#flush();
    appendRecord(this.#chunk, type, bytes);
    return this.#exchange.ready() ? undefined : this.#drained();
  }

  line(data: Uint8Array | string): Promise<void> | undefined {
    const bytes = typeof data === "string" ? encodeText(data) : data;
    if (bytes.length <= this.#lineLimit) return this.record(RECORD.NORMAL, bytes);
    return this.#longLine(bytes);
  }

  async #longLine(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += this.#lineLimit) {
      const end = Math.min(bytes.length, start + this.#lineLimit);
      const type = end < bytes.length ? RECORD.CONTINUED : RECORD.NORMAL;
      await this.record(type, bytes.subarray(start, end));
    }
  }

  /** Asks for the commit and waits for the answer. */
  async finish(): Promise<Submission> {
    if (this.#result === undefined) {
      this.#flush();
      this.#exchange.send("finish", {});
      await this.#waitFor(() => false, this.#patience);
    }
    return this.result();
  }

  cancel(): void {
    this.#exchange.cancel();
  }

  /** What cleanup said. */
  result(): Submission {
    return this.#result ?? this.#trouble("no answer from cleanup");
  }

  #flush(): void {
    if (this.#chunk.length === 0) return;
    this.#exchange.send("records", { records: this.#chunk.copy() });
    this.#chunk.clear();
  }

  async #drained(): Promise<void> {
    const timer = this.#deadline();
    await this.#exchange.drained();
    clearTimeout(timer);
  }

  #deadline(seconds = ANSWER_TIMEOUT): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      this.#exchange.cancel();
      this.#settle(this.#trouble("cleanup did not answer in time"));
    }, seconds * 1000);
  }

  /** Waits until `done` or until there is a result. */
  #waitFor(done: () => boolean, seconds?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deadline(seconds);
      this.#wake = () => {
        if (this.#result === undefined && !done()) return;
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      this.#wake();
    });
  }

  #take(reply: Reply<typeof CLEANUP>): void {
    switch (reply.is) {
      case "queueId":
        this.queueId = reply.queueId;
        return this.#wake?.();
      case "status":
        return this.#settle({ status: reply.status, reason: reply.reason, queueId: this.queueId });
      case "milterClose":
      case "milterRead":
      case "milterWrite":
        return; // who lends no filters is asked for none
      default:
        reply satisfies never;
    }
  }

  #fail(error: IpcError): void {
    this.#settle(this.#trouble(error.message));
  }

  #settle(result: Submission): void {
    this.#result ??= result;
    this.#wake?.();
  }

  #trouble(reason: string): Submission {
    return { status: CLEANUP_STATUS.WRITE, reason, queueId: this.queueId };
  }
}
