/**
 * One destination of one transport: what waits for it, how many deliveries go there at once, and how that number
 * follows success and failure (postfix-map section 3.5).
 */
import type { Entry } from "./qmgr_message.ts";

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

/** A transport's rules for its destinations. */
export interface ConcurrencyRules {
  readonly initial: number;
  /** 0: no limit. */
  readonly limit: number;
  readonly positive: Feedback;
  readonly negative: Feedback;
  /** Failed rounds of deliveries after which the destination counts as dead; 0: never. */
  readonly failedCohortLimit: number;
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
  readonly #rules: ConcurrencyRules;
  /** The window of a destination of which nothing is known. */
  readonly #initial: number;
  #success = 0;
  #failure = 0;
  #failedCohorts = 0;
  #todo: Entry[] = [];
  #head = 0;

  constructor(name: string, nexthop: string, rules: ConcurrencyRules) {
    this.name = name;
    this.nexthop = nexthop;
    this.#rules = rules;
    this.#initial = rules.limit > 0 ? Math.min(rules.initial, rules.limit) : rules.initial;
    this.window = this.#initial;
  }

  /** Entries that wait. */
  get waiting(): number {
    return this.#todo.length - this.#head;
  }

  /** True when another delivery may start. */
  get ready(): boolean {
    return this.waiting > 0 && this.busy < this.window;
  }

  /** The entry that was added last: more recipients of the same message may join it. */
  get last(): Entry | undefined {
    return this.waiting > 0 ? this.#todo[this.#todo.length - 1] : undefined;
  }

  push(entry: Entry): void {
    this.#todo.push(entry);
  }

  /** Puts an entry back in front. */
  unshift(entry: Entry): void {
    if (this.#head > 0) this.#todo[--this.#head] = entry;
    else this.#todo.unshift(entry);
  }

  shift(): Entry | undefined {
    if (this.#head >= this.#todo.length) return undefined;
    const entry = this.#todo[this.#head]!;
    this.#todo[this.#head++] = undefined as unknown as Entry;
    if (this.#head === this.#todo.length) {
      this.#todo = [];
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#todo.length) {
      this.#todo = this.#todo.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  /** Takes all that waits. */
  drain(): Entry[] {
    const entries = this.#todo.slice(this.#head);
    this.#todo = [];
    this.#head = 0;
    return entries;
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
    if ((limit > 0 && this.window >= limit) || this.window >= this.busy + this.#initial) return;
    const step = positive(this.window);
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
    const { failedCohortLimit, negative } = this.#rules;
    this.#failedCohorts += 1 / this.window;
    if (failedCohortLimit > 0 && this.#failedCohorts >= failedCohortLimit) return true;
    const step = negative(this.window);
    this.#failure -= step;
    // Down at 1 the count goes on, so that failures still weigh against successes.
    while (this.#failure - step / 2 < 0) {
      this.window--;
      this.#failure++;
      this.#success = 0;
    }
    this.window = Math.max(1, this.window);
    return false;
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
