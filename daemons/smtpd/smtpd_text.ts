/**
 * What stands between a transaction with recipients and the text of its message, whether DATA or BDAT brings it.
 */
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import type { Transaction } from "./smtpd_transaction.ts";

/** Asks whether the text may come, waits for the queue file, and sends the envelope: the reply that refuses it. */
export async function openText(session: Session, transaction: Transaction): Promise<ReplyText | undefined> {
  const refusal = await session.server.checkData(session);
  if (refusal !== undefined) return refusal;
  const queueId = await transaction.queueId();
  // The session is over.
  if (session.transaction !== transaction) return undefined;
  if (queueId === "") {
    session.resetTransaction();
    return REPLY.queueFileError;
  }
  await session.beginText(transaction);
  return undefined;
}
