/**
 * What a message's sender asked to be told beside failures, and the sender that each recipient's copy has (VERP).
 */
// Utility
import type { IpcClient } from "../../lib/ipc/client.ts";
// Mail
import { domainOf } from "../../lib/mail/address.ts";
import { NOTIFY } from "../../lib/mail/notify.ts";
import {
  type Envelope,
  type EnvelopeRecipient,
  TRACE_MTA_VERIFY,
  TRACE_RECORD,
  TRACE_USER_VERIFY,
} from "../../lib/mail/queue_file.ts";
import { verpSender } from "../../lib/mail/verp.ts";
// Server skeleton
import type { FLUSH, VERIFY } from "../../lib/proto/protocols.ts";
import { updateAddress } from "../../lib/proto/verify_client.ts";
// This program
import type { ActiveMessage } from "./qmgr_message.ts";
import type { Outcome } from "./qmgr_transport.ts";

/** A failure that the owner of a list is told of. */
type OwnedOutcome = Extract<Outcome, { is: "ownedRecipient" }>;

/** The parameters that decide. */
export interface NoticeRules {
  /** confirm_delay_cleared */
  readonly confirmDelayCleared: boolean;
  /** disable_verp_bounces */
  readonly disableVerpBounces: boolean;
}

/** True when every outcome of this attempt is reported (`sendmail -v`): it is the first one. */
export function isRecorded({ traceFlags, how }: ActiveMessage): boolean {
  return how.first && (traceFlags & TRACE_RECORD) !== 0;
}

/** True when the sender is told what would become of each recipient (`sendmail -bv`). */
export function isVerified({ traceFlags }: ActiveMessage): boolean {
  return (traceFlags & TRACE_USER_VERIFY) !== 0;
}

/** True when the mail system asks for itself whether an address exists (verify). */
export function isProbe({ traceFlags }: ActiveMessage): boolean {
  return (traceFlags & TRACE_MTA_VERIFY) !== 0;
}

/** What is needed of a connection to verify. */
export type VerifyListener = Pick<IpcClient<typeof VERIFY>, "send">;

/** Tells verify what its probe has found. */
export function tellProbe(
  verify: VerifyListener | undefined,
  message: ActiveMessage,
  recipient: EnvelopeRecipient,
  { result, reason }: Outcome,
): void {
  if (verify === undefined || !isProbe(message)) return;
  const found = result === "sent" ? "ok" : result === "bounced" ? "undeliverable" : "deferred";
  updateAddress(verify, recipient.originalRecipient || recipient.address, found, reason);
}

/** What a probe's recipient is called in log and report (Postfix). */
export function probeResult({ result }: Pick<Outcome, "result">): "deliverable" | "undeliverable" {
  return result === "sent" ? "deliverable" : "undeliverable";
}

/** True when a recipient's outcome goes to the trace log. */
export function isTraced(
  message: ActiveMessage,
  recipient: EnvelopeRecipient,
  outcome: Outcome,
  rules: NoticeRules,
): boolean {
  if (isRecorded(message)) return true;
  if (outcome.result !== "sent") return false;
  // RFC 3461 section 5.2.2: no action is a server with DSN that has taken over the duty to report success.
  if ((recipient.notify & NOTIFY.SUCCESS) !== 0) return outcome.action !== "";
  // The sender was warned of a delay: it is over.
  return rules.confirmDelayCleared && message.envelope.warnTime < 0 &&
    (recipient.notify === 0 || (recipient.notify & NOTIFY.DELAY) !== 0);
}

/** The VERP delimiters of a message, or empty; a file of another program may hold anything. */
export function verpDelimiters({ verp, sender }: Envelope): string {
  return verp.length === 2 && sender !== "" ? verp : "";
}

/** The envelope sender of a recipient's copy. */
export function senderFor(envelope: Envelope, recipient: EnvelopeRecipient | undefined): string {
  const delimiters = verpDelimiters(envelope);
  if (delimiters === "" || recipient === undefined) return envelope.sender;
  return verpSender(delimiters, envelope.sender, recipient.originalRecipient || recipient.address);
}

/** Tells flush that a message waits for a recipient's destination, once for each turn of destinations. */
export function noteForSite(
  flush: Pick<IpcClient<typeof FLUSH>, "send">,
  message: ActiveMessage,
  recipient: EnvelopeRecipient,
): void {
  const site = domainOf(recipient.address);
  // Most messages wait for one destination, whatever the number of their recipients.
  if (site === "" || site === message.notedSite) return;
  message.notedSite = site;
  flush.send("add", { site, queueId: message.id });
}

/** A recipient's outcome as bounce, defer and trace take it. */
export function logValues(message: ActiveMessage, recipient: EnvelopeRecipient, outcome: Outcome) {
  return {
    queueId: message.id,
    recipient: recipient.address,
    originalRecipient: recipient.originalRecipient,
    dsnOriginalRecipient: recipient.dsnOriginalRecipient,
    notify: recipient.notify,
    ...told(outcome),
  };
}

/** What the owner of a list is told: nothing of what the message's sender has asked for is for the list (RFC 3461 section 5.2.7.3). */
export function ownerValues(message: ActiveMessage, recipient: EnvelopeRecipient, outcome: OwnedOutcome) {
  return {
    ...messageValues(message),
    sender: outcome.owner,
    envelopeId: "",
    ret: 0,
    recipient: recipient.address,
    originalRecipient: "",
    dsnOriginalRecipient: "",
    notify: 0,
    ...told(outcome),
  };
}

/** What a report says of the message. */
export function messageValues({ id, envelope }: ActiveMessage) {
  const encoding = envelope.attributes.get("encoding") ?? "";
  return {
    queueName: "active",
    queueId: id,
    encoding: encoding === "7bit" || encoding === "8bit" ? encoding : "",
    smtputf8: (envelope.size.sendOptions & 1) !== 0,
    sender: envelope.sender,
    envelopeId: envelope.envelopeId,
    ret: envelope.ret,
  } as const;
}

function told(
  { offset, result, status, action, reason, diagnosticType, diagnosticText, remoteMta }: Outcome,
) {
  return { offset, result, status, action, reason, diagnosticType, diagnosticText, remoteMta };
}
