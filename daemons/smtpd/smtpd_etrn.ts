/**
 * ETRN: a client asks for the delivery of what waits for a site (RFC 1985). Replies and their order are Postfix's.
 */
// Utility
import { isBlank } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { isValidDomain } from "../../lib/mail/domain.ts";
// Access
import { type ReplyText, shown } from "../../lib/access/reply.ts";
// This program
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";

/** `@domain` asks for a domain with its subdomains and `#name` for a queue; Postfix takes both for the domain. */
const MARKS: ReadonlySet<number> = new Set([0x40, 0x23]);
/** Most of a domain that a warning shows, UTF-16 units. */
const WARNED_LIMIT = 100;

/** Runs the command. */
export function etrn(session: Session, argument: Uint8Array): ReplyText | Promise<ReplyText> {
  session.errors.junk();
  if (session.server.settings.smtpd_helo_required && session.greeting === undefined) {
    return REPLY.etrnHeloFirst;
  }
  if (session.transaction !== undefined) return REPLY.etrnInMail;
  if (argument.length === 0 || argument.some(isBlank)) return REPLY.etrnSyntax;
  const domain = decodeText(MARKS.has(argument[0]!) ? argument.subarray(1) : argument);
  if (!isValidDomain(domain)) return REPLY.etrnParameter;
  return startQueue(session, domain);
}

async function startQueue(session: Session, domain: string): Promise<ReplyText> {
  const refusal = await session.server.access.checkEtrn(session, domain);
  if (refusal !== undefined) return refusal;
  const status = await session.server.flushSite(domain);
  const what = `ETRN ${shown(domain).slice(0, WARNED_LIMIT)}... from ${session.client}`;
  switch (status) {
    case "ok":
      return REPLY.etrnStarted;
    case "denied":
      session.server.log.warning(`reject: ${what}`);
      return `459 <${shown(domain)}>: service unavailable`;
    case "bad":
      session.server.log.warning(`bad ${what}`);
      return REPLY.etrnUnable;
    case "fail":
      return REPLY.etrnUnable;
    default:
      return status satisfies never;
  }
}
