/**
 * The client end: one kept-open connection to a service, with many exchanges on it at once. It connects when it is
 * first needed and again when the service went away; a service that is not running yet is started by the attempt.
 *
 * @module
 */
import { type Channel, connectUnixChannel } from "../safe/channel.ts";
import { isSandboxRefusal } from "../safe/error.ts";
import { CodecError } from "./codec.ts";
import {
  decodeCredit,
  decodeHello,
  FRAME,
  FrameReader,
  FrameWriter,
  helloText,
  MessageIndex,
  WINDOW,
} from "./frame.ts";
import type { Protocol, Reply, RequestValues } from "./protocol.ts";

/** Why an exchange failed: the service is gone, did not answer in time, or does not speak the protocol. */
export class IpcError extends Error {
  override name = "IpcError";
  readonly kind: "lost" | "timeout" | "protocol";
  /** False when no process of the service was there: nobody saw the request. */
  readonly reached: boolean;
  constructor(kind: "lost" | "timeout" | "protocol", message: string, reached = true) {
    super(message);
    this.kind = kind;
    this.reached = reached;
  }
}

/** Seconds that `call` waits for its reply unless the client was made with another value. */
export const CALL_TIMEOUT = 100;
/** Attempts to connect, and the first and longest pause between them, milliseconds. */
const CONNECT_ATTEMPTS = 60;
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 500;
/** Connections in a row that may take leave before an exchange got onto one. */
const LEAVE_LIMIT = 10;

/** How a client behaves. */
export interface ClientOptions {
  /** Seconds for one `call`. */
  readonly timeout?: number;
}

/** An exchange that takes several messages. Made by `IpcClient.open`. */
export interface ClientExchange<P extends Protocol> {
  /** Sends a request; what is sent before the connection stands waits for it. */
  send<K extends keyof P["requests"] & string>(type: K, fields: RequestValues<P, K>): void;
  /** False while so much is under way that the sender should wait for `drained`. */
  ready(): boolean;
  /** Resolves when `ready` is true again, and at the latest when the exchange is over. */
  drained(): Promise<void>;
  /** Breaks the exchange off; no more replies come. */
  cancel(): void;
}

/** Talks to one service. */
export class IpcClient<P extends Protocol> {
  readonly #protocol: P;
  readonly #path: string;
  readonly #timeout: number;
  readonly #requests: MessageIndex;
  readonly #replies: MessageIndex;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #closed = false;

  /** @param path absolute path of the service's socket */
  constructor(protocol: P, path: string, options: ClientOptions = {}) {
    this.#protocol = protocol;
    this.#path = path;
    this.#timeout = (options.timeout ?? CALL_TIMEOUT) * 1000;
    this.#requests = new MessageIndex(protocol.requests);
    this.#replies = new MessageIndex(protocol.replies);
  }

  /** A client on a channel that is connected already; when it is lost there is no other. */
  static onChannel<P extends Protocol>(
    protocol: P,
    channel: Channel,
    options: ClientOptions = {},
  ): IpcClient<P> {
    const client = new IpcClient(protocol, "", options);
    client.#connecting = client.#greet(channel).finally(() => client.#connecting = undefined);
    client.#connecting.catch(() => {});
    return client;
  }

