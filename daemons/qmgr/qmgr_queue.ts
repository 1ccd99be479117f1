/**
 * One destination of one transport: what waits for it, how many deliveries go there at once, and how that number
 * follows success and failure (postfix-map section 3.5).
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { type ExtensionRule, splitExtension } from "../../lib/mail/address.ts";
// This program
import type { Job, Peer } from "./qmgr_job.ts";

/** How much the window moves: a number, or one that shrinks as the window grows. */
export type Feedback = (window: number) => number;

/** Parses 1, 0.5, 1/3, 1/concurrency, 1/sqrt_concurrency; undefined when it is none of these or not from 0 to 1. */
export function parseFeedback(text: string): Feedback | undefined {
  const slash = text.indexOf("/");
  const numerator = slash < 0 ? text : text.slice(0, slash);
  const value = Number(numerator);
  if (!Number.isFinite(value) || value < 0 || value > 1 || numerator === "") return undefined;
  if (slash < 0) return () => value;
  const divisor = text.slice(slash + 1);
  if (divisor === "concurrency") return (window) => value / window;
  if (divisor === "sqrt_concurrency") return (window) => value / Math.sqrt(window);
  const number = Number(divisor);
  return Number.isFinite(number) && number >= 1 ? () => value / number : undefined;
}

/**
 * The name of a recipient's destination. With one recipient to a delivery it is the user at the next hop, whatever
 * the extension of the address, so that concurrency is per user; otherwise the next hop.
 */
export function destinationName(
  address: string,
  nexthop: string,
  perRecipient: boolean,
  rule: ExtensionRule,
): string {
  if (!perRecipient) return asciiLower(nexthop);
  const at = address.lastIndexOf("@");
  const { user } = splitExtension(at < 0 ? address : address.slice(0, at), rule);
  return asciiLower(`${user}@${nexthop}`);
}

/** A number with six digits, as Postfix logs it. */
function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** A transport's rules for its destinations. */
export interface ConcurrencyRules {
  readonly initial: number;
  /** 0: no limit. */
  readonly limit: number;
  readonly positive: Feedback;
  readonly negative: Feedback;
  /** Failed rounds of deliveries after which the destination counts as dead; 0: never. */
  readonly failedCohortLimit: number;
  /** Takes each step of the feedback: destination_concurrency_feedback_debug. */
  readonly debug?: ((text: string) => void) | undefined;
}

/** A destination's deliveries. */
export class DestinationQueue {
  readonly name: string;
  readonly nexthop: string;
  /** Deliveries that may be under way at once. */
  window: number;
  busy = 0;
  /** Milliseconds since 1970 until which nothing is sent there; 0: alive. */
  deadUntil = 0;
  deadReason = "";
  deadStatus = "";
  /** Entries that wait. */
  waiting = 0;
  /** True while a rate delay lasts. */
  suspended = false;
  /** When mail for it was last said to fill the queue, milliseconds since 1970. */
  warned = 0;
  /** Peers with entries, in the order of their jobs. */
  first: Peer | undefined;
  last: Peer | undefined;
  /** Its place among the destinations that may have another delivery; -1: it is not among them. */
  place = -1;
  /** The job for which nobody was found here that may preempt it, and the second in which that was so. */
  barrenFor: Job | undefined;
  barrenAt = 0;
  readonly #rules: ConcurrencyRules;
  /** The window of a destination of which nothing is known. */
  readonly #initial: number;
  #success = 0;
  #failure = 0;
  #failedCohorts = 0;

  constructor(name: string, nexthop: string, rules: ConcurrencyRules) {
    this.name = name;
    this.nexthop = nexthop;
    this.#rules = rules;
    this.#initial = rules.limit > 0 ? Math.min(rules.initial, rules.limit) : rules.initial;
    this.window = this.#initial;
  }

  /** True when another delivery may start. */
  get ready(): boolean {
    return this.waiting > 0 && this.busy < this.window && !this.suspended;
  }

  /** Adds a peer at the place of its job: new ones come last, those that preempted or were read first come first. */
  attach(peer: Peer): void {
    const { order } = peer.job;
    if (this.last === undefined) this.first = this.last = peer;
    else if (this.last.job.order <= order) {
      peer.previous = this.last;
      this.last.next = peer;
      this.last = peer;
    } else {
      let next = this.first!;
      while (next.job.order <= order) next = next.next!;
      peer.next = next;
      peer.previous = next.previous;
      if (next.previous === undefined) this.first = peer;
      else next.previous.next = peer;
      next.previous = peer;
    }
  }

  detach(peer: Peer): void {
    if (peer.previous === undefined) this.first = peer.next;
    else peer.previous.next = peer.next;
    if (peer.next === undefined) this.last = peer.previous;
    else peer.next.previous = peer.previous;
    peer.next = peer.previous = undefined;
  }

  /** True while nothing is sent there. */
  get dead(): boolean {
    return this.deadUntil > 0;
  }

  /** A delivery, which still counts as busy, told nothing bad of the destination: the window may grow. */
  succeeded(): void {
    const { limit, positive } = this.#rules;
    this.#failedCohorts = 0;
    if (this.dead) return this.revive();
    // It grows only while it is used.
    if ((limit <= 0 || this.window < limit) && this.window < this.busy + this.#initial) {
      this.#grow(positive(this.window));
    }
    this.#tell("qmgr_queue_unthrottle");
  }

  #grow(step: number): void {
    const { limit, debug } = this.#rules;
    debug?.(`qmgr_queue_unthrottle: feedback ${shown(step)}`);
    this.#success += step;
    // Half a step early: thirds do not add up to one.
    while (this.#success + step / 2 >= 1) {
      this.window++;
      this.#success--;
      this.#failure = 0;
    }
    if (limit > 0) this.window = Math.min(limit, this.window);
  }

  /**
   * A delivery, which still counts as busy, found the destination in trouble: the window shrinks.
   *
   * @returns true when there were so many failures that the destination counts as dead
   */
  failed(): boolean {
    const { failedCohortLimit, negative, debug } = this.#rules;
    this.#failedCohorts += 1 / this.window;
    if (failedCohortLimit > 0 && this.#failedCohorts >= failedCohortLimit) {
      this.#tell("qmgr_queue_throttle", 0);
      return true;
    }
    const step = negative(this.window);
    debug?.(`qmgr_queue_throttle: feedback ${shown(step)}`);
    this.#failure -= step;
    // Down at 1 the count goes on, so that failures still weigh against successes.
    while (this.#failure - step / 2 < 0) {
      this.window--;
      this.#failure++;
      this.#success = 0;
    }
    this.window = Math.max(1, this.window);
    this.#tell("qmgr_queue_throttle");
    return false;
  }

  #tell(what: string, window = this.window): void {
    const { debug, limit } = this.#rules;
    if (debug === undefined) return;
    debug(
      `${what}: queue ${printable(this.name)}: limit ${limit} window ${window} success ${
        shown(this.#success)
      } ` +
        `failure ${shown(this.#failure)} fail_cohorts ${shown(this.#failedCohorts)}`,
    );
  }

  /** Alive again: nobody knows what it can take, beyond what it has in hand. */
  revive(): void {
    this.deadUntil = 0;
    this.#failedCohorts = 0;
    this.#success = 0;
    this.#failure = 0;
    this.window = this.busy > 0 ? this.busy : this.#initial;
  }
}
