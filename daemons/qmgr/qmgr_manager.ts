/**
 * The active queue: messages taken in, recipients handed to transports, outcomes recorded, and what happens to the
 * file in the end (postfix-map sections 3.1, 3.2, 3.6).
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
import { lookAt, removeFile, setFileMode, setFileTime } from "../../lib/safe/file.ts";
// Utility
import type { IpcClient, IpcError } from "../../lib/ipc/client.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { type ExtensionRule, quoteAddress } from "../../lib/mail/address.ts";
import {
  QUEUE_FILE_EXPIRE,
  QUEUE_FILE_FLUSH,
  QUEUE_FILE_READY,
  type QueueDirectory,
  type QueueName,
} from "../../lib/mail/queue_directory.ts";
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";
import type { QueueId } from "../../lib/mail/queue_id.ts";
import { BadRecordError } from "../../lib/mail/record.ts";
import { withClass } from "../../lib/mail/status_code.ts";
// Server skeleton
import { appendOutcome, dropLog, returnOne, sendReport } from "../../lib/proto/bounce_client.ts";
import { type BOUNCE, DELIVERY, type FLUSH } from "../../lib/proto/protocols.ts";
import type { ResolveOutcome, RewriteClient } from "../../lib/proto/rewrite_client.ts";
// This program
import { loggedRecipients } from "./qmgr_expire.ts";
import { ActiveMessage, type Entry, type HowTaken, type KnownEnvelope } from "./qmgr_message.ts";
import {
  isRecorded,
  isTraced,
  isVerified,
  logValues,
  messageValues,
  noteForSite,
  type NoticeRules,
  ownerValues,
  probeResult,
  tellProbe,
  type VerifyListener,
  verpDelimiters,
} from "./qmgr_notice.ts";
import { destinationName, type DestinationQueue } from "./qmgr_queue.ts";
import { BATCH_LIMIT, spareRecipients } from "./qmgr_recipients.ts";
import { filterRoute, findRoute } from "./qmgr_route.ts";
import { cutText } from "./qmgr_request.ts";
import type { Outcome, Transport } from "./qmgr_transport.ts";

/** Deaths of agents that have a message in hand before it is put on hold. */
const CRASH_LIMIT = 3;
/** A message that cleanup has just passed on with its envelope. */
const FRESH: HowTaken = { flush: false, expireNow: false, fresh: true, journaled: true, first: true };
const NEXTHOP_LIMIT = DELIVERY.requests.deliver.fields.nexthop.most;
const UNAVAILABLE = "4.3.0 mail transport unavailable";

/** Times of the queue, seconds. */
export interface QueueTimes {
  readonly minimalBackoff: number;
  readonly maximalBackoff: number;
  readonly lifetime: number;
  readonly bounceLifetime: number;
  /** 0: no warnings. */
  readonly delayWarning: number;
}

/** What is needed of a connection to flush. */
export type FlushClient = Pick<IpcClient<typeof FLUSH>, "send">;

/** What a queue manager works with. */
export interface ManagerOptions {
  readonly queue: QueueDirectory;
  readonly rewrite: RewriteClient;
  readonly bounce: IpcClient<typeof BOUNCE>;
  readonly defer: IpcClient<typeof BOUNCE>;
  readonly trace: IpcClient<typeof BOUNCE>;
  readonly log: Logger;
  readonly times: QueueTimes;
  readonly notices: NoticeRules;
  readonly recipientLimit: number;
  readonly recipientMinimum: number;
  readonly deferTransports: ReadonlySet<string>;
  /** Next hop of content filters that name none; empty: the recipient's domain. */
  readonly filterNexthop: string;
  /** Keeps lists of what waits for a destination; undefined where there are none. */
  readonly flush: FlushClient | undefined;
  /** Who is told what probes have found; undefined where there is no such service. */
  readonly verify?: VerifyListener | undefined;
  /** How the user of an address is told from its extension. */
  readonly extension: ExtensionRule;
  /** A message that cleanup passed on with its envelope was removed. */
  readonly gone: (id: QueueId) => void;
  /** A message has left the active queue: there is room for another. */
  readonly roomMade: () => void;
}