  /** Sends one request and waits for the reply that ends its exchange. Throws `IpcError`. */
  call<K extends keyof P["requests"] & string>(type: K, fields: RequestValues<P, K>): Promise<Reply<P>> {
    return new Promise((resolve, reject) => {
      const again = (error: IpcError) => {
        if (error.kind !== "lost" || this.#protocol.repeatable !== true) return reject(error);
        this.#start(resolve, reject, this.#timeout).send(type, fields);
      };
      this.#start(resolve, again, this.#timeout).send(type, fields);
    });
  }

  /**
   * Sends a request that has no reply; throws nothing when the service is away: such requests are hints, and many of them
   * are sent together.
   */
  send<K extends keyof P["requests"] & string>(type: K, fields: RequestValues<P, K>): void {
    const connection = this.#connection;
    if (connection !== undefined) {
      connection.send(this.#requests.numberOf(type), 0, this.#requests.messages[type]!.fields, fields, true);
      return;
    }
    // The sender may use its buffer again.
    const kept = keep(fields);
    this.#connect().then(
      (made) => made.send(this.#requests.numberOf(type), 0, this.#requests.messages[type]!.fields, kept),
      () => {},
    );
  }

  /**
   * Opens an exchange.
   *
   * @param onReply gets every reply; after the last one the exchange is over
   * @param onError gets what ended the exchange before its last reply
   */
  open(onReply: (reply: Reply<P>) => void, onError: (error: IpcError) => void): ClientExchange<P> {
    return this.#start(onReply, onError, 0);
  }

  /** True while connected. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Closes when what is under way is over; later use fails. */
  close(): void {
    this.#closed = true;
    this.#connection?.leave();
    this.#connection = undefined;
  }

  #start(
    onReply: (reply: Reply<P>) => void,
    onError: (error: IpcError) => void,
    timeout: number,
  ): Exchange<P> {
    const exchange = new Exchange<P>(this.#requests, onReply, onError, timeout);
    this.#adopt(exchange, 0);
    return exchange;
  }

  /** A process that retires may take leave with its greeting: nothing was sent to it, so the next one is asked. */
  #adopt(exchange: Exchange<P>, goodbyes: number): void {
    const connection = this.#connection;
    if (connection !== undefined) return connection.adopt(exchange);
    this.#connect().then(
      (made) =>
        !made.left || goodbyes >= LEAVE_LIMIT ? made.adopt(exchange) : this.#adopt(exchange, goodbyes + 1),
      (error) => exchange.fail(asIpcError(error)),
    );
  }

