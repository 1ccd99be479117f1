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
import { type CommandEnd } from "../mail/command_outcome.ts";
import { type MailboxOutcome, outcomeOf } from "../mail/mailbox_outcome.ts";
// Wire protocols
import { type ClientExchange, type IpcClient } from "../ipc/client.ts";
import { type Reply } from "../ipc/protocol.ts";
import { type MAILBOX } from "../proto/protocols.ts";
// Server skeleton
import { type HelperRequest, type HelperTask, type SharedHelperTask } from "./boot.ts";

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
  readonly start: (request: HelperRequest) => Promise<IpcClient<typeof MAILBOX>>;
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

/** A request for a mailbox or a file. */
export type PlaceRequest = HelperTask | Extract<HelperRequest, { kind: "file" }>;

/** A message for a program. */
export interface ProgramMessage extends HelperMessage {
  readonly directory: string;
  readonly args: readonly string[];
  readonly environment: readonly { readonly name: string; readonly value: string }[];
}

/** What a helper read. */
export type HelperFile =
  | { readonly kind: "read"; readonly index: number; readonly content: Uint8Array }
  | { readonly kind: "missing" }
  /** The file must not be used. */
  | { readonly kind: "refused"; readonly index: number; readonly why: string }
  /** Nothing can be said now. */
  | { readonly kind: "retry"; readonly why: string };

/** How a program ended, or why nothing is known of it. */
export type ProgramEnd = CommandEnd | { readonly how: "unknown"; readonly why: string };

/** The helpers that one process of local, virtual or pipe keeps. */
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
  async deliver(task: PlaceRequest, message: HelperMessage): Promise<MailboxOutcome> {
    const shared = task.kind === "mailbox" ? this.#shared(task) : undefined;
    const key = shared === undefined ? placeKey(task) : `${shared.uid}:${shared.gid}`;
    const path = shared === undefined ? "" : task.path.slice(shared.path.length + 1);
    const mailbox = { path, format: task.format };
    const used = await this.#use(key, shared ?? task, (client) => transfer(client, message, mailbox));
    return used.kind === "done" ? used.value : outcomeOf("4.3.0", used.why);
  }

  /**
   * Reads the first that exists of the files which a request stands for, or which the helper of a mailbox reads as well.
   */
  async read(request: HelperRequest): Promise<HelperFile> {
    const key = request.kind === "mailbox" ? placeKey(request) : JSON.stringify(request);
    const used = await this.#use(key, request, (client) => readFile(client));
    return used.kind === "done" ? used.value : { kind: "retry", why: used.why };
  }

  /**
   * Runs a program on one message.
   *
   * @throws what reading the message's text throws
   */
  async run(request: HelperRequest, message: ProgramMessage): Promise<ProgramEnd> {
    const used = await this.#use(JSON.stringify(request), request, (client) => runProgram(client, message));
    return used.kind === "done" ? used.value : { how: "unknown", why: used.why };
  }

  /** Ends helpers that had nothing to do for long; to be called about once a second. */
  endIdle(): void {
    const before = performance.now() - this.#options.idle * 1000;
    for (const [key, helper] of this.#helpers) {
      if (helper.active === 0 && helper.lastUsed < before) this.#end(key, helper);
    }
  }

  /** Works with a helper; tries another one when the first was lost before it mattered. */
  async #use<T>(
    key: string,
    request: HelperRequest,
    work: (client: IpcClient<typeof MAILBOX>) => Promise<T>,
  ): Promise<Used<T>> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#attempt(key, request, work);
      } catch (error) {
        if (!(error instanceof LostHelper)) throw error;
        // Told to finish, it may have delivered: better twice than lost, so the mail stays in the queue. Before
        // that nothing was delivered, and a helper that ended just when it was called is no reason to defer.
        if (error.finishing || attempt === ATTEMPTS) return { kind: "lost", why: error.message };
      }
    }
  }

  async #attempt<T>(
    key: string,
    request: HelperRequest,
    work: (client: IpcClient<typeof MAILBOX>) => Promise<T>,
  ): Promise<Used<T>> {
    const helper = await this.#take(key, request);
    try {
      let client: IpcClient<typeof MAILBOX>;
      try {
        client = await helper.client;
      } catch (error) {
        this.#end(key, helper);
        return { kind: "lost", why: error instanceof Error ? error.message : String(error) };
      }
      const value = await work(client);
      helper.proven = client;
      return { kind: "done", value };
    } catch (error) {
      // Whatever went wrong, the next delivery starts with a helper of its own.
      this.#end(key, helper);
      throw error;
    } finally {
      this.#release(helper);
    }
  }

  /** The task of the helper that serves this mailbox with others, or undefined where it has its own. */
  #shared({ path, uid, gid }: HelperTask): SharedHelperTask | undefined {
    const { sharedBelow } = this.#options;
    if (sharedBelow === undefined || !path.startsWith(`${sharedBelow}/`)) return undefined;
    return { kind: "mailboxes", path: sharedBelow, uid, gid };
  }

  /** The mailbox's helper, started if need be, counted as at work. */
  async #take(key: string, request: HelperRequest): Promise<Helper> {
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
      client: this.#options.start(request),
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

