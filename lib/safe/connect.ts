/**
 * Outgoing connections: streams to literal addresses and unix sockets, and datagram sockets that are bound to one
 * peer. Every wait has a deadline. Names are never resolved here: a grant for an address must not be usable for
 * whatever a name resolves to.
 *
 * Permissions needed: net on address:port (streams, and datagrams sent); net, read and write on the path of a unix
 * socket; net on "0.0.0.0:0" or "[::]:0" for the local end of a datagram socket.
 *
 * @module
 */
import dgram from "node:dgram";
import { parseIpv6 } from "../vstring/ip_address.ts";
import { describe, errorCode, isSandboxRefusal } from "./error.ts";

/** Why a connection could not be made or went away. */
export type NetworkFailure = "timeout" | "closed" | "denied" | "failed";

/** A failed connect, read or write. `reason` is the system's own word, as "Connection refused". */
export class NetworkError extends Error {
  override name = "NetworkError";
  readonly kind: NetworkFailure;
  readonly reason: string;
  constructor(kind: NetworkFailure, reason: string, cause?: unknown) {
    super(reason, { cause });
    this.kind = kind;
    this.reason = reason;
  }
}

const TIMED_OUT = "Connection timed out";

/** The part of the runtime's streams that a connection stands on. */
export type RawStream = Pick<Deno.Conn, "read" | "write" | "close">;

/** A stream as it was opened, with the addresses of its ends. */
export type OpenStream = RawStream & Pick<Deno.Conn, "localAddr" | "remoteAddr">;

/** One connected stream. One read and one write may be under way at once. */
export class Connection {
  #conn: RawStream;
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** When the current wait ends, by `performance.now()`; infinite while nobody waits. */
  #expires = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer rings. */
  #rings = Infinity;
  #timedOut = false;
  #closed = false;

  /** Only this folder makes one. */
  constructor(conn: OpenStream) {
    this.#conn = conn;
    this.localAddress = hostOf(conn.localAddr);
    this.remoteAddress = hostOf(conn.remoteAddr);
  }

