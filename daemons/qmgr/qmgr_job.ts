/**
 * What one message has to do by way of one transport: a job. It has a peer for each destination that entries wait
 * for (postfix-map section 3.2).
 */
// Mail
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";
// This program
import type { ActiveMessage, Entry } from "./qmgr_message.ts";
import type { DestinationQueue } from "./qmgr_queue.ts";
import type { RecipientPool } from "./qmgr_recipients.ts";

/** An entry that waits for its turn, or is in an agent's hands. */
export class QueuedEntry implements Entry {
  readonly peer: Peer;
  readonly recipients: EnvelopeRecipient[];
  next: QueuedEntry | undefined;

  constructor(peer: Peer, recipients: EnvelopeRecipient[]) {
    this.peer = peer;
    this.recipients = recipients;
  }

  get message(): ActiveMessage {
    return this.peer.job.message;
  }

  get queue(): DestinationQueue {
    return this.peer.queue;
  }
}

/** One job's entries for one destination. It is there while there are some. */
export class Peer {
  readonly job: Job;
  readonly queue: DestinationQueue;
  /** When it was served last: of a job's peers, the one that has waited longest is next. */
  turn: number;
  first: QueuedEntry | undefined;
  last: QueuedEntry | undefined;
  /** Neighbours in the destination's list. */
  next: Peer | undefined;
  previous: Peer | undefined;

  constructor(job: Job, queue: DestinationQueue, turn: number) {
    this.job = job;
    this.queue = queue;
    this.turn = turn;
  }

  push(entry: QueuedEntry): void {
    if (this.last === undefined) this.first = entry;
    else this.last.next = entry;
    this.last = entry;
  }

  unshift(entry: QueuedEntry): void {
    entry.next = this.first;
    this.first = entry;
    this.last ??= entry;
  }

  shift(): QueuedEntry {
    const entry = this.first!;
    this.first = entry.next;
    if (this.first === undefined) this.last = undefined;
    entry.next = undefined;
    return entry;
  }
}

/** One message within one transport. */
export class Job {
  readonly message: ActiveMessage;
  /** The transport's pool of recipients: it says which transport the job belongs to. */
  readonly pool: RecipientPool;
  /** The message's job in another transport. */
  readonly sibling: Job | undefined;

  /** Place in the transport's list, and neighbours there: jobs are served in the order of this number. */
  order = 0;
  listed = false;
  next: Job | undefined;
  previous: Job | undefined;

  /** The job that this one preempted, or whoever adopted it when that was through. */
  parent: Job | undefined;
  adopted = false;
  children: Job[] | undefined;

  /** Entries that came to wait, and those of them that were given away. */
  read = 0;
  selected = 0;
  /** Selected entries that count for preemptions, and what a preemption by this job was charged too little. */
  slotsAvailable = 0;
  slotsUsed = 0;

  /** Recipients in memory; those of them that hold a slot of the pool. */
  inCore = 0;
  held = 0;
  /** True when it was given slots of its own; those that are empty. */
  granted = false;
  reserve = 0;
  /** True while the file has more recipients, and the pool knows of that. */
  unread = false;

  /** Most jobs have one destination and need no table. */
  #peer: Peer | undefined;
  #peers: Map<DestinationQueue, Peer> | undefined;

  constructor(message: ActiveMessage, pool: RecipientPool, sibling: Job | undefined) {
    this.message = message;
    this.pool = pool;
    this.sibling = sibling;
  }

  /** Most entries that the job may have in all: unread recipients may turn out to need one each. */
  get most(): number {
    return this.read + this.message.unread;
  }

  /** True while jobs that preempted it are in the list. */
  get isParent(): boolean {
    return this.children !== undefined && this.children.length > 0;
  }

  peer(queue: DestinationQueue): Peer | undefined {
    return this.#peers === undefined
      ? this.#peer?.queue === queue ? this.#peer : undefined
      : this.#peers.get(queue);
  }

  addPeer(peer: Peer): void {
    if (this.#peers === undefined) {
      if (this.#peer === undefined) {
        this.#peer = peer;
        return;
      }
      this.#peers = new Map([[this.#peer.queue, this.#peer]]);
      this.#peer = undefined;
    }
    this.#peers.set(peer.queue, peer);
  }

  dropPeer(peer: Peer): void {
    if (this.#peers === undefined) this.#peer = undefined;
    else this.#peers.delete(peer.queue);
  }

  /** Its peers. */
  peers(): Iterable<Peer> {
    return this.#peers?.values() ?? (this.#peer === undefined ? [] : [this.#peer]);
  }

  /** True when no destination that it has entries for may have another delivery now. */
  get blocked(): boolean {
    if (this.#peers === undefined) return this.#peer?.queue.ready !== true;
    for (const { queue } of this.#peers.values()) {
      if (queue.ready) return false;
    }
    return true;
  }
}
