/**
 * What postscreen and tlsproxy say to each other: two connections for each client, each of which begins with a line.
 *
 * @module
 */

/** The line by which tlsproxy says that the handshake is over; behind it stands what the client says. */
export const TLSPROXY_SECURED = "secured\n";

/** The two connections: bytes of the network, and what they mean. */
export type TlsproxyKind = "cipher" | "plain";

/**
 * The first line of a connection.
 *
 * @param token the same for both connections of a client, and for no other client
 * @param client as the log names it
 */
export function tlsproxyLine(kind: TlsproxyKind, token: string, client: string): string {
  return `${kind} ${token} ${client}\n`;
}
