/**
 * Where the next message comes from: hints of cleanup, and scans of incoming/ and deferred/, a piece at a time so
 * that a long queue does not stop deliveries.
 */
// Safe primitives
import { lookAt, setFileMode, setFileTime } from "../../lib/safe/file.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Mail
import {
  QUEUE_FILE_EXPIRE,
  QUEUE_FILE_FLUSH,
  QUEUE_FILE_READY,
  type QueueDirectory,
} from "../../lib/mail/queue_directory.ts";
import { type QueueId, toQueueId } from "../../lib/mail/queue_id.ts";
import type { ReadAt } from "../../lib/mail/record.ts";
// This program
import type { InFlow } from "./qmgr_flow.ts";
import type { QueueManager } from "./qmgr_manager.ts";

/** Hints that are remembered; beyond that a scan finds the files. */
const HINT_LIMIT = 100_000;
/** Messages taken, or files looked at, in one turn of the event loop. */
const TURN = 64;
/** A file that is dated further ahead than this is not due, milliseconds. */
const FUTURE = 1000;

/** Reads a queue file of which only the content is missing: where a reader goes on behind `head`, `tail` begins. */
function envelopeReader(head: Uint8Array, tail: Uint8Array): ReadAt {
  let contentEnd = -1;
  return (buffer, offset) => {
    if (offset >= head.length && contentEnd < 0) contentEnd = offset;
    const part = offset < head.length ? head.subarray(offset) : tail.subarray(offset - contentEnd);
    const count = Math.min(part.length, buffer.length);
    buffer.set(count < part.length ? part.subarray(0, count) : part);
    return count;
  };
}

/** Brings back what an earlier queue manager had in hand. */
export function recoverActive(queue: QueueDirectory): void {
  for (const id of queue.ids("active")) {
    setFileTime(queue.path("active", id), Date.now());
    queue.move(id, "active", "incoming");
  }
}

/** Feeds the queue manager. */
export class QueueScanner {
  readonly #queue: QueueDirectory;
  readonly #manager: QueueManager;
  readonly #activeLimit: number;
  readonly #log: Logger;
  readonly #longestWait: number;
  #hints: QueueId[] = [];
  #hintHead = 0;
  #incoming: Iterator<QueueId> | undefined;
  #incomingAgain = false;
  #deferred: Iterator<QueueId> | undefined;
  #deferredAgain = false;
  #ignoreTime = false;
  #running = false;
  #stopped = false;
  #turn = 0;
  readonly #flow: InFlow | undefined;

  /**
   * @param longestWait the longest time for which a message is put off, milliseconds
   * @param flow is told how many new messages wait
   */
  constructor(
    queue: QueueDirectory,
    manager: QueueManager,
    activeLimit: number,
    log: Logger,
    longestWait = Infinity,
    flow?: InFlow,
  ) {
    this.#flow = flow;
    this.#longestWait = longestWait;
    this.#queue = queue;
    this.#manager = manager;
    this.#activeLimit = activeLimit;
    this.#log = log;
  }

  /** cleanup has committed a message. */
  hint(text: string): void {
    const id = toQueueId(text);
    if (id === undefined) return;
    if (this.#hints.length - this.#hintHead >= HINT_LIMIT) this.#incomingAgain = true;
    else this.#hints.push(id);
    this.pump();
    this.#flow?.set(this.#backlog);
  }

  /** The same with the file's envelope: what stands before its content, and what behind. Both are valid during the call. */
  accept(text: string, head: Uint8Array, tail: Uint8Array): void {
    const id = toQueueId(text);
    // What has to wait for room in the active queue is read from its file: memory must not grow with the queue.
    const waits = this.#stopped || this.#hints.length > this.#hintHead ||
      this.#manager.size >= this.#activeLimit;
    if (waits || id === undefined) return this.hint(text);
    this.#manager.accept(id, { window: head.length, read: envelopeReader(head, tail) });
  }

  /** New messages that wait for room in the active queue, as far as they are known. */
  get #backlog(): number {
    return this.#hints.length - this.#hintHead;
  }

