/**
 * How many recipients a transport's messages may have in memory (postfix-map section 3.3).
 *
 * A transport has a pool of slots, and a recipient in memory holds one as long as there are any. What is left belongs
 * to the first of the jobs whose files were not read to the end, so that the messages whose turn is next are known as
 * well as can be. A message may go beyond its slots by a few recipients (qmgr_message_recipient_minimum), and its
 * first recipients are read before it is known where they lead.
 */
import type { Job } from "./qmgr_job.ts";
import type { ActiveMessage } from "./qmgr_message.ts";

/** Most recipients that are read at once: each has a look-up under way, which takes several times its own memory. */
export const BATCH_LIMIT = 1000;

/** Sizes of a pool. */
export interface RecipientRules {
  /** Slots of the transport: *_recipient_limit. */
  readonly pool: number;
  /** Further slots for messages that preempt another: *_extra_recipient_limit. */
  readonly extraPool: number;
  /** Free slots that are worth reading the file for: *_recipient_refill_limit. */
  readonly refillLimit: number;
  /** Milliseconds after which a single free slot is: *_recipient_refill_delay. */
  readonly refillDelay: number;
  /** Recipients beyond its slots that a message may have: qmgr_message_recipient_minimum. */
  readonly recipientMinimum: number;
}

/** The recipient slots of one transport. */
export class RecipientPool {
  readonly #rules: RecipientRules;
  /** Slots that nobody holds; below 0 when preempting jobs were given of the extra ones. */
  #free: number;
  /** Jobs whose files have more recipients, in the order in which they got their first ones. */
  readonly #unread = new Set<Job>();

  constructor(rules: RecipientRules) {
    this.#rules = rules;
    this.#free = rules.pool;
  }

  /** Slots that nobody holds. */
  get free(): number {
    return this.#free;
  }

  /** A recipient of the job is in memory. */
  hold(job: Job): void {
    job.inCore++;
    if (job.message.hasMore !== job.unread) {
      if (job.unread) this.forget(job);
      else {
        job.unread = true;
        this.#unread.add(job);
      }
    }
    if (job.reserve > 0) {
      job.reserve--;
      job.held++;
    } else if (this.#free > 0 && (this.#unread.size === 0 || this.#firstUnread() === job)) {
      this.#free--;
      job.held++;
    }
  }

  /** Recipients of the job are no longer in memory. */
  release(job: Job, count: number): void {
    job.inCore -= count;
    const over = job.held - job.inCore;
    if (over <= 0) return;
    job.held -= over;
    if (job.granted) job.reserve += over;
    else this.#free += over;
  }

  /** A job that preempts another and was not read to the end gets half of what there is, the extra slots included. */
  grant(job: Job): void {
    if (!job.unread) return;
    const share = Math.floor((this.#free + this.#rules.extraPool) / 2);
    if (share <= 0) return;
    this.#free -= share;
    job.granted = true;
    job.reserve += share;
  }

  /** A job that is no longer to be served gives back what it has not used. */
  giveBack(job: Job): void {
    this.#free += job.reserve;
    job.granted = false;
    job.reserve = 0;
  }

  /** Slots that the job may still fill. */
  spare(job: Job): number {
    return job.reserve + (this.#firstUnread() === job && this.#free > 0 ? this.#free : 0);
  }

  /** Recipients that should be read of the message now; 0: it is not worth it yet. */
  due(message: ActiveMessage, now: () => number): number {
    const { refillLimit, refillDelay, recipientMinimum } = this.#rules;
    if (!message.hasMore || message.outstanding === 0) return 0;
    const spare = spareRecipients(message, recipientMinimum);
    if (spare <= 0) return 0;
    message.refilledAt ??= now();
    if (spare < refillLimit && now() < message.refilledAt + refillDelay) return 0;
    message.refilledAt = now();
    return Math.min(BATCH_LIMIT, spare);
  }

  /** The file of the job's message has no more recipients, or is closed. */
  forget(job: Job): void {
    if (!job.unread) return;
    job.unread = false;
    this.#unread.delete(job);
    this.giveBack(job);
  }

  #firstUnread(): Job | undefined {
    for (const job of this.#unread) {
      if (job.message.hasMore) return job;
      this.forget(job);
    }
    return undefined;
  }
}

/** Recipients that a message may have in memory beyond those that it has: its jobs lend it their slots. */
export function spareRecipients(message: ActiveMessage, minimum: number): number {
  let slots = minimum;
  for (let job = message.jobs; job !== undefined; job = job.sibling) slots += job.held + job.pool.spare(job);
  return Math.max(0, slots - message.outstanding);
}
