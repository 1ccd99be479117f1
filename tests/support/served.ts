/** A service of any internal protocol on a real unix socket, and a client of it. Not a test itself. @module */
import { IpcClient } from "../../lib/ipc/client.ts";
import type { Protocol } from "../../lib/ipc/protocol.ts";
import { type Handler, IpcServer } from "../../lib/ipc/server.ts";
import type { Channel } from "../../lib/safe/channel.ts";
import { listenStream, type StreamServer } from "../../lib/safe/tcp_server.ts";
import { TemporaryDirectory } from "./temporary.ts";

/** Serves until it is disposed of. */
export class Served<P extends Protocol> implements AsyncDisposable {
  readonly client: IpcClient<P>;
  /** What the server found wrong with its clients, and what handlers threw. */
  readonly troubles: string[];
  readonly #listener: StreamServer;
  readonly #channels: Channel[];
  readonly #directory: TemporaryDirectory | undefined;

  private constructor(
    client: IpcClient<P>,
    listener: StreamServer,
    channels: Channel[],
    directory: TemporaryDirectory | undefined,
    troubles: string[],
  ) {
    this.client = client;
    this.#listener = listener;
    this.#channels = channels;
    this.#directory = directory;
    this.troubles = troubles;
  }

  /** @param path of the socket; default: one in a directory of its own */
  static async start<P extends Protocol>(
    protocol: P,
    handler: Handler<P>,
    path?: string,
  ): Promise<Served<P>> {
    const directory = path === undefined ? new TemporaryDirectory() : undefined;
    const socket = path ?? directory!.at("socket");
    const troubles: string[] = [];
    const server = new IpcServer(protocol, handler, { trouble: (why) => void troubles.push(why) });
    const channels: Channel[] = [];
    const accept = (channel: Channel) => {
      channels.push(channel);
      server.accept(channel);
    };
    const made = await listenStream({ kind: "unix", path: socket }, 100, accept, () => {});
    if (made.kind === "failed") throw new Error(made.why);
    const client = new IpcClient(protocol, socket, { timeout: 20 });
    return new Served(client, made.server, channels, directory, troubles);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.#listener.close();
    for (const channel of this.#channels) channel.destroy();
    // The sockets' own close events run before the test is over.
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.#directory?.[Symbol.dispose]();
  }
}
