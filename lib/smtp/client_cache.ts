/**
 * Connections kept for the next delivery (postfix-map section 6.5), here inside one process: a process serves many
 * deliveries at once, so that no other one has to pass them on. A connection is found by the destination that it was
 * made for and by its address; `client_key.ts` says what else must be the same.
 *
 * @module
 */
import type { ClientSession } from "./client_session.ts";
import type { ClientPolicy } from "./client_policy.ts";

/** Most connections that wait unused. */
const IDLE_LIMIT = 200;
/** Destinations whose last delivery is remembered. */
const RECENT_LIMIT = 1000;
/** A delivery within this time after another makes the destination busy, milliseconds (Postfix: qmgr's one second). */
const BACK_TO_BACK = 1000;

interface Idle {
  readonly session: ClientSession;
  readonly keys: readonly string[];
  /** When it has waited long enough, by performance.now(). */
  readonly until: number;
}

/** Keeps sessions by key. */
export class SessionCache {
  readonly #policy: ClientPolicy;
  readonly #trouble: (error: unknown) => void;
  readonly #idle = new Map<string, Idle[]>();
  /** Deliveries under way by destination. */
  readonly #active = new Map<string, number>();
  /** When the last delivery to a destination ended, by performance.now(); the oldest first. */
  readonly #recent = new Map<string, number>();
  #count = 0;
  /** One for all that wait, as one for each delivery would cost more than the look at them. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param trouble gets errors of closing a connection that are no network errors */
  constructor(policy: ClientPolicy, trouble: (error: unknown) => void) {
    this.#policy = policy;
    this.#trouble = trouble;
  }

  /** Connections that wait. */
  get size(): number {
    return this.#count;
  }

  /** A delivery to the destination begins. */
  begin(destination: string): void {
    this.#active.set(destination, (this.#active.get(destination) ?? 0) + 1);
  }

  /** It has ended. */
  end(destination: string): void {
    const left = (this.#active.get(destination) ?? 1) - 1;
    if (left > 0) this.#active.set(destination, left);
    else this.#active.delete(destination);
    this.#recent.delete(destination);
    this.#recent.set(destination, performance.now());
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= RECENT_LIMIT) break;
      this.#recent.delete(oldest);
    }
  }

  /** True when there is, or just was, other mail for the destination: only then is a connection worth keeping. */
  busy(destination: string): boolean {
    const last = this.#recent.get(destination);
    return (this.#active.get(destination) ?? 0) > 1 ||
      (last !== undefined && performance.now() - last <= BACK_TO_BACK);
  }

  /** A connection with this key that is ready for a delivery; the one used last, as it is the surest to live. */
  take(key: string): ClientSession | undefined {
    for (;;) {
      const idle = this.#idle.get(key)?.at(-1);
      if (idle === undefined) return undefined;
      this.#forget(idle);
      if (idle.session.sound && this.#isYoung(idle.session)) return idle.session;
      this.#dismiss(idle.session);
    }
  }

  /**
   * Keeps a session, or says goodbye to it when it is too old or there are too many.
   *
   * @param keys what it is found by; one at least
   */
  keep(keys: readonly string[], session: ClientSession): void {
    const { count } = this.#policy.reuse;
    const usedUp = count > 0 && session.uses >= count;
    if (!session.sound || usedUp || !this.#isYoung(session) || this.#count >= IDLE_LIMIT) {
      return this.#dismiss(session);
    }
    const { idleMs } = this.#policy.reuse;
    const idle: Idle = { session, keys, until: performance.now() + idleMs };
    this.#timer ??= setTimeout(() => this.#expire(), idleMs);
    for (const key of keys) {
      const list = this.#idle.get(key);
      if (list === undefined) this.#idle.set(key, [idle]);
      else list.push(idle);
    }
    this.#count++;
    session.watch(() => this.#drop(idle));
  }

  /** Says goodbye to those that have waited long enough, and looks again when the next one has. */
  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    let next = Infinity;
    for (const idle of this.#waiting()) {
      if (idle.until <= now) this.#drop(idle);
      else next = Math.min(next, idle.until);
    }
    if (next < Infinity) this.#timer = setTimeout(() => this.#expire(), next - now);
  }

  #waiting(): Set<Idle> {
    return new Set([...this.#idle.values()].flat());
  }

  #drop(idle: Idle): void {
    if (this.#forget(idle)) this.#dismiss(idle.session);
  }

  /** Says goodbye to all that wait. */
  clear(): void {
    for (const idle of this.#waiting()) this.#drop(idle);
  }

  #isYoung(session: ClientSession): boolean {
    return performance.now() - session.started < this.#policy.reuse.ageMs;
  }

  /** Takes it out of every list; false when it is in none. */
  #forget(idle: Idle): boolean {
    let found = false;
    for (const key of idle.keys) {
      const list = this.#idle.get(key);
      const at = list?.indexOf(idle) ?? -1;
      if (list === undefined || at < 0) continue;
      found = true;
      list.splice(at, 1);
      if (list.length === 0) this.#idle.delete(key);
    }
    if (!found) return false;
    this.#count--;
    return true;
  }

  #dismiss(session: ClientSession): void {
    session.quit(this.#policy).catch(this.#trouble);
  }
}
