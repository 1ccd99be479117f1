/**
 * What stands between a transaction with recipients and the text of its message, whether DATA or BDAT brings it.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Access
import type { SaslFacts } from "../../lib/access/session_facts.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { recordBuffer } from "./smtpd_data.ts";
import { receivedLines } from "./smtpd_received.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import type { Outcome, Transaction } from "./smtpd_transaction.ts";
import { type ForwardFacts, UNKNOWN } from "./smtpd_xforward.ts";

/** Asks whether the text may come, and waits for the queue file: the reply that refuses it. */
export async function askText(session: Session, transaction: Transaction): Promise<ReplyText | undefined> {
  const queueId = await transaction.queueId();
  const { access } = session.server;
  const refusal = access.dataFree ? undefined : await access.checkContent(session, transaction, false);
  if (refusal !== undefined) return refusal;
  // The session is over.
  if (session.transaction !== transaction) return undefined;
  if (queueId === "") {
    session.resetTransaction();
    return REPLY.queueFileError;
  }
  const filtered = await session.milters?.data();
  if (filtered !== undefined || session.transaction !== transaction) return filtered;
  return await transaction.offerText?.();
}

/** The same, and sends the envelope. */
export async function openText(session: Session, transaction: Transaction): Promise<ReplyText | undefined> {
  const refusal = await askText(session, transaction);
  if (refusal === undefined && session.transaction === transaction) await sendEnvelope(session, transaction);
  return refusal;
}

/** Asks the client for the text, and reads it from the time on when the envelope is sent; a promise when that is later. */
export function receiveText(session: Session, transaction: Transaction): undefined | Promise<undefined> {
  if (session.transaction !== transaction) return;
  // The client writes while the envelope is made.
  session.say(REPLY.data);
  const sent = sendEnvelope(session, transaction);
  if (sent !== undefined) return sent.then(() => void session.takeText(transaction));
  session.takeText(transaction);
}

/** Sends the envelope and our header to cleanup; undefined when that is done at once. */
export function sendEnvelope(session: Session, transaction: Transaction): Promise<void> | undefined {
  const { settings } = session.server;
  const { peer, sasl, forwarded } = session;
  const facts = {
    peer,
    helo: session.greeting?.name ?? "",
    protocol: session.protocol,
    local: forwarded?.local ?? session.local,
    sasl,
    forwarded,
    filter: settings.content_filter,
  };
  const received = receivedLines({
    ...facts,
    utf8: transaction.options?.utf8 === true,
    queueId: transaction.id,
    hostName: settings.myhostname,
    mailName: settings.mail_name,
    recipients: transaction.recipients,
    hideClient: settings.smtpd_hide_client_session,
    tls: session.tls,
    showTls: settings.smtpd_tls_received_header,
    showLogin: settings.smtpd_sasl_authenticated_header,
  }, session.server.date(Date.now()));
  const login = loginText(sasl, transaction.options?.submitter ?? "");
  const origin = forwarded === undefined ? "" : originText(forwarded);
  session.log.info(`${transaction.id || "NOQUEUE"}: client=${session.client}${login}${origin}`);
  const limits = { line: settings.line_length_limit, size: settings.message_size_limit };
  return transaction.beginData(facts, limits, received, session.records ??= recordBuffer());
}

/** What the log tells of where a message was before. */
function originText({ ident, name, address }: ForwardFacts): string {
  const id = ident === UNKNOWN ? "" : `, orig_queue_id=${printable(ident)}`;
  const known = name !== UNKNOWN || address !== UNKNOWN;
  return known ? `${id}, orig_client=${name}[${address}]` : id;
}

/** What the log tells of a login with a message. */
function loginText(sasl: SaslFacts | undefined, submitter: string): string {
  if (sasl === undefined) return "";
  const sender = submitter === "" ? "" : `, sasl_sender=${submitter}`;
  return `, sasl_method=${printable(sasl.method)}, sasl_username=${printable(sasl.username)}${sender}`;
}

/** What becomes of a message whose text has come; its filters are told that it is over. */
export function endText(
  session: Session,
  transaction: Transaction,
  command: "data" | "bdat",
): Promise<Outcome> {
  const outcome = judgeText(session, transaction, command);
  return session.milters === undefined ? outcome : outcome.finally(() => session.milters?.abort());
}

function judgeText(
  session: Session,
  transaction: Transaction,
  command: "data" | "bdat",
): Promise<Outcome> {
  const { access, bareNewlineReply } = session.server;
  const reader = transaction.reader!;
  if (command === "bdat") reader.end();
  if (reader.bareNewline && refusesBareNewline(session, "DATA")) {
    return Promise.resolve(refuse(transaction, bareNewlineReply));
  }
  if (access.endFree || reader.tooBig) return commit(session, transaction, command);
  return access.checkContent(session, transaction, true).then((refused) =>
    refused === undefined ? commit(session, transaction, command) : refuse(transaction, refused)
  );
}

function refuse(transaction: Transaction, reply: ReplyText): Outcome {
  transaction.abort();
  return { reply, accepted: false };
}

function commit(
  { milters }: Session,
  transaction: Transaction,
  command: "data" | "bdat",
): Promise<Outcome> {
  if (command === "data" || transaction.relayed) return transaction.commit(milters);
  const { size } = transaction.reader!;
  return transaction.commit(milters).then(({ reply, accepted }) => ({
    reply: accepted ? reply.replace("queued", `${size} bytes queued`) : reply,
    accepted,
  }));
}

/** True when a line that ended in LF alone is refused; it is logged also where the administrator asked for a note. */
export function refusesBareNewline(session: Session, where: string): boolean {
  // Who has logged in is a mail program of ours, as those in mynetworks are, and smuggles nothing.
  const verdict = session.sasl === undefined ? session.server.bareNewline(session.peer) : "accept";
  if (verdict !== "accept") session.log.info(`bare <LF> received after ${where} from ${session.client}`);
  return verdict === "reject";
}
