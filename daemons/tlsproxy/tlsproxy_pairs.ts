/**
 * The two connections of each client: one with what goes over the network, one with what it means.
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
import type { TlsServer, TlsSession } from "../../lib/safe/tls_server.ts";
// Utility
import { LF } from "../../lib/vstring/ascii.ts";
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { Logger } from "../../lib/log/log.ts";
import { pipeChannels } from "../../lib/stream/pipe.ts";
// Wire protocols
import { cipherBits } from "../../lib/tls/tls_ciphers.ts";
import { TLSPROXY_SECURED } from "../../lib/tls/tlsproxy.ts";

/** Longest line that a connection begins with, bytes. */
const LINE_LIMIT = 256;
/** How long one connection waits for the other, milliseconds. */
const PAIR_TIMEOUT = 10_000;

/** A connection that waits for the other one of its pair. */
interface Half {
  readonly kind: string;
  readonly client: string;
  readonly channel: Channel;
  readonly early: Uint8Array;
  readonly done: () => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Brings them together. */
export class Pairs {
  readonly #server: TlsServer | undefined;
  readonly #log: Logger;
  readonly #logs: boolean;
  readonly #waiting = new Map<string, Half>();

  /** @param server undefined: there is no certificate. @param logs handshakes have a line each */
  constructor(server: TlsServer | undefined, log: Logger, logs: boolean) {
    this.#server = server;
    this.#log = log;
    this.#logs = logs;
  }

  /** Takes a connection; its first line says which of a pair it is: "cipher TOKEN CLIENT" or "plain TOKEN CLIENT". */
  accept(channel: Channel, done: () => void): void {
    let seen: Uint8Array = new Uint8Array(0);
    let over = false;
    const leave = () => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      channel.destroy();
      done();
    };
    const timer = setTimeout(leave, PAIR_TIMEOUT);
    channel.start({
      data: (bytes) => {
        if (over) return;
        const joined = new Uint8Array(seen.length + bytes.length);
        joined.set(seen);
        joined.set(bytes, seen.length);
        seen = joined;
        const end = seen.subarray(0, LINE_LIMIT).indexOf(LF);
        if (end < 0) return seen.length >= LINE_LIMIT ? leave() : undefined;
        const [kind = "", token = "", client = ""] = decodeText(seen.subarray(0, end)).split(" ");
        if ((kind !== "cipher" && kind !== "plain") || token === "" || client === "") return leave();
        over = true;
        clearTimeout(timer);
        this.#meet(token, kind, printable(client), channel, seen.slice(end + 1), done);
      },
      closed: leave,
    });
  }

  #meet(
    token: string,
    kind: string,
    client: string,
    channel: Channel,
    early: Uint8Array,
    done: () => void,
  ): void {
    const other = this.#waiting.get(token);
    if (other !== undefined && other.kind !== kind && other.client === client) {
      this.#waiting.delete(token);
      clearTimeout(other.timer);
      const mine = { kind, client, channel, early, done };
      return kind === "cipher" ? this.#join(client, mine, other) : this.#join(client, other, mine);
    }
    const leave = () => {
      if (this.#waiting.get(token)?.channel === channel) this.#waiting.delete(token);
      clearTimeout(timer);
      channel.destroy();
      done();
    };
    const timer = setTimeout(leave, PAIR_TIMEOUT);
    if (other !== undefined) return leave();
    channel.pause();
    channel.start({ data: () => {}, closed: leave });
    this.#waiting.set(token, { kind, client, channel, early, done, timer });
  }

  #join(
    client: string,
    cipher: Pick<Half, "channel" | "early" | "done">,
    plain: Pick<Half, "channel" | "done">,
  ): void {
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      plain.channel.destroy();
      cipher.done();
      plain.done();
    };
    if (this.#server === undefined) {
      cipher.channel.destroy();
      return end();
    }
    const handshake = this.#server.accept(cipher.channel, cipher.early, {
      secure: (secure, session) => {
        if (over) return secure.destroy();
        this.#logSession(client, session);
        // Behind this line stands what the client says.
        plain.channel.write(encodeText(TLSPROXY_SECURED));
        pipeChannels(secure, plain.channel, {
          over: () => {
            secure.finish();
            end();
          },
        });
        plain.channel.resume();
      },
      failed: (why) => {
        this.#log.info(`SSL_accept error from ${client}: ${printable(why)}`);
        end();
      },
    });
    // postscreen gives up: it has a clock for the handshake.
    plain.channel.start({
      data: () => {},
      closed: () => {
        handshake.cancel();
        end();
      },
    });
    plain.channel.resume();
  }

  #logSession(client: string, { protocol, cipher, resumed }: TlsSession): void {
    if (!this.#logs) return;
    const bits = cipherBits(cipher);
    this.#log.info(
      `Anonymous TLS connection ${resumed ? "reused" : "established"} from ${client}: ${protocol} ` +
        `with cipher ${cipher} (${bits}/${bits} bits)`,
    );
  }
}
