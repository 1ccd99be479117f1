/**
 * Answers kept for as long as they say, the least recently used given up first.
 *
 * @module
 */
import type { Answer } from "./answer.ts";

interface Entry {
  readonly answer: Answer;
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly cost: number;
}

/** What an entry costs beside its values, bytes. */
const ENTRY_COST = 200;

/** A cache bounded by entries and by the bytes that they hold. */
export class AnswerCache {
  readonly #entries = new Map<string, Entry>();
  readonly #mostEntries: number;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(mostEntries: number, mostBytes: number) {
    this.#mostEntries = mostEntries;
    this.#mostBytes = mostBytes;
  }

  /** How many answers it holds. */
  get size(): number {
    return this.#entries.size;
  }

  /** The answer kept for a key, its TTL counted down; undefined when there is none or its time is over. */
  find(key: string, now: number): Answer | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#remove(key, entry);
    if (entry.expires <= now) return undefined;
    this.#add(key, entry); // a Map keeps the order of insertion: the last is the most recently used
    return { ...entry.answer, ttl: Math.ceil((entry.expires - now) / 1000) };
  }

  /** Keeps an answer for its TTL. */
  keep(key: string, answer: Answer, now: number): void {
    const old = this.#entries.get(key);
    if (old !== undefined) this.#remove(key, old);
    let cost = ENTRY_COST + key.length;
    for (const record of answer.records) cost += record.value.length + record.data.length + ENTRY_COST;
    if (answer.ttl <= 0 || cost > this.#mostBytes) return;
    this.#add(key, { answer, expires: now + answer.ttl * 1000, cost });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#mostEntries && this.#bytes <= this.#mostBytes) break;
      this.#remove(oldest, entry);
    }
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += entry.cost;
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.cost;
  }
}
