/**
 * The delivery of one recipient: expand, then deliver every copy, then one outcome for qmgr.
 *
 * @module
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
// Server skeleton
import {
  type DeliveryRecipient,
  inParallel,
  type MailboxDeliveryJob,
  probedMailbox,
  type RecipientOutcome,
} from "../../lib/server/mailbox_agent.ts";
// This program
import { type Action, LocalExpansion } from "./local_expansion.ts";
import { forward, forwardBatches, type Submit } from "./local_forward.ts";
import { type LocalSettings, type LocalSources } from "./local_settings.ts";

/** Mailboxes of one recipient that are written at once. */
const PARALLEL_LIMIT = 10;
/** Failed addresses that a combined reason names. */
const NAMED_FAILURES = 10;

/** What local delivery works with. */
export interface LocalDelivery {
  readonly settings: LocalSettings;
  readonly sources: LocalSources;
  readonly submit: Submit;
}

/** One address's outcome. */
interface Settled {
  readonly address: string;
  readonly outcome: MailboxOutcome;
}

/** Delivers to one recipient and says what became of it. */
export async function deliverLocally(
  local: LocalDelivery,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
): Promise<RecipientOutcome> {
  const { settings, sources } = local;
  const expansion = new LocalExpansion(settings, sources, job.agent.serviceName, job.request.probe);
  const { actions, isAlias } = await expansion.run(recipient.address, job.request.sender);
  const settled: Settled[] = actions.filter((action) => action.kind === "settled");
  // What must be tried again is tried again as a whole: no copy is made that the next try would repeat.
  const postponed = settled.some(({ outcome }) => outcome.result === "deferred");
  if (job.request.probe) settled.push(...actions.flatMap(probed));
  else if (!postponed) await deliverAll(local, job, recipient, actions, settled);
  for (const { address, outcome } of settled) {
    if (!postponed || outcome.result === "deferred") job.log(address, recipient, outcome);
  }
  return combine(recipient, settled, isAlias);
}

/** What a probe says of an address that is left to be delivered. */
function probed(action: Action): Settled[] {
  switch (action.kind) {
    case "mailbox":
      return [{ address: action.address, outcome: probedMailbox(action.task) }];
    case "forward":
      return [{
        address: action.address,
        outcome: outcomeOf("2.0.0", `forwards to ${printable(action.address)}`),
      }];
    case "settled":
      return [];
    default:
      return action satisfies never;
  }
}

/** Delivers the copies and adds what became of each. */
async function deliverAll(
  local: LocalDelivery,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
  actions: readonly Action[],
  settled: Settled[],
): Promise<void> {
  const withHeader = local.settings.prepend_delivered_header.includes("file");
  const mailboxes = actions.filter((action) => action.kind === "mailbox");
  await inParallel(mailboxes, PARALLEL_LIMIT, async ({ address, task, deliveredTo }) => {
    settled.push({ address, outcome: await job.toMailbox(task, recipient, withHeader ? deliveredTo : "") });
  });
  // Forwarded mail goes last: its copies cannot be told from the first ones when everything is tried again.
  if (settled.some(({ outcome }) => outcome.result === "deferred")) return;
  for (const batch of forwardBatches(actions)) {
    const outcome = await forward(batch, job, recipient, local.settings, local.submit);
    settled.push({ address: recipient.address, outcome });
    if (outcome.result === "deferred") return;
  }
}

/** One outcome of many: anything deferred defers, then anything bounced bounces. */
function combine(
  recipient: DeliveryRecipient,
  settled: readonly Settled[],
  isAlias: boolean,
): RecipientOutcome {
  const worst = settled.find(({ outcome }) => outcome.result === "deferred") ??
    settled.find(({ outcome }) => outcome.result === "bounced") ?? settled[0];
  // Every address was a duplicate of one that was delivered.
  if (worst === undefined) return { ...outcomeOf("2.0.0", "delivered"), action: "expanded" };
  const { result, status } = worst.outcome;
  const same = settled.filter(({ outcome }) => outcome.result === result);
  const reason = result === "sent"
    ? worst.outcome.reason
    : same.slice(0, NAMED_FAILURES).map(({ address, outcome }) =>
      address === recipient.address ? outcome.reason : `<${printable(address)}>: ${outcome.reason}`
    ).join("; ");
  const action = result === "sent"
    ? isAlias ? "expanded" : "delivered"
    : result === "bounced"
    ? "failed"
    : "delayed";
  return { result, status, reason, action };
}
