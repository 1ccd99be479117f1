/**
 * The recipients of a delivery of which the agent has said nothing yet.
 */
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";

/** What is in an agent's hands. */
export class Hand {
  /** Most deliveries have one recipient and need no table. */
  #only: EnvelopeRecipient | undefined;
  readonly #more: Map<number, EnvelopeRecipient> | undefined;

  constructor(recipients: readonly EnvelopeRecipient[]) {
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
