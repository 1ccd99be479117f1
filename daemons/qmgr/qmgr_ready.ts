/**
 * The destinations of one transport that may have another delivery, the one to be served next first: a heap, so that
 * a list with a thousand destinations costs no more than one with ten.
 */
import type { DestinationQueue } from "./qmgr_queue.ts";

/** The job's place counts; of the destinations of one job, the one that was served longest ago. */
function before(one: DestinationQueue, other: DestinationQueue): boolean {
  const a = one.first!;
  const b = other.first!;
  return a.job === b.job ? a.turn < b.turn : a.job.order < b.job.order;
}

/** Destinations in the order in which they are served. */
export class ReadyQueues {
  readonly #heap: DestinationQueue[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The destination to serve next. */
  get first(): DestinationQueue | undefined {
    return this.#heap[0];
  }

  [Symbol.iterator](): Iterator<DestinationQueue> {
    return this.#heap.values();
  }

  /** Adds a destination, or moves it after its first entry changed. */
  put(queue: DestinationQueue): void {
    if (queue.place < 0) {
      queue.place = this.#heap.length;
      this.#heap.push(queue);
      this.#rise(queue);
    } else if (!this.#rise(queue)) this.#sink(queue);
  }

  remove(queue: DestinationQueue): void {
    const { place } = queue;
    if (place < 0) return;
    queue.place = -1;
    const last = this.#heap.pop()!;
    if (last === queue) return;
    this.#set(place, last);
    if (!this.#rise(last)) this.#sink(last);
  }

  #set(place: number, queue: DestinationQueue): void {
    this.#heap[place] = queue;
    queue.place = place;
  }

  #rise(queue: DestinationQueue): boolean {
    let { place } = queue;
    const from = place;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above]!;
      if (!before(queue, parent)) break;
      this.#set(place, parent);
      place = above;
    }
    if (place === from) return false;
    this.#set(place, queue);
    return true;
  }

  #sink(queue: DestinationQueue): void {
    const heap = this.#heap;
    let { place } = queue;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1]!, heap[below]!)) below++;
      if (!before(heap[below]!, queue)) break;
      this.#set(place, heap[below]!);
      place = below;
    }
    this.#set(place, queue);
  }
}
