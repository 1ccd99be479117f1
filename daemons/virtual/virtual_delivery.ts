/**
 * The delivery of one recipient to a virtual mailbox (postfix-map section 9.8).
 *
 * @module
 */
// Utility
import { asciiLower, parseDecimal } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Tables
import { type SearchOutcome } from "../../lib/table/search.ts";
// Mail
import { splitAddress, splitExtension } from "../../lib/mail/address.ts";
import { type MailboxOutcome, OTHER_MAILBOX_ERROR, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
// Server skeleton
import { type HelperTask } from "../../lib/server/boot.ts";
import {
  type DeliveryRecipient,
  type MailboxDeliveryJob,
  probedMailbox,
  type RecipientOutcome,
} from "../../lib/server/mailbox_agent.ts";
import { type Settings } from "../../lib/config/parameters.ts";
// This program
import { type SERVICE } from "./service.ts";
import { virtualPath } from "./virtual_path.ts";

/** The settings that virtual is told. */
export type VirtualSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Which parameter's tables are searched. */
export type VirtualMaps = "virtual_mailbox_maps" | "virtual_uid_maps" | "virtual_gid_maps";

/** What virtual delivery works with. */
export interface VirtualDelivery {
  readonly settings: VirtualSettings;
  /** Searches by the folded address: with extension, without, then the domain. */
  readonly find: (maps: VirtualMaps, address: string) => Promise<SearchOutcome>;
  readonly warn: (text: string) => void;
}

/** Largest user and group id of Linux. */
const ID_MOST = 0xfffffffe;

/** Delivers to one recipient and says what became of it. */
export async function deliverVirtually(
  virtual: VirtualDelivery,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
): Promise<RecipientOutcome> {
  const outcome = await deliver(virtual, job, recipient);
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
  return temporary(await job.toMailbox(found.task, recipient, recipient.address));
}

/** Errors that say nothing definite are temporary for virtual mailboxes, unlike for local ones. */
function temporary(outcome: MailboxOutcome): MailboxOutcome {
  if (outcome.result !== "bounced" || outcome.status !== OTHER_MAILBOX_ERROR) return outcome;
  return outcomeOf("4.2.0", outcome.reason);
}

/** The mailbox to write, or the outcome that the look-ups settle at once. */
export type FoundMailbox =
  | { readonly kind: "mailbox"; readonly task: HelperTask }
  | { readonly kind: "settled"; readonly outcome: MailboxOutcome };

/** Finds path, user and group of a recipient's mailbox. */
export async function findMailbox(virtual: VirtualDelivery, address: string): Promise<FoundMailbox> {
  const { settings } = virtual;
  const folded = asciiLower(address);
  const { localpart, domain = "" } = splitAddress(folded);
  const known = await virtual.find("virtual_mailbox_maps", folded);
  if (known.kind === "retry") return settled("4.3.5", `mail system configuration error: ${known.why}`);
  if (known.kind === "missing") return settled("5.1.1", `unknown user: "${printable(folded)}"`);
  const { user } = splitExtension(localpart, settings);
  const path = virtualPath(settings.virtual_mailbox_base, settings.virtual_mailbox_path, known.value, {
    user,
    domain,
  });
  if (path.kind === "badRecipient") return settled("5.1.1", path.why);
  if (path.kind === "badConfiguration") return misconfigured(virtual, folded, path.why);
  const uid = await findId(virtual, "virtual_uid_maps", folded, settings.virtual_minimum_uid);
  if (typeof uid === "string") return misconfigured(virtual, folded, uid);
  const gid = await findId(virtual, "virtual_gid_maps", folded, 1);
  if (typeof gid === "string") return misconfigured(virtual, folded, gid);
  return {
    kind: "mailbox",
    task: { kind: "mailbox", path: path.path, format: path.format, user: folded, uid, gid },
  };
}

/** The number that a table gives for a recipient, or what is wrong. */
async function findId(
  virtual: VirtualDelivery,
  maps: VirtualMaps,
  address: string,
  least: number,
): Promise<number | string> {
  const found = await virtual.find(maps, address);
  if (found.kind === "retry") return `${maps}: ${found.why}`;
  if (found.kind === "missing") return `recipient is not in ${maps}`;
  const id = parseDecimal(found.value, ID_MOST);
  if (id === undefined) return `"${found.value}" in ${maps} is no number`;
  return id < least ? `${id} in ${maps} is less than ${least}` : id;
}

function misconfigured(virtual: VirtualDelivery, address: string, why: string): FoundMailbox {
  virtual.warn(`recipient ${printable(address)}: ${printable(why)}`);
  return settled("4.3.5", "mail system configuration error");
}

function settled(status: string, reason: string): FoundMailbox {
  return { kind: "settled", outcome: outcomeOf(status, reason) };
}
