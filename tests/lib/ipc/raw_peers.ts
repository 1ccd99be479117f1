/** Peers that say what a test wants, right or wrong. Not a test itself. @module */
import { helloText } from "../../../lib/ipc/frame.ts";
import type { Protocol } from "../../../lib/ipc/protocol.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { frameBytes } from "./raw_frames.ts";

/** A server that says its piece to everybody, and a second one to whoever sends something. */
export class HelloPeer implements AsyncDisposable {
  readonly path: string;
  readonly #directory = new TemporaryDirectory();
  readonly #listener: Deno.UnixListener;
  readonly #connections: Deno.UnixConn[] = [];
  readonly #serving: Promise<void>;

  private constructor(first: Uint8Array, second: Uint8Array) {
    this.path = this.#directory.at("peer");
    this.#listener = Deno.listen({ transport: "unix", path: this.path });
    this.#serving = this.#serve(first, second);
  }

  static start(first: Uint8Array, second: Uint8Array = new Uint8Array(0)): HelloPeer {
    return new HelloPeer(first, second);
  }

  /** Greets as the protocol wants it, and answers the first request so. */
  static greeting(protocol: Protocol, answer: Uint8Array): HelloPeer {
    return HelloPeer.start(frameBytes(0, 0, helloText(protocol)), answer);
  }

  async #serve(first: Uint8Array, second: Uint8Array): Promise<void> {
    for await (const connection of this.#listener) {
      this.#connections.push(connection);
      try {
        await writeAll(connection, first);
        if (second.length > 0 && await connection.read(new Uint8Array(4096)) !== null) {
          await writeAll(connection, second);
        }
      } catch {
        continue; // the client did not like what it read
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    for (const connection of this.#connections) connection.close();
    this.#directory[Symbol.dispose]();
  }
}

/** A client that sends bytes as they are. */
export class RawClient implements Disposable {
  readonly #connection: Deno.UnixConn;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  static async connect(path: string): Promise<RawClient> {
    return new RawClient(await Deno.connect({ transport: "unix", path }));
  }

  async send(bytes: Uint8Array): Promise<void> {
    try {
      await writeAll(this.#connection, bytes);
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // already thrown out
    }
  }

  /** Reads until the peer has closed; true when it has. */
  async readToEnd(): Promise<boolean> {
    const buffer = new Uint8Array(4096);
    try {
      while (await this.#connection.read(buffer) !== null);
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
}
