/**
 * The queue's listing: each message with its recipients that are still to do and the reasons for the delay, as
 * showq sends it and as `postqueue` shows it when the mail system is down.
 *
 * Permissions needed: read on maildrop, active, incoming, deferred, hold, defer and bounce.
 *
 * @module
 */
import { SystemError } from "../safe/error.ts";
import { type SafeFile, safeOpen } from "../safe/file.ts";
import { decodeText } from "../vstring/byte_builder.ts";
import { parseDecimal, trimBlanks } from "../vstring/ascii.ts";
import { BounceLogReader } from "./bounce_log.ts";
import { QUEUE_FILE_EXPIRE, QUEUE_FILE_READY, type QueueDirectory } from "./queue_directory.ts";
import { EnvelopeReader } from "./queue_file.ts";
import type { QueueId } from "./queue_id.ts";
import { BadRecordError, RECORD, RecordReader } from "./record.ts";

/** The queues that are listed, in the order of the listing. */
export const LISTED_QUEUES = ["maildrop", "active", "incoming", "deferred", "hold"] as const;
type ListedQueue = typeof LISTED_QUEUES[number];

/** Most recipients in one piece of a message. */
export const PIECE_RECIPIENTS = 100;

/** One recipient of a listing. */
export interface ListedRecipient {
  /** Internal form. */
  readonly address: string;
  readonly originalRecipient: string;
  readonly delayReason: string;
  readonly bounceReason: string;
}

/** A message, or a further piece of the one before it: same queue and id. */
export interface ListedMessage {
  readonly queueName: ListedQueue;
  readonly queueId: QueueId;
  /** Milliseconds since 1970. */
  readonly arrivalTime: number;
  /** Bytes. */
  readonly size: number;
  readonly forcedExpire: boolean;
  /** Empty for the null sender. */
  readonly sender: string;
  readonly recipients: readonly ListedRecipient[];
}

type Summary = Omit<ListedMessage, "recipients">;

/** How a listing is made. */
export interface ListingOptions {
  /** Most recipients of one message that are remembered so as not to list them twice (duplicate_filter_limit). */
  readonly duplicateLimit: number;
  /** Hears of files that cannot be read. */
  readonly warn: (text: string) => void;
}

/** Goes through all queues. Files that are being written are left out; so is what vanishes on the way. */
export function* listQueues(
  directory: QueueDirectory,
  options: ListingOptions,
): Generator<ListedMessage, void> {
  for (const queue of LISTED_QUEUES) {
    for (const id of directory.ids(queue)) {
      try {
        yield* listMessage(directory, queue, id, options);
      } catch (error) {
        if (!(error instanceof BadRecordError || error instanceof SystemError)) throw error;
        options.warn(`${queue}/${id}: ${error.message}`);
      }
    }
  }
}

