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
import { type Clock, SYSTEM_CLOCK } from "./qmgr_clock.ts";
import { Hand, Hands } from "./qmgr_hand.ts";
import type { QueuedEntry } from "./qmgr_job.ts";
import type { ActiveMessage, Entry } from "./qmgr_message.ts";
import { type ConcurrencyRules, DestinationQueue } from "./qmgr_queue.ts";
import { deliveryRequest } from "./qmgr_request.ts";
import { Scheduler, type SchedulerRules } from "./qmgr_scheduler.ts";

/** One recipient's outcome, as the agent told it. */
export type Outcome = Extract<Reply<typeof DELIVERY>, { is: "recipient" | "ownedRecipient" }>;

/** What a destination is said to be in trouble with whose delivery did not end. */
const GIVEN_UP = "unknown mail transport error";

/** A transport's parameters. */
export interface TransportRules extends ConcurrencyRules, SchedulerRules {
  /** Deliveries that the agent may have in hand at once. */
  readonly concurrency: number;
  /** Rest of a destination after a delivery there, and of the transport after each, milliseconds. */
  readonly rateDelay: number;
  readonly transportRateDelay: number;
  /** Entries of one destination from which on they are said to fill the queue; Infinity: never. */
  readonly clogLimit: number;
  /** Milliseconds between two such warnings. */
  readonly clogPause: number;
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
  /** A delivery took longer than daemon_timeout: what is left of it is told as unsettled next. */
  givenUp(entry: Entry): void;
  /** There is room for so many more recipients of a message. */
  refill(message: ActiveMessage, most: number): void;
  /** Mail for one destination fills the active queue. */
  clogged(queue: DestinationQueue): void;
}

/** A transport of master.toml. */
export class Transport {
  readonly name: string;
  readonly #client: Pick<IpcClient<typeof DELIVERY>, "open">;
  readonly #rules: TransportRules;
  readonly #retry: RetryTimes;
  readonly #events: TransportEvents;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #queues = new Map<string, DestinationQueue>();
  /** Destinations that died, the oldest death first. */
  readonly #dead: DestinationQueue[] = [];
  /** Milliseconds since 1970 until which the agent is not asked, since it could not be reached; 0: it is well. */
  #downUntil = 0;
  #busy = 0;
  readonly #hands = new Hands();
  /** What is delivered one at a time, and whether one is under way. */
  readonly #alone: Entry[] = [];
  #tryingAlone = false;
  /** True while the transport rests after a delivery. */
  #resting = false;
  #scheduled = false;
  #stopped = false;

  constructor(
    name: string,
    client: Pick<IpcClient<typeof DELIVERY>, "open">,
    rules: TransportRules,
    retry: RetryTimes,
    events: TransportEvents,
    clock: Clock = SYSTEM_CLOCK,
  ) {
    this.name = name;
    this.#client = client;
    // What goes out at a rate goes out one by one.
    this.#rules = rules.rateDelay > 0 ? { ...rules, initial: 1, limit: 1 } : rules;
    this.#retry = retry;
    this.#events = events;
    this.#clock = clock;
    this.#scheduler = new Scheduler(rules, clock, (message, most) => events.refill(message, most));
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
    this.#scheduler.add(queue, message, recipient);
    if (!this.#scheduled) this.#schedule();
  }

  /** Puts an entry back in front of its destination. */
  again(entry: Entry): void {
    this.#scheduler.again(this.queue(entry.queue.name, entry.queue.nexthop), entry);
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

  /** Gives up deliveries that were in hand at so many calls of this before. */
  sweep(): void {
    this.#hands.sweep((hand) => {
      hand.exchange?.cancel();
      this.#events.givenUp(hand.entry);
      hand.over(GIVEN_UP, "4.3.0", undefined);
    });
  }

  /** Starts no further delivery. */
  stop(): void {
    this.#stopped = true;
  }

  /** True while the agent is left alone because it could not be reached. */
  get down(): boolean {
    return this.#downUntil > 0 && this.#downUntil > this.#clock.now();
  }

