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
import { verpDelimiters } from "./qmgr_notice.ts";
import { deliveryRequest } from "./qmgr_request.ts";

/** One recipient's outcome, as the agent told it. */
export type Outcome = Extract<Reply<typeof DELIVERY>, { is: "recipient" }>;

/** Most recipients in one request whatever the parameter says: the widest of them fit into a frame. */
const REQUEST_MOST = 2000;

/** A transport's parameters. */
export interface TransportRules extends ConcurrencyRules {
  readonly recipientLimit: number;
}

/** How long trouble is left alone, milliseconds. */
export interface RetryTimes {
  /** A dead destination: minimal_backoff_time. */
  readonly destination: number;
  /** A transport whose agent cannot be reached: transport_retry_time. */
  readonly transport: number;
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
  readonly #client: Pick<IpcClient<typeof DELIVERY>, "open">;
  readonly #rules: TransportRules;
  readonly #retry: RetryTimes;
  readonly #events: TransportEvents;
  readonly #queues = new Map<string, DestinationQueue>();
  /** Destinations that have something to do, in turn. */
  #round: DestinationQueue[] = [];
  /** Destinations that died, the oldest death first. */
  readonly #dead: DestinationQueue[] = [];
  /** Milliseconds since 1970 until which the agent is not asked, since it could not be reached; 0: it is well. */
  #downUntil = 0;
  #busy = 0;
  /** What is delivered one at a time, and whether one is under way. */
  readonly #alone: Entry[] = [];
  #tryingAlone = false;
  #scheduled = false;
  #stopped = false;

  constructor(
    name: string,
    client: Pick<IpcClient<typeof DELIVERY>, "open">,
    rules: TransportRules,
    retry: RetryTimes,
    events: TransportEvents,
  ) {
    this.name = name;
    this.#client = client;
    this.#rules = rules;
    this.#retry = retry;
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
    // With VERP every recipient's copy has its own sender.
    const recipientLimit = verpDelimiters(message.envelope) === "" ? this.#rules.recipientLimit : 1;
    const limit = recipientLimit > 0 ? Math.min(recipientLimit, REQUEST_MOST) : REQUEST_MOST;
    if (last !== undefined && last.message === message && last.recipients.length < limit) {
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

  /**
   * Delivers an entry while no other of its kind is under way: a message that ends its agent then does not take the
   * blame for it to others that were in hand with it each time.
   */
  againAlone(entry: Entry): void {
    this.#alone.push(entry);
    this.#schedule();
  }

  /** Forgets that destinations are dead and that the agent was away (postqueue -f). */
  revive(): void {
    this.#downUntil = 0;
    for (const queue of this.#queues.values()) {
      if (queue.dead) queue.revive();
    }
  }

  /** Deliveries that the agent has in hand. */
  get busy(): number {
    return this.#busy;
  }

  /** Starts no further delivery. */
  stop(): void {
    this.#stopped = true;
  }

  /** True while the agent is left alone because it could not be reached. */
  get down(): boolean {
    return this.#downUntil > Date.now();
  }

  /** The agent could not be reached: what waits for it is handed back. */
  goDown(): Entry[] {
    this.#downUntil = Date.now() + this.#retry.transport;
    return [...[...this.#queues.values()].flatMap((queue) => queue.drain()), ...this.#alone.splice(0)];
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
    if (this.#stopped) return;
    this.#forgetDead();
    this.#dispatchAlone();
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

  #dispatchAlone(): void {
    if (this.#tryingAlone) return;
    const entry = this.#alone.shift();
    if (entry === undefined) return;
    this.#tryingAlone = true;
    entry.queue = this.queue(entry.queue.name, entry.queue.nexthop);
    this.#deliver(entry.queue, entry, () => {
      this.#tryingAlone = false;
      if (this.#alone.length > 0) this.#schedule();
    });
  }

  /** A destination with nothing to do and nothing to remember is dropped. */
  #forget(queue: DestinationQueue): void {
    if (queue.busy > 0 || queue.waiting > 0 || queue.deadUntil > Date.now()) return;
    if (this.#queues.get(queue.name) === queue) this.#queues.delete(queue.name);
  }

  /** Without this, a destination that died and never got mail again would be remembered for ever. */
  #forgetDead(): void {
    const now = Date.now();
    while (this.#dead.length > 0 && this.#dead[0]!.deadUntil <= now) this.#forget(this.#dead.shift()!);
  }

  #deliver(queue: DestinationQueue, entry: Entry, ended: () => void = () => {}): void {
    queue.busy++;
    this.#busy++;
    const open = new Map(entry.recipients.map((recipient) => [recipient.offset, recipient]));
    const over = (site: string, siteStatus: string, error: IpcError | undefined) => {
      this.#busy--;
      if (error === undefined) this.#feedback(queue, site, siteStatus);
      queue.busy--;
      ended();
      if (open.size > 0) this.#events.unsettled(entry, [...open.values()], error);
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
    // What was under way when it died tells nothing new.
    if (queue.dead || !queue.failed()) return;
    queue.deadUntil = Date.now() + this.#retry.destination;
    queue.deadReason = site;
    queue.deadStatus = siteStatus;
    this.#dead.push(queue);
    this.#events.died(queue, queue.drain());
  }
}
