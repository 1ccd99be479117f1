/**
 * A client's memory of a service's replies: bounded in number and age, and with identical questions that are
 * under way at the same time asked only once.
 *
 * @module
 */

interface Entry<V> {
  readonly value: V;
  /** Milliseconds of the monotonic clock. */
  readonly expires: number;
}

/** Remembers the latest replies by key; forgets what is old, and what was not used for longest when it is full. */
export class ReplyCache<V> {
  readonly #limit: number;
  readonly #lifetime: number;
  readonly #now: () => number;
  /** In the order of use, the latest last. */
  readonly #entries = new Map<string, Entry<V>>();
  readonly #asked = new Map<string, Promise<V>>();
  #latest: string | undefined;

  /**
   * @param limit most replies kept
   * @param lifetime seconds that a reply is good for
   * @param now a clock that never goes back, milliseconds
   */
  constructor(limit: number, lifetime: number, now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#lifetime = lifetime * 1000;
    this.#now = now;
  }

  /** Replies held. */
  get size(): number {
    return this.#entries.size;
  }

  /** The reply to the key, or undefined when it is not known or too old. */
  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expires <= this.#now()) {
      this.#entries.delete(key);
      return undefined;
    }
    if (key !== this.#latest) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      this.#latest = key;
    }
    return entry.value;
  }

  /**
   * The reply to the key: a remembered one, the one that another caller waits for, or a new one. What `ask`
   * throws reaches all who wait and is not remembered.
   *
   * @param keep which replies are worth remembering
   */
  ask(key: string, ask: () => Promise<V>, keep: (value: V) => boolean): Promise<V> {
    const known = this.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const underWay = this.#asked.get(key);
    if (underWay !== undefined) return underWay;
    const answer = ask().then((value) => {
      if (keep(value)) this.put(key, value);
      return value;
    }).finally(() => this.#asked.delete(key));
    this.#asked.set(key, answer);
    return answer;
  }

  /** Remembers a reply. */
  put(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, expires: this.#now() + this.#lifetime });
    this.#latest = key;
    if (this.#entries.size <= this.#limit) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }
}