  #connect(): Promise<Connection> {
    this.#connecting ??= this.#attempt().finally(() => this.#connecting = undefined);
    return this.#connecting;
  }

  async #attempt(): Promise<Connection> {
    let pause = FIRST_PAUSE;
    let why = "client is closed";
    for (let attempt = 0; attempt < CONNECT_ATTEMPTS && !this.#closed && this.#path !== ""; attempt++) {
      if (attempt > 0) {
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(LONGEST_PAUSE, pause * 2);
      }
      const made = await connectUnixChannel(this.#path);
      if (made.kind === "failed") {
        why = made.why;
        continue;
      }
      try {
        return await this.#greet(made.channel);
      } catch (error) {
        // Closed before its greeting: master took the connection as the sign to start the service. Try again.
        if (!(error instanceof IpcError) || error.kind !== "lost") throw error;
        why = error.message;
        pause = Math.min(pause, 40);
      }
    }
    throw new IpcError(
      "lost",
      `Cannot reach service ${this.#protocol.name} at "${this.#path}": ${why}`,
      false,
    );
  }

  #greet(channel: Channel): Promise<Connection> {
    return new Promise((resolve, reject) => {
      // A process that hangs before it greets must not hang those that wait for it.
      const late = setTimeout(() => connection.giveUp(), this.#timeout);
      const connection = new Connection(this.#protocol, this.#replies, channel, {
        ready: () => {
          clearTimeout(late);
          if (!this.#closed) this.#connection = connection;
          resolve(connection);
          // Closed meanwhile: who waits for the connection has it in this turn of the event loop, nobody later.
          if (this.#closed) setTimeout(() => connection.leave(), 0);
        },
        leaving: () => {
          if (this.#connection === connection) this.#connection = undefined;
        },
        failed: (error) => {
          clearTimeout(late);
          if (this.#connection === connection) this.#connection = undefined;
          reject(error);
        },
      });
    });
  }
}

function asIpcError(error: unknown): IpcError {
  if (error instanceof IpcError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (isSandboxRefusal(error)) throw error;
  return new IpcError("lost", message);
}

interface ConnectionEvents {
  ready(): void;
  leaving(): void;
  failed(error: IpcError): void;
}

/** One connection with its greeting behind it. */
class Connection {
  readonly #protocol: Protocol;
  readonly #replies: MessageIndex;
  readonly #channel: Channel;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #events: ConnectionEvents;
  readonly #exchanges = new Map<number, Exchange<Protocol>>();
  #nextId = 1;
  #greeted = false;
  #leaving = false;
  #over = false;
  #error: IpcError | undefined;
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(protocol: Protocol, replies: MessageIndex, channel: Channel, events: ConnectionEvents) {
    this.#protocol = protocol;
    this.#replies = replies;
    this.#channel = channel;
    this.#events = events;
    this.#writer = new FrameWriter(channel);
    this.#reader = new FrameReader(Math.max(replies.most, 4096), (kind, id, bytes, start, end) => {
      this.#take(kind, id, bytes, start, end);
    });
    channel.start({
      data: (bytes) => {
        try {
          this.#reader.push(bytes);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
          this.#fail(new IpcError("protocol", `Service ${this.#protocol.name}: ${error.message}`));
        }
      },
      room: () => this.#reader.room,
      closed: (why) =>
        this.#fail(
          new IpcError(
            "lost",
            `Service ${this.#protocol.name} closed the connection${why ? `: ${why}` : ""}`,
          ),
        ),
    });
  }

  /** True when it takes no new exchange, because the service or we said goodbye. */
  get left(): boolean {
    return this.#leaving;
  }

  /** Ends a connection that did not greet in time. */
  giveUp(): void {
    this.#fail(new IpcError("timeout", `Service ${this.#protocol.name} did not greet in time`, false));
  }

  adopt(exchange: Exchange<Protocol>): void {
    if (this.#over) {
      exchange.fail(
        this.#error ?? new IpcError("lost", `Service ${this.#protocol.name} closed the connection`),
      );
      return;
    }
    const id = this.#nextId;
    this.#nextId = this.#nextId >= 0xfffffff0 ? 1 : this.#nextId + 1;
    this.#exchanges.set(id, exchange);
    if (exchange.deadline > 0) this.#sweep();
    exchange.attach(this, id);
  }

  send(
    kind: number,
    id: number,
    fields: Parameters<FrameWriter["message"]>[2],
    values: Record<string, unknown>,
    hint = false,
  ): void {
    this.#writer.message(kind, id, fields, values, hint);
  }

  forget(id: number, cancel: boolean): void {
    if (!this.#exchanges.delete(id)) return;
    if (cancel && !this.#over) this.#writer.control(FRAME.CANCEL, id);
    if (this.#leaving && this.#exchanges.size === 0) this.#finish();
  }

  /** Takes no new exchange; closes after the last. */
  leave(): void {
    this.#leaving = true;
    this.#events.leaving();
    if (this.#exchanges.size === 0) this.#finish();
  }

  #finish(): void {
    this.#writer.flush();
    this.#over = true;
    clearInterval(this.#sweeper);
    this.#channel.finish();
  }

  #take(kind: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.#greeted) {
      const expected = helloText(this.#protocol);
      const said = kind === FRAME.HELLO ? decodeHello(bytes, start, end) : "no greeting";
      if (said !== expected) throw new CodecError(`greeting is not "${expected}"`);
      this.#greeted = true;
      this.#events.ready();
      return;
    }
    if (kind === FRAME.GOODBYE) return this.leave();
    const exchange = this.#exchanges.get(id);
    if (kind === FRAME.CREDIT) {
      exchange?.credit(decodeCredit(bytes, start, end));
      return;
    }
    const name = this.#replies.nameOf(kind);
    if (name === undefined) throw new CodecError(`unknown reply ${kind}`);
    const message = this.#replies.messages[name]!;
    const reply = this.#replies.decode(message, bytes, start, end);
    if (exchange === undefined) return; // cancelled, or timed out
    reply["is"] = name;
    if (message.last) this.#exchanges.delete(id);
    exchange.reply(reply, message.last === true);
    if (message.last && this.#leaving && this.#exchanges.size === 0) this.#finish();
  }

  #fail(error: IpcError): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    clearInterval(this.#sweeper);
    this.#events.failed(error);
    this.#channel.destroy();
    const lost = [...this.#exchanges.values()];
    this.#exchanges.clear();
    for (const exchange of lost) exchange.fail(error);
  }

  /** One timer looks after all deadlines: a timer for each call would cost more than the call. */
  #sweep(): void {
    this.#sweeper ??= setInterval(() => {
      const now = performance.now();
      let waiting = false;
      for (const [id, exchange] of this.#exchanges) {
        if (exchange.deadline === 0) continue;
        waiting = true;
        if (exchange.deadline > now) continue;
        this.forget(id, true);
        exchange.fail(new IpcError("timeout", `Service ${this.#protocol.name} did not answer in time`));
      }
      if (!waiting) {
        clearInterval(this.#sweeper);
        this.#sweeper = undefined;
      }
    }, 1000);
  }
}

/** One exchange, before and after its connection stands. */
class Exchange<P extends Protocol> implements ClientExchange<P> {
  readonly deadline: number;
  readonly #requests: MessageIndex;
  readonly #onReply: (reply: Reply<P>) => void;
  readonly #onError: (error: IpcError) => void;
  #connection: Connection | undefined;
  #id = 0;
  /** What was sent before the connection stood. */
  #early: [string, Record<string, unknown>][] | undefined = [];
  #underWay = 0;
  #waiters: (() => void)[] = [];
  #over = false;

  constructor(
    requests: MessageIndex,
    onReply: (reply: Reply<P>) => void,
    onError: (error: IpcError) => void,
    timeout: number,
  ) {
    this.#requests = requests;
    this.#onReply = onReply;
    this.#onError = onError;
    this.deadline = timeout > 0 ? performance.now() + timeout : 0;
  }

  attach(connection: Connection, id: number): void {
    if (this.#over) {
      connection.forget(id, false);
      return;
    }
    this.#connection = connection;
    this.#id = id;
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const [type, fields] of early) this.#put(type, fields);
  }

  send<K extends keyof P["requests"] & string>(type: K, fields: RequestValues<P, K>): void {
    if (this.#over) return;
    if (this.#requests.messages[type]!.flow) this.#underWay += flowSize(fields);
    // The sender may use its buffer again: what has to wait is kept as a copy.
    if (this.#connection === undefined) this.#early!.push([type, keep(fields)]);
    else this.#put(type, fields);
  }

  #put(type: string, fields: Record<string, unknown>): void {
    this.#connection!.send(
      this.#requests.numberOf(type),
      this.#id,
      this.#requests.messages[type]!.fields,
      fields,
    );
  }

  ready(): boolean {
    return this.#underWay < WINDOW / 2 || this.#over;
  }

  drained(): Promise<void> {
    if (this.ready()) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection?.forget(this.#id, true);
    this.#wake();
  }

  credit(count: number): void {
    this.#underWay = Math.max(0, this.#underWay - count);
    if (this.ready()) this.#wake();
  }

  reply(reply: Record<string, unknown>, last: boolean): void {
    if (this.#over) return;
    if (last) {
      this.#over = true;
      this.#wake();
    }
    this.#onReply(reply as unknown as Reply<P>);
  }

  fail(error: IpcError): void {
    if (this.#over) return;
    this.#over = true;
    this.#wake();
    this.#onError(error);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

/** Bytes of a message that count against the window. */
export function flowSize(fields: Record<string, unknown>): number {
  let size = 0;
  for (const name in fields) {
    const value = fields[name];
    if (value instanceof Uint8Array) size += value.length;
  }
  return size;
}

function keep(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map((
      [name, value],
    ) => [name, value instanceof Uint8Array ? value.slice() : value]),
  );
}
