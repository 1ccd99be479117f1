/**
 * The server end: accepts connections, greets them, and hands each exchange's messages to the daemon in order.
 *
 * @module
 */
import type { Channel } from "../safe/channel.ts";
import { flowSize } from "./client.ts";
import { CodecError } from "./codec.ts";
import { encodeCredit, encodeHello, FRAME, FrameReader, FrameWriter, MessageIndex, WINDOW } from "./frame.ts";
import { CHUNK_ALLOWANCE } from "./limits.ts";
import type { Protocol, ReplyValues, Request } from "./protocol.ts";

/** One exchange as the daemon sees it. `state` is the daemon's own. */
export interface ServerExchange<P extends Protocol, S = unknown> {
  /** Sends a reply; after the last one the exchange is over. Sends nothing when the client is gone. */
  reply<K extends keyof P["replies"] & string>(type: K, fields: ReplyValues<P, K>): void;
  /** What the daemon keeps about it between messages. */
  state: S | undefined;
  /** Called when the client breaks it off or goes away before its last reply. */
  onCancel: (() => void) | undefined;
  /** True when the client no longer waits. */
  readonly cancelled: boolean;
}

/**
 * Handles one message. Messages of one exchange come one after the other, also when this returns a promise. The bytes of
 * one with `flow` are its own until it is done; those of others may be kept.
 */
export type Handler<P extends Protocol> = (
  exchange: ServerExchange<P>,
  message: Request<P>,
) => void | Promise<void>;

/** Most exchanges at once on one connection, and most messages that wait for a slow handler in one exchange. */
const EXCHANGE_LIMIT = 20_000;
const QUEUE_LIMIT = 1000;
/** The server returns credit when it has taken this much, bytes. */
const CREDIT_STEP = WINDOW / 4;

/** What a server tells its daemon. */
export interface ServerEvents {
  /** A client broke the protocol, or a handler threw: the connection is closed. */
  trouble(why: string, error: unknown): void;
}

/** Serves one protocol on any number of connections. */
export class IpcServer<P extends Protocol> {
  readonly #protocol: P;
  readonly #requests: MessageIndex;
  readonly #replies: MessageIndex;
  readonly #handler: Handler<P>;
  readonly #events: ServerEvents;
  readonly #connections = new Set<ServerConnection<P>>();
  #retired = false;

  constructor(protocol: P, handler: Handler<P>, events: ServerEvents) {
    this.#protocol = protocol;
    this.#requests = new MessageIndex(protocol.requests);
    this.#replies = new MessageIndex(protocol.replies);
    this.#handler = handler;
    this.#events = events;
  }

