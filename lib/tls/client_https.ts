/**
 * One request to a web server over TLS, for the few things that mail asks the web for: MTA-STS policies (RFC 8461) and
 * reports (RFC 8460). No redirects, no cookies, no cache, one connection for one request.
 *
 * @module
 */
// Safe primitives
import { type Connection, connectTcp, NetworkError } from "../safe/connect.ts";
import { startTls, TlsError } from "../safe/tls_client.ts";
// Utility
import { asciiLower, parseDecimal, trimBlanks } from "../vstring/ascii.ts";
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
// TLS
import type { TrustAnchors } from "./client_chain.ts";
import { judgeServer } from "./client_verify.ts";

/** What is asked. */
export interface HttpsRequest {
  readonly method: "GET" | "POST";
  readonly host: string;
  /** Literal addresses of the host, tried in turn. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly path: string;
  readonly headers?: readonly string[];
  readonly body?: Uint8Array;
  readonly anchors: TrustAnchors;
  /** For all of it, milliseconds. */
  readonly timeoutMs: number;
  /** Longest body of the answer, bytes. */
  readonly bodyLimit: number;
}

/** The answer, or why there is none. */
export type HttpsResponse =
  | { readonly kind: "answer"; readonly status: number; readonly type: string; readonly body: Uint8Array }
  | { readonly kind: "failed"; readonly why: string };

/** Longest head of an answer, bytes, and most header lines. */
const HEAD_LIMIT = 16 * 1024;
/** Authorities between a web server and an anchor. */
const DEPTH = 9;
const READ_SIZE = 16 * 1024;
const CR_LF = "\r\n";

/** Thrown for an answer that is none. */
class HttpError extends Error {
  override name = "HttpError";
}

/** Asks. The server's certificate must be an authority's, for its name. */
export async function askHttps(request: HttpsRequest): Promise<HttpsResponse> {
  const ends = performance.now() + request.timeoutMs;
  let why = "no address";
  for (const address of request.addresses) {
    const left = ends - performance.now();
    if (left <= 0) return { kind: "failed", why: "timed out" };
    let connection: Connection;
    try {
      connection = await connectTcp(address, request.port, left);
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      why = `connect to ${request.host}[${address}]:${request.port}: ${error.reason}`;
      continue;
    }
    return await exchange(connection, request, ends);
  }
  return { kind: "failed", why };
}

async function exchange(connection: Connection, request: HttpsRequest, ends: number): Promise<HttpsResponse> {
  try {
    const options = { serverName: request.host, least: "TLSv1.2", most: "TLSv1.3" } as const;
    const { chain } = await startTls(connection, options, Math.max(1, ends - performance.now()));
    const demand = { kind: "names", names: [request.host] } as const;
    const judgement = judgeServer(chain, demand, request.anchors, Date.now(), DEPTH);
    if (!judgement.matched) {
      return { kind: "failed", why: `certificate of ${request.host}: ${judgement.why}` };
    }
    connection.deadline(Math.max(1, ends - performance.now()));
    await connection.write(head(request));
    if (request.body !== undefined) await connection.write(request.body);
    return await new ResponseReader(connection, request.bodyLimit).read();
  } catch (error) {
    if (error instanceof TlsError || error instanceof NetworkError || error instanceof HttpError) {
      return { kind: "failed", why: `${request.host}: ${error.message}` };
    }
    throw error;
  } finally {
    connection.close();
  }
}

