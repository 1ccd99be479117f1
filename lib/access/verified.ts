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
  OK,
  type ProbeResult,
  type Question,
  reject,
  type Services,
  type Verdict,
} from "./policy.ts";
import { lookupFailure, refusal, shown } from "./reply.ts";
import { fitStatus, rejected, SUBJECT, type Subject } from "./subject.ts";

/** Most of a probe's text that a delay tells, UTF-16 units, as in Postfix. */
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

/** What is done with a result: a code of the kind 2xx permits, 4xx is a delay, 5xx a refusal. */
function verdictOf(row: Row, result: ProbeResult, settings: AccessSettings, question: Question): Verdict {
  if (result.status === "ok") return DUNNO;
  const failed = result.status === "undeliverable";
  const code = failed ? row.rejectCode(settings) : row.deferCode(settings);
  if (code < 400) return OK;
  const why = row.reason(settings) || result.text;
  if (code < 500) {
    const text = `unverified address: ${shown(why).slice(0, TEXT_LIMIT)}`;
    return cannotTell(refusal(code, row.status, rejected(row.subject, question, text)), row.action(settings));
  }
  const { status, text } = splitStatus(why, row.status);
  const words = rejected(row.subject, question, `undeliverable address: ${shown(text)}`);
  return reject(refusal(code, fitStatus(status, row.subject), words));
}