  /** Takes a connection. */
  accept(channel: Channel): void {
    const connection: ServerConnection<P> = new ServerConnection(
      this.#protocol,
      this.#requests,
      this.#replies,
      channel,
      this.#handler,
      {
        trouble: this.#events.trouble,
        used: () => this.used++,
        over: () => {
          this.#connections.delete(connection);
          this.#wake();
        },
      },
    );
    this.#connections.add(connection);
    if (this.#retired) connection.goodbye();
  }

  /** Exchanges and one-way messages served. */
  used = 0;

  /** Exchanges under way. */
  get busy(): number {
    let sum = 0;
    for (const connection of this.#connections) sum += connection.busy;
    return sum;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Asks clients to open no new exchange here; resolves when the last of them has gone. */
  retire(): Promise<void> {
    this.#retired = true;
    for (const connection of this.#connections) connection.goodbye();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#wake();
    });
  }

  /** Resolves when the last connection has gone, for a server that has just one. */
  retireWhenAlone(): Promise<void> {
    return new Promise((resolve) => {
      this.#alone = true;
      this.#waiters.push(resolve);
      this.#wake();
    });
  }

  #waiters: (() => void)[] = [];
  #alone = false;

  #wake(): void {
    if ((!this.#retired && !this.#alone) || this.#connections.size > 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

interface ConnectionEvents extends ServerEvents {
  used(): void;
  over(): void;
}

class ServerConnection<P extends Protocol> {
  readonly #requests: MessageIndex;
  readonly #replies: MessageIndex;
  readonly #channel: Channel;
  readonly #handler: Handler<P>;
  readonly #events: ConnectionEvents;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #exchanges = new Map<number, OpenExchange<P>>();
  #over = false;

  constructor(
    protocol: P,
    requests: MessageIndex,
    replies: MessageIndex,
    channel: Channel,
    handler: Handler<P>,
    events: ConnectionEvents,
  ) {
    this.#requests = requests;
    this.#replies = replies;
    this.#channel = channel;
    this.#handler = handler;
    this.#events = events;
    this.#writer = new FrameWriter(channel);
    const reader = this.#reader = new FrameReader(
      requests.most,
      (kind, id, bytes, start, end) => this.#take(kind, id, bytes, start, end),
    );
    this.#writer.control(FRAME.HELLO, 0, encodeHello(protocol));
    channel.start({
      data: (bytes) => {
        try {
          reader.push(bytes);
        } catch (error) {
          this.#fail(error);
        }
      },
      room: () => reader.room,
      closed: () => this.#close(),
    });
  }

  get busy(): number {
    return this.#exchanges.size;
  }

  goodbye(): void {
    this.#writer.control(FRAME.GOODBYE, 0);
  }

  send(kind: string, id: number, fields: Record<string, unknown>): void {
    if (this.#over) return;
    const message = this.#replies.messages[kind]!;
    this.#writer.message(this.#replies.numberOf(kind), id, message.fields, fields);
    if (message.last) this.#exchanges.delete(id);
  }

  credit(id: number, count: number): void {
    if (!this.#over) this.#writer.control(FRAME.CREDIT, id, encodeCredit(count));
  }

  /** A handler threw or a client broke the protocol: neither may be trusted with more. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  #take(kind: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (kind === FRAME.CANCEL) {
      const exchange = this.#exchanges.get(id);
      this.#exchanges.delete(id);
      exchange?.cancel();
      return;
    }
    const name = this.#requests.nameOf(kind);
    if (name === undefined) throw new CodecError(`Cannot read frame: unknown request ${kind}`);
    const message = this.#requests.messages[name]!;
    const request = this.#requests.decode(message, bytes, start, end);
    request["is"] = name;
    let exchange = this.#exchanges.get(id);
    if (exchange === undefined) {
      this.#events.used();
      exchange = new OpenExchange<P>(this, message.oneway ? 0 : id, this.#handler);
      if (!message.oneway) {
        if (this.#exchanges.size >= EXCHANGE_LIMIT) {
          throw new CodecError("Cannot open exchange: there are too many");
        }
        this.#exchanges.set(id, exchange);
      }
    }
    const isDone = exchange.push(request as unknown as Request<P>, message.flow ? flowSize(request) : 0);
    if (!isDone && message.flow) this.#reader.keep();
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#events.trouble(error instanceof Error ? error.message : String(error), error);
    this.#channel.destroy();
    this.#close();
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    const open = [...this.#exchanges.values()];
    this.#exchanges.clear();
    for (const exchange of open) exchange.cancel();
    this.#events.over();
  }
}

class OpenExchange<P extends Protocol> implements ServerExchange<P> {
  state: unknown = undefined;
  onCancel: (() => void) | undefined = undefined;
  cancelled = false;
  readonly #connection: ServerConnection<P>;
  readonly #id: number;
  readonly #handler: Handler<P>;
  #running = false;
  #queue: [Request<P>, number][] | undefined;
  #queued = 0;
  #taken = 0;

  constructor(connection: ServerConnection<P>, id: number, handler: Handler<P>) {
    this.#connection = connection;
    this.#id = id;
    this.#handler = handler;
  }

  reply<K extends keyof P["replies"] & string>(type: K, fields: ReplyValues<P, K>): void {
    if (!this.cancelled) this.#connection.send(type, this.#id, fields as Record<string, unknown>);
  }

  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.onCancel?.();
  }

  /** Takes a message; false when its handler is not done with it yet. */
  push(message: Request<P>, flow: number): boolean {
    if (this.#running) {
      this.#queue ??= [];
      this.#queued += flow;
      if (this.#queue.length >= QUEUE_LIMIT || this.#queued > WINDOW + CHUNK_ALLOWANCE) {
        throw new CodecError("Cannot take message: the client does not heed the window");
      }
      this.#queue.push([message, flow]);
      return false;
    }
    const pending = this.#handle(message, flow);
    if (pending !== undefined) this.#wait(pending);
    return pending === undefined;
  }

  #handle(message: Request<P>, flow: number): Promise<void> | undefined {
    const result = this.#handler(this, message);
    if (result === undefined) {
      this.#took(flow);
      return undefined;
    }
    return result.then(() => this.#took(flow));
  }

  #wait(pending: Promise<void>): void {
    this.#running = true;
    pending.then(() => this.#goOn(), (error) => this.#connection.fail(error));
  }

  #goOn(): void {
    this.#running = false;
    try {
      while (this.#queue !== undefined && this.#queue.length > 0) {
        const [message, flow] = this.#queue.shift()!;
        this.#queued -= flow;
        if (this.cancelled) continue;
        const pending = this.#handle(message, flow);
        if (pending !== undefined) return this.#wait(pending);
      }
    } catch (error) {
      this.#connection.fail(error);
    }
  }

  #took(flow: number): void {
    if (flow === 0) return;
    this.#taken += flow;
    if (this.#taken < CREDIT_STEP) return;
    this.#connection.credit(this.#id, this.#taken);
    this.#taken = 0;
  }
}
