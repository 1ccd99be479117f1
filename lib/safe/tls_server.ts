/**
 * The server's side of TLS on connections that were accepted already. The runtime's TLS library is rustls: TLS 1.2 and
 * 1.3, ephemeral keys and authenticated ciphers only, no renegotiation and no compression; it offers no choice among its
 * ciphers, and session tickets are sealed with keys that never leave the process (tests/platform holds all that).
 *
 * Permissions needed: none.
 *
 * @module
 */
import type { Socket } from "node:net";
import tls from "node:tls";
import { Certificate } from "./certificate.ts";
import { Channel } from "./channel.ts";
import { describe } from "./error.ts";

/** Protocol versions that the runtime's library speaks. */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** A private key and the chain of certificates for it, PEM, the server's own first. */
export interface TlsIdentity {
  readonly key: string;
  readonly chain: string;
}

/** How a server speaks TLS. */
export interface TlsServerOptions {
  readonly identity: TlsIdentity;
  /** The identity for a name that the client asks for; undefined: the first one. */
  readonly identityFor?: ((name: string) => TlsIdentity | undefined) | undefined;
  readonly oldest: TlsVersion;
  readonly newest: TlsVersion;
  /** Clients are asked for a certificate; without one, and with one that is not trusted, they are taken all the same. */
  readonly asksCertificate: boolean;
  /** Certificates of the authorities that are trusted, PEM; empty: none is. */
  readonly authorities: string;
}

/** What is known of a connection whose handshake is over. */
export interface TlsSession {
  readonly protocol: string;
  /** Name of the cipher as OpenSSL has it. */
  readonly cipher: string;
  /** An earlier session goes on. */
  readonly resumed: boolean;
  /** The name that the client asked for, or empty; anything may stand in it. */
  readonly serverName: string;
  /** The client's certificate; that it has the key to it is proven. */
  readonly certificate: Certificate | undefined;
  /** The certificate leads to one of the authorities and is valid now. */
  readonly trusted: boolean;
}

/** What comes of a handshake: one of the two, once. */
export interface HandshakeEvents {
  secure(channel: Channel, session: TlsSession): void;
  failed(why: string): void;
}

/** A handshake that is under way. */
export interface Handshake {
  /** Breaks it off and closes the connection; nobody is told. */
  cancel(): void;
}

/** One way of speaking TLS, for many connections. */
export class TlsServer {
  readonly #server: tls.Server;
  readonly #waiting = new WeakMap<Socket, HandshakeEvents>();

  constructor(options: TlsServerOptions) {
    const { identityFor } = options;
    const versions = { minVersion: options.oldest, maxVersion: options.newest };
    this.#server = tls.createServer({
      ...versions,
      key: options.identity.key,
      cert: options.identity.chain,
      requestCert: options.asksCertificate,
      rejectUnauthorized: false,
      // Without a list the runtime would trust every authority of the web.
      ca: options.authorities === "" ? [] : options.authorities,
      // Who takes the connection has its own clock, and is told of the end: this is beyond any of its limits.
      handshakeTimeout: 0x7fffffff,
      ...(identityFor === undefined ? {} : { SNICallback: chooser(identityFor, versions) }),
    });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error, socket) => this.#failed(socket, describe(error)));
  }

  /**
   * Takes a connection over for a handshake. Its channel is of no use from then on.
   *
   * @param early what was read from it already and belongs to the handshake
   */
  accept(channel: Channel, early: Uint8Array, events: HandshakeEvents): Handshake {
    const socket = channel.release();
    this.#waiting.set(socket, events);
    const cancel = () => {
      this.#waiting.delete(socket);
      socket.destroy();
    };
    if (socket.destroyed) {
      queueMicrotask(() => this.#failed(socket, "lost connection"));
      return { cancel };
    }
    if (early.length > 0) socket.unshift(early);
    // A connection that is reset before TLS has got hold of it tells it here, and to nobody else.
    socket.on("error", (error) => this.#failed(socket, describe(error)));
    socket.on("close", () => this.#failed(socket, "lost connection"));
    // A client that hangs up during the handshake is noticed only where the end of its input ends ours.
    socket.allowHalfOpen = false;
    this.#server.emit("connection", socket);
    return { cancel };
  }

  #take(below: Socket): HandshakeEvents | undefined {
    const events = this.#waiting.get(below);
    this.#waiting.delete(below);
    return events;
  }

  #secured(socket: tls.TLSSocket): void {
    const below = belowOf(socket);
    const events = this.#take(below);
    if (events === undefined) return void socket.destroy();
    // From here on a client may end its side and still read, as without TLS.
    socket.allowHalfOpen = true;
    events.secure(new Channel(socket, below), sessionOf(socket));
  }

  #failed(socket: tls.TLSSocket | Socket, why: string): void {
    const events = this.#take(belowOf(socket));
    if (events === undefined) return;
    socket.destroy();
    events.failed(why);
  }
}

/** The connection that TLS is on, which has no public name; a handshake that could not begin has the connection itself. */
function belowOf(socket: tls.TLSSocket | Socket): Socket {
  return (socket as { readonly _parent?: Socket })._parent ?? socket;
}

function chooser(
  identityFor: (name: string) => TlsIdentity | undefined,
  versions: { readonly minVersion: TlsVersion; readonly maxVersion: TlsVersion },
): NonNullable<tls.TlsOptions["SNICallback"]> {
  const contexts = new Map<TlsIdentity, tls.SecureContext>();
  return (name, answer) => {
    const identity = identityFor(name);
    if (identity === undefined) return answer(null);
    let context = contexts.get(identity);
    if (context === undefined) {
      // The name's context counts whole: without versions of its own it would speak all of them.
      context = tls.createSecureContext({ ...versions, key: identity.key, cert: identity.chain });
      contexts.set(identity, context);
    }
    answer(null, context);
  };
}

function sessionOf(socket: tls.TLSSocket): TlsSession {
  const { raw } = socket.getPeerCertificate() as { raw?: Uint8Array };
  const { servername } = socket as { servername?: unknown };
  return {
    protocol: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().name,
    resumed: socket.isSessionReused(),
    serverName: typeof servername === "string" ? servername : "",
    certificate: raw === undefined ? undefined : new Certificate(raw),
    trusted: raw !== undefined && socket.authorized,
  };
}
