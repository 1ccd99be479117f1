/**
 * The way of a message in one process: the real cleanup, queue manager, bounce, pickup and mailbox writers on one queue
 * directory, with nothing between them but calls, so that each file operation has its number. Not a test itself.
 *
 * @module
 */
import { milterConnector } from "../../lib/milter/milter_connect.ts";
import { BounceService } from "../../daemons/bounce/bounce_service.ts";
import { SERVICE as BOUNCE_SERVICE } from "../../daemons/bounce/service.ts";
import { CleanupService } from "../../daemons/cleanup/cleanup_service.ts";
import { SERVICE as CLEANUP_SERVICE } from "../../daemons/cleanup/service.ts";
import { PickupService } from "../../daemons/pickup/pickup_service.ts";
import { JournalKeeper } from "../../daemons/qmgr/qmgr_journal.ts";
import { QueueScanner, recoverActive } from "../../daemons/qmgr/qmgr_scan.ts";
import type { ClientExchange, IpcClient } from "../../lib/ipc/client.ts";
import type { Protocol, Reply, Request } from "../../lib/ipc/protocol.ts";
import type { Handler, ServerExchange } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
import { Maildir } from "../../lib/mail/mailbox_maildir.ts";
import { Mbox } from "../../lib/mail/mailbox_mbox.ts";
import { failedDelivery } from "../../lib/mail/mailbox_outcome.ts";
import { MessageSource } from "../../lib/mail/mailbox_source.ts";
import type { Mailbox } from "../../lib/mail/mailbox_writer.ts";
import type { CLEANUP } from "../../lib/proto/protocols.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import { mendQueue, prepareQueue } from "../../lib/server/prepare_queue.ts";
import { MailboxSyncs } from "../../lib/mail/mailbox_sync.ts";
import { configure, settingsOf } from "../daemons/smtpd/mail_host.ts";
import { type InHand, QmgrBench } from "../daemons/qmgr/qmgr_support.ts";
import { filesBelow } from "../support/postern.ts";

/** Mailboxes: `mbox` is one file, the others are Maildirs. */
export const MAILBOXES = ["box", "second", "later", "sender"] as const;
/** A lock that a crash left counts as left over almost at once. */
const LOCK = { attempts: 5, delay: 0.01, stale: 0.01, dotlock: true, flock: true };
/** How long everything may take to come to rest, milliseconds. */
const REST_LIMIT = 120_000;

/** The daemons on one queue, from a start on. */
export class MailPath implements Disposable {
  readonly lines: string[] = [];
  readonly cleanup: CleanupService;
  readonly cleanupClient: IpcClient<typeof CLEANUP>;
  readonly bench: QmgrBench;
  readonly keeper: JournalKeeper;
  readonly pickup: PickupService;
  /** Mail for `later` is put off once. */
  readonly #putOff = new Set<string>();
  #ended = false;
  readonly #root: string;
  readonly #scanner: QueueScanner;
  readonly #mailboxes: Readonly<Record<string, Mailbox>>;

  /** Starts as master does: the queue is prepared and purged, then the journal read back, then the daemons run. */
  constructor(root: string, boot: string) {
    this.#root = root;
    const configuration = configure({
      queue_directory: `"${root}/queue"`,
      myhostname: '"mx.test"',
      virtual_alias_maps: "[]",
    });
    const log = this.#logger();
    prepareQueue(`${root}/queue`, undefined, log);
    mendQueue(configuration.settings, undefined, log);
    const cleanup = settingsOf(configuration, CLEANUP_SERVICE.parameters);
    const bounce = settingsOf(configuration, BOUNCE_SERVICE.parameters);
    const service = (name: "bounce" | "defer" | "trace") =>
      directClient(new BounceService(name, bounce, this.cleanupClient, log).handle);
    this.cleanup = new CleanupService({
      connect: milterConnector(() => undefined),
      settings: cleanup,
      log,
      rewrite: new RewriteClient({
        call: (_type, fields) =>
          Promise.resolve({ is: "rewritten", address: (fields as { address: string }).address }),
      }),
      maps: {
        find: () => Promise.resolve({ kind: "missing" }),
        findLines: () => Promise.resolve({ kind: "matched", values: new Map() }),
      },
      qmgr: { send: (type, fields) => this.#hear(type, fields) },
      trace: service("trace"),
      queueKey: "key",
      bootId: boot,
      trouble: (what, error) => log.warning(`${what}: ${error}`),
    });
    this.cleanupClient = directClient<typeof CLEANUP>((exchange, message) =>
      this.cleanup.handle(exchange, message)
    );
    this.bench = new QmgrBench({
      directory: `${root}/queue`,
      hashNames: configuration.settings.hash_queue_names,
      logs: { bounce: service("bounce"), defer: service("defer"), trace: service("trace") },
      onGone: (id) => this.keeper.gone(id),
      times: { minimalBackoff: 0, maximalBackoff: 0 },
    });
    const { queue, manager } = this.bench;
    this.keeper = new JournalKeeper(queue, boot, log);
    this.keeper.restore();
    this.#scanner = new QueueScanner(queue, manager, 1000, log);
    this.bench.roomMade = () => this.#scanner.pump();
    this.bench.agent("smtp").act = (delivery) => void this.#deliver(delivery);
    this.pickup = new PickupService({
      queue,
      cleanup: this.cleanupClient,
      maps: undefined,
      loginOf: () => undefined,
      log,
      settings: {
        authorized_submit_users: ["static:anyone"],
        double_bounce_sender: "double-bounce",
        empty_address_local_login_sender_maps_lookup_key: "<>",
        local_login_sender_maps: ["static:*"],
        owner_request_special: true,
        recipient_delimiter: "",
        line_length_limit: 2048,
        mail_name: "Postern",
        myhostname: "mx.test",
        content_filter: "",
        receive_override_options: [],
        smtputf8_autodetect_classes: [],
      },
    });
    const place = (path: string) => ({ path, sizeLimit: 0, warn: log.warning });
    this.#mailboxes = {
      mbox: new Mbox(place(`${root}/mail/mbox`), { lock: LOCK, owner: undefined }),
      ...Object.fromEntries(
        MAILBOXES.map((
          name,
        ) => [name, new Maildir(place(`${root}/mail/${name}`), "mx.test", new MailboxSyncs())]),
      ),
    };
    recoverActive(queue);
    this.#scanner.scanIncoming();
    this.#scanner.scanDeferred(true);
  }

