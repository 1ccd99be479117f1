/**
 * Connections from a given address of this host. The runtime's own connect cannot bind, its form of node:net can.
 *
 * Permissions needed: net on the peer's address:port, and net on the own address with port 0.
 *
 * @module
 */
import net from "node:net";
import { connectFailure, Connection, NetworkError, type OpenStream } from "./connect.ts";
import { describe } from "./error.ts";

/** The address cannot be had: it is none of this host's. */
export class BindError extends Error {
  override name = "BindError";
}

/**
 * Connects to a literal IP address from one of ours, both of the same family.
 *
 * @param timeoutMs most milliseconds that it may take; 0 for the system's own limit
 * @throws BindError when the own address cannot be used
 * @throws NetworkError with the system's reason
 */
export function connectFrom(
  own: string,
  address: string,
  port: number,
  timeoutMs: number,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let socket: net.Socket | undefined;
    const fail = (error: unknown) => {
      clearTimeout(timer);
      socket?.destroy();
      const bind = (error as { syscall?: unknown }).syscall === "bind";
      reject(bind ? new BindError(describe(error), { cause: error }) : connectFailure(error));
    };
    try {
      socket = net.connect({ host: address, port, localAddress: own, autoSelectFamily: false });
    } catch (error) {
      return fail(error);
    }
    const connected = socket;
    connected.once("error", fail);
    connected.once("connect", () => {
      clearTimeout(timer);
      connected.off("error", fail);
      connected.setNoDelay(true);
      resolve(new Connection(new SocketStream(connected)));
    });
    if (timeoutMs > 0) {
      timer = setTimeout(() => fail(new NetworkError("timeout", "Connection timed out")), timeoutMs);
    }
  });
}

/** A node:net socket as the runtime's streams are: read when asked, nothing taken in advance. */
class SocketStream implements OpenStream {
  readonly #socket: net.Socket;
  #error: unknown;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    const wake = () => {
      this.#wake?.();
      this.#wake = undefined;
    };
    socket.on("readable", wake);
    socket.on("end", () => {
      this.#ended = true;
      wake();
    });
    socket.on("error", (error) => {
      this.#error = error;
      wake();
    });
    socket.on("close", () => {
      this.#error ??= new NetworkError("closed", "Connection closed");
      wake();
    });
  }

  get localAddr(): Deno.Addr {
    return addressOf(this.#socket.localAddress, this.#socket.localPort);
  }

  get remoteAddr(): Deno.Addr {
    return addressOf(this.#socket.remoteAddress, this.#socket.remotePort);
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      const waiting = this.#socket.readableLength;
      const bytes: Uint8Array | null = waiting === 0
        ? null
        : this.#socket.read(Math.min(waiting, buffer.length));
      if (bytes !== null) {
        buffer.set(bytes);
        return bytes.length;
      }
      if (this.#ended) return null;
      if (this.#error !== undefined) throw this.#error;
      // Asking for nothing starts the next read of the socket.
      this.#socket.read(0);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      // The caller uses its buffer again when this resolves, which is when the system has the bytes.
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

function addressOf(hostname = "", port = 0): Deno.Addr {
  return { transport: "tcp", hostname, port };
}