  /** From now on, whatever is under way must end within so many milliseconds, or the connection is closed. */
  deadline(milliseconds: number): void {
    this.#expires = performance.now() + milliseconds;
    // Most waits are as long as the one before: a timer that rings too early looks again.
    if (this.#expires < this.#rings) this.#arm(milliseconds);
  }

  /** Nothing is due any more. */
  noDeadline(): void {
    this.#expires = Infinity;
  }

  /**
   * Puts another stream on top of the one in use, as TLS; nothing may be under way. Throws `NetworkError` for what goes
   * wrong below, and what `make` throws.
   */
  async layer(make: (below: RawStream) => Promise<RawStream>): Promise<void> {
    try {
      this.#conn = await make(this.#conn);
    } catch (error) {
      throw this.#timedOut ? this.#failure(error) : error;
    }
  }

  /** Reads into `buffer`: the bytes read, or null when the peer has closed. Throws `NetworkError`. */
  async read(buffer: Uint8Array): Promise<number | null> {
    let count: number | null;
    try {
      count = await this.#conn.read(buffer);
    } catch (error) {
      throw this.#failure(error);
    }
    // A stream on top of another ends in good order when we close it.
    if (count === null && this.#timedOut) throw new NetworkError("timeout", TIMED_OUT);
    return count;
  }

  /** Writes all of `bytes`. Throws `NetworkError`. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      // A write may take only a part.
      for (let done = 0; done < bytes.length;) done += await this.#conn.write(bytes.subarray(done));
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Closes at once; what is under way fails. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    try {
      this.#conn.close();
    } catch (error) {
      // Already closed by the runtime after an error: there is nothing left to free.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #arm(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#rings = performance.now() + milliseconds;
    this.#timer = setTimeout(() => this.#ring(), Math.max(1, Math.min(milliseconds, 0x7fffffff)));
  }

  #ring(): void {
    this.#rings = Infinity;
    if (this.#expires === Infinity) return;
    const left = this.#expires - performance.now();
    if (left > 0) return this.#arm(left);
    this.#timedOut = true;
    this.close();
  }

  #failure(error: unknown): NetworkError {
    if (this.#timedOut) return new NetworkError("timeout", TIMED_OUT, error);
    if (error instanceof NetworkError) return error;
    if (isEndOfStream(error)) return new NetworkError("closed", describe(error), error);
    return new NetworkError("failed", describe(error), error);
  }
}

/** The peer, or we, have ended the connection. */
function isEndOfStream(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionAborted || error instanceof Deno.errors.NotConnected;
}

function hostOf(address: Deno.Addr): string {
  return "hostname" in address ? address.hostname : "";
}

/**
 * Connects to a literal IP address.
 *
 * @param timeoutMs most milliseconds that it may take; 0 for the system's own limit
 * @throws NetworkError with the system's reason
 */
export async function connectTcp(address: string, port: number, timeoutMs: number): Promise<Connection> {
  // Deno's denials of IPv4 networks do not see an IPv4 address in IPv6 form (::ffff:127.0.0.1): it stays outside.
  if (isMappedIpv4(address)) throw new NetworkError("denied", "IPv4 address in IPv6 form");
  const options = { hostname: address, port, transport: "tcp", autoSelectFamily: false } as const;
  const connecting = timeoutMs > 0
    ? Deno.connect({ ...options, signal: AbortSignal.timeout(timeoutMs) })
    : Deno.connect(options);
  try {
    const conn = await connecting;
    conn.setNoDelay(true);
    return new Connection(conn);
  } catch (error) {
    throw connectFailure(error);
  }
}

/** True for what RFC 4291 section 2.5.5.2 maps: ten bytes of zero, two of 0xff, then an IPv4 address. */
function isMappedIpv4(address: string): boolean {
  const bytes = parseIpv6(address);
  return bytes !== undefined && bytes.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
}

/**
 * Connects to a unix stream socket. The kernel answers at once, so the timeout guards only a full backlog.
 *
 * @throws NetworkError with the system's reason
 */
export async function connectUnix(path: string, timeoutMs: number): Promise<Connection> {
  const connecting = Deno.connect({ transport: "unix", path });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    if (timeoutMs <= 0) return;
    timer = setTimeout(() => reject(new NetworkError("timeout", TIMED_OUT)), timeoutMs);
  });
  try {
    return new Connection(await Promise.race([connecting, late]));
  } catch (error) {
    // A connection that is made after all has no user.
    connecting.then((conn) => conn.close(), () => undefined);
    throw error instanceof NetworkError ? error : connectFailure(error);
  } finally {
    clearTimeout(timer);
  }
}

/** What went wrong with making a connection. */
export function connectFailure(error: unknown): NetworkError {
  if (error instanceof NetworkError) return error;
  if (error instanceof DOMException) return new NetworkError("timeout", TIMED_OUT, error);
  if (isSandboxRefusal(error)) return new NetworkError("denied", describe(error), error);
  return new NetworkError(errorCode(error) === "ETIMEDOUT" ? "timeout" : "failed", describe(error), error);
}

/** A datagram socket on a port that the system chose at random, which hears one peer only. */
export interface DatagramSocket {
  send(bytes: Uint8Array): void;
  close(): void;
}

/** What a datagram socket tells its user. */
export interface DatagramEvents {
  /** Bytes from the peer, valid during the call only. */
  message(bytes: Uint8Array): void;
  /** It will bring nothing any more; called at most once. */
  failed(error: NetworkError): void;
}

/**
 * Opens a datagram socket and connects it, so that the system drops what comes from any other address or port.
 * A missing grant for the local end cannot be caught here: the runtime throws it past everybody, and the process ends.
 *
 * @throws NetworkError when the socket cannot be had
 */
export function openDatagram(address: string, port: number, events: DatagramEvents): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const fail = (error: unknown) => {
      const failure = connectFailure(error);
      if (settled) return events.failed(failure);
      settled = true;
      reject(failure);
    };
    try {
      const socket = dgram.createSocket(address.includes(":") ? "udp6" : "udp4");
      socket.on("error", fail);
      socket.on("message", (bytes: Uint8Array, from: { address: string; port: number }) => {
        if (from.address === address && from.port === port) events.message(bytes);
      });
      socket.connect(port, address, () => {
        settled = true;
        resolve(datagramSocket(socket, fail));
      });
    } catch (error) {
      fail(error);
    }
  });
}

function datagramSocket(socket: dgram.Socket, fail: (error: unknown) => void): DatagramSocket {
  let open = true;
  return {
    send: (bytes) => {
      if (open) {
        socket.send(bytes, (error: Error | null) => error !== null && error !== undefined && fail(error));
      }
    },
    close: () => {
      if (!open) return;
      open = false;
      socket.close();
    },
  };
}
