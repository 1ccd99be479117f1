/**
 * Greylisting: who comes for the first time with a sender and a recipient is told to come again, as mail servers do and
 * those who only send out do not.
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { formatIpAddress } from "../../lib/vstring/ip_address.ts";
// Tables
import { maskAddress, parseIpAddress } from "../../lib/table/ip_network.ts";
import { formatLine, isWhole, parseLine } from "../../lib/table/state_journal.ts";

/** How long and for whom; times in milliseconds. */
export interface GreylistRules {
  /** How long the first attempt is put off. */
  readonly delay: number;
  /** Within what time the next attempt must come. */
  readonly window: number;
  /** How long somebody who came again is remembered without further mail. */
  readonly maxAge: number;
  /** A network that has come again with so many is put off no more; 0: it always is. */
  readonly autoAllow: number;
  readonly bits4: number;
  readonly bits6: number;
}

/** What is remembered of one sender and recipient of a network, or of the network. Milliseconds since 1970. */
export interface Seen {
  /** The first attempt; of a network: when it came again with the latest. */
  readonly first: number;
  readonly last: number;
  /** It has come again; of a network: with how many. */
  readonly passed: number;
}

/** One attempt. */
export interface Attempt {
  readonly address: string;
  readonly sender: string;
  readonly recipient: string;
}

/** How much is left to wait, milliseconds, or nothing. */
export type GreylistVerdict =
  | { readonly kind: "wait"; readonly left: number }
  /** `waited`: since the first attempt; only of the one that ends the waiting. */
  | { readonly kind: "pass"; readonly waited?: number };

/** Most that is remembered; what was not heard of for longest goes first. */
export const GREYLIST_LIMIT = 200_000;
/** Longest address in a key, UTF-16 units: a longer one is cut. */
const KEY_PART = 320;

/** What is remembered. */
export class Greylist {
  readonly #rules: GreylistRules;
  readonly #changed: (key: string, seen: Seen | undefined) => void;
  readonly #limit: number;
  readonly #seen = new Map<string, Seen>();

  /** @param changed is told of each change */
  constructor(
    rules: GreylistRules,
    changed: (key: string, seen: Seen | undefined) => void = () => {},
    limit: number = GREYLIST_LIMIT,
  ) {
    this.#rules = rules;
    this.#changed = changed;
    this.#limit = limit;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Takes what was remembered before. */
  load(key: string, seen: Seen | undefined): void {
    if (seen === undefined) this.#seen.delete(key);
    else this.#keep(key, seen);
  }

  /** Everything that is remembered. */
  entries(): Iterable<readonly [string, Seen]> {
    return this.#seen;
  }

  /** What becomes of an attempt now. */
  judge({ address, sender, recipient }: Attempt, now: number): GreylistVerdict {
    const network = this.#network(address);
    const client = this.#known(network, now);
    const { autoAllow, delay } = this.#rules;
    if (autoAllow > 0 && client !== undefined && client.passed >= autoAllow) {
      this.#put(network, { ...client, last: now });
      return { kind: "pass" };
    }
    const key = `${network} ${part(sender)} ${part(recipient)}`;
    const known = this.#known(key, now);
    if (known === undefined) {
      this.#put(key, { first: now, last: now, passed: 0 });
      return delay === 0 ? { kind: "pass" } : { kind: "wait", left: delay };
    }
    if (known.passed > 0) {
      this.#put(key, { ...known, last: now });
      return { kind: "pass" };
    }
    const waited = now - known.first;
    if (waited < delay) return { kind: "wait", left: delay - waited };
    this.#put(key, { ...known, last: now, passed: 1 });
    this.#put(network, { first: now, last: now, passed: (client?.passed ?? 0) + 1 });
    return { kind: "pass", waited };
  }

  /** Forgets what does not count any more. */
  clean(now: number): void {
    for (const [key, seen] of this.#seen) if (this.#isOver(seen, now)) this.#forget(key);
  }

  #known(key: string, now: number): Seen | undefined {
    const seen = this.#seen.get(key);
    return seen === undefined || this.#isOver(seen, now) ? undefined : seen;
  }

  #isOver({ first, last, passed }: Seen, now: number): boolean {
    // A clock that was set back must not keep somebody waiting for ever.
    if (first > now || last > now) return true;
    return passed > 0 ? now - last > this.#rules.maxAge : now - first > this.#rules.window;
  }

  /** Servers of one provider share a network: the next attempt may come from another of them. */
  #network(text: string): string {
    const address = parseIpAddress(text);
    if (address === undefined) return part(text);
    const bits = address.length === 4 ? this.#rules.bits4 : this.#rules.bits6;
    return `${formatIpAddress(maskAddress(address, bits))}/${bits}`;
  }

  #put(key: string, seen: Seen): void {
    this.#keep(key, seen);
    this.#changed(key, seen);
  }

  #keep(key: string, seen: Seen): void {
    // The latest stands last, so that the first is the one that nobody asked for.
    this.#seen.delete(key);
    this.#seen.set(key, seen);
    if (this.#seen.size <= this.#limit) return;
    for (const oldest of this.#seen.keys()) return this.#forget(oldest);
  }

  #forget(key: string): void {
    if (this.#seen.delete(key)) this.#changed(key, undefined);
  }
}

function part(text: string): string {
  return asciiLower(text.slice(0, KEY_PART)).replaceAll(" ", "_");
}

/** An entry as its line in the file. */
export function formatSeen(key: string, seen: Seen | undefined): string {
  const values = seen === undefined ? [] : [seen.first, seen.last, seen.passed];
  return formatLine(key, values);
}

/** Reads a line; undefined when it is none. */
export function parseSeen(line: string): readonly [string, Seen | undefined] | undefined {
  const values = parseLine(line);
  if (values === undefined) return undefined;
  const [key, first, last, passed] = values;
  if (values.length === 1) return [key, undefined];
  const good = values.length === 4 && isWhole(first) && isWhole(last) && isWhole(passed);
  return good ? [key, { first, last, passed }] : undefined;
}
