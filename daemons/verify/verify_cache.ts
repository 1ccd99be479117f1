/**
 * What is known of addresses, and how long it counts.
 */
// Internal protocols
import type { ProbeStatus } from "../../lib/proto/verify_client.ts";

/** What is known of one address. Times are milliseconds since 1970; 0: never. */
export interface Known {
  /** "unknown": a probe was sent, and there has been no result. */
  readonly status: ProbeStatus | "unknown";
  /** When the latest probe was sent that has no result. */
  readonly probed: number;
  /** When the latest result came. */
  readonly updated: number;
  readonly text: string;
}

/** How long results count, and when they are to be looked at again; milliseconds. */
export interface CacheTimes {
  readonly positiveExpire: number;
  readonly positiveRefresh: number;
  readonly negativeExpire: number;
  readonly negativeRefresh: number;
}

/** What a question is answered, and whether the address is to be probed. */
export interface Answer {
  readonly status: Known["status"];
  readonly text: string;
  readonly probe: boolean;
}

/** Most addresses that are remembered; those that were not heard of for longest go first. */
export const CACHE_LIMIT = 100_000;
/** How long a probe may be under way before another is sent, milliseconds (Postfix: PROBE_TTL). */
const PROBE_TIME = 1_000_000;
const IN_PROGRESS = "Address verification in progress";

/** What is done with each change. */
export type Changed = (address: string, known: Known | undefined) => void;

/** The addresses. */
export class VerifyCache {
  readonly #times: CacheTimes;
  readonly #keepFailures: boolean;
  readonly #changed: Changed;
  readonly #known = new Map<string, Known>();

  /** @param keepFailures address_verify_negative_cache */
  constructor(times: CacheTimes, keepFailures: boolean, changed: Changed = () => {}) {
    this.#times = times;
    this.#keepFailures = keepFailures;
    this.#changed = changed;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** Takes what was remembered before. */
  load(address: string, known: Known | undefined): void {
    if (known === undefined) this.#known.delete(address);
    else this.#keep(address, known);
  }

  /** Everything that is remembered. */
  entries(): Iterable<readonly [string, Known]> {
    return this.#known;
  }

  /** What is known at a time; a probe that the answer asks for counts as sent. */
  ask(address: string, now: number): Answer {
    const found = this.#known.get(address);
    const known = found === undefined || this.#isExpired(found, now) ? undefined : found;
    const probe = this.#needsProbe(known, found, now);
    if (probe) {
      const { status, updated, text } = known ?? { status: "unknown", updated: 0, text: "" };
      this.#put(address, { status, updated, text, probed: now });
    }
    return { status: known?.status ?? "unknown", text: known?.text || IN_PROGRESS, probe };
  }

  #isExpired({ status, updated }: Known, now: number): boolean {
    if (status === "unknown") return true;
    const { positiveExpire, negativeExpire } = this.#times;
    return updated + (status === "ok" ? positiveExpire : negativeExpire) < now;
  }

  #needsProbe(known: Known | undefined, found: Known | undefined, now: number): boolean {
    // One is under way. A clock that was set back must not keep it so for ever.
    const probed = found?.probed ?? 0;
    if (probed <= now && now - probed < PROBE_TIME) return false;
    if (known === undefined) return true;
    const { positiveRefresh, negativeRefresh } = this.#times;
    return known.updated + (known.status === "ok" ? positiveRefresh : negativeRefresh) < now;
  }

  /** Takes the result of a probe. */
  update(address: string, status: ProbeStatus, text: string, now: number): void {
    const before = this.#known.get(address);
    if (status !== "ok") {
      // One failed probe does not make an address bad that was good: it is probed again when it is next asked for.
      const good = before?.status === "ok" && !this.#isExpired(before, now);
      if (good) return this.#put(address, { ...before, probed: 0 });
      if (!this.#keepFailures) return this.#forget(address);
    }
    this.#put(address, { status, text, updated: now, probed: 0 });
  }

  /** Forgets what does not count any more. */
  clean(now: number): void {
    for (const [address, known] of this.#known) {
      if (this.#isExpired(known, now) && now - known.probed >= PROBE_TIME) this.#forget(address);
    }
  }

  #forget(address: string): void {
    if (this.#known.delete(address)) this.#changed(address, undefined);
  }

  #put(address: string, known: Known): void {
    this.#keep(address, known);
    this.#changed(address, known);
  }

  #keep(address: string, known: Known): void {
    // The latest stands last, so that the first is the one that nobody asked for.
    this.#known.delete(address);
    this.#known.set(address, known);
    if (this.#known.size <= CACHE_LIMIT) return;
    for (const oldest of this.#known.keys()) {
      this.#forget(oldest);
      return;
    }
  }
}
