/**
 * The mailbox helpers of one delivery agent: asks master for a process per mailbox, keeps it for further mail, ends
 * it when it was idle for long or when others need the room (parameters mailbox_helper_idle, mailbox_helper_limit).
 *
 * A start costs as much as many deliveries. So where helpers are short, one that was at work just now is not ended for
 * the first message to another mailbox: that message waits a moment, and what comes meanwhile for the same mailbox
 * needs no start of its own.
 *
 * With virtual_mailbox_shared_helper a helper serves all mailboxes of one user.
 *
 * @module
 */
// Mail
import { type MailboxOutcome, outcomeOf } from "../mail/mailbox_outcome.ts";
// Wire protocols
import { type IpcClient } from "../ipc/client.ts";
import { type MAILBOX } from "../proto/protocols.ts";
// Server skeleton
import { type AnyHelperTask, type HelperTask } from "./boot.ts";

/** Seconds that a helper may take from `finish` to its answer: the sync of a large message on a busy disk. */
const ANSWER_TIMEOUT = 300;
/** Seconds that a helper may let the agent wait for room: longer than its own wait for a mailbox lock. */
const ROOM_TIMEOUT = 600;

/** Helpers that one delivery may use up. */
const ATTEMPTS = 2;
/** Milliseconds without work after which a helper may be ended for another mailbox: what a few starts take. */
const SETTLED = 250;
/** Milliseconds that a mailbox waits for such a helper; then it gets the room of any that is idle. */
const PATIENCE = 2000;

/** What a pool needs of its surroundings. */
export interface HelperPoolOptions {
  /** Starts a helper; rejects with master's reason. */
  readonly start: (task: AnyHelperTask) => Promise<IpcClient<typeof MAILBOX>>;
  /** Most helpers at once. */
  readonly limit: number;
  /** Seconds without work after which one is ended. */
  readonly idle: number;
  /** The directory, without a slash at its end, whose mailboxes share a helper if they have uid and gid in common. */
  readonly sharedBelow?: string;
  /** Milliseconds (SETTLED). */
  readonly settled?: number;
  /** Milliseconds (PATIENCE). */
  readonly patience?: number;
}

/** A message for a mailbox. */
export interface HelperMessage {
  readonly queueId: string;
  readonly sender: string;
  /** Opens the text from its beginning; asked again when a helper was lost before it had all of it. */
  readonly text: () => { next(): Uint8Array | undefined };
}

interface Helper {
  readonly client: Promise<IpcClient<typeof MAILBOX>>;
  /** The client, once it has carried a delivery: from then on a missing connection means that the helper is gone. */
  proven: IpcClient<typeof MAILBOX> | undefined;
  active: number;
  /** Milliseconds, when the last delivery ended. */
  lastUsed: number;
}

/** The helpers that one process of local or virtual keeps. */
export class MailboxHelperPool {
  readonly #options: HelperPoolOptions;
  /** By mailbox and identity, least recently used first. */
  readonly #helpers = new Map<string, Helper>();
  #waiting: (() => void)[] = [];

  constructor(options: HelperPoolOptions) {
    this.#options = options;
  }

  /** Helpers that run or are being started. */
  get size(): number {
    return this.#helpers.size;
  }