/** Looks after the messages in active/. */
export class QueueManager {
  readonly #options: ManagerOptions;
  readonly #transports = new Map<string, Transport>();
  readonly #active = new Map<QueueId, ActiveMessage>();
  #recipients = 0;

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  addTransport(transport: Transport): void {
    this.#transports.set(transport.name, transport);
  }

  /** Messages in the active queue. */
  get size(): number {
    return this.#active.size;
  }

  has(id: QueueId): boolean {
    return this.#active.has(id);
  }

  /** Recipients that were read and are not settled, of all messages. */
  get recipients(): number {
    return this.#recipients;
  }

  /** Deliveries that agents have in hand. */
  get busy(): number {
    return this.#transports.values().reduce((sum, transport) => sum + transport.busy, 0);
  }

  /** Gives up deliveries that take too long. */
  sweep(): void {
    for (const transport of this.#transports.values()) transport.sweep();
  }

  /** Starts no further delivery. */
  stop(): void {
    for (const transport of this.#transports.values()) transport.stop();
  }

  /** Forgets that destinations are dead. */
  revive(): void {
    for (const transport of this.#transports.values()) transport.revive();
  }

  /**
   * Takes a message into the active queue and starts its delivery; false when the file is gone or not ready.
   *
   * @param how `flush`: deliver at once, whatever is known of destinations; `fresh`: cleanup has just told of it
   */
  take(id: QueueId, from: QueueName, how: { readonly flush?: boolean; readonly fresh?: boolean }): boolean {
    const { queue } = this.#options;
    if (this.#active.has(id)) return false;
    // Everybody may send hints: a file that cleanup is still writing must stay where it is.
    const stat = lookAt(queue.path(from, id));
    if (stat?.kind !== "file" || (stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) return false;
    if (!queue.move(id, from, "active")) return false;
    const opened = this.#open(id, {
      flush: how.flush === true || (stat.mode & QUEUE_FILE_FLUSH) !== 0,
      expireNow: (stat.mode & QUEUE_FILE_EXPIRE) !== 0,
      fresh: how.fresh === true && from === "incoming",
      journaled: false,
      first: from === "incoming",
    });
    if (opened === undefined) return true;
    const { message, recipients } = opened;
    // The bit has done its work; the next attempt is an ordinary one.
    if ((stat.mode & QUEUE_FILE_FLUSH) !== 0) setFileMode(message.path, stat.mode & ~QUEUE_FILE_FLUSH);
    this.#start(message, recipients);
    return true;
  }

  /** Takes a new message of which cleanup has told the envelope; false when the file is gone. */
  accept(id: QueueId, envelope: KnownEnvelope): boolean {
    if (this.#active.has(id) || !this.#options.queue.move(id, "incoming", "active")) return false;
    const opened = this.#open(id, FRESH, envelope);
    if (opened !== undefined) this.#start(opened.message, opened.recipients);
    return true;
  }

  /** Opens a file of the active queue; one that is damaged is set aside. */
  #open(
    id: QueueId,
    how: HowTaken,
    envelope?: KnownEnvelope,
  ): ReturnType<typeof ActiveMessage.open> | undefined {
    try {
      return ActiveMessage.open(id, this.#options.queue.path("active", id), this.#batchSize(), how, envelope);
    } catch (error) {
      if (error instanceof SystemError) this.#putAside(id, error);
      else if (error instanceof BadRecordError) this.#saveCorrupt(id, error);
      else throw error;
      return undefined;
    }
  }

  /**
   * The file cannot be read now, for want of descriptors or for a bad block: it waits like one that was tried. The
   * others must not wait with it, as they would if each start of the queue manager ended at the same file.
   */
  #putAside(id: QueueId, error: SystemError): void {
    const { queue, times, log } = this.#options;
    log.warning(`${id}: ${error.message}: deferred`);
    setFileTime(queue.path("active", id), Date.now() + times.minimalBackoff * 1000);
    queue.move(id, "active", "deferred");
  }

  #saveCorrupt(id: QueueId, error: BadRecordError): void {
    const moved = this.#options.queue.move(id, "active", "corrupt");
    this.#options.log.warning(`${id}: ${error.message}${moved ? ": saved in corrupt queue" : ""}`);
  }

  #start(message: ActiveMessage, recipients: readonly EnvelopeRecipient[]): void {
    const { log, defer } = this.#options;
    const { id } = message;
    this.#recipients += recipients.length;
    this.#active.set(id, message);
    const { envelope } = message;
    log.info(
      `${id}: from=<${printable(quoteAddress(envelope.sender))}>, size=${envelope.size.contentLength}, ` +
        `nrcpt=${envelope.size.recipientCount} (queue active)`,
    );
    if (message.how.fresh) this.#assign(message, recipients);
    else if (message.how.expireNow && this.#knowsWhyItWaits(message)) this.#assign(message, recipients);
    else {
      // Its recipients are all in the file still, so what the log says of an earlier attempt is out of date.
      dropLog(defer, id).then(() => this.#assign(message, recipients));
    }
  }

  /** The report of a message that is expired by force gives the reasons of its last attempt: their log stays. */
  #knowsWhyItWaits(message: ActiveMessage): boolean {
    message.logged = loggedRecipients(this.#options.queue.path("defer", message.id));
    return message.logged.size > 0;
  }

  /** Puts a recipient off because its message is to expire now; the log may say already why it waited. */
  #expire(message: ActiveMessage, recipient: EnvelopeRecipient): void {
    if (!message.logged.has(recipient.offset)) {
      return this.#deferLocally(message, recipient, "4.7.0", "message is administratively expired");
    }
    message.deferred++;
    this.#settle(message);
  }

  /** The scheduler has room for more recipients of a message that has some in hand. */
  refill(message: ActiveMessage, most: number): void {
    let recipients: EnvelopeRecipient[];
    try {
      recipients = message.readMore(most);
    } catch (error) {
      // The damage is met again, and acted on, when those in hand are settled.
      if (error instanceof BadRecordError) return;
      throw error;
    }
    this.#recipients += recipients.length;
    if (recipients.length > 0) this.#assign(message, recipients);
  }

  #batchSize(): number {
    const { recipientLimit, recipientMinimum } = this.#options;
    return Math.min(BATCH_LIMIT, Math.max(recipientMinimum, recipientLimit - this.#recipients));
  }

  /** Resolves recipients and gives each to its transport; those that are known at once need no waiting. */
  #assign(message: ActiveMessage, recipients: readonly EnvelopeRecipient[]): void {
    if (recipients.length === 0) return this.#finishBatch(message);
    if (message.how.expireNow) {
      for (const recipient of recipients) this.#expire(message, recipient);
      return;
    }
    for (const recipient of recipients) {
      const route = findRoute(this.#options.rewrite, message, recipient);
      if (route instanceof Promise) route.then((outcome) => this.#route(message, recipient, outcome));
      else this.#route(message, recipient, route);
    }
  }

  #route(message: ActiveMessage, recipient: EnvelopeRecipient, resolved: ResolveOutcome): void {
    if (resolved.kind === "retry") {
      return this.#deferLocally(message, recipient, "4.3.0", "address resolver failure");
    }
    const { transport: name, nexthop } = this.#override(message, resolved);
    const resolvedRecipient = { ...recipient, address: resolved.recipient };
    if (resolved.bad) return this.#send("error", "5.1.3 bad address syntax", message, resolvedRecipient);
    if (this.#options.deferTransports.has(name) && !message.how.flush) {
      return this.#send("retry", "4.3.2 deferred transport", message, resolvedRecipient);
    }
    this.#send(name, nexthop, message, resolvedRecipient);
  }

  /** A content filter takes the place of the transport. */
  #override(message: ActiveMessage, resolved: { transport: string; nexthop: string; recipient: string }) {
    if (message.envelope.filter === "" || message.probe) return resolved;
    return filterRoute(message.envelope.filter, this.#options.filterNexthop, resolved.recipient);
  }

  #send(name: string, nexthop: string, message: ActiveMessage, recipient: EnvelopeRecipient): void {
    const transport = this.#transports.get(name);
    if (transport === undefined) {
      return this.#deferLocally(
        message,
        recipient,
        "4.3.0",
        `mail transport "${printable(name, 100)}" unavailable`,
      );
    }
    if (transport.down && !message.how.flush) return this.#putOff(UNAVAILABLE, message, recipient, name);
    const perRecipient = transport.perRecipient && name !== "error" && name !== "retry";
    const queueName = destinationName(recipient.address, nexthop, perRecipient, this.#options.extension);
    const queue = transport.queue(queueName, nexthop);
    if (queue.dead && !message.how.flush) {
      if (transport.avoids(queue)) return this.#suspend(queue, message, recipient);
      queue.revive();
    }
    transport.add(queue, message, recipient);
  }

  /** The destination is dead for now: the retry transport says so for the recipient. */
  #suspend(queue: DestinationQueue, message: ActiveMessage, recipient: EnvelopeRecipient): void {
    const status = withClass(queue.deadStatus || "4.0.0", "4");
    this.#putOff(`${status} delivery temporarily suspended: ${queue.deadReason}`, message, recipient);
  }

  /** Gives a recipient to the retry transport, and defers it here when that is the one in trouble. */
  #putOff(text: string, message: ActiveMessage, recipient: EnvelopeRecipient, troubled = ""): void {
    const cut = cutText(text, NEXTHOP_LIMIT);
    if (troubled !== "retry" && this.#transports.has("retry")) {
      return this.#send("retry", cut, message, recipient);
    }
    const space = cut.indexOf(" ");
    this.#deferLocally(message, recipient, cut.slice(0, space), cut.slice(space + 1));
  }

