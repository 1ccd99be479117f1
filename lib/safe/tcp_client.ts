/**
 * Outgoing connections as channels with event callbacks, for the tools that a person runs, as smtp-source: names are
 * resolved by the system. Daemons connect to literal addresses only (connect.ts).
 *
 * Permissions needed: net on host and port, or net, read and write on the path of a unix socket.
 *
 * @module
 */
import net from "node:net";
import { Channel } from "./channel.ts";
import { describe, errorCode } from "./error.ts";

/** Where to connect. */
export type StreamTarget =
  /** `family` 0: IPv4 or IPv6. */
  | { readonly kind: "inet"; readonly host: string; readonly port: number; readonly family: 0 | 4 | 6 }
  | { readonly kind: "unix"; readonly path: string };

/** A connection, or why there is none. */
export type StreamConnected =
  | { readonly kind: "connected"; readonly channel: Channel }
  /** `refused`: nobody listens, or the backlog is full, so that a later attempt may do better. */
  | { readonly kind: "failed"; readonly why: string; readonly refused: boolean };

/** Connects; the result says why it could not. */
export function connectStream(target: StreamTarget): Promise<StreamConnected> {
  return new Promise((resolve) => {
    const socket = net.createConnection(
      target.kind === "unix"
        ? { path: target.path }
        : { host: target.host, port: target.port, family: target.family },
    );
    const failed = (error: unknown) => {
      const code = errorCode(error);
      resolve({
        kind: "failed",
        why: describe(error),
        refused: code === "ECONNREFUSED" || code === "ECONNRESET",
      });
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve({ kind: "connected", channel: new Channel(socket) });
    });
  });
}