  /**
   * Writes one message into one mailbox and says what became of it.
   *
   * @throws what reading the message's text throws; never for trouble with the helper, which defers
   */
  async deliver(task: HelperTask, message: HelperMessage): Promise<MailboxOutcome> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#attempt(task, message);
      } catch (error) {
        if (!(error instanceof LostHelper)) throw error;
        // Told to finish, it may have delivered: better twice than lost, so the mail stays in the queue. Before
        // that nothing was delivered, and a helper that ended just when it was called is no reason to defer.
        if (error.finishing || attempt === ATTEMPTS) return outcomeOf("4.3.0", error.message);
      }
    }
  }

  /** Ends helpers that had nothing to do for long; to be called about once a second. */
  endIdle(): void {
    const before = performance.now() - this.#options.idle * 1000;
    for (const [key, helper] of this.#helpers) {
      if (helper.active === 0 && helper.lastUsed < before) this.#end(key, helper);
    }
  }

  async #attempt(task: HelperTask, message: HelperMessage): Promise<MailboxOutcome> {
    const shared = this.#shared(task);
    const whose = `${task.uid}:${task.gid}`;
    const key = shared === undefined ? `${whose}:${task.format}:${task.path}` : whose;
    const helper = await this.#take(key, shared ?? task);
    try {
      let client: IpcClient<typeof MAILBOX>;
      try {
        client = await helper.client;
      } catch (error) {
        this.#end(key, helper);
        return outcomeOf("4.3.0", error instanceof Error ? error.message : String(error));
      }
      const path = shared === undefined ? "" : task.path.slice(shared.path.length + 1);
      const outcome = await transfer(client, message, { path, format: task.format });
      helper.proven = client;
      return outcome;
    } catch (error) {
      // Whatever went wrong, the next delivery starts with a helper of its own.
      this.#end(key, helper);
      throw error;
    } finally {
      this.#release(helper);
    }
  }

  /** The task of the helper that serves this mailbox with others, or undefined where it has its own. */
  #shared({ path, uid, gid }: HelperTask): AnyHelperTask | undefined {
    const { sharedBelow } = this.#options;
    if (sharedBelow === undefined || !path.startsWith(`${sharedBelow}/`)) return undefined;
    return { kind: "mailboxes", path: sharedBelow, uid, gid };
  }

  /** The mailbox's helper, started if need be, counted as at work. */
  async #take(key: string, task: AnyHelperTask): Promise<Helper> {
    const since = performance.now();
    for (;;) {
      const known = this.#helpers.get(key);
      if (known !== undefined && known.proven?.connected !== false) {
        this.#helpers.delete(key);
        this.#helpers.set(key, known);
        known.active++;
        return known;
      }
      if (known !== undefined) this.#end(key, known);
      if (this.#helpers.size < this.#options.limit) break;
      const pause = this.#makeRoom(since);
      if (pause === 0) break;
      await this.#change(pause);
    }
    const helper: Helper = {
      client: this.#options.start(task),
      proven: undefined,
      active: 1,
      lastUsed: performance.now(),
    };
    // Who awaits it is told; that may be nobody yet.
    helper.client.catch(() => undefined);
    this.#helpers.set(key, helper);
    return helper;
  }

  #release(helper: Helper): void {
    helper.active--;
    helper.lastUsed = performance.now();
    if (helper.active === 0) this.#wake();
  }

  /**
   * Ends the helper that was unused for longest, if it may be ended for a mailbox that waits since then: 0, or the
   * milliseconds to wait before the next look; undefined when all are at work.
   */
  #makeRoom(since: number): number | undefined {
    const { settled = SETTLED, patience = PATIENCE } = this.#options;
    const now = performance.now();
    for (const [key, helper] of this.#helpers) {
      if (helper.active > 0) continue;
      const pause = Math.min(helper.lastUsed + settled, since + patience) - now;
      if (pause > 0) return pause;
      this.#end(key, helper);
      return 0;
    }
    return undefined;
  }

  /** Resolves when a helper has nothing left to do or is gone, and after so many milliseconds. */
  async #change(pause: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    const timer = pause === undefined ? undefined : setTimeout(resolve, pause);
    await promise;
    clearTimeout(timer);
  }

  /** Forgets a helper; it ends when its connection closes, after what it still has under way. */
  #end(key: string, helper: Helper): void {
    if (this.#helpers.get(key) === helper) this.#helpers.delete(key);
    helper.client.then((client) => client.close(), () => undefined);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

/** The helper went away or does not answer. `finishing`: after it was told to finish. */
class LostHelper extends Error {
  override name = "LostHelper";
  readonly finishing: boolean;
  constructor(why: string, finishing: boolean) {
    super(`Cannot deliver to mailbox: ${why}`);
    this.finishing = finishing;
  }
}

/** Sends one message to a helper and waits for its answer. */
async function transfer(
  client: IpcClient<typeof MAILBOX>,
  message: HelperMessage,
  mailbox: { readonly path: string; readonly format: "maildir" | "mbox" },
): Promise<MailboxOutcome> {
  const { promise: answer, resolve, reject } = Promise.withResolvers<MailboxOutcome>();
  // Awaited below, once everything is sent.
  answer.catch(() => undefined);
  let finishing = false;
  let lost: LostHelper | undefined;
  const exchange = client.open(
    (reply) => resolve({ result: reply.result, status: reply.status, reason: reply.reason }),
    (error) => reject(lost = new LostHelper(error.message, finishing)),
  );
  try {
    exchange.send("begin", { queueId: message.queueId, sender: message.sender, ...mailbox });
    const text = message.text();
    for (let piece = text.next(); piece !== undefined && lost === undefined; piece = text.next()) {
      exchange.send("content", { content: piece });
      if (!exchange.ready()) await within(ROOM_TIMEOUT, exchange.drained(), false);
    }
    if (lost === undefined) {
      finishing = true;
      exchange.send("finish", {});
    }
    return await within(ANSWER_TIMEOUT, answer, finishing);
  } catch (error) {
    exchange.cancel();
    throw error;
  }
}

/** The promise's value, or a `LostHelper` when it does not come within so many seconds. */
async function within<T>(seconds: number, promise: Promise<T>, finishing: boolean): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new LostHelper("mailbox helper does not answer", finishing)),
    seconds * 1000,
  );
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