  /**
   * Takes one message now, whatever else waits; false when there is none. A full active queue is no reason to forget
   * the wish: the message waits in incoming/ then, and its permission bits keep what was asked for.
   */
  deliver(text: string, unthrottle: boolean): boolean {
    const id = toQueueId(text);
    if (id === undefined) return false;
    if (this.#manager.has(id)) return true;
    if (this.#manager.size < this.#activeLimit) {
      return this.#manager.take(id, "deferred", { flush: unthrottle }) ||
        this.#manager.take(id, "incoming", { flush: unthrottle });
    }
    const path = this.#queue.path("deferred", id);
    const stat = lookAt(path);
    if (stat?.kind !== "file" || (stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) return false;
    if (unthrottle) setFileMode(path, stat.mode | QUEUE_FILE_FLUSH);
    setFileTime(path, Date.now());
    if (!this.#queue.move(id, "deferred", "incoming")) return false;
    this.#incomingAgain = true;
    return true;
  }

  /** Scans incoming/. */
  scanIncoming(): void {
    this.#incomingAgain = true;
    this.pump();
  }

  /** Scans deferred/; with `ignoreTime` what is not due as well. */
  scanDeferred(ignoreTime: boolean): void {
    this.#deferredAgain = true;
    this.#ignoreTime ||= ignoreTime;
    this.pump();
  }

  /** Takes nothing more: the next queue manager finds the rest. */
  stop(): void {
    this.#stopped = true;
  }

  /** Takes messages as long as there is room for them. */
  pump(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    const more = this.#takeSome();
    this.#running = false;
    this.#flow?.set(this.#backlog);
    if (!more) return;
    // More to do: after the deliveries that this turn started.
    if (this.#manager.size < this.#activeLimit) this.#later();
  }

  /** Takes what one turn of the event loop has time for; false when there is nothing left. */
  #takeSome(): boolean {
    for (let left = TURN; left > 0 && this.#manager.size < this.#activeLimit; left--) {
      if (!this.#takeNext()) return false;
    }
    return true;
  }

  #pumpScheduled = false;

  #later(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    setTimeout(() => {
      this.#pumpScheduled = false;
      this.pump();
    }, 0);
  }

  /** Looks at one candidate; false when there is none. New mail and deferred mail take turns. */
  #takeNext(): boolean {
    const deferredFirst = (this.#turn++ & 1) === 1;
    return deferredFirst
      ? this.#takeDeferred() || this.#takeFresh()
      : this.#takeFresh() || this.#takeDeferred();
  }

  #takeFresh(): boolean {
    if (this.#hintHead < this.#hints.length) {
      const id = this.#hints[this.#hintHead++]!;
      if (this.#hintHead === this.#hints.length) {
        this.#hints = [];
        this.#hintHead = 0;
      }
      this.#manager.take(id, "incoming", { fresh: true });
      return true;
    }
    if (this.#incoming === undefined && this.#incomingAgain) {
      this.#incomingAgain = false;
      this.#incoming = this.#queue.ids("incoming");
    }
    const next = this.#incoming?.next();
    if (next === undefined) return false;
    if (next.done) {
      this.#incoming = undefined;
      return this.#incomingAgain;
    }
    this.#takeIncoming(next.value);
    return true;
  }

  #takeIncoming(id: QueueId): void {
    const path = this.#queue.path("incoming", id);
    const stat = lookAt(path);
    // Not ready: somebody is writing it. Names that are no regular file are nobody's mail.
    if (stat?.kind !== "file" || (stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) return;
    if (stat.modified > Date.now() + FUTURE) {
      this.#log.warning(`${id}: file time is in the future: reset`);
      setFileTime(path, Date.now());
    }
    this.#manager.take(id, "incoming", {});
  }

  #takeDeferred(): boolean {
    if (this.#deferred === undefined && this.#deferredAgain) {
      this.#deferredAgain = false;
      this.#deferred = this.#queue.ids("deferred");
    }
    const next = this.#deferred?.next();
    if (next === undefined) return false;
    if (next.done) {
      this.#deferred = undefined;
      if (!this.#deferredAgain) this.#ignoreTime = false;
      return this.#deferredAgain;
    }
    const stat = lookAt(this.#queue.path("deferred", next.value));
    if (stat?.kind !== "file" || (stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) return true;
    const forced = (stat.mode & (QUEUE_FILE_FLUSH | QUEUE_FILE_EXPIRE)) !== 0;
    // Nothing is put off for so long: the clock was set back, and would keep the message for as long as that.
    const beyond = stat.modified > Date.now() + this.#longestWait + FUTURE;
    if (beyond) this.#log.warning(`${next.value}: file time is later than any retry: tried now`);
    if (this.#ignoreTime || forced || beyond || stat.modified <= Date.now()) {
      this.#manager.take(next.value, "deferred", {});
    }
    return true;
  }
}
