/**
 * Listening sockets that a program opens for itself. Daemons inherit theirs from master (channel.ts); this is for
 * the tools that a person runs, as smtp-sink.
 *
 * Permissions needed: net on the address and port, or net, read and write on the path of a unix socket.
 *
 * @module
 */
import net from "node:net";
import { Channel } from "./channel.ts";
import { describe } from "./error.ts";

/** Where to listen. */
export type ListenAddress =
  /** `host` empty: every interface. `family` 0: IPv4 and IPv6. */
  | { readonly kind: "inet"; readonly host: string; readonly port: number; readonly family: 0 | 4 | 6 }
  | { readonly kind: "unix"; readonly path: string };

/** A listener, or why there is none. */
export type Listening =
  | { readonly kind: "listening"; readonly server: StreamServer }
  | { readonly kind: "failed"; readonly why: string };

/** A listening socket of our own. */
export class StreamServer {
  readonly #server: net.Server;

  /** Only this module makes one. */
  constructor(server: net.Server) {
    this.#server = server;
  }

  /** The port that it listens on; 0 for unix sockets. */
  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Stops accepting; connections go on. */
  close(): void {
    this.#server.close();
  }
}

/**
 * Listens and hands each connection over, not yet started.
 *
 * @param backlog connections that the system keeps until they are accepted
 * @param failed is told of trouble after the start, as running out of descriptors
 */
export function listenStream(
  address: ListenAddress,
  backlog: number,
  accept: (channel: Channel) => void,
  failed: (why: string) => void,
): Promise<Listening> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => accept(new Channel(socket)));
    const refused = (error: unknown) => resolve({ kind: "failed", why: describe(error) });
    server.once("error", refused);
    server.listen(toOptions(address, backlog), () => {
      server.off("error", refused);
      server.on("error", (error) => failed(describe(error)));
      resolve({ kind: "listening", server: new StreamServer(server) });
    });
  });
}

function toOptions(address: ListenAddress, backlog: number): net.ListenOptions {
  if (address.kind === "unix") return { path: address.path, backlog };
  const any = address.family === 4 ? "0.0.0.0" : "::";
  return {
    host: address.host === "" ? any : address.host,
    port: address.port,
    backlog,
    ipv6Only: address.family === 6,
  };
}
