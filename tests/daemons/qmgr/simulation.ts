/**
 * The scheduler without processes, files and waiting: a clock that jumps to the next event, agents that take as long
 * as they are told to, and messages that are numbers of recipients. Not a test itself. @module
 */
import type { Clock } from "../../../daemons/qmgr/qmgr_clock.ts";
import type { ActiveMessage } from "../../../daemons/qmgr/qmgr_message.ts";
import type { DestinationQueue } from "../../../daemons/qmgr/qmgr_queue.ts";
import { BATCH_LIMIT, spareRecipients } from "../../../daemons/qmgr/qmgr_recipients.ts";
import { Transport, type TransportRules } from "../../../daemons/qmgr/qmgr_transport.ts";
import type { IpcClient } from "../../../lib/ipc/client.ts";
import type { EnvelopeRecipient } from "../../../lib/mail/queue_file.ts";
import type { DELIVERY } from "../../../lib/proto/protocols.ts";
import { DEFAULT_RULES, type Delivery } from "./qmgr_support.ts";

/** A clock that stands still until it is told to go on. */
export class SimulatedClock implements Clock {
  #now = 1_000_000_000_000;
  readonly #begun = this.#now;
  #soon: (() => void)[] = [];
  readonly #timers: { readonly at: number; readonly work: () => void }[] = [];

  readonly now = () => this.#now;

