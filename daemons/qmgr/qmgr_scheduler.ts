/**
 * Which entry of a transport is delivered next (postfix-map section 3.4).
 *
 * Jobs are served in the order in which their messages came; one whose destinations all have as many deliveries as
 * they may is passed over. While a long job is served, each entry of it earns a part of a delivery for short jobs that
 * wait behind it. When enough was earned, a short job is put in front: it preempts the long one, whose delivery takes
 * longer by a bounded share only.
 *
 * Postfix walks the list of jobs for each entry. Here each destination has the list of its own peers, and those
 * destinations that may have another delivery are in a heap: the entry is the same one, and a long queue costs no
 * walk.
 */
// Mail
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";
// This program
import type { Clock } from "./qmgr_clock.ts";
import { Job, Peer, QueuedEntry } from "./qmgr_job.ts";
import { JobList } from "./qmgr_job_list.ts";
import type { ActiveMessage, Entry } from "./qmgr_message.ts";
import { verpDelimiters } from "./qmgr_notice.ts";
import type { DestinationQueue } from "./qmgr_queue.ts";
import { ReadyQueues } from "./qmgr_ready.ts";
import { RecipientPool, type RecipientRules } from "./qmgr_recipients.ts";

/** Most recipients in one request whatever the parameter says: the widest of them fit into a frame. */
const REQUEST_MOST = 2000;
/** With more destinations ready than this, the list of jobs is searched, and not that of each destination. */
const FEW_READY = 8;

/** Parameters of the order of deliveries. */
export interface SchedulerRules extends RecipientRules {
  /** Most recipients of one entry; 0: no limit. */
  readonly recipientLimit: number;
  /** Entries that earn one delivery for others; below 2: nothing preempts. */
  readonly slotCost: number;
  /** Deliveries lent to a job that preempts, and how many percent of those that it needs. */
  readonly slotLoan: number;
  readonly slotDiscount: number;
  /** A job that cannot earn so many deliveries is not preempted. */
  readonly minimumSlots: number;
}

/** Asks for further recipients of a message. */
export type Refill = (message: ActiveMessage, most: number) => void;

/** The order of one transport's deliveries. */
export class Scheduler {
  readonly #rules: SchedulerRules;
  readonly #clock: Clock;
  readonly #refill: Refill;
  readonly #pool: RecipientPool;
  readonly #jobs = new JobList();
  readonly #ready = new ReadyQueues();
  readonly #entryMost: number;
  #turn = 0;
  /** The last search for a job that may preempt: for whom, in which second, whom it found, and how good that one was. */
  #searchedFor: Job | undefined;
  #searchedAt = 0;
  #best: Job | undefined;
  #bestScore = 0;

  constructor(rules: SchedulerRules, clock: Clock, refill: Refill) {
    this.#rules = rules;
    this.#clock = clock;
    this.#refill = refill;
    this.#pool = new RecipientPool(rules);
    const { recipientLimit } = rules;
    this.#entryMost = recipientLimit > 0 ? Math.min(recipientLimit, REQUEST_MOST) : REQUEST_MOST;
  }

  /** Adds a recipient: to the message's last entry for the destination, or to a new one. */
  add(queue: DestinationQueue, message: ActiveMessage, recipient: EnvelopeRecipient): void {
    const job = this.#jobOf(message);
    this.#pool.hold(job);
    const last = job.peer(queue)?.last;
    // With VERP every recipient's copy has its own sender.
    const most = verpDelimiters(message.envelope) === "" ? this.#entryMost : 1;
    if (last !== undefined && last.recipients.length < most) {
      last.recipients.push(recipient);
      return;
    }
    const peer = this.#peerOf(job, queue);
    peer.push(new QueuedEntry(peer, [recipient]));
    this.#waits(peer);
  }

  /** Puts an entry back in front of its job's others for the destination. */
  again(queue: DestinationQueue, { message, recipients }: Entry): void {
    const job = this.#jobOf(message);
    for (let i = 0; i < recipients.length; i++) this.#pool.hold(job);
    const peer = this.#peerOf(job, queue);
    peer.unshift(new QueuedEntry(peer, recipients));
    this.#waits(peer);
  }

