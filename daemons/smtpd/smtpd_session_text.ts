/**
 * What the log and the Received header tell of a session.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// This program
import { receivedLines } from "./smtpd_received.ts";
import type { Session } from "./smtpd_session.ts";
import type { SessionFacts, Transaction } from "./smtpd_transaction.ts";

/** Who sends a message, and as whom. */
export function clientText({ client, sasl }: Session, { id, options }: Transaction): string {
  if (sasl === undefined) return `${id}: client=${client}`;
  const sender = (options?.submitter ?? "") === "" ? "" : `, sasl_sender=${options!.submitter}`;
  return `${id}: client=${client}, sasl_method=${printable(sasl.method)}, ` +
    `sasl_username=${printable(sasl.username)}${sender}`;
}

/** What the queue file says of a session. */
export function factsOf({ peer, greeting, protocol, local, sasl }: Session): SessionFacts {
  return { peer, helo: greeting?.name ?? "", protocol, local, sasl };
}

/** The lines of a message's Received header. */
export function receivedOf(session: Session, transaction: Transaction): string[] {
  const { settings } = session.server;
  return receivedLines({
    ...factsOf(session),
    queueId: transaction.id,
    hostName: settings.myhostname,
    mailName: settings.mail_name,
    recipients: transaction.recipients,
    hideClient: settings.smtpd_hide_client_session,
    tls: session.tls,
    showTls: settings.smtpd_tls_received_header,
    showLogin: settings.smtpd_sasl_authenticated_header,
  }, session.server.date(Date.now()));
}
