/**
 * The restrictions: one row each, with what it does.
 */
// Utility
import type { RestrictionName } from "../config/restriction_names.ts";
import { parseDecimal } from "../vstring/ascii.ts";
// Tables
import { isTableSpec } from "../table/spec.ts";
// Access
import { ACCESS_ROWS } from "./access_check.ts";
import { DNS_LIST_ROWS } from "./dns_list.ts";
import {
  qualified,
  rejectInvalidHelo,
  rejectNonFqdnHelo,
  rejectUnknownHelo,
  rejectUnknownRecipient,
  rejectUnknownSender,
} from "./domain_check.ts";
import type { Row, Run } from "./list_context.ts";
import { permitMxBackup } from "./mx_backup.ts";
import { askPolicyServer } from "./policy_check.ts";
import { DUNNO, OK, type Question, reject, type Services, type Verdict } from "./policy.ts";
import { checkRecipientExists, checkSenderExists } from "./recipient.ts";
import { lookupFailure, refusal, shown } from "./reply.ts";
import { rejectLoggedIn, rejectNotLoggedIn } from "./sender_login.ts";
import { rejected, SUBJECT } from "./subject.ts";
import { rejectUnverified } from "./verified.ts";

/** Longest sleep of a rule, seconds. */
const SLEEP_LIMIT = 300;

/** Always the same. */
const always = (verdict: Verdict): Row => () => () => verdict;

/** By the question alone. */
const by =
  (run: (services: Services, question: Question) => Verdict | Promise<Verdict>): Row =>
  ({ services }) =>
  (q) => run(services, q);

/** Runs only once there is a recipient. */
const atRecipient = (run: (services: Services, question: Question) => Verdict | Promise<Verdict>): Row =>
  by((services, q) => q.resolved === undefined ? DUNNO : run(services, q));

/** Refuses in the words of its list. */
const refuses =
  (code: (services: Services) => number, status: string, text: string): Row =>
  ({ services, subject }) =>
  (q) => reject(refusal(code(services), status, rejected(subject, q, text)));

/** True when mail for the recipient is ours to take: a final class or relay_domains, and not routed on by its local part. */
export function isOurs(question: Question): boolean {
  const { resolved } = question;
  return resolved !== undefined && resolved.class !== "default" && !resolved.routed;
}

/** A name could not be looked up, or there is none. */
function unknownClient(
  what: string,
  status: string,
  name: (q: Question) => string,
  trouble: (q: Question) => boolean,
): Row {
  return by(({ settings }, q) => {
    if (name(q) !== "unknown") return DUNNO;
    const code = trouble(q) ? 450 : settings.unknown_client_reject_code;
    const text = `Client host rejected: cannot find your ${what}, [${q.peer.address}]`;
    return reject(refusal(code, status, text));
  });
}

const relayDenied = (code: (services: Services) => number): Row =>
  atRecipient((services, q) =>
    isOurs(q)
      ? DUNNO
      : reject(refusal(code(services), "5.7.1", `<${shown(q.recipient)}>: Relay access denied`))
  );

const sleep: Row = (_, argument): Run => {
  const seconds = parseDecimal(argument, SLEEP_LIMIT) ?? 0;
  return () => new Promise((resolve) => setTimeout(() => resolve(DUNNO), seconds * 1000));
};

/** The client is in mynetworks. Of a table in it that fails nobody can tell: whom it would let in is not refused for good. */
const permitMynetworks: Row = ({ services }) => {
  const { maps, settings } = services;
  const asks = settings.mynetworks.some((item) => isTableSpec(item.startsWith("!") ? item.slice(1) : item));
  const ask = async ({ client, peer }: Question): Promise<Verdict> => {
    const found = await maps.find("mynetworks", "list", `${peer.name} ${peer.address}`);
    if (found.kind === "retry") return { kind: "deferIfReject", reply: lookupFailure(client) };
    return found.kind === "found" ? OK : DUNNO;
  };
  return (q) => q.trusted ? OK : asks ? ask(q) : DUNNO;
};

/** Any of the certificate's fingerprints is in relay_clientcerts. */
async function permitCertificate({ maps }: Services, { tls }: Question): Promise<Verdict> {
  const certificate = tls?.certificate;
  if (certificate === undefined) return DUNNO;
  for (const key of [certificate.fingerprint, certificate.keyFingerprint]) {
    const found = await maps.find("relay_clientcerts", "key", key);
    if (found.kind === "found") return OK;
    // What a failing table would have said is not known: nobody is let in by it, and nobody turned away for good.
    if (found.kind === "retry") {
      return { kind: "deferIfReject", reply: lookupFailure(certificate.fingerprint) };
    }
  }
  return DUNNO;
}

