/**
 * Who the client is where somebody else has taken its connection: a proxy that was told to say so
 * (smtpd_upstream_proxy_protocol), or postscreen, which hands clients over on a private socket.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../safe/channel.ts";
// Wire protocols
import { HEADER_LIMIT, parseProxyHeader, type ProxiedEnds } from "./haproxy.ts";

/** What came before the client's first byte. */
export type Arrival =
  /** `rest`: what the client has sent already. Without ends the proxy speaks for itself. */
  | { readonly kind: "arrived"; readonly ends: ProxiedEnds | undefined; readonly rest: Uint8Array }
  | { readonly kind: "bad"; readonly why: string }
  | { readonly kind: "gone" };

/** Bytes that may follow the header in one piece with it. */
const REST_LIMIT = 4096;

/**
 * Reads the header of a connection; afterwards the channel is to be started by its next user.
 *
 * @param timeout milliseconds for the whole header
 */
export function readProxyHeader(channel: Channel, timeout: number, then: (arrival: Arrival) => void): void {
  let seen: Uint8Array = new Uint8Array(0);
  let over = false;
  const end = (arrival: Arrival) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    then(arrival);
  };
  const timer = setTimeout(() => end({ kind: "bad", why: "timeout" }), timeout);
  channel.start({
    data: (bytes) => {
      if (over) return;
      const joined = new Uint8Array(Math.min(seen.length + bytes.length, HEADER_LIMIT + REST_LIMIT));
      joined.set(seen);
      joined.set(bytes.subarray(0, joined.length - seen.length), seen.length);
      seen = joined;
      const header = parseProxyHeader(seen);
      if (header.kind === "more") return;
      if (header.kind === "bad") return end(header);
      const ends = header.kind === "proxied" ? header.ends : undefined;
      end({ kind: "arrived", ends, rest: seen.slice(header.length) });
    },
    closed: () => end({ kind: "gone" }),
  });
}
