/**
 * TLS on a connection that is open already, from the client's side.
 *
 * The handshake itself trusts nobody: the runtime's verifier knows neither DANE nor fingerprints, nor a list of
 * authorities for each destination, so the peer's certificates come out as they were sent and lib/tls/client_*.ts
 * judges them. What the handshake does prove, with its verifier off too, is that the peer has the private key of the
 * first certificate: the runtime checks the signature over the handshake in TLS 1.2 and 1.3 alike
 * (tests/lib/safe/tls_client_test.ts holds it to that with a server that shows somebody else's certificate). Without
 * this a man in the middle could show the true certificate and read along.
 *
 * Permissions needed: none beyond those of the connection below.
 *
 * @module
 */
import { Duplex } from "node:stream";
import tls from "node:tls";
import type { Connection, RawStream } from "./connect.ts";
import { describe, errorCode } from "./error.ts";
import type { TlsIdentity, TlsVersion } from "./tls_server.ts";

/** How to shake hands. */
export interface TlsHandshakeOptions {
  /** Name that the server is told (SNI); none for an empty one. */
  readonly serverName: string;
  readonly least: TlsVersion;
  readonly most: TlsVersion;
  /** What we show when the server asks. */
  readonly identity?: TlsIdentity | undefined;
}

/** What a handshake came to. */
export interface TlsHandshake {
  readonly version: string;
  /** OpenSSL's name of the cipher. */
  readonly cipher: string;
  /** The certificates as the server sent them, its own first, DER. Its own is proven to be its own. */
  readonly chain: readonly Uint8Array[];
}

/** The handshake failed, and the connection is of no use any more. */
export class TlsError extends Error {
  override name = "TlsError";
}

/** Most certificates of a server that are looked at. */
const CHAIN_LIMIT = 20;
/** Bytes read at once: a TLS record with room. */
const READ_SIZE = 18 * 1024;
/** How long the goodbye of TLS may take, milliseconds. */
const GOODBYE_LIMIT = 1000;

/**
 * Shakes hands on a connection and goes on over TLS. What was read before and not used is the caller's to refuse.
 *
 * @param timeoutMs the whole handshake must end within it
 * @throws TlsError when the handshake fails, NetworkError when its time is over
 */
export async function startTls(
  connection: Connection,
  options: TlsHandshakeOptions,
  timeoutMs: number,
): Promise<TlsHandshake> {
  let done: TlsHandshake | undefined;
  connection.deadline(timeoutMs);
  try {
    await connection.layer(async (below) => {
      const stream = new TlsStream(below, options);
      done = await stream.handshake();
      return stream;
    });
  } finally {
    connection.noDeadline();
  }
  return done!;
}

/** A TLS stream on top of another. */
class TlsStream implements RawStream {
  readonly #below: RawStream;
  readonly #socket: tls.TLSSocket;
  /** What was decrypted and not yet fetched. */
  #rest: Uint8Array = new Uint8Array(0);
  #error: Error | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(below: RawStream, options: TlsHandshakeOptions) {
    this.#below = below;
    const { serverName, least, most, identity } = options;
    this.#socket = tls.connect({
      socket: asDuplex(below),
      ...(serverName === "" ? {} : { servername: serverName }),
      minVersion: least,
      maxVersion: most,
      rejectUnauthorized: false,
      // Both judgements are ours; see above.
      checkServerIdentity: () => undefined,
      ca: [],
      ...(identity === undefined ? {} : { cert: identity.chain, key: identity.key }),
    });
    const wake = () => this.#wake?.();
    this.#socket.on("readable", wake);
    this.#socket.on("end", () => {
      this.#ended = true;
      wake();
    });
    this.#socket.on("close", () => {
      this.#ended = true;
      wake();
    });
    this.#socket.on("error", (error: Error) => {
      this.#error ??= error;
      wake();
    });
  }

  async handshake(): Promise<TlsHandshake> {
    const socket = this.#socket;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: unknown) => reject(new TlsError(handshakeTrouble(error), { cause: error }));
      socket.once("secureConnect", resolve);
      socket.once("error", failed);
      socket.once("close", () => failed(new Error("Connection closed by server")));
    });
    return {
      version: socket.getProtocol() ?? "unknown",
      cipher: socket.getCipher()?.name ?? "unknown",
      chain: peerChain(socket),
    };
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      if (this.#rest.length > 0) {
        const count = Math.min(this.#rest.length, buffer.length);
        buffer.set(this.#rest.subarray(0, count));
        this.#rest = this.#rest.subarray(count);
        return count;
      }
      const chunk: Uint8Array | null = this.#socket.read();
      if (chunk !== null) this.#rest = chunk;
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#ended) return null;
      else {
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#wake = undefined;
      }
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  /** Says goodbye, so that the server can tell the end from a cut, and closes; nobody waits for it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const end = () => {
      clearTimeout(timer);
      this.#socket.destroy();
      try {
        this.#below.close();
      } catch (error) {
        // The runtime may have closed it after an error.
        if (!(error instanceof Deno.errors.BadResource)) throw error;
      }
    };
    const timer = setTimeout(end, GOODBYE_LIMIT);
    if (this.#error !== undefined || this.#socket.destroyed) end();
    else this.#socket.end(end);
  }
}

/** The stream in the form that node:tls stands on. */
function asDuplex(below: RawStream): Duplex {
  return new Duplex({
    read() {
      const buffer = new Uint8Array(READ_SIZE);
      below.read(buffer).then(
        (count) => this.push(count === null ? null : buffer.subarray(0, count)),
        (error) => this.destroy(error),
      );
    },
    write(chunk: Uint8Array, _encoding, done) {
      writeAll(below, chunk).then(() => done(), done);
    },
    final(done) {
      done();
    },
  });
}

async function writeAll(below: RawStream, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await below.write(bytes.subarray(done));
}

/** The certificates that the server sent, in its order. */
function peerChain(socket: tls.TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let each: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (each?.raw !== undefined && chain.length < CHAIN_LIMIT) {
    chain.push(new Uint8Array(each.raw));
    each = each.issuerCertificate === each ? undefined : each.issuerCertificate;
  }
  return chain;
}

/** What went wrong in words: the runtime's own, or that the server broke off. */
function handshakeTrouble(error: unknown): string {
  return errorCode(error) === "ECONNRESET" ? "Connection closed by server" : describe(error);
}
