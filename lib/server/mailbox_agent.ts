/**
 * What local, virtual and pipe have in common: the request from qmgr, the queue file behind it, the report on each
 * recipient, and the delivery of one copy through a helper.
 *
 * @module
 */
// Utility
import { type Logger } from "../log/log.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { quoteAddress } from "../mail/address.ts";
import { deliveredVia, deliveryLogLine } from "../mail/delivery_log.ts";
import { type MailboxOutcome, outcomeOf } from "../mail/mailbox_outcome.ts";
import { MessageSource } from "../mail/mailbox_source.ts";
import { type DeliveryHeaders, type TextForm } from "../mail/mailbox_text.ts";
import { QueueDirectory } from "../mail/queue_directory.ts";
import { toQueueId } from "../mail/queue_id.ts";
// Wire protocols
import { type RequestValues } from "../ipc/protocol.ts";
import { type ServerExchange } from "../ipc/server.ts";
import { type DELIVERY } from "../proto/protocols.ts";
// Server skeleton
import { type HelperRequest, type HelperTask } from "./boot.ts";
import {
  type MailboxHelperPool,
  type PlaceRequest,
  type ProgramEnd,
  type ProgramMessage,
} from "./mailbox_helper.ts";
import { type StatusFilter } from "./status_filter.ts";

/** A delivery request of qmgr. */
export type DeliveryRequest = RequestValues<typeof DELIVERY, "deliver">;
/** One of its recipients. */
export type DeliveryRecipient = DeliveryRequest["recipients"][number];

/** What a program is started with for one message. */
export type ProgramInput = Pick<ProgramMessage, "directory" | "args" | "environment">;

/** Recipients of one request that are worked on at once. */
const PARALLEL_LIMIT = 10;

/** Parameters that every delivery to a mailbox depends on. */
export interface MailboxAgentSettings {
  readonly delay_logging_resolution_limit: number;
  readonly enable_original_recipient: boolean;
  readonly hash_queue_depth: number;
  readonly hash_queue_names: readonly string[];
  readonly queue_directory: string;
  readonly soft_bounce: boolean;
}

/** What an agent works with. */
export interface MailboxAgent {
  readonly settings: MailboxAgentSettings;
  readonly log: Logger;
  /** Name in master.toml: the relay of the log line. */
  readonly serviceName: string;
  /** Reports an error that is no outcome of the mail: what the sandbox refused is a security event. */
  readonly trouble: (what: string, error: unknown) => void;
  readonly helpers: Pick<MailboxHelperPool, "deliver" | "run">;
  /** Changes what is told of an outcome, where the configuration wants that. */
  readonly filter?: StatusFilter | undefined;
}

/** An outcome and what the report calls it (RFC 3464 section 2.3.3). */
export interface RecipientOutcome extends MailboxOutcome {
  readonly action: "delivered" | "relayed" | "expanded" | "failed" | "delayed";
  /** Who is told of a final failure in the sender's place. */
  readonly owner?: string;
}

/** Addresses of one copy, internal form. An empty one makes no header, but for the sender: that is the null sender. */
export interface CopyEnvelope {
  readonly sender: string;
  readonly originalRecipient: string;
  readonly deliveredTo: string;
}

/** What a probe says of a mailbox. */
export function probedMailbox({ format }: Pick<HelperTask, "format">): MailboxOutcome {
  return outcomeOf("2.0.0", `delivers to ${format === "maildir" ? "maildir" : "mailbox"}`);
}

/** One request with its open queue file. */
export class MailboxDeliveryJob {
  readonly agent: MailboxAgent;
  readonly request: DeliveryRequest;
  readonly source: MessageSource;
  readonly #started: number;

  constructor(agent: MailboxAgent, request: DeliveryRequest, source: MessageSource, started: number) {
    this.agent = agent;
    this.request = request;
    this.source = source;
    this.#started = started;
  }

  /** The outcome as it is told. A probe's stays: nothing was delivered. */
  told(outcome: MailboxOutcome): MailboxOutcome | Promise<MailboxOutcome> {
    const { filter } = this.agent;
    return filter === undefined || this.request.probe ? outcome : filter(outcome);
  }