function head({ method, host, path, headers, body }: HttpsRequest): Uint8Array {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host}`,
    "User-Agent: Postern",
    "Accept-Encoding: identity",
    "Connection: close",
    ...headers ?? [],
    ...body === undefined ? [] : [`Content-Length: ${body.length}`],
  ];
  return encodeText(lines.map((line) => line + CR_LF).join("") + CR_LF);
}

/** Reads an answer. */
class ResponseReader {
  readonly #connection: Connection;
  readonly #limit: number;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(connection: Connection, limit: number) {
    this.#connection = connection;
    this.#limit = limit;
  }

  async read(): Promise<HttpsResponse> {
    let used = 0;
    const line = async (): Promise<string> => {
      const text = await this.#line(HEAD_LIMIT - used);
      used += text.length + 2;
      return text;
    };
    const status = statusOf(await line());
    const fields = new Map<string, string>();
    for (let field = await line(); field !== ""; field = await line()) {
      const colon = field.indexOf(":");
      if (colon <= 0) throw new HttpError("malformed header");
      fields.set(asciiLower(field.slice(0, colon)), trimBlanks(field.slice(colon + 1)));
    }
    const type = asciiLower(trimBlanks((fields.get("content-type") ?? "").split(";")[0]!));
    return { kind: "answer", status, type, body: await this.#body(fields) };
  }

  async #body(fields: ReadonlyMap<string, string>): Promise<Uint8Array> {
    const out = new ByteBuilder(this.#limit + 1, 4096);
    const encoding = fields.get("transfer-encoding");
    const length = fields.get("content-length");
    if (encoding !== undefined) {
      // RFC 9112 section 6.1: both at once is how requests are smuggled; nobody honest does it.
      if (asciiLower(encoding) !== "chunked" || length !== undefined) {
        throw new HttpError("unknown transfer coding");
      }
      for (let size = await this.#chunkSize(); size > 0; size = await this.#chunkSize()) {
        await this.#take(size, out);
        if (await this.#line(2) !== "") throw new HttpError("malformed chunk");
      }
    } else if (length !== undefined) {
      const size = parseDecimal(length);
      if (size === undefined) throw new HttpError("malformed length");
      await this.#take(size, out);
    } else {
      while (await this.#more()) {
        this.#fits(out, this.#rest.length);
        out.bytes(this.#rest);
        this.#rest = new Uint8Array(0);
      }
    }
    return out.copy();
  }

  async #chunkSize(): Promise<number> {
    const [digits = ""] = (await this.#line(64)).split(";");
    let size = 0;
    for (const digit of digits) {
      const value = "0123456789abcdef".indexOf(asciiLower(digit));
      if (value < 0 || digits.length > 8) throw new HttpError("malformed chunk");
      size = size * 16 + value;
    }
    if (digits === "") throw new HttpError("malformed chunk");
    return size;
  }

  async #take(size: number, out: ByteBuilder): Promise<void> {
    this.#fits(out, size);
    for (let left = size; left > 0;) {
      if (!await this.#more()) throw new HttpError("answer ends early");
      const piece = this.#rest.subarray(0, left);
      out.bytes(piece);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
    }
  }

  #fits(out: ByteBuilder, size: number): void {
    if (out.length + size > this.#limit) throw new HttpError(`answer is longer than ${this.#limit} bytes`);
  }

  /** A line without its end; at most so many bytes. */
  async #line(most: number): Promise<string> {
    const out: number[] = [];
    for (;;) {
      if (!await this.#more()) throw new HttpError("answer ends early");
      const byte = this.#rest[0]!;
      this.#rest = this.#rest.subarray(1);
      if (byte === 0x0a) return decodeText(new Uint8Array(out.at(-1) === 0x0d ? out.slice(0, -1) : out));
      out.push(byte);
      if (out.length > most) throw new HttpError("head is too long");
    }
  }

  /** True when there are bytes to look at; false at the end. */
  async #more(): Promise<boolean> {
    if (this.#rest.length > 0) return true;
    const buffer = new Uint8Array(READ_SIZE);
    const count = await this.#connection.read(buffer);
    if (count === null) return false;
    this.#rest = buffer.subarray(0, count);
    return true;
  }
}

function statusOf(line: string): number {
  const [version = "", code = ""] = line.split(" ");
  const status = parseDecimal(code, 999);
  if (!version.startsWith("HTTP/1.") || code.length !== 3 || status === undefined) {
    throw new HttpError("not HTTP");
  }
  return status;
}
