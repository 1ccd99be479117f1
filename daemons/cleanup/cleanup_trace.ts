/**
 * What senders are told beside failures: original recipients, and aliases that cleanup expanded. The latter are
 * entries in the message's trace log, of which the report is made when its recipients are done.
 */
// Utility
import { isAscii, parseDecimal } from "../../lib/vstring/ascii.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
import { NOTIFY, NOTIFY_MOST, withoutSuccess } from "../../lib/mail/notify.ts";
// Server skeleton
import {
  appendOutcome,
  type BounceClient,
  type BounceResult,
  dropLog,
} from "../../lib/proto/bounce_client.ts";

/** RFC 3461 section 4.2: longest ORCPT; a longer one is not made up. */
const ORCPT_LIMIT = 500;

/** RFC 3461 section 5.2.1: the ORCPT of a recipient whose sender gave none: the address before aliases. */
export function originalOf(recipient: string): string {
  const original = `rfc822;${quoteAddress(recipient)}`;
  return original.length <= ORCPT_LIMIT && isAscii(original) ? original : "";
}

/** A recipient's DSN attributes. */
export interface AskedNotice {
  readonly dsnOriginal: string;
  /** NOTIFY bits as text, or empty. */
  notify: string;
}

/** The trace log of one message. Made for one message: it knows whether there is anything to take back. */
export class ExpansionTrace {
  readonly #client: BounceClient;
  #used = false;

  constructor(client: BounceClient) {
    this.#client = client;
  }

  /**
   * Records an alias as expanded when its sender asked for success reports, and takes SUCCESS from what its members
   * are asked for. Undefined when there is nothing to record; else done means that it is on the disk.
   */
  report(queueId: string, alias: string | undefined, asked: AskedNotice): Promise<BounceResult> | undefined {
    const notify = parseDecimal(asked.notify, NOTIFY_MOST) ?? 0;
    if (alias === undefined || (notify & NOTIFY.SUCCESS) === 0) return undefined;
    // RFC 3461 section 5.2.7.1: the alias is reported as expanded, and no success of its members.
    asked.notify = String(withoutSuccess(notify));
    this.#used = true;
    return appendOutcome(this.#client, {
      queueId,
      offset: 0,
      recipient: alias,
      originalRecipient: "",
      dsnOriginalRecipient: asked.dsnOriginal,
      notify,
      result: "sent",
      status: "2.0.0",
      action: "expanded",
      reason: "alias expanded",
      diagnosticType: "",
      diagnosticText: "",
      remoteMta: "",
    });
  }

  /** Takes back what was recorded of a message that is not accepted: another will have its queue id one day. */
  drop(queueId: string): void {
    if (!this.#used) return;
    this.#used = false;
    // When it fails the log stays, and cleanup's client is told of its message all the same.
    void dropLog(this.#client, queueId);
  }
}
