/**
 * One transport: its agent, its destinations, and the hand-over of entries to the agent.
 */
// Utility
import type { IpcClient, IpcError } from "../../lib/ipc/client.ts";
import type { Reply } from "../../lib/ipc/protocol.ts";
// Mail
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";
// Server skeleton
import type { DELIVERY } from "../../lib/proto/protocols.ts";
// This program
import type { ActiveMessage, Entry } from "./qmgr_message.ts";
import { type ConcurrencyRules, DestinationQueue } from "./qmgr_queue.ts";

/** One recipient's outcome, as the agent told it. */
export type Outcome = Extract<Reply<typeof DELIVERY>, { is: "recipient" }>;

/** A transport's parameters. */
export interface TransportRules extends ConcurrencyRules {
  readonly recipientLimit: number;
}

/** What a transport tells the manager. */
export interface TransportEvents {
  /** A recipient is settled. */
  settled(message: ActiveMessage, recipient: EnvelopeRecipient, outcome: Outcome): void;
  /** The agent said nothing of these: its death, or a fault of it. */
  unsettled(entry: Entry, recipients: readonly EnvelopeRecipient[], error: IpcError | undefined): void;
  /** A destination is dead: what waits for it must go elsewhere. */
  died(queue: DestinationQueue, entries: readonly Entry[]): void;
}

/** A transport of master.toml. */
export class Transport {
  readonly name: string;
  readonly #client: IpcClient<typeof DELIVERY>;
  readonly #rules: TransportRules;
  readonly #retryTime: number;
  readonly #events: TransportEvents;
  readonly #queues = new Map<string, DestinationQueue>();
  /** Destinations that have something to do, in turn. */
  #round: DestinationQueue[] = [];
  #scheduled = false;

  /** @param retryTime how long a dead destination is left alone, milliseconds (minimal_backoff_time) */
  constructor(
    name: string,
    client: IpcClient<typeof DELIVERY>,
    rules: TransportRules,
    retryTime: number,
    events: TransportEvents,
  ) {
    this.name = name;
    this.#client = client;
    this.#rules = rules;
    this.#retryTime = retryTime;
    this.#events = events;
  }

  /** The destination of a next hop, with the concurrency that it has earned. */
  queue(name: string, nexthop: string): DestinationQueue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = new DestinationQueue(name, nexthop, this.#rules);
      this.#queues.set(name, queue);
    }
    return queue;
  }

  /** With one recipient to a delivery, concurrency is per recipient: then the recipient is part of the name. */
  get perRecipient(): boolean {
    return this.#rules.recipientLimit === 1;
  }

  /** Adds a recipient: to the message's last entry for the destination, or to a new one. */
  add(queue: DestinationQueue, message: ActiveMessage, recipient: EnvelopeRecipient): void {
    const last = queue.last;
    const limit = this.#rules.recipientLimit;
    if (last !== undefined && last.message === message && (limit === 0 || last.recipients.length < limit)) {
      last.recipients.push(recipient);
      return;
    }
    queue.push({ message, recipients: [recipient], queue });
    if (queue.waiting === 1) this.#round.push(queue);
    this.#schedule();
  }

  /** Puts an entry back in front of its destination. */
  again(entry: Entry): void {
    const queue = this.queue(entry.queue.name, entry.queue.nexthop);
    entry.queue = queue;
    queue.unshift(entry);
    if (!this.#round.includes(queue)) this.#round.push(queue);
    this.#schedule();
  }

  /** Forgets that destinations are dead (postqueue -f). */
  revive(): void {
    for (const queue of this.#queues.values()) queue.revive();
  }

  /** One round is made for all entries that one turn of the event loop brings. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#dispatch();
    });
  }

  /** Goes round the destinations, one delivery each, until none may have another. */
  #dispatch(): void {
    let progress = true;
    while (progress) {
      progress = false;
      const round = this.#round;
      this.#round = [];
      for (const queue of round) {
        if (queue.ready) {
          this.#deliver(queue, queue.shift()!);
          progress = true;
        }
        if (queue.waiting > 0) this.#round.push(queue);
        else this.#forget(queue);
      }
    }
  }

  /** A destination with nothing to do and nothing to remember is dropped. */
  #forget(queue: DestinationQueue): void {
    if (queue.busy === 0 && queue.waiting === 0 && queue.deadUntil < Date.now()) {
      this.#queues.delete(queue.name);
    }
  }

  #deliver(queue: DestinationQueue, entry: Entry): void {
    queue.busy++;
    const open = new Map(entry.recipients.map((recipient) => [recipient.offset, recipient]));
    const over = (site: string, siteStatus: string, error: IpcError | undefined) => {
      queue.busy--;
      if (open.size > 0) this.#events.unsettled(entry, [...open.values()], error);
      if (error === undefined) this.#feedback(queue, site, siteStatus);
      if (queue.waiting > 0) this.#schedule();
      else this.#forget(queue);
    };
    const exchange = this.#client.open((reply) => {
      if (reply.is === "finished") return over(reply.site, reply.siteStatus, undefined);
      const recipient = open.get(reply.offset);
      // An agent may speak only of recipients that it was given, and once of each.
      if (recipient === undefined) return;
      open.delete(reply.offset);
      this.#events.settled(entry.message, recipient, reply);
    }, (error) => over("", "", error));
    exchange.send("deliver", deliveryRequest(entry));
  }

  #feedback(queue: DestinationQueue, site: string, siteStatus: string): void {
    if (site === "") return queue.succeeded();
    if (!queue.failed()) return;
    queue.deadUntil = Date.now() + this.#retryTime;
    queue.deadReason = site;
    queue.deadStatus = siteStatus;
    this.#events.died(queue, queue.drain());
  }
}

function deliveryRequest({ message, recipients, queue }: Entry) {
  const { envelope } = message;
  const attribute = (name: string) => envelope.attributes.get(name) ?? "";
  const encoding = attribute("encoding");
  return {
    queueId: message.id,
    queueName: "active",
    dataOffset: envelope.size.dataOffset,
    dataSize: envelope.size.contentLength,
    nexthop: queue.nexthop,
    encoding: encoding === "7bit" || encoding === "8bit" ? encoding : "",
    smtputf8: (envelope.size.sendOptions & 1) !== 0,
    sender: envelope.sender,
    envelopeId: envelope.envelopeId,
    ret: envelope.ret,
    arrivalTime: envelope.arrivalTime,
    activeTime: message.activeTime,
    clientName: attribute("log_client_name"),
    clientAddress: attribute("log_client_address"),
    clientPort: attribute("log_client_port"),
    protocolName: attribute("log_protocol_name"),
    heloName: attribute("log_helo_name"),
    saslMethod: attribute("sasl_method"),
    saslUsername: attribute("sasl_username"),
    saslSender: attribute("sasl_sender"),
    logIdent: attribute("log_ident"),
    rewriteContext: attribute("rewrite_context") === "remote" ? "remote" : "local",
    recipients,
  } as const;
}
