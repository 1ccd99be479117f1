/**
 * A cleanup for the tests of pickup: it speaks the real protocol over a real socket and keeps what it gets. It
 * copies what Postfix's cleanup does at this boundary: an id at once, a status after the E record.
 *
 * @module
 */
import { PickupService } from "../../../daemons/pickup/pickup_service.ts";
import { IpcClient } from "../../../lib/ipc/client.ts";
import { IpcServer } from "../../../lib/ipc/server.ts";
import type { Logger } from "../../../lib/log/log.ts";
import { QueueDirectory } from "../../../lib/mail/queue_directory.ts";
import { RecordCursor } from "../../../lib/mail/record.ts";
import { CLEANUP } from "../../../lib/proto/protocols.ts";
import type { MapLookup } from "../../../lib/proto/proxymap_client.ts";
import type { SubmitAccessSettings } from "../../../lib/server/submit_access.ts";
import { listenStream } from "../../../lib/safe/tcp_server.ts";
import { ScratchQueue } from "../../commands/maildrop_support.ts";

/** One message as cleanup got it: a letter and its data for each record. */
export interface TakenMessage {
  readonly flags: number;
  readonly records: [string, string][];
  finished: boolean;
}

/** What pickup knows of those who may post. */
export interface PickupAccess {
  readonly maps?: MapLookup;
  readonly login?: string;
  readonly settings?: Partial<SubmitAccessSettings>;
}

/** pickup with everything around it. */
export class PickupBench implements AsyncDisposable {
  readonly queue = new ScratchQueue();
  readonly messages: TakenMessage[] = [];
  readonly log: string[] = [];
  /** What cleanup says at the end. */
  status = 0;
  pickup!: PickupService;
  readonly #access: PickupAccess;
  #stop: () => void = () => {};

  private constructor(access: PickupAccess) {
    this.#access = access;
  }

  /** @param access what pickup is told of those who may post; default: everybody may */
  static async start(access: PickupAccess = {}): Promise<PickupBench> {
    const bench = new PickupBench(access);
    const path = bench.queue.path("public", "cleanup");
    const server = new IpcServer(CLEANUP, (exchange, message) => {
      switch (message.is) {
        case "begin":
          exchange.state = { flags: message.flags, records: [], finished: false } satisfies TakenMessage;
          return exchange.reply("queueId", { queueId: `QID${bench.messages.length}` });
        case "records": {
          const cursor = new RecordCursor(message.records);
          while (cursor.next()) {
            (exchange.state as TakenMessage).records.push([
              String.fromCharCode(cursor.type),
              new TextDecoder().decode(cursor.data),
            ]);
          }
          return;
        }
        case "finish": {
          const taken = exchange.state as TakenMessage;
          taken.finished = true;
          bench.messages.push(taken);
          return exchange.reply("status", { status: bench.status, reason: "" });
        }
      }
    }, { trouble: (why) => bench.log.push(`cleanup: ${why}`) });
    const listening = await listenStream(
      { kind: "unix", path },
      10,
      (channel) => server.accept(channel),
      () => {},
    );
    if (listening.kind === "failed") throw new Error(listening.why);
    const cleanup = new IpcClient(CLEANUP, path);
    const write = (level: string) => (text: string) => void bench.log.push(level + text);
    const log: Logger = {
      info: write(""),
      warning: write("warning: "),
      error: write("error: "),
      debug: () => {},
      flush: () => {},
    };
    bench.pickup = new PickupService({
      queue: new QueueDirectory(bench.queue.root, ["deferred", "defer"], 1),
      cleanup,
      log,
      maps: bench.#access.maps,
      loginOf: () => bench.#access.login,
      settings: {
        authorized_submit_users: ["static:anyone"],
        double_bounce_sender: "double-bounce",
        empty_address_local_login_sender_maps_lookup_key: "<>",
        local_login_sender_maps: ["static:*"],
        owner_request_special: true,
        recipient_delimiter: "+",
        ...bench.#access.settings,
        line_length_limit: 2048,
        mail_name: "Postern",
        myhostname: "mail.example.test",
        content_filter: "",
        receive_override_options: [],
        smtputf8_autodetect_classes: ["sendmail", "verify"],
      },
    });
    bench.#stop = () => {
      cleanup.close();
      listening.server.close();
    };
    return bench;
  }

  /** The one message that arrived, its Received header taken off and checked. */
  only(uid: number): [string, string][] {
    if (this.messages.length !== 1) {
      throw new Error(`${this.messages.length} messages: ${this.log.join("; ")}`);
    }
    const all = this.messages[0]!.records;
    const at = all.findIndex(([type]) => type === "M");
    const [first, second] = [all[at + 1]![1], all[at + 2]![1]];
    if (first !== `Received: by mail.example.test (Postern, from userid ${uid})`) throw new Error(first);
    if (!second.startsWith("\tid QID0; ")) throw new Error(second);
    return [...all.slice(0, at + 1), ...all.slice(at + 3)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.queue[Symbol.dispose]();
  }
}
