/**
 * Stream sockets with event callbacks: what daemons speak to one another over, and what clients of the network
 * services arrive on. A listener is inherited from master as a descriptor and needs no permission; connecting to a
 * unix socket needs net, read and write on its exact path.
 *
 * @module
 */
import net from "node:net";
import { describe } from "./error.ts";
import { atTurnEnd } from "./turn.ts";

/** What a channel tells its user. Each runs on the event loop and must not block. */
export interface ChannelEvents {
  /** Bytes that arrived, valid during the call only. */
  data(bytes: Uint8Array): void;
  /**
   * Memory for what comes next, asked for again after each call of `data`: where the runtime can, it reads into it, and
   * else into memory of its own, 64 KiB for each read, which pile up until the collector comes.
   */
  room?(): Uint8Array;
  /** The peer will send no more, or the channel failed (`why`). Called once. */
  closed(why: string | undefined): void;
  /** What `write` held back has gone out. */
  drained?(): void;
  /**
   * The peer will send no more, and may still read: who has this finishes the channel itself. Without it the end of
   * input closes the channel.
   */
  ended?(): void;
}

/** How long a peer may take to fetch what was sent and to close its side after `finish`, milliseconds. */
const LINGER = 10_000;
/** How often a listener is told to go on accepting, milliseconds. */
const ACCEPT_INTERVAL = 1000;
/** Connections that the system keeps for a listener. */
const BACKLOG = 511;

/** One connected stream socket. */
export class Channel {
  readonly #socket: net.Socket;
  readonly #below: net.Socket | undefined;
  /** Undefined under TLS, which has memory of its own. */
  readonly #input: SocketInput | undefined;
  #events: ChannelEvents | undefined;
  #over = false;
  #linger: ReturnType<typeof setTimeout> | undefined;
  /** What waits for the end of this turn. */
  #late: Uint8Array[] = [];

