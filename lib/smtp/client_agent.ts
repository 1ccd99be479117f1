/**
 * The delivery agent of the smtp and lmtp programs: takes requests from qmgr, opens the message, delivers, answers.
 *
 * @module
 */
import type { ReplyValues, Request } from "../ipc/protocol.ts";
import { openOwn } from "../safe/file.ts";
import type { QueueDirectory } from "../mail/queue_directory.ts";
import { toQueueId } from "../mail/queue_id.ts";
import type { DELIVERY } from "../proto/protocols.ts";
import { ClientDelivery, type DeliveryTools, type SiteReport } from "./client_delivery.ts";
import { localFailure } from "./client_failure.ts";
import { type DeliveryRequest, RequestRecipients } from "./client_recipients.ts";

/** Deliveries at once in one process: each has a connection and a file. More wait for their turn. */
const DELIVERY_LIMIT = 400;

/** What the agent uses of an exchange. */
export interface DeliveryExchange {
  reply<K extends keyof (typeof DELIVERY)["replies"] & string>(
    type: K,
    fields: ReplyValues<typeof DELIVERY, K>,
  ): void;
  onCancel: (() => void) | undefined;
}

/** Serves the delivery protocol. */
export class ClientAgent {
  readonly #tools: DeliveryTools;
  readonly #queue: QueueDirectory;
  readonly #waiters: (() => void)[] = [];
  #busy = 0;

  constructor(tools: DeliveryTools, queue: QueueDirectory) {
    this.#tools = tools;
    this.#queue = queue;
  }

  /** Deliveries under way. */
  get busy(): number {
    return this.#busy;
  }

  /** Handles one request. Never throws: whatever goes wrong, the mail stays with qmgr. */
  async handle(exchange: DeliveryExchange, request: Request<typeof DELIVERY>): Promise<void> {
    await this.#enter();
    try {
      exchange.reply("finished", await this.#deliver(exchange, request));
    } catch (error) {
      this.#tools.trouble(`${request.queueId}: delivery failed`, error);
      exchange.reply("finished", { siteStatus: "", site: "" });
    } finally {
      this.#leave();
    }
  }

  async #deliver(exchange: DeliveryExchange, request: DeliveryRequest): Promise<SiteReport> {
    const id = toQueueId(request.queueId);
    if (id === undefined || request.queueName !== "active") {
      return this.#deferAll(exchange, request, "bad queue id");
    }
    const opened = openOwn(this.#queue.path("active", id), "read");
    if (opened.kind !== "opened") {
      return this.#deferAll(exchange, request, opened.kind === "missing" ? "file is missing" : opened.why);
    }
    using file = opened.file;
    // Shared with other agents; a qmgr that starts anew leaves the message alone while one of us works on it.
    if (!file.tryLock("shared")) return this.#deferAll(exchange, request, "file is locked");
    const content = { file, offset: request.dataOffset, size: request.dataSize };
    const delivery = new ClientDelivery(
      request,
      content,
      this.#tools,
      (report) => exchange.reply("recipient", report),
    );
    exchange.onCancel = () => delivery.cancel();
    return await delivery.run();
  }

  #deferAll(exchange: DeliveryExchange, request: DeliveryRequest, why: string): SiteReport {
    const { policy, log } = this.#tools;
    const recipients = new RequestRecipients(
      request,
      policy,
      log,
      (report) => exchange.reply("recipient", report),
    );
    recipients.settleAll(localFailure("message", true, "4.3.0", `Cannot open queue file: ${why}`));
    return { siteStatus: "", site: "" };
  }

  async #enter(): Promise<void> {
    // Whoever leaves hands its place over, so the count stays as it is.
    if (this.#busy >= DELIVERY_LIMIT) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    else this.#busy++;
  }

  #leave(): void {
    const next = this.#waiters.shift();
    if (next === undefined) this.#busy--;
    else next();
  }
}