  /** A destination died: what waited for it is put off. */
  died(queue: DestinationQueue, entries: readonly Entry[]): void {
    for (const { message, recipients } of entries) {
      for (const recipient of recipients) this.#suspend(queue, message, recipient);
    }
  }

  /** The agent said nothing of some recipients. */
  unsettled(
    transport: Transport,
    entry: Entry,
    recipients: readonly EnvelopeRecipient[],
    error: IpcError | undefined,
  ): void {
    const { message } = entry;
    if (error === undefined || error.kind === "protocol") {
      for (const recipient of recipients) {
        this.#deferLocally(message, recipient, "4.3.0", "unknown mail transport error");
      }
      return;
    }
    if (!error.reached) {
      return this.#unreachable(transport, [{ message, recipients: [...recipients], queue: entry.queue }]);
    }
    // One death ends all deliveries that the agent had in hand, and counts once.
    if (message.lastCrash !== error) message.crashes++;
    message.lastCrash = error;
    if (message.crashes >= CRASH_LIMIT) {
      const reason = `mail transport ${transport.name} failed ${message.crashes} times`;
      for (const recipient of recipients) this.#deferLocally(message, recipient, "4.3.0", reason);
      return;
    }
    // The agent was killed or restarted: its work is given to the next one at once.
    const again = { message, recipients: [...recipients], queue: entry.queue };
    if (message.crashes < CRASH_LIMIT - 1) transport.again(again);
    else transport.againAlone(again);
  }