  /** True when some destination may have another delivery. */
  get ready(): boolean {
    return this.#ready.size > 0;
  }

  /** Takes the entry that is to be delivered next, and counts it as busy; undefined when none may be. */
  select(): QueuedEntry | undefined {
    const next = this.#ready.first;
    if (next === undefined) return undefined;
    const current = next.first!.job;
    if (current.slotsAvailable > 0 && this.#rules.slotCost >= 2) this.#preempt(current);
    const peer = this.#ready.first!.first!;
    if (peer.job.unread) this.#refillWhenDue(peer.job);
    return this.#take(peer);
  }

  /** An entry that was selected is out of the agent's hands: its recipients leave memory, the destination has room. */
  over({ peer: { job, queue }, recipients }: QueuedEntry): void {
    queue.busy--;
    this.#pool.release(job, recipients.length);
    this.changed(queue);
    if (job.unread) this.#refillWhenDue(job);
  }

  /** Says that a destination's window, deliveries or rest have changed. */
  changed(queue: DestinationQueue): void {
    if (!queue.ready) return this.#ready.remove(queue);
    const wasReady = queue.place >= 0;
    this.#ready.put(queue);
    // Those who were passed over because of this destination are looked at again.
    if (!wasReady && this.#searchedFor !== undefined) this.#lookAgain(queue);
  }

  /** Takes all that waits for a destination. */
  drain(queue: DestinationQueue): Entry[] {
    const entries: Entry[] = [];
    for (let peer = queue.first; peer !== undefined; peer = queue.first) {
      const { job } = peer;
      while (peer.first !== undefined) {
        const entry = peer.shift();
        job.read--;
        this.#pool.release(job, entry.recipients.length);
        entries.push(entry);
      }
      this.#dropPeer(peer);
      this.#whenEmpty(job);
    }
    queue.waiting = 0;
    this.changed(queue);
    return entries;
  }

  #jobOf(message: ActiveMessage): Job {
    for (let job = message.jobs; job !== undefined; job = job.sibling) {
      if (job.pool === this.#pool) return job;
    }
    return message.jobs = new Job(message, this.#pool, message.jobs);
  }

  #peerOf(job: Job, queue: DestinationQueue): Peer {
    if (!job.listed) this.#jobs.insert(job);
    let peer = job.peer(queue);
    if (peer === undefined) {
      peer = new Peer(job, queue, ++this.#turn);
      job.addPeer(peer);
      queue.attach(peer);
    }
    return peer;
  }

  #waits({ job, queue }: Peer): void {
    job.read++;
    queue.waiting++;
    this.changed(queue);
  }

  #take(peer: Peer): QueuedEntry {
    const { job, queue } = peer;
    const entry = peer.shift();
    queue.waiting--;
    queue.busy++;
    job.selected++;
    job.slotsAvailable++;
    job.slotsUsed++;
    peer.turn = ++this.#turn;
    if (peer.first === undefined) this.#dropPeer(peer);
    this.changed(queue);
    this.#whenEmpty(job);
    return entry;
  }

  #dropPeer(peer: Peer): void {
    peer.queue.detach(peer);
    peer.job.dropPeer(peer);
  }

  /** A job without entries leaves the list; when its message brings more, it is added again. */
  #whenEmpty(job: Job): void {
    if (job.selected < job.read) return;
    this.#pool.giveBack(job);
    this.#settleSlots(job);
    this.#jobs.remove(job);
    if (job === this.#searchedFor || job === this.#best) this.#forgetSearch();
  }