  /** Seconds since the beginning. */
  get seconds(): number {
    return (this.#now - this.#begun) / 1000;
  }

  soon(work: () => void): void {
    this.#soon.push(work);
  }

  later(milliseconds: number, work: () => void): void {
    const at = this.#now + milliseconds;
    let place = this.#timers.length;
    while (place > 0 && this.#timers[place - 1]!.at > at) place--;
    this.#timers.splice(place, 0, { at, work });
  }

  /** Does what is to be done now. */
  settle(): void {
    while (this.#soon.length > 0) {
      const work = this.#soon;
      this.#soon = [];
      for (const one of work) one();
    }
  }

  /** Goes on until nothing is left to do, or so many seconds since the beginning. */
  run(seconds = Infinity): void {
    this.settle();
    const end = this.#begun + seconds * 1000;
    while (this.#timers.length > 0 && this.#timers[0]!.at <= end) {
      const { at, work } = this.#timers.shift()!;
      this.#now = at;
      work();
      this.settle();
    }
    if (seconds !== Infinity) this.#now = end;
  }
}

/** A message of the simulation. */
export interface Plan {
  readonly id: string;
  readonly recipients: number;
  /** Destination of the n-th recipient; by default all go to the same. */
  readonly to?: (n: number) => string;
}

/** What is known of a message afterwards; times in seconds. */
export interface Story {
  readonly posted: number;
  readonly deliveries: number[];
  /** Recipients in the order of their deliveries. */
  readonly recipients: number[];
  done: number | undefined;
}

/** The part of a message that the scheduler sees. */
interface SimulatedMessage {
  readonly id: string;
  readonly envelope: unknown;
  readonly since: number;
  jobs: undefined;
  refilledAt: number;
  outstanding: number;
  readonly hasMore: boolean;
  readonly unread: number;
}

const ENVELOPE = {
  attributes: new Map(),
  size: { dataOffset: 0, contentLength: 0, sendOptions: 0 },
  sender: "",
  envelopeId: "",
  verp: "",
  ret: 0,
  arrivalTime: 0,
};

/** How the simulation differs from Postfix's defaults. */
export interface SimulationOptions {
  readonly rules?: Partial<TransportRules>;
  /** Milliseconds that a delivery takes. */
  readonly duration?: (delivery: Delivery) => number;
  /** Is told of each delivery when it begins, and when it has ended. */
  readonly watch?: (delivery: Delivery, what: "begins" | "ends") => void;
  /** What the agent says of the destination at the end; by default nothing. */
  readonly site?: (delivery: Delivery) => string;
  /** Recipients that are read of a message at first; by default as many as are read at once. */
  readonly firstBatch?: number;
}

/** One transport with its messages. */
export class Simulation {
  readonly clock = new SimulatedClock();
  readonly transport: Transport;
  readonly stories = new Map<string, Story>();
  /** Ids of messages in the order in which their entries went out, and the destinations. */
  readonly order: string[] = [];
  readonly destinations: string[] = [];
  readonly died: DestinationQueue[] = [];
  readonly clogged: string[] = [];
  readonly refills: number[] = [];
  inHand = 0;
  mostInHand = 0;
  inCore = 0;
  mostInCore = 0;
  /** How often the scheduler looked at a message while it searched for one. */
  looks = 0;
  readonly #rules: TransportRules;
  readonly #options: SimulationOptions;
  readonly #readers = new Map<string, (most: number) => void>();

  constructor(options: SimulationOptions = {}) {
    this.#options = options;
    this.#rules = { ...DEFAULT_RULES, ...options.rules };
    const retry = { destination: 300_000, transport: 60_000 };
    this.transport = new Transport("smtp", this.#client, this.#rules, retry, {
      settled: (message) => this.#settled(message),
      unsettled: () => {
        throw new Error("an agent of the simulation forgot a recipient");
      },
      died: (queue, entries) => {
        this.died.push(queue);
        for (const { message, recipients } of entries) for (const _ of recipients) this.#settled(message);
      },
      givenUp: () => {
        throw new Error("nothing takes that long in the simulation");
      },
      refill: (message, most) => {
        this.refills.push(most);
        this.#readers.get(message.id)!(most);
      },
      clogged: (queue) => this.clogged.push(queue.nexthop),
    }, this.clock);
  }

  /** Brings a message into the active queue. */
  post({ id, recipients, to = () => "example.test" }: Plan): void {
    let next = 0;
    const posted = this.clock.now();
    const looked = () => this.looks++;
    const message: SimulatedMessage = {
      id,
      envelope: ENVELOPE,
      get since() {
        looked();
        return posted;
      },
      jobs: undefined,
      refilledAt: this.clock.now(),
      outstanding: 0,
      get hasMore() {
        return next < recipients;
      },
      get unread() {
        looked();
        return recipients - next;
      },
    };
    this.stories.set(id, { posted: this.clock.seconds, deliveries: [], recipients: [], done: undefined });
    const read = (most: number) => {
      const from = next;
      next = Math.min(recipients, next + most);
      message.outstanding += next - from;
      this.inCore += next - from;
      this.mostInCore = Math.max(this.mostInCore, this.inCore);
      for (let n = from; n < next; n++) this.#add(message, n, to(n));
    };
    this.#readers.set(id, read);
    read(this.#options.firstBatch ?? BATCH_LIMIT);
  }

  /** Posts a message after so many seconds since the beginning. */
  postAt(seconds: number, plan: Plan): void {
    this.clock.later((seconds - this.clock.seconds) * 1000, () => this.post(plan));
  }

  /** Seconds from a message's arrival to its last delivery. */
  delay(id: string): number {
    const { posted, done } = this.stories.get(id)!;
    if (done === undefined) throw new Error(`${id} is not delivered`);
    return done - posted;
  }

  #add(message: SimulatedMessage, n: number, destination: string): void {
    const queue = this.transport.queue(destination, destination);
    const recipient = { offset: n, address: `user${n}@${destination}` } as EnvelopeRecipient;
    this.transport.add(queue, message as unknown as ActiveMessage, recipient);
  }

  #settled(message: ActiveMessage): void {
    message.outstanding--;
    this.inCore--;
    if (message.outstanding > 0) return;
    if (message.hasMore) {
      const spare = spareRecipients(message, this.#rules.recipientMinimum);
      return this.#readers.get(message.id)!(Math.min(BATCH_LIMIT, spare));
    }
    this.stories.get(message.id)!.done = this.clock.seconds;
  }

  readonly #client: Pick<IpcClient<typeof DELIVERY>, "open"> = {
    open: (onReply) => ({
      send: (_type, fields) => {
        const delivery = fields as Delivery;
        this.#options.watch?.(delivery, "begins");
        this.order.push(delivery.queueId);
        this.destinations.push(delivery.nexthop);
        const story = this.stories.get(delivery.queueId)!;
        story.deliveries.push(this.clock.seconds);
        story.recipients.push(...delivery.recipients.map(({ offset }) => offset));
        this.mostInHand = Math.max(this.mostInHand, ++this.inHand);
        this.clock.later(this.#options.duration?.(delivery) ?? 1000, () => {
          this.inHand--;
          this.#options.watch?.(delivery, "ends");
          for (const { offset } of delivery.recipients) {
            onReply({ is: "recipient", offset } as never);
          }
          const site = this.#options.site?.(delivery) ?? "";
          onReply({ is: "finished", site, siteStatus: site === "" ? "" : "4.4.1" });
        });
      },
      ready: () => true,
      drained: () => Promise.resolve(),
      cancel: () => {},
    }),
  };
}
