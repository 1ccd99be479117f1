/**
 * The delivery of one recipient to a virtual mailbox (postfix-map section 9.8).
 *
 * @module
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { type MailboxOutcome, OTHER_MAILBOX_ERROR, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
// Server skeleton
import {
  type DeliveryRecipient,
  type MailboxDeliveryJob,
  probedMailbox,
  type RecipientOutcome,
} from "../../lib/server/mailbox_agent.ts";
import { findMailbox, type VirtualDelivery } from "../../lib/server/virtual_mailbox.ts";

/** Delivers to one recipient and says what became of it. */
export async function deliverVirtually(
  virtual: VirtualDelivery,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
): Promise<RecipientOutcome> {
  const outcome = await job.told(await deliver(virtual, job, recipient));
  job.log(recipient.address, recipient, outcome);
  const action = outcome.result === "sent"
    ? "delivered"
    : outcome.result === "bounced"
    ? "failed"
    : "delayed";
  return { ...outcome, action };
}

async function deliver(
  virtual: VirtualDelivery,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
): Promise<MailboxOutcome> {
  // Postfix checks for loops here as well: a mailbox that is read out and mailed back would go round for ever.
  if (job.source.wasDeliveredTo(recipient.address)) {
    return outcomeOf("5.4.6", `mail forwarding loop for ${printable(recipient.address)}`);
  }
  const found = await findMailbox(virtual, recipient.address);
  if (found.kind === "settled") return found.outcome;
  if (job.request.probe) return probedMailbox(found.task);
  return temporary(
    await job.toMailbox(found.task, {
      sender: job.request.sender,
      originalRecipient: recipient.originalRecipient,
      deliveredTo: recipient.address,
    }),
  );
}

/** Errors that say nothing definite are temporary for virtual mailboxes, unlike for local ones. */
function temporary(outcome: MailboxOutcome): MailboxOutcome {
  if (outcome.result !== "bounced" || outcome.status !== OTHER_MAILBOX_ERROR) return outcome;
  return outcomeOf("4.2.0", outcome.reason);
}
