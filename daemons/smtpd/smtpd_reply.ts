/**
 * Replies, as text without the last line end. What a peer sent goes into one only through `printable`.
 */
// Utility
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";

/** Replies that are always the same, in Postfix's words. */
export const REPLY = {
  ok: "250 2.0.0 Ok",
  mailOk: "250 2.1.0 Ok",
  rcptOk: "250 2.1.5 Ok",
  data: "354 End data with <CR><LF>.<CR><LF>",
  bye: "221 2.0.0 Bye",
  badSyntax: "500 5.5.2 Error: bad syntax",
  unknownCommand: "500 5.5.2 Error: command not recognized",
  lineTooLong: "500 5.5.2 Error: command line too long",
  badUtf8: "500 5.5.2 Error: bad UTF-8 syntax",
  nestedMail: "503 5.5.1 Error: nested MAIL command",
  heloFirst: "503 5.5.1 Error: send HELO/EHLO first",
  needMail: "503 5.5.1 Error: need MAIL command",
  needRcpt: "503 5.5.1 Error: need RCPT command",
  noRecipients: "554 5.5.1 Error: no valid recipients",
  mailSyntax: "501 5.5.4 Syntax: MAIL FROM:<address>",
  rcptSyntax: "501 5.5.4 Syntax: RCPT TO:<address>",
  badSender: "501 5.1.7 Bad sender address syntax",
  badRecipient: "501 5.1.3 Bad recipient address syntax",
  needsUtf8: "553 5.6.7 Must declare SMTPUTF8 to send unicode address",
  tooManyRecipients: "452 4.5.3 Error: too many recipients",
  inMail: "503 5.5.1 Error: MAIL transaction in progress",
  notAuthorized: "550 5.7.0 Error: insufficient authorization",
  mailAfterBdat: "503 5.5.1 Error: MAIL after BDAT",
  rcptAfterBdat: "503 5.5.1 Error: RCPT after BDAT",
  dataAfterBdat: "503 5.5.1 Error: DATA after BDAT",
  chunkingOff: "521 5.5.1 Error: command not implemented",
  bdatSyntax: "521 5.5.4 Syntax: BDAT count [LAST]",
  nullChunk: "551 5.7.1 Null BDAT request",
  chunkTooBig: "552 5.3.4 Chunk exceeds message size limit",
  sizeExceeded: "552 5.3.4 Message size exceeds fixed limit",
  tooBig: "552 5.3.4 Error: message file too big",
  vrfyDisabled: "502 5.5.1 VRFY command is disabled",
  etrnSyntax: "500 Syntax: ETRN domain",
  etrnHeloFirst: "503 Error: send HELO/EHLO first",
  etrnInMail: "503 Error: MAIL transaction in progress",
  etrnParameter: "501 Error: invalid parameter syntax",
  etrnStarted: "250 Queuing started",
  etrnUnable: "458 Unable to queue messages",
  startTls: "220 2.0.0 Ready to start TLS",
  startTlsSyntax: "501 5.5.4 Syntax: STARTTLS",
  tlsActive: "554 5.5.1 Error: TLS already active",
  tlsUnavailable: "454 4.7.0 TLS not available due to local problem",
  needTls: "530 5.7.0 Must issue a STARTTLS command first",
  authDisabled: "503 5.5.1 Error: authentication not enabled",
  authInMail: "503 5.5.1 Error: MAIL transaction in progress",
  authTwice: "503 5.5.1 Error: already authenticated",
  authSyntax: "501 5.5.4 Syntax: AUTH mechanism",
  authTooLong: "500 5.5.6 SASL response limit exceeded",
  authAborted: "501 5.7.0 Authentication aborted",
  authDone: "235 2.7.0 Authentication successful",
  notImplemented: "502 5.5.1 Error: command not implemented",
  synchronization: "554 5.5.0 Error: SMTP protocol synchronization",
  notSmtp: "221 2.7.0 Error: I can break rules, too. Goodbye.",
  queueFileError: "451 4.3.0 Error: queue file write error",
} as const;

/** Those replies as they go over the wire: most of what a client gets. */
const WIRE: ReadonlyMap<string, Uint8Array> = new Map(
  Object.values(REPLY).map((reply) => [`${reply}\r\n`, encodeText(`${reply}\r\n`)]),
);

/** Replies with their line ends as bytes, not to be changed. */
export function replyBytes(replies: string): Uint8Array {
  return WIRE.get(replies) ?? encodeText(replies);
}

/** True when the session ends after the reply (RFC 5321 section 3.8, RFC 7504). */
export function endsSession(reply: ReplyText): boolean {
  return reply.startsWith("421") || reply.startsWith("521");
}