  /**
   * Only lib/safe makes one.
   *
   * @param below the connection itself, where `socket` is TLS on it
   */
  constructor(socket: net.Socket, below?: net.Socket) {
    this.#socket = socket;
    this.#below = below;
    this.#input = below === undefined ? new SocketInput(socket) : undefined;
    socket.setNoDelay(true);
    socket.on("error", (error) => this.#end(describe(error)));
    socket.on("close", () => {
      clearTimeout(this.#linger);
      this.#end(undefined);
    });
    socket.on("end", () => {
      if (this.#over || this.#events?.ended === undefined) this.#end(undefined);
      else this.#events.ended();
    });
    socket.on("drain", () => this.#events?.drained?.());
  }

  /** Starts the flow of events; called again, it hands the channel to another user. */
  start(events: ChannelEvents): void {
    const first = this.#events === undefined;
    this.#events = events;
    this.#input?.into(events.room?.(), this.#took);
    if (!first) return;
    this.#socket.on("data", ({ buffer, byteOffset, length }: Uint8Array) => {
      // Not as the Buffer that it is: each view of one would be made by a constructor in JavaScript.
      this.#events?.data(new Uint8Array(buffer, byteOffset, length));
    });
  }

  /** Bytes were read into the room that there was for them. */
  readonly #took = (count: number, room: Uint8Array): boolean => {
    if (this.#over) return true;
    this.#events?.data(room.subarray(0, count));
    if (!this.#over) this.#input?.into(this.#events?.room?.(), this.#took);
    return true;
  };

  /** Sends bytes, which the channel keeps: false when so much waits that the caller should pause until `drained`. */
  write(bytes: Uint8Array): boolean {
    if (this.#over) return true;
    this.#sendLate();
    return this.#socket.write(bytes);
  }

  /**
   * Sends bytes, which the channel keeps, at the end of this turn of the event loop: for many channels that have something
   * in the same turn. What else the channel is told to send, and its end, come behind them.
   */
  writeLate(bytes: Uint8Array): void {
    if (this.#over) return;
    if (this.#late.length === 0) atTurnEnd(() => this.#sendLate());
    this.#late.push(bytes);
  }

  #sendLate(): void {
    if (this.#late.length === 0) return;
    const late = this.#late;
    this.#late = [];
    for (const bytes of late) this.#socket.write(bytes);
  }

  /** Bytes that wait to be sent. */
  get pending(): number {
    return this.#late.reduce((sum, { length }) => sum + length, this.#socket.writableLength);
  }

  /** Stops reading, so that the peer is slowed down. */
  pause(): void {
    if (this.#below === undefined) this.#socket.pause();
    else readingOf(this.#below)?.readStop();
  }

  resume(): void {
    if (this.#below === undefined) this.#socket.resume();
    else readingOf(this.#below)?.readStart();
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

  /** Sends what waits and then no more; what the peer sends still comes. */
  endOutput(): void {
    this.#sendLate();
    this.#socket.end();
  }

  /**
   * Sends what waits, then closes. A peer that does not fetch it, or does not close its side, is cut off after a
   * while: its socket is not ours to keep.
   */
  finish(): void {
    if (this.#socket.destroyed) return;
    this.#sendLate();
    this.#socket.end();
    // What still comes in is thrown away: closing with unread input would reset the connection, and the peer might
    // never see the last reply.
    this.resume();
    this.#linger ??= setTimeout(() => this.#socket.destroy(), LINGER);
  }

  /**
   * Sends what waits, then closes without listening to the peer any more: for a peer that has said its last word. Costs
   * less than `finish`, and a peer that has gone already makes no error.
   */
  close(): void {
    this.#sendLate();
    if (this.#socket.writableLength > 0) return this.finish();
    // The system goes on sending what it has taken.
    this.destroy();
  }

  /**
   * Gives the socket away, to be read by another: nothing of it is told here any more, and nothing may be sent. For
   * lib/safe alone.
   */
  release(): net.Socket {
    this.#sendLate();
    this.#over = true;
    for (const name of ["data", "error", "close", "end", "drain"]) this.#socket.removeAllListeners(name);
    this.#input?.into(undefined, this.#took);
    // What comes from here on stays in the system until the new owner reads.
    this.#socket.pause();
    return this.#socket;
  }

  /** Closes at once. */
  destroy(): void {
    this.#late = [];
    this.#socket.destroy();
    this.#end(undefined);
  }

  #end(why: string | undefined): void {
    if (this.#over) return;
    this.#sendLate();
    this.#over = true;
    const events = this.#events;
    events?.closed(why);
    // An end from the peer leaves our half open: nobody here uses a half-open connection.
    if (!this.#socket.destroyed) this.#socket.end(() => this.#socket.destroy());
  }
}

/**
 * What reads from the system for a connection that TLS is on. A TLS socket that is paused goes on reading and keeps all of
 * it in memory, and does not always go on when it is resumed (tests/platform); so its connection is stopped in its place.
 */
function readingOf(socket: net.Socket): { readStop(): void; readStart(): void } | null {
  return (socket as unknown as { _handle: { readStop(): void; readStart(): void } | null })._handle;
}

/** Takes the number of bytes that were read and the memory that they were read into; false to stop reading. */
type Took = (count: number, room: Uint8Array) => boolean;

/** What the runtime keeps of `onread` in a socket, and what reads for it. */
interface ReadingSocket {
  readonly _handle: { useUserBuffer?(room: Uint8Array): void } | null;
  [field: symbol]: unknown;
}

/** Sets back what reads for a socket. */
const NO_ROOM = new Uint8Array(0);

/**
 * Where a socket reads to: `onread` of `node:net`. That can be asked for only where a socket is made, and those that a
 * server accepts are made by the runtime: so this sets what `onread` sets, under the names that the runtime has for it
 * (a test holds them). Where they are not found nothing is set, and all comes by "data" as before.
 */
class SocketInput {
  readonly #socket: ReadingSocket;
  #fields: { readonly buffer: symbol; readonly callback: symbol } | undefined;
  #room: Uint8Array | undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket as unknown as ReadingSocket;
  }

  /** From now on what comes is read into this, and told to `took`; undefined: it comes by "data". */
  into(room: Uint8Array | undefined, took: Took): void {
    if (room === this.#room) return;
    const socket = this.#socket;
    const fields = this.#fields ??= fieldsOf(socket);
    if (fields === undefined || socket._handle?.useUserBuffer === undefined) return;
    socket[fields.callback] = took;
    socket[fields.buffer] = room ?? null;
    socket._handle.useUserBuffer(room ?? NO_ROOM);
    this.#room = room;
  }
}

function fieldsOf(socket: ReadingSocket): { readonly buffer: symbol; readonly callback: symbol } | undefined {
  const fields = Object.getOwnPropertySymbols(socket);
  const buffer = fields.find(({ description }) => description === "kBuffer");
  const callback = fields.find(({ description }) => description === "kBufferCb");
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback };
}

/** A listener that was inherited, accepting until it is closed. */
export class Listener {
  readonly #server: net.Server;
  readonly #rearm: ReturnType<typeof setInterval>;

  /**
   * @param descriptor number of the inherited listening socket
   * @param most connections at once; more are closed unserved
   */
  constructor(
    descriptor: number,
    most: number,
    accept: (channel: Channel) => void,
    failed: (why: string) => void,
  ) {
    const options = { pauseOnConnect: false, allowHalfOpen: true };
    this.#server = net.createServer(options, (socket) => accept(new Channel(socket)));
    this.#server.maxConnections = most;
    this.#server.on("error", (error) => failed(describe(error)));
    this.#server.listen({ fd: descriptor });
    this.#rearm = setInterval(() => acceptAgain(this.#server), ACCEPT_INTERVAL);
  }

  /** Stops accepting; connections go on. The socket itself stays open in master. */
  close(): void {
    clearInterval(this.#rearm);
    this.#server.close();
  }
}

/**
 * Tells a listener to accept. When a process runs out of descriptors, Deno ends the accept loop without a word
 * (PLATFORM.md knows the same of `Deno.listen`), and nothing in the public interface of `node:net` starts it again;
 * `listen` of the handle does, and changes nothing where the loop runs.
 */
function acceptAgain(server: net.Server): void {
  const { _handle: handle } = server as unknown as { _handle: { listen(backlog: number): number } | null };
  handle?.listen(BACKLOG);
}

/** Lets work wait until what peers have sent by now has been read. */
export class InputGate {
  #waiting: (() => void)[] = [];

  /**
   * Runs `work` once every channel that is open now has given what its peer had sent by now: input is looked for between
   * one round of timers and the next, and the first round may follow without a look where this turn took long.
   */
  pass(work: () => void): void {
    this.#waiting.push(work);
    if (this.#waiting.length > 1) return;
    setTimeout(() => {
      const waiting = this.#waiting;
      this.#waiting = [];
      setTimeout(() => {
        for (const one of waiting) one();
      }, 0);
    }, 0);
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
