/**
 * STARTTLS: what the client sends goes to tlsproxy, and what it means comes back.
 */
// Safe primitives
import { type Channel, connectUnixChannel } from "../../lib/safe/channel.ts";
// Utility
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { pipeChannels } from "../../lib/stream/pipe.ts";
// Wire protocols
import { TLSPROXY_SECURED, type TlsproxyKind, tlsproxyLine } from "../../lib/tls/tlsproxy.ts";

/** The two connections to tlsproxy. */
export interface TlsConnections {
  readonly cipher: Channel;
  readonly plain: Channel;
}

/** How many clients this process has given to tlsproxy. */
export class TokenSource {
  #next = 1;
  readonly #prefix = `${Date.now().toString(36)}-`;

  next(): string {
    return this.#prefix + String(this.#next++);
  }
}

/** Connects twice; undefined when tlsproxy cannot be reached. */
export async function connectTlsproxy(
  path: string,
  token: string,
  client: string,
): Promise<TlsConnections | undefined> {
  const cipher = await connect(path, "cipher", token, client);
  if (cipher === undefined) return undefined;
  const plain = await connect(path, "plain", token, client);
  if (plain === undefined) {
    cipher.destroy();
    return undefined;
  }
  return { cipher, plain };
}

async function connect(
  path: string,
  kind: TlsproxyKind,
  token: string,
  client: string,
): Promise<Channel | undefined> {
  const made = await connectUnixChannel(path);
  if (made.kind === "failed") return undefined;
  made.channel.write(encodeText(tlsproxyLine(kind, token, client)));
  return made.channel;
}

/** What comes of a handshake: one of the first two, once, then the data. */
export interface StartTlsEvents {
  secured(plain: Channel): void;
  failed(): void;
  data(bytes: Uint8Array): void;
  closed(): void;
}

/**
 * Carries a client's bytes to tlsproxy and waits for the handshake's end.
 *
 * @param timeout milliseconds for all of the handshake
 */
export function startTls(
  client: Channel,
  { cipher, plain }: TlsConnections,
  timeout: number,
  events: StartTlsEvents,
): void {
  let said = "";
  let secured = false;
  let over = false;
  const fail = () => {
    clearTimeout(timer);
    if (over) return;
    over = true;
    if (secured) return events.closed();
    plain.destroy();
    cipher.destroy();
    client.destroy();
    events.failed();
  };
  const timer = setTimeout(fail, timeout);
  pipeChannels(client, cipher, { over: fail });
  plain.start({
    data: (bytes) => {
      if (secured) return events.data(bytes);
      // tlsproxy is ours, and says this first: no more of it is kept than that.
      const missing = TLSPROXY_SECURED.length - said.length;
      said += decodeText(bytes.subarray(0, missing));
      if (!TLSPROXY_SECURED.startsWith(said)) return fail();
      if (said.length < TLSPROXY_SECURED.length) return;
      secured = true;
      clearTimeout(timer);
      events.secured(plain);
      if (bytes.length > missing) events.data(bytes.subarray(missing));
    },
    closed: fail,
  });
}
