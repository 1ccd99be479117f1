/** A server and clients of a protocol made for tests, on a real unix socket. Not a test itself. @module */
import { IpcClient, type IpcError } from "../../../lib/ipc/client.ts";
import { bytes, choice, flag, integer, protocol, type Reply, text } from "../../../lib/ipc/protocol.ts";
import { type Handler, IpcServer } from "../../../lib/ipc/server.ts";
import type { Channel } from "../../../lib/safe/channel.ts";
import { listenStream, type StreamServer } from "../../../lib/safe/tcp_server.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const TABLE = {
  name: "sample",
  version: 1,
  requests: {
    ask: { fields: { word: text(1000), delay: integer(60_000) } },
    put: { fields: { data: bytes(65536) }, flow: true },
    end: { fields: { how: choice("commit", "drop") } },
    hint: { fields: { word: text(100) }, oneway: true },
  },
  replies: {
    progress: { fields: { count: integer() } },
    answer: { fields: { word: text(1000), ok: flag() }, last: true },
  },
} as const;

export const SAMPLE = protocol(TABLE);
/** The same, of which the table says that asking again does no harm. */
export const REPEATABLE = protocol({ ...TABLE, repeatable: true });

export type Sample = typeof SAMPLE;
export type SampleHandler = Handler<Sample>;

/** A service that can go away and come back at the same path. */
export class SampleService implements AsyncDisposable {
  readonly path: string;
  readonly troubles: string[] = [];
  readonly channels: Channel[] = [];
  server: IpcServer<Sample>;
  /** Another process stands in the place of the server as soon as that has taken one connection more. */
  replaceWhenReached = false;
  readonly #handler: SampleHandler;
  readonly #directory: TemporaryDirectory;
  readonly #clients: { close(): void }[] = [];
  #listener: StreamServer | undefined;

  private constructor(handler: SampleHandler) {
    this.#handler = handler;
    this.#directory = new TemporaryDirectory();
    this.path = this.#directory.at("sample");
    this.server = this.#serve();
  }

  static async start(handler: SampleHandler): Promise<SampleService> {
    const service = new SampleService(handler);
    await service.listen();
    return service;
  }

  #serve(): IpcServer<Sample> {
    return new IpcServer(SAMPLE, this.#handler, { trouble: (why) => void this.troubles.push(why) });
  }

  async listen(): Promise<void> {
    const accept = (channel: Channel) => {
      this.channels.push(channel);
      this.server.accept(channel);
      if (this.replaceWhenReached) this.server = this.#serve();
    };
    const made = await listenStream({ kind: "unix", path: this.path }, 100, accept, () => {});
    if (made.kind === "failed") throw new Error(made.why);
    this.#listener = made.server;
  }

  /** Ends as a killed process does: the listener is gone and every connection breaks. */
  die(): void {
    this.#listener?.close();
    this.#listener = undefined;
    for (const channel of this.channels.splice(0)) channel.destroy();
  }

  /** A new process in the place of the old one. */
  async restart(): Promise<void> {
    this.server = this.#serve();
    await this.listen();
  }

  client(options: { timeout?: number; repeatable?: boolean } = {}): IpcClient<Sample> {
    const table = options.repeatable === true ? REPEATABLE : SAMPLE;
    const client = new IpcClient<Sample>(table, this.path, { timeout: options.timeout ?? 20 });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    this.die();
    // The sockets' own close events run before the test is over.
    await pause(5);
    this.#directory[Symbol.dispose]();
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Answers `ask` with its word after its delay, in any order. */
export const echo: SampleHandler = async (exchange, message) => {
  if (message.is !== "ask") return;
  if (message.delay > 0) await pause(message.delay);
  exchange.reply("answer", { word: message.word, ok: true });
};

/** The replies and the error of an exchange, and a promise of its end. */
export class Watcher {
  readonly replies: Reply<Sample>[] = [];
  error: IpcError | undefined;
  readonly over: Promise<void>;
  #resolve: () => void = () => {};

  constructor() {
    this.over = new Promise((resolve) => this.#resolve = resolve);
  }

  readonly onReply = (reply: Reply<Sample>): void => {
    this.replies.push(reply);
    if (reply.is === "answer") this.#resolve();
  };

  readonly onError = (error: IpcError): void => {
    this.error = error;
    this.#resolve();
  };
}
