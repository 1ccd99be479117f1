/**
 * What the sender is told of aliases that cleanup expanded: entries in the message's trace log, of which the report
 * is made when its recipients are done.
 */
// Server skeleton
import {
  appendOutcome,
  type BounceClient,
  type BounceResult,
  dropLog,
} from "../../lib/proto/bounce_client.ts";

/** An alias that stood for other addresses. */
export interface ExpandedAlias {
  readonly recipient: string;
  readonly dsnOriginalRecipient: string;
  readonly notify: number;
}

/** The trace log of one message. Made for one message: it knows whether there is anything to take back. */
export class ExpansionTrace {
  readonly #client: BounceClient;
  #used = false;

  constructor(client: BounceClient) {
    this.#client = client;
  }

  /** Notes an alias; done means that it is on the disk. */
  append(queueId: string, alias: ExpandedAlias): Promise<BounceResult> {
    this.#used = true;
    return appendOutcome(this.#client, {
      queueId,
      offset: 0,
      ...alias,
      originalRecipient: "",
      result: "sent",
      status: "2.0.0",
      action: "expanded",
      reason: "alias expanded",
      diagnosticType: "",
      diagnosticText: "",
      remoteMta: "",
    });
  }

  /** Takes back what was noted of a message that is not accepted: another will have its queue id one day. */
  drop(queueId: string): void {
    if (!this.#used) return;
    this.#used = false;
    // When it fails the log stays, and cleanup's client is told of its message all the same.
    void dropLog(this.#client, queueId);
  }
}
