/**
 * A connection to a server that answers one request at a time, as tcp:, socketmap: and memcache: servers do. It is
 * opened with the first request, kept, and opened once more when the server had closed it meanwhile. Requests queue.
 *
 * @module
 */
// Safe primitives
import { type Connection, NetworkError } from "../safe/connect.ts";
// Utility
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { LF } from "../vstring/ascii.ts";
// Tables
import type { ServerTarget } from "./server_target.ts";
import type { TableServers } from "./servers.ts";

/** Most requests that wait for one server; more are told to come again. */
export const REQUEST_LIMIT = 1000;
const READ_SIZE = 4096;

/** When a connection is given up. Milliseconds. */
export interface StreamTimes {
  /** For connecting, and for each request with its reply. */
  readonly request: number;
  /** Without a request; 0: never. */
  readonly idle: number;
  /** Since it was opened; 0: never. */
  readonly life: number;
}

/** Thrown when a server's answer is no answer in its protocol. */
export class ReplyError extends Error {
  override name = "ReplyError";
}

/** Reads a reply from the connection. */
export class ReplyReader {
  readonly #connection: Connection;
  #bytes = new Uint8Array(0);

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The bytes up to LF, which is taken off. */
  async line(limit: number): Promise<Uint8Array> {
    for (let from = 0;;) {
      const end = this.#bytes.indexOf(LF, from);
      if (end >= 0 && end < limit) return this.#take(end + 1).subarray(0, end);
      if (end >= 0 || this.#bytes.length >= limit) {
        throw new ReplyError(`reply is longer than ${limit} bytes`);
      }
      from = this.#bytes.length;
      await this.#more();
    }
  }

  /** So many bytes. */
  async exactly(count: number): Promise<Uint8Array> {
    while (this.#bytes.length < count) await this.#more();
    return this.#take(count);
  }

  /** True when bytes are there that no request asked for. */
  get left(): boolean {
    return this.#bytes.length > 0;
  }

  #take(count: number): Uint8Array {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  async #more(): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    const count = await this.#connection.read(buffer);
    if (count === null) throw new ReplyError("server closed the connection");
    const all = new ByteBuilder(this.#bytes.length + count, this.#bytes.length + count);
    this.#bytes = all.bytes(this.#bytes).bytes(buffer.subarray(0, count)).view();
  }
}

/** The server took the request and did not answer: a second one would wait as long. */
function isTimeout(error: unknown): boolean {
  return error instanceof NetworkError && error.kind === "timeout";
}

/** An open connection. */
interface Open {
  readonly connection: Connection;
  readonly reader: ReplyReader;
  readonly since: number;
}

/** Requests to one server. */
export class RequestStream {
  readonly #servers: Pick<TableServers, "stream">;
  readonly #target: ServerTarget;
  readonly #times: StreamTimes;
  #open: Open | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #failures = 0;
  #failure: unknown;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(servers: Pick<TableServers, "stream">, target: ServerTarget, times: StreamTimes) {
    this.#servers = servers;
    this.#target = target;
    this.#times = times;
  }

  /**
   * Sends a request and reads its reply; rejects with the reason. A request is sent a second time only where the
   * connection had been used before: the server may have closed it in its idleness.
   */
  ask<T>(request: Uint8Array, reply: (reader: ReplyReader) => Promise<T>): Promise<T> {
    if (this.#waiting >= REQUEST_LIMIT) return Promise.reject(new Error("too many requests wait"));
    this.#waiting++;
    const failures = this.#failures;
    const turn = this.#last.then(() => {
      // A server that is down or silent would keep each who waits for as long again, one behind the other.
      if (this.#failures !== failures) throw this.#failure;
      return this.#askNow(request, reply);
    });
    this.#last = turn.catch(() => {}).finally(() => this.#waiting--);
    return turn;
  }

  async #askNow<T>(request: Uint8Array, reply: (reader: ReplyReader) => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    const { life } = this.#times;
    if (this.#open !== undefined && life > 0 && performance.now() - this.#open.since >= life) this.close();
    const used = this.#open;
    try {
      return await this.#askOn(used ?? await this.#connect(), request, reply);
    } catch (error) {
      this.close();
      if (used === undefined || isTimeout(error)) throw this.#failed(error);
    }
    try {
      return await this.#askOn(await this.#connect(), request, reply);
    } catch (error) {
      this.close();
      throw this.#failed(error);
    }
  }

  /** Notes a failure that is the server's and not of the one request. */
  #failed(error: unknown): unknown {
    if (!(error instanceof ReplyError)) {
      this.#failures++;
      this.#failure = error;
    }
    return error;
  }

  async #askOn<T>(open: Open, request: Uint8Array, reply: (reader: ReplyReader) => Promise<T>): Promise<T> {
    open.connection.deadline(this.#times.request);
    await open.connection.write(request);
    const answer = await reply(open.reader);
    // Answer and request must not come out of step: the next key would get this one's value.
    if (open.reader.left) this.close();
    else {
      open.connection.noDeadline();
      if (this.#times.idle > 0) this.#idle = setTimeout(() => this.close(), this.#times.idle);
    }
    return answer;
  }

  async #connect(): Promise<Open> {
    const connection = await this.#servers.stream(this.#target, this.#times.request);
    this.#open = { connection, reader: new ReplyReader(connection), since: performance.now() };
    return this.#open;
  }

  /** Closes the connection; the next request opens another. */
  close(): void {
    clearTimeout(this.#idle);
    this.#open?.connection.close();
    this.#open = undefined;
  }
}
