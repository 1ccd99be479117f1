/**
 * The way of a client that is handed over. The runtime cannot give an accepted connection to another process, so the
 * client's bytes are carried: to smtpd's private socket, behind a header that says who the client is, and back.
 */
// Safe primitives
import { type Channel, connectUnixChannel } from "../../lib/safe/channel.ts";
// Utility
import { pipeChannels } from "../../lib/stream/pipe.ts";
// Wire protocols
import { formatProxyHeader, type ProxiedEnds } from "../../lib/smtp/haproxy.ts";

/** How long smtpd may take to greet, milliseconds. */
const GREETING_TIMEOUT = 10_000;

/** What becomes of a client. */
export interface CarryEvents {
  /** smtpd serves the client from now on. */
  served(): void;
  /** smtpd cannot be had: the client is told so by the caller. */
  failed(why: string): void;
  /** The session is over. */
  over(): void;
}

/**
 * Hands a client over.
 *
 * @param early what the client has sent by the time that smtpd's socket is there
 */
export async function carry(
  path: string,
  client: Channel,
  ends: ProxiedEnds,
  early: () => Uint8Array,
  events: CarryEvents,
): Promise<void> {
  const made = await connectUnixChannel(path);
  if (made.kind === "failed") return events.failed(made.why);
  const server = made.channel;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    server.destroy();
  }, GREETING_TIMEOUT);
  server.write(formatProxyHeader(ends));
  const sent = early();
  if (sent.length > 0) server.write(sent);
  pipeChannels(client, server, {
    answered: () => {
      clearTimeout(timer);
      events.served();
    },
    over: (answered, why) => {
      clearTimeout(timer);
      if (answered) events.over();
      else events.failed(late ? "no greeting in time" : why ?? "connection closed");
    },
  });
}
