/**
 * reject_unverified_sender and reject_unverified_recipient: whether a probe has found the address.
 */
// Mail
import { splitStatus } from "../mail/status_code.ts";
// Access
import {
  type AccessSettings,
  cannotTell,
  DUNNO,
  type ProbeResult,
  type Question,
  reject,
  type Services,
  type Verdict,
} from "./policy.ts";
import { lookupFailure, refusal, type ReplyText, shown } from "./reply.ts";
import { fitStatus, rejected, SUBJECT, type Subject } from "./subject.ts";

/** Most of a probe's text that a reply has, UTF-16 units, as in Postfix. */
const TEXT_LIMIT = 250;

/** How one kind of address is refused. */
interface Row {
  readonly subject: Subject;
  readonly rejectCode: (settings: AccessSettings) => number;
  readonly deferCode: (settings: AccessSettings) => number;
  readonly reason: (settings: AccessSettings) => string;
  readonly action: (settings: AccessSettings) => string;
  readonly status: string;
}

const ROWS = {
  sender: {
    subject: SUBJECT.sender,
    rejectCode: (settings) => settings.unverified_sender_reject_code,
    deferCode: (settings) => settings.unverified_sender_defer_code,
    reason: (settings) => settings.unverified_sender_reject_reason,
    action: (settings) => settings.unverified_sender_tempfail_action,
    status: "4.1.7",
  },
  recipient: {
    subject: SUBJECT.recipient,
    rejectCode: (settings) => settings.unverified_recipient_reject_code,
    deferCode: (settings) => settings.unverified_recipient_defer_code,
    reason: (settings) => settings.unverified_recipient_reject_reason,
    action: (settings) => settings.unverified_recipient_tempfail_action,
    status: "4.1.1",
  },
} as const satisfies Readonly<Record<string, Row>>;

/** Refuses an address that no probe has found. */
export async function rejectUnverified(
  services: Services,
  kind: "sender" | "recipient",
  question: Question,
): Promise<Verdict> {
  const row: Row = ROWS[kind];
  const { settings } = services;
  const address = question[kind];
  if (!address) return DUNNO;
  const resolved = kind === "recipient" ? question.resolved : undefined;
  const place = resolved ?? await services.rewrite.resolve("", address);
  if (place.kind === "retry") return reject(lookupFailure(address));
  const result = await poll(services, place.recipient);
  if (result === undefined) {
    const text = rejected(row.subject, question, "address verification problem");
    return cannotTell(refusal(450, "4.1.1", text), row.action(settings));
  }
  return verdictOf(row, result, settings, question);
}

/** Asks until there is a result, as often as it is worth a client's time. */
async function poll({ probe, settings }: Services, address: string): Promise<ProbeResult | undefined> {
  for (let count = 1; probe !== undefined; count++) {
    const result = await probe(address);
    if (result?.status !== "unknown" || count >= settings.address_verify_poll_count) return result;
    await new Promise((resolve) => setTimeout(resolve, settings.address_verify_poll_delay * 1000));
  }
  return undefined;
}

function verdictOf(row: Row, result: ProbeResult, settings: AccessSettings, question: Question): Verdict {
  if (result.status === "ok") return DUNNO;
  const { status, text } = splitStatus(result.text, row.status);
  if (result.status === "undeliverable") {
    const code = row.rejectCode(settings);
    const reason = row.reason(settings) || `undeliverable address: ${shown(text).slice(0, TEXT_LIMIT)}`;
    // The administrator may choose to take such mail.
    return code < 400 ? DUNNO : reject(reply(row, code, status, reason, question));
  }
  const code = row.deferCode(settings);
  if (code < 400) return DUNNO;
  const why = text || "Address verification in progress";
  const reason = `unverified address: ${shown(why).slice(0, TEXT_LIMIT)}`;
  return cannotTell(reply(row, code, status, reason, question), row.action(settings));
}

function reply(
  { subject }: Row,
  code: number,
  status: string,
  reason: string,
  question: Question,
): ReplyText {
  return refusal(code, fitStatus(status, subject), rejected(subject, question, reason));
}