  /** No process of the agent came: that is no message's fault. What waits for it is put off. */
  #unreachable(transport: Transport, entries: readonly Entry[]): void {
    const waiting = transport.down ? [] : transport.goDown();
    for (const { message, recipients } of [...entries, ...waiting]) {
      for (const recipient of recipients) this.#putOff(UNAVAILABLE, message, recipient, transport.name);
    }
  }

  #deferLocally(message: ActiveMessage, recipient: EnvelopeRecipient, status: string, reason: string): void {
    const shown = printable(quoteAddress(recipient.address));
    this.#options.log.info(
      `${message.id}: to=<${shown}>, relay=none, delay=0, delays=0/0/0/0, dsn=${status}, status=${
        message.probe ? "undeliverable" : "deferred"
      } (${printable(reason)})`,
    );
    this.settled(message, recipient, {
      is: "recipient",
      offset: recipient.offset,
      result: "deferred",
      status,
      action: "delayed",
      reason,
      diagnosticType: "",
      diagnosticText: "",
      remoteMta: "",
    });
  }

  /** Records one recipient's outcome; when it is the message's last one, the message is finished. */
  settled(message: ActiveMessage, recipient: EnvelopeRecipient, outcome: Outcome): void {
    if (message.probe) {
      this.#noteProbe(message, recipient, outcome).then(() => this.#settle(message));
      return;
    }
    if (outcome.result === "sent" && !isTraced(message, recipient, outcome, this.#options.notices)) {
      this.#done(message, recipient);
      return this.#settle(message);
    }
    this.#record(message, recipient, outcome).then(() => this.#settle(message));
  }

  /** The last recipient of a message that will be removed needs no mark. */
  #done(message: ActiveMessage, recipient: EnvelopeRecipient): void {
    const last = message.outstanding === 1 && message.deferred === 0 && !message.hasMore &&
      !message.bounced && !message.traced;
    if (!last) message.markDone(recipient.offset);
  }

  /** A bounce or deferral stands in its log, synced, before the recipient counts as settled. */
  async #record(message: ActiveMessage, recipient: EnvelopeRecipient, outcome: Outcome): Promise<void> {
    const { bounce, defer, trace, log } = this.#options;
    const values = logValues(message, recipient, outcome);
    if (isTraced(message, recipient, outcome, this.#options.notices)) {
      const traced = await appendOutcome(trace, { ...values, action: values.action || "relayed" });
      message.traced ||= traced.kind === "done";
    }
    if (outcome.result === "sent") return message.markDone(recipient.offset);
    const owned = outcome.is === "ownedRecipient" && outcome.result === "bounced";
    const result = owned
      ? await returnOne(bounce, ownerValues(message, recipient, outcome))
      : await appendOutcome(outcome.result === "bounced" ? bounce : defer, values);
    if (outcome.result === "deferred" || (outcome.result === "bounced" && result.kind === "failed")) {
      if (result.kind === "failed") {
        log.warning(`${message.id}: cannot record ${outcome.result} recipient: ${result.why}`);
      }
      message.deferred++;
      const { flush } = this.#options;
      if (flush !== undefined && result.kind === "done") noteForSite(flush, message, recipient);
      return;
    }
    message.bounced ||= !owned;
    message.markDone(recipient.offset);
  }

  /** A probe's recipient is done whatever would have become of it, once the trace log has that for the report. */
  async #noteProbe(message: ActiveMessage, recipient: EnvelopeRecipient, outcome: Outcome): Promise<void> {
    tellProbe(this.#options.verify, message, recipient, outcome);
    if (isVerified(message)) {
      const values = { ...logValues(message, recipient, outcome), action: probeResult(outcome) };
      const noted = await appendOutcome(this.#options.trace, values);
      if (noted.kind === "failed") {
        this.#options.log.warning(`${message.id}: cannot record probed recipient: ${noted.why}`);
        message.deferred++;
        return;
      }
      message.traced = true;
    }
    message.markDone(recipient.offset);
  }

  #settle(message: ActiveMessage): void {
    this.#recipients--;
    message.outstanding--;
    if (message.outstanding === 0) this.#finishBatch(message);
  }

  /** Every recipient that was read is settled: the bounce, then more recipients, then the end. */
  #finishBatch(message: ActiveMessage): void {
    // Most messages end here, with nothing to wait for.
    if (
      !message.bounced && !message.traced && message.deferred === 0 && !message.hasMore &&
      !message.mayHaveLogs
    ) return this.#remove(message);
    this.#finishSlowly(message).catch((error) => {
      if (error instanceof BadRecordError) {
        message.close();
        this.#saveCorrupt(message.id, error);
        return this.#leave(message);
      }
      this.#options.log.warning(`${message.id}: ${error instanceof Error ? error.message : error}`);
      this.#defer(message);
    });
  }

  /**
   * What an earlier attempt left: its recipients are marked as done, so without these logs nobody would ever hear
   * of them.
   */
  #findLogs(message: ActiveMessage): void {
    const { queue } = this.#options;
    message.bounced ||= lookAt(queue.path("bounce", message.id)) !== undefined;
    message.traced ||= lookAt(queue.path("trace", message.id)) !== undefined;
  }

  async #finishSlowly(message: ActiveMessage): Promise<void> {
    const { bounce, trace, log } = this.#options;
    if (message.mayHaveLogs) this.#findLogs(message);
    if (message.bounced) {
      const sent = await sendReport(bounce, this.#reportValues(message, "failure"));
      if (sent.kind === "done") message.bounced = false;
      else {
        // The log stays, and with it the duty: the next attempt sends the report.
        log.warning(`${message.id}: cannot return mail: ${sent.why}`);
        return this.#defer(message);
      }
    }
    if (message.hasMore) {
      const spare = spareRecipients(message, this.#options.recipientMinimum);
      const recipients = message.readMore(Math.min(BATCH_LIMIT, spare));
      this.#recipients += recipients.length;
      if (recipients.length > 0) return this.#assign(message, recipients);
    }
    if (message.traced) {
      await sendReport(
        trace,
        this.#reportValues(message, isRecorded(message) || isVerified(message) ? "verify" : "success"),
      );
      message.traced = false;
    }
    if (message.deferred === 0) return this.#remove(message);
    await this.#deferOrExpire(message);
  }

  async #deferOrExpire(message: ActiveMessage): Promise<void> {
    const { times, defer, log } = this.#options;
    const { envelope } = message;
    const age = Date.now() / 1000 - envelope.createTime;
    const lifetime = envelope.sender === "" ? Math.min(times.bounceLifetime, times.lifetime) : times.lifetime;
    if (message.how.expireNow || age >= lifetime) {
      const how = message.how.expireNow ? "force-expired" : "expired";
      log.info(
        `${message.id}: from=<${
          printable(quoteAddress(envelope.sender))
        }>, status=${how}, returned to sender`,
      );
      const sent = await sendReport(defer, this.#reportValues(message, "failure"));
      if (sent.kind === "done") return this.#remove(message);
      log.warning(`${message.id}: cannot return mail: ${sent.why}`);
    } else if (this.#warningDue(message)) {
      const sent = await sendReport(defer, this.#reportValues(message, "delay"));
      if (sent.kind === "done") message.markWarned();
    }
    this.#defer(message);
  }

  #warningDue({ envelope }: ActiveMessage): boolean {
    return this.#options.times.delayWarning > 0 && envelope.warnTime > 0 &&
      envelope.warnTime <= Date.now() / 1000;
  }

  #reportValues(message: ActiveMessage, report: "failure" | "delay" | "success" | "verify") {
    const separate = report === "failure" && !this.#options.notices.disableVerpBounces;
    return { ...messageValues(message), report, verp: separate ? verpDelimiters(message.envelope) : "" };
  }

  #remove(message: ActiveMessage): void {
    message.close();
    removeFile(message.path);
    if (message.how.journaled) this.#options.gone(message.id);
    this.#options.log.info(`${message.id}: removed`);
    this.#leave(message);
  }

  /** Puts the message off: the older it is, the longer (3.6). After repeated deaths of its agents it is put on hold. */
  #defer(message: ActiveMessage): void {
    const { queue, times, log } = this.#options;
    message.close();
    if (message.crashes >= CRASH_LIMIT) {
      queue.move(message.id, "active", "hold");
      log.warning(`${message.id}: placed on hold: its delivery ended ${message.crashes} agents`);
      return this.#leave(message);
    }
    const age = Date.now() / 1000 - message.envelope.createTime;
    const delay = Math.min(times.maximalBackoff, Math.max(times.minimalBackoff, age));
    setFileTime(message.path, Date.now() + delay * 1000);
    queue.move(message.id, "active", "deferred");
    this.#leave(message);
  }

  #leave(message: ActiveMessage): void {
    this.#active.delete(message.id);
    this.#options.roomMade();
  }
}