function* listMessage(
  directory: QueueDirectory,
  queue: ListedQueue,
  id: QueueId,
  options: ListingOptions,
): Generator<ListedMessage> {
  const opened = safeOpen(directory.path(queue, id), { access: "read" });
  if (opened.kind === "missing") return;
  if (opened.kind === "refused") return options.warn(`${queue}/${id}: ${opened.why}`);
  using file = opened.file;
  const { mode, size } = file.stat();
  if ((mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) return;
  const identity = { queueName: queue, queueId: id, forcedExpire: (mode & QUEUE_FILE_EXPIRE) !== 0 };
  const { summary, remaining } = isSized(file)
    ? readQueued(file, identity)
    : readPosted(file, { ...identity, size });
  const pieces = new Pieces(summary, options.duplicateLimit);
  yield* pieces.take(loggedRecipients(directory, id));
  yield* pieces.take(remaining);
  yield* pieces.rest();
}

/** True for a file that cleanup made; what waits in maildrop has no size record. */
function isSized(file: SafeFile): boolean {
  const first = new Uint8Array(1);
  return file.read(first, 0) === 1 && first[0] === RECORD.SIZE;
}

interface ReadMessage {
  readonly summary: Summary;
  readonly remaining: Iterable<ListedRecipient>;
}

function readQueued(file: SafeFile, identity: Omit<Summary, "arrivalTime" | "size" | "sender">): ReadMessage {
  const reader = new EnvelopeReader((buffer, offset) => file.read(buffer, offset));
  const first = reader.recipients(PIECE_RECIPIENTS);
  const envelope = reader.envelope();
  const summary = {
    ...identity,
    arrivalTime: envelope.arrivalTime,
    size: envelope.size.contentSize,
    sender: envelope.sender,
  };
  function* remaining(): Generator<ListedRecipient> {
    for (let batch = first; batch.length > 0; batch = reader.recipients(PIECE_RECIPIENTS)) {
      for (const { address, originalRecipient } of batch) yield waiting(address, originalRecipient);
    }
  }
  return { summary, remaining: remaining() };
}

/** Reads a local submission: its envelope, as far as the content. */
function readPosted(file: SafeFile, identity: Omit<Summary, "arrivalTime" | "sender">): ReadMessage {
  const reader = new RecordReader((buffer, offset) => file.read(buffer, offset));
  let arrivalTime = file.stat().modified;
  let sender = "";
  while (reader.next()) {
    if (reader.type === RECORD.TIME) {
      const seconds = parseDecimal(trimBlanks(decodeText(reader.data)).split(" ")[0] ?? "");
      if (seconds !== undefined) arrivalTime = seconds * 1000;
    } else if (reader.type === RECORD.FROM) {
      sender = decodeText(reader.data);
      break;
    } else if (reader.type === RECORD.MESSAGE || reader.type === RECORD.RECIPIENT) {
      throw new BadRecordError("Cannot read queue file: it has no sender record");
    }
  }
  function* remaining(): Generator<ListedRecipient> {
    while (reader.next() && reader.type !== RECORD.MESSAGE) {
      if (reader.type === RECORD.RECIPIENT) yield waiting(decodeText(reader.data), "");
    }
  }
  return { summary: { ...identity, arrivalTime, sender }, remaining: remaining() };
}

function waiting(address: string, originalRecipient: string): ListedRecipient {
  return { address, originalRecipient, delayReason: "", bounceReason: "" };
}

/** The recipients of the message's defer log, then those of its bounce log, with their reasons. */
function* loggedRecipients(directory: QueueDirectory, id: QueueId): Generator<ListedRecipient> {
  for (const queue of ["defer", "bounce"] as const) {
    const opened = safeOpen(directory.path(queue, id), { access: "read" });
    if (opened.kind !== "opened") continue;
    using file = opened.file;
    const reader = new BounceLogReader((buffer, offset) => file.read(buffer, offset), {
      status: "",
      action: "",
    });
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      yield {
        address: record.recipient,
        originalRecipient: record.originalRecipient,
        delayReason: queue === "defer" ? record.reason : "",
        bounceReason: queue === "bounce" ? record.reason : "",
      };
    }
  }
}

/** Cuts a message's recipients into pieces, each recipient once. */
class Pieces {
  readonly #summary: Summary;
  readonly #limit: number;
  readonly #seen = new Set<string>();
  #recipients: ListedRecipient[] = [];
  #given = false;

  constructor(summary: Summary, duplicateLimit: number) {
    this.#summary = summary;
    this.#limit = duplicateLimit;
  }

  *take(recipients: Iterable<ListedRecipient>): Generator<ListedMessage> {
    for (const recipient of recipients) {
      if (this.#seen.has(recipient.address)) continue;
      if (this.#limit === 0 || this.#seen.size < this.#limit) this.#seen.add(recipient.address);
      this.#recipients.push(recipient);
      if (this.#recipients.length === PIECE_RECIPIENTS) yield this.#piece();
    }
  }

  /** What is left; a message without recipients is listed all the same. */
  *rest(): Generator<ListedMessage> {
    if (this.#recipients.length > 0 || !this.#given) yield this.#piece();
  }

  #piece(): ListedMessage {
    const recipients = this.#recipients;
    this.#recipients = [];
    this.#given = true;
    return { ...this.#summary, recipients };
  }
}