  /** Writes the log line about one address. `recipient` is the one that the request names. */
  log(address: string, recipient: DeliveryRecipient, outcome: MailboxOutcome): void {
    const { request, agent } = this;
    logOutcome(agent, request, this.#started, address, recipient, outcome);
  }

  /** Delivers one copy into a mailbox. Trouble with the queue file or the helper is an outcome, too. */
  async toMailbox(task: PlaceRequest, copy: CopyEnvelope): Promise<MailboxOutcome> {
    const { agent, request, source } = this;
    const headers = this.headers(copy);
    try {
      return await agent.helpers.deliver(task, {
        queueId: request.queueId,
        sender: copy.sender,
        text: () => source.text(headers),
      });
    } catch (error) {
      // A queue file that cannot be read to its end: qmgr sees that too, and moves it aside.
      return outcomeOf("4.3.0", `Cannot read message: ${errorText(error)}`);
    }
  }

  /** The headers of one copy. */
  headers({ sender, originalRecipient, deliveredTo }: CopyEnvelope): DeliveryHeaders {
    return {
      returnPath: quoteAddress(sender),
      originalTo: this.agent.settings.enable_original_recipient ? quoteAddress(originalRecipient) : "",
      deliveredTo: quoteAddress(deliveredTo),
    };
  }

  /** Gives one copy to a program. Trouble with the queue file or the helper is an end, too. */
  async toProgram(
    helper: HelperRequest,
    program: ProgramInput,
    headers: DeliveryHeaders,
    form: TextForm,
  ): Promise<ProgramEnd> {
    const { agent, request, source } = this;
    try {
      return await agent.helpers.run(helper, {
        queueId: request.queueId,
        sender: request.sender,
        text: () => source.text(headers, form),
        ...program,
      });
    } catch (error) {
      return { how: "unknown", why: `Cannot read message: ${errorText(error)}` };
    }
  }
}

/**
 * Works on a request: opens the queue file, has each recipient delivered, reports every one and the end.
 *
 * @param deliver settles one recipient; must not throw
 */
export async function serveDelivery(
  agent: MailboxAgent,
  exchange: ServerExchange<typeof DELIVERY>,
  request: DeliveryRequest,
  deliver: (job: MailboxDeliveryJob, recipient: DeliveryRecipient) => Promise<RecipientOutcome>,
): Promise<void> {
  const started = Date.now();
  const report = (recipient: DeliveryRecipient, outcome: RecipientOutcome) => {
    const told = softened(outcome, softens(agent, request));
    const fields = replyFields(agent, request, recipient, told);
    if (told.owner === undefined || told.result !== "bounced") return exchange.reply("recipient", fields);
    exchange.reply("ownedRecipient", { ...fields, owner: told.owner });
  };
  const finish = () => exchange.reply("finished", { siteStatus: "", site: "" });
  let source: MessageSource;
  try {
    source = openSource(agent.settings, request);
  } catch (error) {
    agent.trouble(`${printable(request.queueId)}: open message`, error);
    const outcome: RecipientOutcome = { ...outcomeOf("4.3.0", errorText(error)), action: "delayed" };
    for (const recipient of request.recipients) {
      logOutcome(agent, request, started, recipient.address, recipient, outcome);
      report(recipient, outcome);
    }
    return finish();
  }
  using opened = source;
  const job = new MailboxDeliveryJob(agent, request, opened, started);
  let left = request.recipients.length;
  if (left === 0) return finish();
  await inParallel(request.recipients, PARALLEL_LIMIT, async (recipient) => {
    report(recipient, await deliver(job, recipient));
    // In the same turn as the last report, so that both leave in one write.
    if (--left === 0) finish();
  });
}

/** Works on all items, so many at once. */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

function openSource(settings: MailboxAgentSettings, request: DeliveryRequest): MessageSource {
  const id = toQueueId(request.queueId);
  if (id === undefined || request.queueName !== "active") {
    throw new Error(`Cannot deliver "${printable(request.queueId)}": it is not in the active queue`);
  }
  const { queue_directory, hash_queue_names, hash_queue_depth } = settings;
  const queue = new QueueDirectory(queue_directory, hash_queue_names, hash_queue_depth);
  return new MessageSource(queue.path("active", id), request.dataOffset, request.dataSize);
}

function logOutcome(
  agent: MailboxAgent,
  request: DeliveryRequest,
  started: number,
  address: string,
  recipient: DeliveryRecipient,
  outcome: MailboxOutcome,
): void {
  const soft = outcome.result === "bounced" && softens(agent, request);
  const { result, status } = softened({ ...outcome, action: "failed" }, soft);
  const entry = {
    queueId: request.queueId,
    recipient: address,
    originalRecipient: recipient.originalRecipient === "" ? recipient.address : recipient.originalRecipient,
    relay: agent.serviceName,
    // Nothing to connect to: the time since the hand-off is all delivery.
    times: {
      arrival: request.arrivalTime,
      active: request.activeTime,
      started,
      connected: started,
      done: Date.now(),
    },
    status,
    result: request.probe
      ? result === "sent" ? "deliverable" : "undeliverable"
      : soft
      ? "SOFTBOUNCE"
      : result,
    text: outcome.reason,
  } as const;
  const resolution = agent.settings.delay_logging_resolution_limit;
  agent.log.info(deliveryLogLine(entry, { resolution, addressFormat: "external" }));
}

/** A probe says what would be, and keeps no mail: soft_bounce does not change it. */
function softens({ settings }: MailboxAgent, { probe }: DeliveryRequest): boolean {
  return settings.soft_bounce && !probe;
}

/** With soft_bounce a final failure is one that may pass. */
function softened(outcome: RecipientOutcome, soft: boolean): RecipientOutcome {
  if (!soft || outcome.result !== "bounced") return outcome;
  return { ...outcome, result: "deferred", status: `4${outcome.status.slice(1)}`, action: "delayed" };
}

function replyFields(
  agent: MailboxAgent,
  { probe }: DeliveryRequest,
  recipient: DeliveryRecipient,
  outcome: RecipientOutcome,
) {
  const { result, status, action, reason } = outcome;
  return {
    offset: recipient.offset,
    result,
    status,
    action,
    reason: printable(result === "sent" || probe ? deliveredVia(agent.serviceName, reason) : reason),
    diagnosticType: "",
    diagnosticText: "",
    remoteMta: "",
  };
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
