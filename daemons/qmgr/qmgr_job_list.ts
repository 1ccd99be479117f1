/**
 * The jobs of one transport in the order in which they are served. Each has a number, which says the same to those
 * who hold only a part of the list.
 */
import type { Job } from "./qmgr_job.ts";

/** Between two neighbours' numbers there must be room for those that preempt. */
const STEP = 1;

/** A list of jobs. */
export class JobList {
  #first: Job | undefined;
  #last: Job | undefined;

  /** Adds a job at the place of its message's time: last, unless the message has been there for a while. */
  insert(job: Job): void {
    job.listed = true;
    const { since } = job.message;
    if (this.#last === undefined || this.#last.message.since <= since) {
      return this.#link(job, this.#last, undefined);
    }
    let next = this.#first;
    // Those that preempted stand in front of older ones: they are no measure.
    while (next !== undefined && (next.parent !== undefined || next.message.since <= since)) {
      next = next.next;
    }
    this.#link(job, next === undefined ? this.#last : next.previous, next);
  }

  remove(job: Job): void {
    job.listed = false;
    if (job.previous === undefined) this.#first = job.next;
    else job.previous.next = job.next;
    if (job.next === undefined) this.#last = job.previous;
    else job.next.previous = job.previous;
    job.next = job.previous = undefined;
  }

  /** Moves a job directly in front of another. */
  moveBefore(job: Job, other: Job): void {
    this.remove(job);
    job.listed = true;
    this.#link(job, other.previous, other);
  }

  #link(job: Job, previous: Job | undefined, next: Job | undefined): void {
    job.previous = previous;
    job.next = next;
    if (previous === undefined) this.#first = job;
    else previous.next = job;
    if (next === undefined) this.#last = job;
    else next.previous = job;
    const low = previous?.order ?? (next === undefined ? 0 : next.order - 2 * STEP);
    const high = next?.order ?? low + 2 * STEP;
    job.order = (low + high) / 2;
    if (job.order <= low || job.order >= high) this.#renumber();
  }

  /** After some fifty preemptions one within the other there is no number between two neighbours any more. */
  #renumber(): void {
    let order = 0;
    for (let job = this.#first; job !== undefined; job = job.next) job.order = order += STEP;
  }
}
