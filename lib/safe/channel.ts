/**
 * Stream sockets with event callbacks: what daemons speak to one another over, and what clients of the network
 * services arrive on. A listener is inherited from master as a descriptor and needs no permission; connecting to a
 * unix socket needs net, read and write on its exact path.
 *
 * @module
 */
import net from "node:net";
import { describe } from "./error.ts";

/** What a channel tells its user. Each runs on the event loop and must not block. */
export interface ChannelEvents {
  /** Bytes that arrived, valid during the call only. */
  data(bytes: Uint8Array): void;
  /** The peer will send no more, or the channel failed (`why`). Called once. */
  closed(why: string | undefined): void;
  /** What `write` held back has gone out. */
  drained?(): void;
}

/** One connected stream socket. */
export class Channel {
  readonly #socket: net.Socket;
  #events: ChannelEvents | undefined;
  #over = false;

  /** Only this module makes one. */
  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("error", (error) => this.#end(describe(error)));
    socket.on("close", () => this.#end(undefined));
    socket.on("end", () => this.#end(undefined));
    socket.on("drain", () => this.#events?.drained?.());
  }

  /** Starts the flow of events; called again, it hands the channel to another user. */
  start(events: ChannelEvents): void {
    const first = this.#events === undefined;
    this.#events = events;
    if (first) this.#socket.on("data", (bytes: Uint8Array) => this.#events?.data(bytes));
  }

  /** Sends bytes, which the channel keeps: false when so much waits that the caller should pause until `drained`. */
  write(bytes: Uint8Array): boolean {
    return this.#over ? true : this.#socket.write(bytes);
  }

  /** Bytes that wait to be sent. */
  get pending(): number {
    return this.#socket.writableLength;
  }

  /** Stops reading, so that the peer is slowed down. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Address of the peer, for TCP; empty for unix sockets. */
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? "";
  }

  get remotePort(): number {
    return this.#socket.remotePort ?? 0;
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? "";
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  /** Sends what waits, then closes. */
  finish(): void {
    this.#socket.end();
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy();
    this.#end(undefined);
  }

  #end(why: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    const events = this.#events;
    events?.closed(why);
    // An end from the peer leaves our half open: nobody here uses a half-open connection.
    if (!this.#socket.destroyed) this.#socket.end(() => this.#socket.destroy());
  }
}

/** A listener that was inherited, accepting until it is closed. */
export class Listener {
  readonly #server: net.Server;

  /**
   * @param descriptor number of the inherited listening socket
   * @param most connections at once; more wait in the system's queue
   */
  constructor(
    descriptor: number,
    most: number,
    accept: (channel: Channel) => void,
    failed: (why: string) => void,
  ) {
    this.#server = net.createServer({ pauseOnConnect: false }, (socket) => accept(new Channel(socket)));
    this.#server.maxConnections = most;
    this.#server.on("error", (error) => failed(describe(error)));
    this.#server.listen({ fd: descriptor });
  }

  /** Stops accepting; connections go on. The socket itself stays open in master. */
  close(): void {
    this.#server.close();
  }
}

/** Connects to a unix socket; the result says why it could not. */
export function connectUnixChannel(
  path: string,
): Promise<
  { readonly kind: "connected"; readonly channel: Channel } | {
    readonly kind: "failed";
    readonly why: string;
  }
> {
  return new Promise((resolve) => {
    const socket = net.createConnection({ path });
    const failed = (error: unknown) => resolve({ kind: "failed", why: describe(error) });
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve({ kind: "connected", channel: new Channel(socket) });
    });
  });
}

/** The connected socket that this process inherited as a descriptor. */
export function inheritedChannel(descriptor: number): Channel {
  return new Channel(new net.Socket({ fd: descriptor, readable: true, writable: true }));
}
