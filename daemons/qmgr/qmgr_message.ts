/**
 * A message in the active queue: its envelope, the recipients under way, what became of them.
 */
// Safe primitives
import { openOwn, type SafeFile } from "../../lib/safe/file.ts";
// Utility
import { parseDecimal } from "../../lib/vstring/ascii.ts";
// Mail
import {
  type Envelope,
  EnvelopeReader,
  type EnvelopeRecipient,
  QMGR_READ_ALL,
  TRACE_MTA_VERIFY,
  TRACE_USER_VERIFY,
} from "../../lib/mail/queue_file.ts";
import type { QueueId } from "../../lib/mail/queue_id.ts";
import { BadRecordError, type ReadAt, RECORD } from "../../lib/mail/record.ts";
// Server skeleton
import { ADDRESS_LIMIT, DELIVERY } from "../../lib/proto/protocols.ts";
// This program
import { SYSTEM_CLOCK } from "./qmgr_clock.ts";
import type { Job } from "./qmgr_job.ts";
import type { DestinationQueue } from "./qmgr_queue.ts";
import { textFits } from "./qmgr_request.ts";

/** One delivery request: recipients of one message for one destination. */
export interface Entry {
  readonly message: ActiveMessage;
  readonly recipients: EnvelopeRecipient[];
  readonly queue: DestinationQueue;
}

/** A queue file's records but for the content, in memory. */
export interface KnownEnvelope {
  readonly read: ReadAt;
  /** Bytes that are best read at once. */
  readonly window: number;
}

/** What is known of a message before its file is read. */
export interface HowTaken {
  /** Deliver at once, whatever is known of destinations (postqueue -i). */
  readonly flush: boolean;
  readonly expireNow: boolean;
  /** cleanup has just told of it: nobody has tried to deliver it. */
  readonly fresh: boolean;
  /** It is in the journal, by way of which it came. */
  readonly journaled: boolean;
  /** Its first attempt: it comes from incoming/. */
  readonly first: boolean;
}

const TRACE_FLAGS_MOST = 0xffff;
const ENVELOPE_ID_LIMIT = DELIVERY.requests.deliver.fields.envelopeId.most;
const DONE_MARK = new Uint8Array([RECORD.DONE]);
/** Recipients passed over at once on the way to the end of a file. */
const LOOK_AHEAD = 1000;
/** The data of a W record after the warning was sent. */
const WARNED = new TextEncoder().encode("-1".padStart(15));

const NONE: ReadonlySet<number> = new Set();

/** A message that is being delivered. */
export class ActiveMessage {
  readonly id: QueueId;
  readonly path: string;
  readonly envelope: Envelope;
  /** When it came into the active queue, milliseconds since 1970. */
  readonly activeTime = Date.now();
  /** The same by the scheduler's clock, which no step moves. */
  readonly since = SYSTEM_CLOCK.now();
  readonly how: HowTaken;
  /** TRACE bits: what the sender wants to be told of. */
  readonly traceFlags: number;
  /** Recipients read and not settled. */
  outstanding = 0;
  /** Recipients that will be tried again. */
  deferred = 0;
  /** Something stands in the bounce log, the trace log. */
  bounced = false;
  traced = false;
  /** The destination that flush was told of last. */
  notedSite = "";
  /** Deaths of agents that had it in hand, and what the last one was reported as. */
  crashes = 0;
  lastCrash: unknown;
  /** Offsets of recipients that the log of an earlier attempt has, where that log is kept (qmgr_expire.ts). */
  logged: ReadonlySet<number> = NONE;
  /** Its jobs, one for each transport that its recipients led to. */
  jobs: Job | undefined;
  /** When recipients were last read for the scheduler, by its clock. */
  refilledAt: number | undefined;
  #taken = 0;
  #damage: BadRecordError | undefined;
  /** Some recipient's NOTIFY was given: cleanup may have reported the alias that it comes from. */
  #notify = false;
  readonly #reader: EnvelopeReader;
  #readFile: SafeFile | undefined;
  #markFile: SafeFile | undefined;

  private constructor(
    id: QueueId,
    path: string,
    file: SafeFile | undefined,
    reader: EnvelopeReader,
    how: HowTaken,
    envelope: Envelope,
  ) {
    this.id = id;
    this.path = path;
    this.#readFile = file;
    this.#reader = reader;
    this.how = how;
    this.envelope = envelope;
    const flags = envelope.attributes.get("trace_flags");
    this.traceFlags = flags === undefined ? 0 : parseDecimal(flags, TRACE_FLAGS_MOST) ?? 0;
  }

