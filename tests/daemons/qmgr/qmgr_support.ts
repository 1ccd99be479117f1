/** A queue manager on a real queue directory, with agents, resolver and logs of the test. Not a test itself. @module */
import { QueueManager } from "../../../daemons/qmgr/qmgr_manager.ts";
import type { NoticeRules } from "../../../daemons/qmgr/qmgr_notice.ts";
import { parseFeedback } from "../../../daemons/qmgr/qmgr_queue.ts";
import { Transport, type TransportRules } from "../../../daemons/qmgr/qmgr_transport.ts";
import { type IpcClient, IpcError } from "../../../lib/ipc/client.ts";
import { encodeFields } from "../../../lib/ipc/codec.ts";
import type { RequestValues } from "../../../lib/ipc/protocol.ts";
import type { Logger } from "../../../lib/log/log.ts";
import { QueueDirectory, type QueueName } from "../../../lib/mail/queue_directory.ts";
import {
  appendAttribute,
  formatSizeRecord,
  formatTime,
  QMGR_READ_ALL,
} from "../../../lib/mail/queue_file.ts";
import type { QueueId } from "../../../lib/mail/queue_id.ts";
import { appendRecord, RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { BOUNCE, DELIVERY, type FLUSH, type REWRITE } from "../../../lib/proto/protocols.ts";
import { RewriteClient } from "../../../lib/proto/rewrite_client.ts";
import { ByteBuilder, decodeText } from "../../../lib/vstring/byte_builder.ts";
import { until } from "../../commands/mail_system.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

export type Delivery = RequestValues<typeof DELIVERY, "deliver">;
type Append = RequestValues<typeof BOUNCE, "append">;
type ReturnOne = RequestValues<typeof BOUNCE, "returnOne">;
type Flush = RequestValues<typeof BOUNCE, "flush">;
type BounceRequest = keyof (typeof BOUNCE)["requests"];
type Noted = RequestValues<typeof FLUSH, "add">;

/** What a queue file of the tests is made from. */
export interface FileParts {
  readonly sender?: string;
  readonly recipients?: readonly string[];
  /** Indices of recipients that are done already. */
  readonly done?: readonly number[];
  readonly notify?: number;
  /** Age of the message, seconds. */
  readonly age?: number;
  readonly warnTime?: number;
  /** VERP delimiters. */
  readonly verp?: string;
  /** Behind the content, and the size record says so. */
  readonly filter?: string;
  readonly redirect?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly mode?: number;
  readonly modified?: number;
}

/** The bytes of a queue file. */
export function makeFile(parts: FileParts): Uint8Array<ArrayBuffer> {
  const created = Math.floor(Date.now() / 1000 - (parts.age ?? 0));
  const recipients = parts.recipients ?? ["to@example.test"];
  const envelope = new ByteBuilder(1 << 24);
  appendRecord(envelope, RECORD.TIME, formatTime(created * 1000));
  appendAttribute(envelope, "create_time", String(created));
  for (const [name, value] of Object.entries(parts.attributes ?? {})) appendAttribute(envelope, name, value);
  if (parts.warnTime !== undefined) appendRecord(envelope, RECORD.WARN, String(parts.warnTime).padStart(15));
  appendRecord(envelope, RECORD.FROM, parts.sender ?? "from@example.test");
  if (parts.verp !== undefined) appendRecord(envelope, RECORD.VERP, parts.verp);
  recipients.forEach((address, index) => {
    if (parts.notify !== undefined) appendAttribute(envelope, "notify_flags", String(parts.notify));
    appendRecord(envelope, parts.done?.includes(index) ? RECORD.DONE : RECORD.RECIPIENT, address);
  });
  appendRecord(envelope, RECORD.MESSAGE, "");
  const content = new ByteBuilder(1 << 20);
  appendRecord(content, RECORD.NORMAL, "Subject: test");
  const out = new ByteBuilder(1 << 25);
  const late = parts.filter !== undefined || parts.redirect !== undefined;
  appendRecord(
    out,
    RECORD.SIZE,
    formatSizeRecord({
      contentSize: content.length,
      dataOffset: 97 + envelope.length,
      recipientCount: recipients.length,
      qmgrFlags: late ? QMGR_READ_ALL : 0,
      contentLength: 14,
      sendOptions: 0,
    }),
  );
  out.bytes(envelope.view()).bytes(content.view());
  appendRecord(out, RECORD.EXTRACTED, "");
  if (parts.filter !== undefined) appendRecord(out, RECORD.FILTER, parts.filter);
  if (parts.redirect !== undefined) appendRecord(out, RECORD.REDIRECT, parts.redirect);
  appendRecord(out, RECORD.END, "");
  return out.copy();
}

/** One delivery in an agent's hands. */
export interface InHand {
  readonly request: Delivery;
  /** Tells one recipient's outcome. */
  tell(address: string, result: "sent" | "bounced" | "deferred", action?: string): void;
  /** Tells a failure that the owner of a list is to hear of. */
  tellOwned(address: string, owner: string): void;
  finish(site?: string, siteStatus?: string): void;
  die(error: IpcError): void;
  /** True when qmgr broke it off. */
  cancelled: boolean;
}

/** An agent: it encodes what it is sent, as the real client does, and does with it what the test says. */
export class FakeAgent implements Pick<IpcClient<typeof DELIVERY>, "open"> {
  readonly requests: Delivery[] = [];
  readonly inHand: InHand[] = [];
  /** What is done at once with a delivery; by default every recipient is delivered. */
  act: ((delivery: InHand) => void) | undefined = (delivery) => {
    for (const { address } of delivery.request.recipients) delivery.tell(address, "sent");
    delivery.finish();
  };

  open: IpcClient<typeof DELIVERY>["open"] = (onReply, onError) => {
    let cancel = () => {};
    return {
      send: (_type, fields) => {
        const request = fields as Delivery;
        encodeFields(new ByteBuilder(1 << 24), DELIVERY.requests.deliver.fields, request);
        this.requests.push(request);
        const delivery: InHand = {
          request,
          tell: (address, result, action) => {
            const { offset } = request.recipients.find((one) => one.address === address)!;
            onReply({
              is: "recipient",
              offset,
              ...outcome(result),
              ...(action === undefined ? {} : { action }),
            });
          },
          tellOwned: (address, owner) => {
            const { offset } = request.recipients.find((one) => one.address === address)!;
            onReply({ is: "ownedRecipient", offset, owner, ...outcome("bounced") });
          },
          finish: (site = "", siteStatus = "") => onReply({ is: "finished", site, siteStatus }),
          die: onError,
          cancelled: false,
        };
        cancel = () => delivery.cancelled = true;
        this.inHand.push(delivery);
        const act = this.act;
        if (act !== undefined) setTimeout(() => act(delivery), 0);
      },
      ready: () => true,
      drained: () => Promise.resolve(),
      cancel: () => cancel(),
    };
  };

  /** Addresses of all recipients that it was given, in order. */
  get addresses(): string[] {
    return this.requests.flatMap(({ recipients }) => recipients.map(({ address }) => address));
  }
}

function outcome(result: "sent" | "bounced" | "deferred") {
  const status = { sent: "2.0.0", bounced: "5.1.1", deferred: "4.0.0" }[result];
  const action = { sent: "delivered", bounced: "failed", deferred: "delayed" }[result];
  const none = { diagnosticType: "", diagnosticText: "", remoteMta: "" };
  return { result, status, action, reason: `it is ${result}`, ...none };
}

/** bounce, defer or trace: keeps what it is asked, and has a log on disk where qmgr looks for one. */
export class FakeLog {
  readonly appended: Append[] = [];
  readonly returned: ReturnOne[] = [];
  readonly flushed: Flush[] = [];
  readonly dropped: string[] = [];
  /** What it answers with: nothing is well, a reason, or that it is away. */
  trouble: "" | "failed" | "away" = "";
  /** The one request that it has trouble with; default: all. */
  troubledBy: BounceRequest | undefined;
  readonly #path: (id: QueueId) => string;

  constructor(path: (id: QueueId) => string) {
    this.#path = path;
  }

  get client(): IpcClient<typeof BOUNCE> {
    return { call: this.#call } as unknown as IpcClient<typeof BOUNCE>;
  }

  readonly #call = (type: BounceRequest, fields: Append | ReturnOne | Flush | { queueId: string }) => {
    encodeFields(new ByteBuilder(1 << 20), BOUNCE.requests[type].fields, { ...fields });
    const troubled = this.troubledBy === undefined || this.troubledBy === type;
    if (troubled && this.trouble === "away") {
      return Promise.reject(new IpcError("lost", "Cannot reach service", false));
    }
    if (troubled && this.trouble === "failed") {
      return Promise.resolve({ is: "failed", reason: "disk is full" });
    }
    const path = this.#path(fields.queueId as QueueId);
    if (type === "append") {
      this.appended.push(fields as Append);
      Deno.writeTextFileSync(path, "log\n", { append: true });
    } else if (type === "returnOne") this.returned.push(fields as ReturnOne);
    else if (type === "flush") {
      this.flushed.push(fields as Flush);
      if ((fields as Flush).report !== "delay") remove(path);
    } else {
      this.dropped.push(fields.queueId);
      remove(path);
    }
    return Promise.resolve({ is: "done" });
  };
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Postfix's defaults. */
export const DEFAULT_RULES: TransportRules = {
  initial: 5,
  limit: 20,
  concurrency: 400,
  positive: parseFeedback("1")!,
  negative: parseFeedback("1")!,
  failedCohortLimit: 1,
  recipientLimit: 50,
  slotCost: 5,
  slotLoan: 3,
  slotDiscount: 50,
  minimumSlots: 3,
  pool: 20_000,
  extraPool: 1000,
  refillLimit: 100,
  refillDelay: 5000,
  recipientMinimum: 10,
  rateDelay: 0,
  transportRateDelay: 0,
  clogLimit: 4000,
  clogPause: 300_000,
};

/** What differs from a manager with the transports smtp and retry. */
export interface BenchOptions {
  readonly transports?: readonly string[];
  readonly rules?: Partial<TransportRules>;
  readonly recipientLimit?: number;
  readonly hashed?: boolean;
  readonly notices?: Partial<NoticeRules>;
  readonly times?: Partial<
    Record<"minimalBackoff" | "maximalBackoff" | "lifetime" | "bounceLifetime" | "delayWarning", number>
  >;
  readonly deferTransports?: readonly string[];
  readonly filterNexthop?: string;
  /** There is a flush daemon, and there are destinations for it. */
  readonly flush?: true;
  /** Milliseconds. */
  readonly retry?: { readonly destination: number; readonly transport: number };
  /** An existing queue directory, which stays, and the queues in it that are hashed. */
  readonly directory?: string;
  readonly hashNames?: readonly string[];
  /** Services that keep logs, in the place of those that the test plays. */
  readonly logs?: Readonly<Record<"bounce" | "defer" | "trace", IpcClient<typeof BOUNCE>>>;
  /** Told of a message of the journal that was removed. */
  readonly onGone?: (id: QueueId) => void;
}

const QUEUES = ["incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace"] as const;

/** All of it; `using` removes the directory. */
export class QmgrBench implements Disposable {
  readonly #directory: TemporaryDirectory | undefined;
  readonly queue: QueueDirectory;
  readonly manager: QueueManager;
  readonly agents = new Map<string, FakeAgent>();
  readonly bounce: FakeLog;
  readonly defer: FakeLog;
  readonly trace: FakeLog;
  readonly lines: string[] = [];
  readonly log: Logger;
  /** What the resolver answers; by default smtp and the recipient's domain. */
  resolve = (address: string): { transport: string; nexthop: string; bad?: boolean } | undefined => ({
    transport: "smtp",
    nexthop: address.slice(address.lastIndexOf("@") + 1),
  });
  resolved: string[] = [];
  roomMade: () => void = () => {};
  mostRecipients = 0;
  readonly clogged: string[] = [];
  /** What flush was told. */
  readonly noted: Noted[] = [];
  /** Messages of the journal that were removed. */
  readonly gone: QueueId[] = [];

  constructor(options: BenchOptions = {}) {
    this.#directory = options.directory === undefined ? new TemporaryDirectory() : undefined;
    for (const name of QUEUES) if (this.#directory) Deno.mkdirSync(this.#directory.at(name));
    const hashed = options.hashNames ?? (options.hashed ? ["deferred", "defer", "bounce"] : []);
    this.queue = new QueueDirectory(options.directory ?? this.#directory!.path, hashed, 1);
    this.bounce = this.#fakeLog("bounce");
    this.defer = this.#fakeLog("defer");
    this.trace = this.#fakeLog("trace");
    const say = (prefix: string) => (text: string) => void this.lines.push(prefix + text);
    this.log = {
      info: say(""),
      warning: say("warning: "),
      error: say("error: "),
      debug: () => {},
      flush: () => {},
    };
    this.manager = new QueueManager({
      queue: this.queue,
      rewrite: new RewriteClient({ call: this.#rewrite } as Pick<IpcClient<typeof REWRITE>, "call">),
      bounce: options.logs?.bounce ?? this.bounce.client,
      defer: options.logs?.defer ?? this.defer.client,
      trace: options.logs?.trace ?? this.trace.client,
      log: this.log,
      times: {
        minimalBackoff: 300,
        maximalBackoff: 4000,
        lifetime: 432_000,
        bounceLifetime: 432_000,
        delayWarning: 0,
        ...options.times,
      },
      recipientLimit: options.recipientLimit ?? 20_000,
      recipientMinimum: 10,
      notices: { confirmDelayCleared: false, disableVerpBounces: false, ...options.notices },
      deferTransports: new Set(options.deferTransports ?? []),
      filterNexthop: options.filterNexthop ?? "",
      flush: options.flush ? { send: (_type, fields) => void this.noted.push(fields as Noted) } : undefined,
      extension: {
        recipient_delimiter: "+",
        owner_request_special: true,
        double_bounce_sender: "double-bounce",
      },
      gone: (id) => {
        this.gone.push(id);
        options.onGone?.(id);
      },
      roomMade: () => this.roomMade(),
    });
    for (const name of options.transports ?? ["smtp", "retry", "error"]) this.#addTransport(name, options);
  }

  #fakeLog(name: QueueName): FakeLog {
    return new FakeLog((id) => (this.queue.ensureHash(name, id), this.queue.path(name, id)));
  }

  #addTransport(name: string, { rules, retry }: BenchOptions): void {
    const agent = new FakeAgent();
    this.agents.set(name, agent);
    const transport: Transport = new Transport(
      name,
      agent,
      { ...DEFAULT_RULES, ...rules },
      retry ?? { destination: 300_000, transport: 60_000 },
      {
        settled: (message, recipient, told) => this.manager.settled(message, recipient, told),
        unsettled: (entry, recipients, error) => this.manager.unsettled(transport, entry, recipients, error),
        died: (destination, entries) => this.manager.died(destination, entries),
        givenUp: ({ message }) => void this.lines.push(`${message.id}: given up`),
        refill: (message, most) => this.manager.refill(message, most),
        clogged: (destination) => void this.clogged.push(destination.nexthop),
      },
    );
    this.manager.addTransport(transport);
  }

  readonly #rewrite = (_type: string, fields: object): Promise<never> => {
    const { address } = fields as { address: string };
    this.resolved.push(address);
    this.mostRecipients = Math.max(this.mostRecipients, this.manager.recipients);
    const answer = this.resolve(address);
    if (answer === undefined) {
      return Promise.reject(new IpcError("lost", "Service rewrite closed the connection"));
    }
    const reply = {
      is: "resolved",
      recipient: address,
      class: "default",
      routed: false,
      bad: false,
      ...answer,
    };
    return Promise.resolve(reply as never);
  };

  agent(name = "smtp"): FakeAgent {
    return this.agents.get(name)!;
  }

  /** Writes a queue file. */
  put(id: string, parts: FileParts = {}, queue: QueueName = "incoming"): QueueId {
    return this.putBytes(id, makeFile(parts), queue, parts.mode, parts.modified);
  }

  putBytes(
    id: string,
    bytes: Uint8Array,
    queue: QueueName = "incoming",
    mode = 0o700,
    modified?: number,
  ): QueueId {
    this.queue.ensureHash(queue, id as QueueId);
    const path = this.queue.path(queue, id as QueueId);
    Deno.writeFileSync(path, bytes);
    Deno.chmodSync(path, mode);
    if (modified !== undefined) Deno.utimeSync(path, modified / 1000, modified / 1000);
    return id as QueueId;
  }

  /** Takes a message as a hint of cleanup makes qmgr do. */
  take(
    id: QueueId,
    from: QueueName = "incoming",
    how: { flush?: boolean; fresh?: boolean } = { fresh: true },
  ): boolean {
    return this.manager.take(id, from, how);
  }

  /** Writes a message and takes it. */
  start(parts: FileParts = {}, id = "A1B2C3"): QueueId {
    this.put(id, parts);
    this.take(id as QueueId);
    return id as QueueId;
  }

  /** Waits until the manager has no message in hand; throws when it keeps one. */
  async settle(): Promise<void> {
    if (!await until(() => this.manager.size === 0)) {
      throw new Error(`${this.manager.size} messages are still active; log:\n${this.lines.join("\n")}`);
    }
    if (this.manager.recipients !== 0) {
      throw new Error(`${this.manager.recipients} recipients are still counted`);
    }
  }

  /** Queues in which a file with this id stands. */
  where(id: QueueId): QueueName[] {
    return (["incoming", "active", "deferred", "hold", "corrupt"] as const).filter((name) =>
      exists(this.queue.path(name, id))
    );
  }

  /** Letters of the recipient records, with their addresses. */
  marks(id: QueueId, queue: QueueName): string[] {
    const cursor = new RecordCursor(Deno.readFileSync(this.queue.path(queue, id)));
    const found: string[] = [];
    while (cursor.next()) {
      if (cursor.type === RECORD.RECIPIENT || cursor.type === RECORD.DONE) {
        found.push(`${String.fromCharCode(cursor.type)} ${decodeText(cursor.data)}`);
      }
    }
    return found;
  }

  /** Seconds from now to the file's time. */
  delay(id: QueueId, queue: QueueName = "deferred"): number {
    return (Deno.statSync(this.queue.path(queue, id)).mtime!.getTime() - Date.now()) / 1000;
  }

  logged(text: string): boolean {
    return this.lines.some((line) => line.includes(text));
  }

  [Symbol.dispose](): void {
    this.#directory?.[Symbol.dispose]();
  }
}

export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