/** The restrictions by their names. */
export const ROWS: Readonly<Record<RestrictionName, Row>> = {
  ...ACCESS_ROWS as Readonly<Record<Extract<RestrictionName, `check_${string}_access`>, Row>>,
  ...DNS_LIST_ROWS,
  permit: always(OK),
  reject: refuses(({ settings }) => settings.reject_code, "5.7.1", "Access denied"),
  defer: refuses(({ settings }) => settings.defer_code, "4.3.2", "Try again later"),
  defer_if_permit: ({ subject }) => (q) => ({
    kind: "deferIfPermit",
    reply: refusal(450, "4.7.0", rejected(subject, q, "defer_if_permit requested")),
  }),
  defer_if_reject: ({ subject }) => (q) => ({
    kind: "deferIfReject",
    reply: refusal(450, "4.7.0", rejected(subject, q, "defer_if_reject requested")),
  }),
  sleep,
  permit_inet_interfaces: by((_, { peer }) => peer.ours ? OK : DUNNO),
  permit_mynetworks: permitMynetworks,
  permit_sasl_authenticated: by((_, { sasl }) => sasl !== undefined && sasl.username !== "" ? OK : DUNNO),
  permit_tls_all_clientcerts: by((_, { tls }) => tls?.certificate?.trusted === true ? OK : DUNNO),
  permit_tls_clientcerts: by(permitCertificate),
  permit_auth_destination: atRecipient((_, q) => isOurs(q) ? OK : DUNNO),
  permit_mx_backup: (context) => permitMxBackup(context, isOurs),
  reject_unauth_destination: relayDenied(({ settings }) => settings.relay_domains_reject_code),
  defer_unauth_destination: relayDenied(() => 454),
  reject_unlisted_recipient: atRecipient((services, q) =>
    checkRecipientExists(services, q.recipient!, q.resolved!)
  ),
  reject_unlisted_sender: by(checkSenderExists),
  reject_non_fqdn_sender: by((services, q) => qualified(services, SUBJECT.sender, q.sender, q)),
  reject_non_fqdn_recipient: by((services, q) => qualified(services, SUBJECT.recipient, q.recipient, q)),
  reject_invalid_helo_hostname: ({ services }) => rejectInvalidHelo(services),
  reject_non_fqdn_helo_hostname: ({ services }) => rejectNonFqdnHelo(services),
  reject_unknown_helo_hostname: ({ services }) => rejectUnknownHelo(services),
  reject_unknown_client_hostname: unknownClient(
    "hostname",
    "4.7.25",
    (q) => q.peer.name,
    (q) => q.peer.nameTrouble,
  ),
  reject_unknown_reverse_client_hostname: unknownClient(
    "reverse hostname",
    "4.7.1",
    (q) => q.peer.reverseName,
    (q) => q.peer.reverseTrouble ?? q.peer.nameTrouble,
  ),
  reject_unknown_sender_domain: by(rejectUnknownSender),
  reject_unknown_recipient_domain: by(rejectUnknownRecipient),
  reject_unverified_sender: by((services, q) => rejectUnverified(services, "sender", q)),
  reject_unverified_recipient: by((services, q) => rejectUnverified(services, "recipient", q)),
  reject_sender_login_mismatch: by((services, q) =>
    q.sasl === undefined ? rejectNotLoggedIn(services, q) : rejectLoggedIn(services, q, false)
  ),
  reject_authenticated_sender_login_mismatch: by((services, q) => rejectLoggedIn(services, q, false)),
  reject_known_sender_login_mismatch: by((services, q) => rejectLoggedIn(services, q, true)),
  reject_unauthenticated_sender_login_mismatch: by(rejectNotLoggedIn),
  reject_multi_recipient_bounce: ({ services: { settings }, subject }) => (q) =>
    q.sender === "" && q.recipientCount > 1
      ? reject(
        refusal(
          settings.multi_recipient_bounce_reject_code,
          "5.5.3",
          rejected(subject, q, "Multi-recipient bounce"),
        ),
      )
      : DUNNO,
  reject_plaintext_session: by(({ settings }, q) =>
    q.tls === undefined
      ? reject(refusal(settings.plaintext_reject_code, "5.7.1", "Session encryption is required"))
      : DUNNO
  ),
  reject_unauth_pipelining: ({ subject }) => (q) =>
    q.pipelined
      ? reject(refusal(503, "5.5.0", rejected(subject, q, "Improper use of SMTP command pipelining")))
      : DUNNO,
  check_policy_service: askPolicyServer,
};
