/**
 * What a transport's agent has in hand: for each delivery the recipients of which it has said nothing yet. A delivery
 * that takes too long is given up; a timer for each would cost more than the rest of it.
 */
// Utility
import type { ClientExchange, IpcError } from "../../lib/ipc/client.ts";
// Mail
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";
// Server skeleton
import type { DELIVERY } from "../../lib/proto/protocols.ts";
// This program
import type { Entry } from "./qmgr_message.ts";

/** Looks at the deliveries in hand, of which one is given up, in the time that one may take. */
export const SWEEPS = 10;

/** One delivery in the agent's hands. */
export class Hand {
  /** Neighbours in the list, and the sweep after which it came there. */
  next: Hand | undefined;
  previous: Hand | undefined;
  since = 0;
  readonly entry: Entry;
  exchange: ClientExchange<typeof DELIVERY> | undefined;
  /** What is to be done when the delivery is over: with the site's trouble, or the agent's. */
  over: (site: string, siteStatus: string, error: IpcError | undefined) => void = () => {};
  /** Most deliveries have one recipient and need no table. */
  #only: EnvelopeRecipient | undefined;
  readonly #more: Map<number, EnvelopeRecipient> | undefined;

  constructor(entry: Entry) {
    this.entry = entry;
    const { recipients } = entry;
    if (recipients.length === 1) this.#only = recipients[0];
    else this.#more = new Map(recipients.map((recipient) => [recipient.offset, recipient]));
  }

  get empty(): boolean {
    return this.#more === undefined ? this.#only === undefined : this.#more.size === 0;
  }

  /** Takes the recipient with this offset out; undefined when there is none, or no longer. */
  take(offset: number): EnvelopeRecipient | undefined {
    const found = this.#more === undefined
      ? this.#only?.offset === offset ? this.#only : undefined
      : this.#more.get(offset);
    if (found === undefined) return undefined;
    if (this.#more === undefined) this.#only = undefined;
    else this.#more.delete(offset);
    return found;
  }

  /** Those that are left. */
  left(): EnvelopeRecipient[] {
    return this.#more === undefined ? this.#only === undefined ? [] : [this.#only] : [...this.#more.values()];
  }
}

/** The deliveries in hand, the oldest first. */
export class Hands {
  #first: Hand | undefined;
  #last: Hand | undefined;
  #sweeps = 0;

  add(hand: Hand): void {
    hand.since = this.#sweeps;
    hand.previous = this.#last;
    if (this.#last === undefined) this.#first = hand;
    else this.#last.next = hand;
    this.#last = hand;
  }

  remove(hand: Hand): void {
    if (hand.previous === undefined) this.#first = hand.next;
    else hand.previous.next = hand.next;
    if (hand.next === undefined) this.#last = hand.previous;
    else hand.next.previous = hand.previous;
    hand.next = hand.previous = undefined;
  }

  /** Tells of each that was there at so many sweeps before this one; it must be taken out. */
  sweep(giveUp: (hand: Hand) => void): void {
    this.#sweeps++;
    while (this.#first !== undefined && this.#sweeps - this.#first.since > SWEEPS) giveUp(this.#first);
  }
}