  /** The agent could not be reached: what waits for it is handed back. */
  goDown(): Entry[] {
    this.#downUntil = this.#clock.now() + this.#retry.transport;
    const waiting = [...this.#queues.values()].flatMap((queue) => this.#scheduler.drain(queue));
    return [...waiting, ...this.#alone.splice(0)];
  }

  /** One turn is taken for all entries that one turn of the event loop brings. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(this.#turn);
  }

  readonly #turn = () => {
    this.#scheduled = false;
    this.#dispatch();
  };

  /** Hands over one entry after the other until no destination, or the agent, may have another. */
  #dispatch(): void {
    if (this.#stopped) return;
    if (this.#dead.length > 0) this.#forgetDead();
    if (this.#alone.length > 0) this.#dispatchAlone();
    while (this.#mayDeliver) {
      const entry = this.#scheduler.select();
      if (entry === undefined) return;
      const { queue } = entry;
      if (queue.waiting + queue.busy > this.#rules.clogLimit) this.#warnOfClog(queue);
      this.#deliver(entry, entry);
    }
  }

  get #mayDeliver(): boolean {
    return this.#busy < this.#rules.concurrency && !this.#resting;
  }

  #dispatchAlone(): void {
    if (this.#tryingAlone || !this.#mayDeliver) return;
    const { message, recipients, queue: { name, nexthop } } = this.#alone.shift()!;
    this.#tryingAlone = true;
    const queue = this.queue(name, nexthop);
    queue.busy++;
    this.#scheduler.changed(queue);
    this.#deliver({ message, recipients, queue }, undefined);
  }

  #warnOfClog(queue: DestinationQueue): void {
    const now = this.#clock.now();
    if (now < queue.warned + this.#rules.clogPause) return;
    queue.warned = now;
    this.#events.clogged(queue);
  }

  /** The destination has failed too often a short while ago. */
  avoids(queue: DestinationQueue): boolean {
    return queue.dead && queue.deadUntil > this.#clock.now();
  }

  /** A destination with nothing to do and nothing to remember is dropped. */
  #forget(queue: DestinationQueue): void {
    if (queue.busy > 0 || queue.waiting > 0 || queue.suspended) return;
    if (this.avoids(queue)) return;
    if (this.#queues.get(queue.name) === queue) this.#queues.delete(queue.name);
  }

  /** Without this, a destination that died and never got mail again would be remembered for ever. */
  #forgetDead(): void {
    const now = this.#clock.now();
    while (this.#dead.length > 0 && this.#dead[0]!.deadUntil <= now) this.#forget(this.#dead.shift()!);
  }

  /** Gives an entry to the agent. `queued`: the scheduler's, unless it is delivered alone. */
  #deliver(entry: Entry, queued: QueuedEntry | undefined): void {
    this.#busy++;
    if (this.#rules.transportRateDelay > 0) this.#rest();
    const hand = new Hand(entry);
    this.#hands.add(hand);
    const over = hand.over = (site, siteStatus, error) => {
      this.#hands.remove(hand);
      this.#ended(entry, queued, site, siteStatus, error);
      if (!hand.empty) this.#events.unsettled(entry, hand.left(), error);
      this.#afterwards(entry.queue);
    };
    const exchange = hand.exchange = this.#client.open((reply) => {
      if (reply.is === "finished") return over(reply.site, reply.siteStatus, undefined);
      // An agent may speak only of recipients that it was given, and once of each.
      const recipient = hand.take(reply.offset);
      if (recipient !== undefined) this.#events.settled(entry.message, recipient, reply);
    }, (error) => over("", "", error));
    exchange.send("deliver", deliveryRequest(entry));
  }

  #ended(
    entry: Entry,
    queued: QueuedEntry | undefined,
    site: string,
    siteStatus: string,
    error: IpcError | undefined,
  ): void {
    const { queue } = entry;
    this.#busy--;
    if (error === undefined) this.#feedback(queue, site, siteStatus);
    if (this.#rules.rateDelay > 0 && !queue.dead) this.#suspend(queue);
    if (queued !== undefined) return this.#scheduler.over(queued);
    this.#tryingAlone = false;
    queue.busy--;
    this.#scheduler.changed(queue);
  }

  #afterwards(queue: DestinationQueue): void {
    if (queue.waiting === 0) this.#forget(queue);
    if (this.#scheduler.ready || this.#alone.length > 0) this.#schedule();
  }

  /** Rests after a delivery: transport_rate_delay. */
  #rest(): void {
    this.#resting = true;
    this.#clock.later(this.#rules.transportRateDelay, () => {
      this.#resting = false;
      this.#schedule();
    });
  }

  /** Leaves a destination alone for a while after a delivery: destination_rate_delay. */
  #suspend(queue: DestinationQueue): void {
    if (queue.suspended) return;
    queue.suspended = true;
    this.#clock.later(this.#rules.rateDelay, () => {
      queue.suspended = false;
      this.#scheduler.changed(queue);
      this.#afterwards(queue);
    });
  }

  #feedback(queue: DestinationQueue, site: string, siteStatus: string): void {
    if (site === "") return queue.succeeded();
    // What was under way when it died tells nothing new.
    if (queue.dead || !queue.failed()) return;
    queue.deadUntil = this.#clock.now() + this.#retry.destination;
    queue.deadReason = site;
    queue.deadStatus = siteStatus;
    this.#dead.push(queue);
    this.#events.died(queue, this.#scheduler.drain(queue));
  }
}
