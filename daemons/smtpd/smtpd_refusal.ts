/**
 * What the log says of rules: refusals in Postfix's form, with a short id and the rule that decided behind it, where
 * programs that read Postfix's log do not look. `postern explain --reply ID` finds them.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Access
import type { Question, Refusal } from "../../lib/access/policy.ts";
import { idText, makeReplyId, ruleText } from "../../lib/access/refusal_log.ts";
import { type ReplyText, soften } from "../../lib/access/reply.ts";
// This program
import type { Session } from "./smtpd_session.ts";

/** "ID: WORD: STAGE from CLIENT: TEXT; from=<> to=<> proto= helo=<>", as Postfix. */
function logLine(session: Session, word: string, question: Question, text: string): string {
  const { stage, queueId, client, sender, recipient, protocol, helo, sasl } = question;
  let line = `${queueId || "NOQUEUE"}: ${word}: ${stage} from ${client}: ${text};`;
  if (sender !== undefined) line += ` from=<${printable(sender)}>`;
  if (recipient !== undefined) line += ` to=<${printable(recipient)}>`;
  line += ` proto=${protocol}`;
  if (session.greeting !== undefined) line += ` helo=<${helo}>`;
  if (sasl !== undefined) line += ` sasl_username=<${printable(sasl.username)}>`;
  return line;
}

/** Logs what a rule does that refuses nothing. */
export function logRule(session: Session, word: string, question: Question, text: string): void {
  session.log.info(logLine(session, word, question, text));
}

/**
 * Logs a refusal. `word` is "reject", or "reject_warning" for one that was not made.
 *
 * @returns the reply, with the id if it is to be shown
 */
export function logRefusal(session: Session, word: string, question: Question, refusal: Refusal): ReplyText {
  const { settings } = session.server;
  const reply = settings.soft_bounce ? soften(refusal.reply) : refusal.reply;
  const id = makeReplyId();
  session.log.info(`${logLine(session, word, question, reply)}${ruleText(id, refusal)}`);
  return settings.smtpd_reply_id ? `${reply}${idText(id)}` : reply;
}