  #logger(): Logger {
    const say = (text: string) => void this.lines.push(text);
    return { info: say, warning: say, error: say, debug: () => {}, flush: () => {} };
  }

  /** cleanup tells qmgr of a message, which hears it later. */
  #hear(type: string, fields: object): void {
    const { queueId, head, tail } = fields as { queueId: string; head?: Uint8Array; tail?: Uint8Array };
    const [first, last] = [head?.slice(), tail?.slice()];
    setTimeout(() => {
      if (type === "accepted") this.#scanner.accept(queueId, first!, last!);
      else this.#scanner.hint(queueId);
    }, 0);
  }

  async #deliver(delivery: InHand): Promise<void> {
    const { request } = delivery;
    for (const { address } of request.recipients) {
      const user = address.slice(0, address.indexOf("@"));
      if (user === "later" && !this.#putOff.has(request.queueId)) {
        this.#putOff.add(request.queueId);
        delivery.tell(address, "deferred");
      } else if (user === "nobody") delivery.tell(address, "bounced");
      else {delivery.tell(
          address,
          await this.#write(user, request.queueId, request.dataOffset, request.sender),
        );}
    }
    delivery.finish();
  }

  async #write(
    user: string,
    id: string,
    dataOffset: number,
    sender: string,
  ): Promise<"sent" | "bounced" | "deferred"> {
    try {
      using source = new MessageSource(`${this.#root}/queue/active/${id}`, dataOffset);
      const box = await this.#mailboxes[user]!.begin(sender);
      try {
        const text = source.text({ returnPath: sender, originalTo: "", deliveredTo: "" });
        for (let piece = text.next(); piece !== undefined; piece = text.next()) box.write(piece);
      } catch (error) {
        box.abort();
        throw error;
      }
      await box.finish();
      return "sent";
    } catch (error) {
      return failedDelivery(error).result;
    }
  }

  /** Tries what was put off, and takes what was dropped, until nothing is in the queue any more; what is left. */
  async rest(limit = REST_LIMIT, over = () => false): Promise<string[]> {
    const deadline = Date.now() + limit;
    for (;;) {
      const left = ["maildrop", "incoming", "active", "deferred"].flatMap((name) =>
        filesBelow(`${this.#root}/queue/${name}`)
      );
      const mail = left.filter((path) => !path.slice(path.lastIndexOf("/")).includes("."));
      if (mail.length === 0 || Date.now() > deadline || over()) return mail;
      if (mail.some((path) => path.includes("/queue/deferred/"))) this.#scanner.scanDeferred(true);
      if (mail.some((path) => path.includes("/queue/maildrop/"))) await this.pickup.scan();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** An orderly end: cleanup writes no more, and qmgr drops the journal. */
  async end(): Promise<void> {
    this[Symbol.dispose]();
    await this.keeper.retire();
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#scanner.stop();
    this.cleanup[Symbol.dispose]();
  }
}

/** A client whose requests go straight to a handler. */
export function directClient<P extends Protocol>(handler: Handler<P>): IpcClient<P> {
  const open = (onReply: (reply: Reply<P>) => void): ClientExchange<P> => {
    let over = false;
    const exchange: ServerExchange<P> = {
      state: undefined,
      onCancel: undefined,
      get cancelled() {
        return over;
      },
      reply: (type, fields) =>
        queueMicrotask(() => over || onReply({ is: type, ...fields } as unknown as Reply<P>)),
    };
    let last: Promise<void> = Promise.resolve();
    return {
      send: (type, fields) => {
        const message = { is: type, ...fields } as unknown as Request<P>;
        last = last.then(() => handler(exchange, message));
      },
      ready: () => true,
      drained: () => Promise.resolve(),
      cancel: () => {
        over = true;
        exchange.onCancel?.();
      },
    };
  };
  const call = (type: string, fields: object) =>
    new Promise<Reply<P>>((resolve) => open(resolve).send(type as never, fields as never));
  return { open, call } as unknown as IpcClient<P>;
}
