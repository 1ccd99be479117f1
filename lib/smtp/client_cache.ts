/**
 * Connections kept for the next delivery to the same destination (postfix-map section 6.5), here inside one process:
 * a process serves many deliveries at once, so that no other one has to pass them on.
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
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Keeps sessions by destination. */
export class SessionCache {
  readonly #policy: ClientPolicy;
  readonly #trouble: (error: unknown) => void;
  readonly #idle = new Map<string, Idle[]>();
  /** Deliveries under way by destination. */
  readonly #active = new Map<string, number>();
  /** When the last delivery to a destination ended, by performance.now(); the oldest first. */
  readonly #recent = new Map<string, number>();
  #count = 0;

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
  wanted(destination: string): boolean {
    if (!this.#policy.reuse.enabled) return false;
    const last = this.#recent.get(destination);
    return (this.#active.get(destination) ?? 0) > 1 ||
      (last !== undefined && performance.now() - last <= BACK_TO_BACK);
  }

  /** A connection to the destination that is ready for a delivery; the one used last, as it is the surest to live. */
  take(destination: string): ClientSession | undefined {
    for (;;) {
      const idle = this.#idle.get(destination)?.at(-1);
      if (idle === undefined) return undefined;
      this.#forget(destination, idle);
      if (idle.session.sound && this.#isYoung(idle.session)) return idle.session;
      this.#dismiss(idle.session);
    }
  }

  /** Keeps a session, or says goodbye to it when it is too old or there are too many. */
  keep(destination: string, session: ClientSession): void {
    const { count } = this.#policy.reuse;
    const usedUp = count > 0 && session.uses >= count;
    if (!session.sound || usedUp || !this.#isYoung(session) || this.#count >= IDLE_LIMIT) {
      return this.#dismiss(session);
    }
    const drop = () => {
      if (this.#forget(destination, idle)) this.#dismiss(session);
    };
    const idle: Idle = { session, timer: setTimeout(drop, this.#policy.reuse.idleMs) };
    const list = this.#idle.get(destination);
    if (list === undefined) this.#idle.set(destination, [idle]);
    else list.push(idle);
    this.#count++;
    session.watch(drop);
  }

  /** Says goodbye to all that wait. */
  clear(): void {
    for (const [destination, list] of [...this.#idle]) {
      for (const idle of [...list]) {
        this.#forget(destination, idle);
        this.#dismiss(idle.session);
      }
    }
  }

  #isYoung(session: ClientSession): boolean {
    return performance.now() - session.started < this.#policy.reuse.ageMs;
  }

  #forget(destination: string, idle: Idle): boolean {
    const list = this.#idle.get(destination);
    const at = list?.indexOf(idle) ?? -1;
    if (list === undefined || at < 0) return false;
    clearTimeout(idle.timer);
    list.splice(at, 1);
    if (list.length === 0) this.#idle.delete(destination);
    this.#count--;
    return true;
  }

  #dismiss(session: ClientSession): void {
    session.quit(this.#policy).catch(this.#trouble);
  }
}