  /**
   * Opens a file of the active queue and reads its first recipients.
   *
   * @param known the file's envelope, valid during the call: the file is not opened when that is all
   * @throws BadRecordError when the file is damaged: it belongs into corrupt/
   */
  static open(
    id: QueueId,
    path: string,
    most: number,
    how: HowTaken,
    known?: KnownEnvelope,
  ): { message: ActiveMessage; recipients: EnvelopeRecipient[] } {
    const file = known === undefined ? openActive(path) : undefined;
    try {
      const read = known?.read ?? ((buffer: Uint8Array, offset: number) => file!.read(buffer, offset));
      const reader = new EnvelopeReader(read, known?.window);
      const found = reader.recipients(most);
      if (known !== undefined && !reader.finished) return ActiveMessage.open(id, path, most, how);
      const message = new ActiveMessage(id, path, file, reader, how, wholeEnvelope(read, reader));
      refuseLong(message.envelope);
      // A redirected message goes to one address, once: its first recipient stands for all of them.
      const recipients = message.redirected ? found.slice(0, 1) : found;
      message.#took(recipients);
      return { message, recipients };
    } catch (error) {
      file?.close();
      throw error;
    }
  }

  /** Nothing is delivered: it asks what would be. */
  get probe(): boolean {
    return (this.traceFlags & (TRACE_MTA_VERIFY | TRACE_USER_VERIFY)) !== 0;
  }

  /** True when the file has recipients that have not been read. */
  get hasMore(): boolean {
    return !this.#reader.finished && !this.redirected || this.#damage !== undefined;
  }

  /** Recipients that were not read, at most. */
  get unread(): number {
    return this.hasMore ? Math.max(0, this.envelope.size.recipientCount - this.#taken) : 0;
  }

  get redirected(): boolean {
    return this.envelope.redirect !== "";
  }

  /**
   * False when it is certain that this is the first attempt. Otherwise logs of an earlier one may stand on disk,
   * whatever memory says: an attempt may have ended with the queue manager's own death.
   */
  get mayHaveLogs(): boolean {
    return !this.how.fresh || this.#notify || this.#taken !== this.envelope.size.recipientCount;
  }

  /**
   * Reads up to `most` further recipients.
   *
   * @throws BadRecordError when the file is damaged, and from then on: what stands behind the damage is not read
   */
  readMore(most: number): EnvelopeRecipient[] {
    if (this.#damage !== undefined) throw this.#damage;
    try {
      const recipients = this.#reader.recipients(most);
      this.#took(recipients);
      return recipients;
    } catch (error) {
      if (error instanceof BadRecordError) this.#damage = error;
      throw error;
    }
  }

  /** Marks a recipient as done in the file. */
  markDone(offset: number): void {
    this.#writable().writeAt(offset, DONE_MARK);
  }

  /** Notes in the file that the sender has been warned of the delay. */
  markWarned(): void {
    if (this.envelope.warnOffset > 0) this.#writable().writeAt(this.envelope.warnOffset, WARNED);
  }

  close(): void {
    for (let job = this.jobs; job !== undefined; job = job.sibling) job.pool.forget(job);
    this.#readFile?.close();
    this.#markFile?.close();
    this.#readFile = undefined;
    this.#markFile = undefined;
  }

  #took(recipients: readonly EnvelopeRecipient[]): void {
    refuseLongRecipients(recipients);
    this.outstanding += recipients.length;
    this.#taken += recipients.length;
    this.#notify ||= recipients.some(({ notify }) => notify !== 0);
    if (this.hasMore) return;
    this.#readFile?.close();
    this.#readFile = undefined;
  }

  #writable(): SafeFile {
    if (this.#markFile === undefined) {
      const opened = openOwn(this.path, "write");
      if (opened.kind !== "opened") {
        throw new Error(`Cannot mark recipient in "${this.path}": it is ${opened.kind}`);
      }
      this.#markFile = opened.file;
    }
    return this.#markFile;
  }
}

function openActive(path: string): SafeFile {
  const opened = openOwn(path, "read");
  if (opened.kind === "missing") throw new BadRecordError("Cannot open queue file: it is gone");
  if (opened.kind === "refused") throw new BadRecordError(`Cannot open queue file: it ${opened.why}`);
  return opened.file;
}

/** Envelope texts that no daemon handles: cleanup writes none, another program may have. */
function refuseLong({ sender, redirect, envelopeId }: Envelope): void {
  if (!textFits(sender, ADDRESS_LIMIT) || !textFits(redirect, ADDRESS_LIMIT)) {
    throw new BadRecordError("Cannot use queue file: it has an address that is too long");
  }
  if (!textFits(envelopeId, ENVELOPE_ID_LIMIT)) {
    throw new BadRecordError("Cannot use queue file: its envelope id is too long");
  }
}

function refuseLongRecipients(recipients: readonly EnvelopeRecipient[]): void {
  for (const { address, originalRecipient, dsnOriginalRecipient } of recipients) {
    if (
      !textFits(address, ADDRESS_LIMIT) || !textFits(originalRecipient, ADDRESS_LIMIT) ||
      !textFits(dsnOriginalRecipient, ADDRESS_LIMIT)
    ) throw new BadRecordError("Cannot use queue file: it has an address that is too long");
  }
}

/** The envelope, with what stands behind the recipients when the file says that it matters. */
function wholeEnvelope(read: ReadAt, reader: EnvelopeReader): Envelope {
  const envelope = reader.envelope();
  if (reader.finished || (envelope.size.qmgrFlags & QMGR_READ_ALL) === 0) return envelope;
  const ahead = new EnvelopeReader(read);
  while (!ahead.finished) ahead.recipients(LOOK_AHEAD);
  return ahead.envelope();
}
