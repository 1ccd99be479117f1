/**
 * The way of a client that is handed over. The runtime cannot give an accepted connection to another process, so the
 * client's bytes are carried: to smtpd's private socket, behind a header that says who the client is, and back.
 */
// Safe primitives
import { type Channel, connectUnixChannel } from "../../lib/safe/channel.ts";
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
  new Carrier(client, made.channel, events).start(formatProxyHeader(ends), early());
}

/** Two channels, each of which gets what the other one says, and is slowed down when the other one is slow. */
class Carrier {
  readonly #client: Channel;
  readonly #server: Channel;
  readonly #events: CarryEvents;
  #served = false;
  #over = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Channel, server: Channel, events: CarryEvents) {
    this.#client = client;
    this.#server = server;
    this.#events = events;
  }

  start(header: Uint8Array, early: Uint8Array): void {
    this.#timer = setTimeout(() => this.#fail("no greeting in time"), GREETING_TIMEOUT);
    this.#server.start({
      data: (bytes) => this.#answer(bytes),
      drained: () => this.#client.resume(),
      closed: (why) => this.#served ? this.#end() : this.#fail(why ?? "connection closed"),
    });
    this.#server.write(header);
    if (early.length > 0) this.#server.write(early);
    this.#client.start({
      data: (bytes) => {
        // The channel keeps what it is given, and what came is valid in this call only.
        if (!this.#server.write(bytes.slice())) this.#client.pause();
      },
      drained: () => this.#server.resume(),
      // A client that has said its last word still gets its replies.
      ended: () => this.#server.endOutput(),
      closed: () => {
        this.#server.destroy();
        this.#end();
      },
    });
    this.#client.resume();
  }

  #answer(bytes: Uint8Array): void {
    if (!this.#served) {
      this.#served = true;
      clearTimeout(this.#timer);
      this.#events.served();
    }
    if (!this.#client.write(bytes.slice())) this.#server.pause();
  }

  #fail(why: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#server.destroy();
    this.#events.failed(why);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#client.finish();
    this.#events.over();
  }
}
