/**
 * A client of the protocol between Postfix's daemons: names and values that end with NUL, an empty name ends the
 * message. Not a test itself.
 *
 * @module
 */
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";

/** What a service says of a request: names and values in their order; a name may stand there twice. */
export type Attributes = readonly (readonly [name: string, value: string])[];

/** Attempts to connect, and the pause between them in milliseconds: a service that was just started has no socket. */
const ATTEMPTS = 50;
const PAUSE = 100;
/** An answer that takes longer than this, milliseconds, is none. */
const DEADLINE = 20_000;

/** One connection. */
export class Attr0 {
  readonly #conn: Deno.UnixConn;
  #pending = new Uint8Array();

  private constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
  }

  /** Connects to a socket of Postfix's, and reads its greeting. */
  static async connect(path: string): Promise<Attr0> {
    for (let attempt = 0;; attempt++) {
      try {
        const client = new Attr0(await Deno.connect({ transport: "unix", path }));
        await client.#inTime(() => client.#read());
        return client;
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    }
  }

  /** Sends names and values in turn, and reads the answer. */
  async ask(...attributes: readonly string[]): Promise<Attributes> {
    return await this.#inTime(async () => {
      await this.#conn.write(encodeText(attributes.map((text) => `${text}\0`).join("") + "\0"));
      return await this.#read();
    });
  }

  /** A service that cannot start leaves its clients with master, which says nothing: they would wait for ever. */
  async #inTime<T>(work: () => Promise<T>): Promise<T> {
    const deadline = setTimeout(() => this.#conn.close(), DEADLINE);
    try {
      return await work();
    } finally {
      clearTimeout(deadline);
    }
  }

  close(): void {
    this.#conn.close();
  }

  async #read(): Promise<Attributes> {
    const attributes: [string, string][] = [];
    for (let at = 0;;) {
      const nameEnd = this.#pending.indexOf(0, at);
      if (nameEnd === at) {
        this.#pending = this.#pending.slice(at + 1);
        return attributes;
      }
      const valueEnd = nameEnd < 0 ? -1 : this.#pending.indexOf(0, nameEnd + 1);
      if (valueEnd < 0) {
        await this.#more();
        continue;
      }
      const text = (from: number, to: number) => decodeText(this.#pending.subarray(from, to));
      attributes.push([text(at, nameEnd), text(nameEnd + 1, valueEnd)]);
      at = valueEnd + 1;
    }
  }

  async #more(): Promise<void> {
    const chunk = new Uint8Array(8192);
    const count = await this.#conn.read(chunk);
    if (count === null) throw new Error("Cannot read from Postfix: it closed the connection");
    const grown = new Uint8Array(this.#pending.length + count);
    grown.set(this.#pending);
    grown.set(chunk.subarray(0, count), this.#pending.length);
    this.#pending = grown;
  }
}