  /** What a job took more, or less, than its preemption was charged for goes to the account of the job it preempted. */
  #settleSlots(job: Job): void {
    const { parent, children } = job;
    if (parent !== undefined) {
      if (!job.adopted) parent.slotsAvailable -= job.slotsUsed * this.#rules.slotCost;
      parent.children!.splice(parent.children!.indexOf(job), 1);
    }
    for (const child of children ?? []) {
      child.parent = parent;
      child.adopted = true;
      parent?.children?.push(child);
    }
    job.parent = job.children = undefined;
    job.slotsAvailable = job.slotsUsed = 0;
  }

  #refillWhenDue({ message }: Job): void {
    const count = this.#pool.due(message, this.#clock.now);
    if (count > 0) this.#refill(message, count);
  }

  /** Lets a short job pass in front of the current one, when the current one has earned it. */
  #preempt(current: Job): void {
    const { slotCost, slotLoan, slotDiscount, minimumSlots } = this.#rules;
    if (current.most < minimumSlots * slotCost) return;
    const best = this.#candidate(current);
    if (best === undefined) return;
    const needed = best.most - best.selected;
    const earned = Math.floor(current.slotsAvailable / slotCost) + slotLoan;
    if (earned < Math.floor(needed * (100 - slotDiscount) / 100)) return;
    this.#forgetSearch();
    this.#settleSlots(best);
    current.slotsAvailable -= needed * slotCost;
    best.slotsUsed = -needed;
    best.parent = current;
    best.adopted = false;
    (current.children ??= []).push(best);
    this.#moveBefore(best, current);
    this.#pool.grant(best);
    if (best.unread) this.#refillWhenDue(best);
  }

  #moveBefore(job: Job, current: Job): void {
    const peers = [...job.peers()];
    // The heap is in order only while no more than one of its destinations is about to change its place.
    for (const peer of peers) {
      this.#ready.remove(peer.queue);
      peer.queue.detach(peer);
    }
    this.#jobs.moveBefore(job, current);
    for (const peer of peers) {
      peer.queue.attach(peer);
      this.changed(peer.queue);
    }
  }

  /** The job that should preempt the current one, as far as is known: a search is good for a second. */
  #candidate(current: Job): Job | undefined {
    const now = this.#clock.now();
    const second = Math.floor(now / 1000);
    if (this.#best?.blocked) this.#forgetSearch();
    if (this.#searchedFor === current && this.#searchedAt === second) return this.#best;
    this.#searchedFor = current;
    this.#searchedAt = second;
    this.#best = undefined;
    this.#bestScore = 0;
    if (this.#ready.size <= FEW_READY) {
      for (const queue of this.#ready) this.#searchQueue(queue, now);
    } else {
      let job = current.next;
      while (job !== undefined && this.#weigh(job, now)) job = job.next;
    }
    return this.#best;
  }

  #forgetSearch(): void {
    this.#searchedFor = this.#best = undefined;
  }

  #lookAgain(queue: DestinationQueue): void {
    const now = this.#clock.now();
    if (Math.floor(now / 1000) === this.#searchedAt) this.#searchQueue(queue, now);
  }

  #searchQueue(queue: DestinationQueue, now: number): void {
    const current = this.#searchedFor!;
    if (queue.barrenFor === current && queue.barrenAt === this.#searchedAt) return;
    const known = this.#best;
    let peer = queue.first;
    while (peer !== undefined && this.#weigh(peer.job, now)) peer = peer.next;
    if (this.#best !== known) return;
    queue.barrenFor = current;
    queue.barrenAt = this.#searchedAt;
  }

  /**
   * Compares a job with the best so far; false when those behind it, which are younger, cannot be better.
   *
   * It must need no more deliveries than the current job has earned and will earn yet. If only what was earned so
   * far counted, messages with one recipient would always pass, and those with two never.
   */
  #weigh(job: Job, now: number): boolean {
    const current = this.#searchedFor!;
    // Those in front come first anyhow, and one that others preempted has had its turn.
    if (job.order <= current.order || job.isParent) return true;
    const waited = (now - job.message.since) / 1000 + 1;
    if (waited < this.#bestScore || (waited === this.#bestScore && job.order > this.#best!.order)) {
      return false;
    }
    const { most } = job;
    const needed = most - job.selected;
    const unspent = current.read - current.selected + current.slotsAvailable;
    if (needed <= 0 || needed > Math.floor(unspent / this.#rules.slotCost) || job.blocked) return true;
    const score = waited / most;
    if (score > this.#bestScore || (score === this.#bestScore && job.order < this.#best!.order)) {
      this.#best = job;
      this.#bestScore = score;
    }
    return true;
  }
}