/** What came of working with a helper. */
type Used<T> = { readonly kind: "done"; readonly value: T } | { readonly kind: "lost"; readonly why: string };

function placeKey(request: PlaceRequest): string {
  if (request.kind === "file") return JSON.stringify(request);
  return `${request.uid}:${request.gid}:${request.format}:${request.path}`;
}

/** The helper went away or does not answer. `finishing`: after it was told to finish. */
class LostHelper extends Error {
  override name = "LostHelper";
  readonly finishing: boolean;
  constructor(why: string, finishing: boolean) {
    super(`Cannot deliver by helper: ${why}`);
    this.finishing = finishing;
  }
}

/** Sends one message to a helper and waits for its answer. */
async function transfer(
  client: IpcClient<typeof MAILBOX>,
  message: HelperMessage,
  mailbox: { readonly path: string; readonly format: "maildir" | "mbox" },
): Promise<MailboxOutcome> {
  const begin = { queueId: message.queueId, sender: message.sender, ...mailbox };
  const reply = await send(client, message.text, (exchange) => exchange.send("begin", begin), ANSWER_TIMEOUT);
  if (reply.is !== "outcome") throw new LostHelper("unexpected answer", true);
  return { result: reply.result, status: reply.status, reason: reply.reason };
}

/** Runs the helper's program on one message. */
async function runProgram(client: IpcClient<typeof MAILBOX>, message: ProgramMessage): Promise<ProgramEnd> {
  const run = {
    queueId: message.queueId,
    directory: message.directory,
    arguments: message.args.map((value) => ({ value })),
    environment: message.environment,
  };
  const reply = await send(client, message.text, (exchange) => exchange.send("run", run));
  if (reply.is !== "ended") throw new LostHelper("unexpected answer", true);
  return { how: reply.how, code: reply.code, output: reply.output.slice() };
}

/**
 * Sends what begins the exchange, the text, and the end, and waits for the answer.
 *
 * @param patience seconds for the answer; a program has a time limit of its own
 */
async function send(
  client: IpcClient<typeof MAILBOX>,
  text: HelperMessage["text"],
  begin: (exchange: ClientExchange<typeof MAILBOX>) => void,
  patience?: number,
): Promise<Reply<typeof MAILBOX>> {
  const { promise: answer, resolve, reject } = Promise.withResolvers<Reply<typeof MAILBOX>>();
  // Awaited below, once everything is sent.
  answer.catch(() => undefined);
  let finishing = false;
  let lost: LostHelper | undefined;
  const exchange = client.open(resolve, (error) => reject(lost = new LostHelper(error.message, finishing)));
  const waitFor = <T>(promise: Promise<T>, seconds: number | undefined, late: boolean) =>
    seconds === undefined ? promise : within(seconds, promise, late);
  try {
    begin(exchange);
    const source = text();
    for (let piece = source.next(); piece !== undefined && lost === undefined; piece = source.next()) {
      exchange.send("content", { content: piece });
      if (!exchange.ready()) {
        await waitFor(exchange.drained(), patience === undefined ? undefined : ROOM_TIMEOUT, false);
      }
    }
    if (lost === undefined) {
      finishing = true;
      exchange.send("finish", {});
    }
    return await waitFor(answer, patience, finishing);
  } catch (error) {
    exchange.cancel();
    throw error;
  }
}

/** Has the helper read its files. */
async function readFile(client: IpcClient<typeof MAILBOX>): Promise<HelperFile> {
  const { promise: answer, resolve, reject } = Promise.withResolvers<HelperFile>();
  const pieces: Uint8Array[] = [];
  const exchange = client.open(
    (reply) => {
      if (reply.is === "piece") pieces.push(reply.content.slice());
      else if (reply.is !== "file") reject(new LostHelper("unexpected answer", false));
      else if (reply.kind === "missing") resolve({ kind: "missing" });
      else if (reply.kind === "retry") resolve({ kind: "retry", why: reply.why });
      else if (reply.kind === "refused") resolve({ kind: "refused", index: reply.index, why: reply.why });
      else resolve({ kind: "read", index: reply.index, content: joined(pieces) });
    },
    (error) => reject(new LostHelper(error.message, false)),
  );
  try {
    exchange.send("read", {});
    return await within(ROOM_TIMEOUT, answer, false);
  } catch (error) {
    exchange.cancel();
    throw error;
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
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
