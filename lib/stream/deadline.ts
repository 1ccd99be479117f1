/**
 * When a peer must be done. Either each piece that comes or goes starts the time anew, or a whole request has one
 * budget that only data at a minimum rate extends (Postfix: *_per_request_deadline, *_min_data_rate): then a peer
 * that sends a byte now and then cannot hold a session for ever.
 *
 * @module
 */

/** How a deadline is kept. */
export interface DeadlineRule {
  /** Milliseconds. */
  readonly timeout: number;
  /** One budget for a whole request. */
  readonly perRequest: boolean;
  /** Bytes per second that a budget allows for. */
  readonly minimumRate: number;
}

/** One peer's deadline; times are those of `performance.now()`, which no clock step moves. */
export class Deadline {
  readonly #rule: DeadlineRule;
  readonly #now: () => number;
  #expires: number;

  constructor(rule: DeadlineRule, now: () => number = () => performance.now()) {
    this.#rule = rule;
    this.#now = now;
    this.#expires = now() + rule.timeout;
  }

  /** A new request begins. */
  start(): void {
    this.#expires = this.#now() + this.#rule.timeout;
  }

  /** Bytes came or went. */
  progress(bytes: number): void {
    if (!this.#rule.perRequest) return this.start();
    // Credit never makes more of the time than a fresh request has.
    const credit = (bytes / this.#rule.minimumRate) * 1000;
    this.#expires = Math.min(this.#expires + credit, this.#now() + this.#rule.timeout);
  }

  /** Milliseconds left; 0 or less: too late. */
  get left(): number {
    return this.#expires - this.#now();
  }
}
