/**
 * Sockets for outside packages that speak their own protocol over a stream that they are handed.
 *
 * Permissions needed: net, read and write on the path of the socket.
 *
 * @module
 */
import net from "node:net";

/** Connects to a unix socket; its events say how that went. */
export function unixClientSocket(path: string): net.Socket {
  return net.connect({ path });
}
