/**
 * The reply to EHLO: what this client is offered.
 */
// Mail
import { replyLines } from "../../lib/mail/reply_lines.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { hides } from "./smtpd_client.ts";
import { authKeywords } from "./smtpd_auth.ts";
import type { Session } from "./smtpd_session.ts";
import { offersStartTls } from "./smtpd_tls.ts";
import { XCLIENT_KEYWORD } from "./smtpd_xclient.ts";
import { XFORWARD_KEYWORD } from "./smtpd_xforward.ts";

/** What is offered to some clients only. */
interface Offers {
  readonly verp: boolean;
  readonly xclient: boolean;
  readonly xforward: boolean;
  /** Lines of AUTH. */
  readonly logins: readonly string[];
}

/** The whole reply; a promise when a table or the SASL backend has to be asked. */
export function ehloReply(session: Session): ReplyText | Promise<ReplyText> {
  const { server, peer } = session;
  const logins = authKeywords(session);
  const verp = server.allowsVerp(peer);
  const xclient = server.mayImpersonate(peer);
  const xforward = server.mayForward(peer);
  const atOnce = typeof verp === "boolean" && typeof xclient === "boolean" && typeof xforward === "boolean";
  if (atOnce && logins === undefined) return replyText(session, { verp, xclient, xforward, logins: [] });
  return Promise.all([verp, xclient, xforward, logins ?? []])
    .then(([verp, xclient, xforward, logins]) => replyText(session, { verp, xclient, xforward, logins }));
}

/** MAIL and VRFY may have SMTPUTF8. */
export function takesUtf8(session: Session): boolean {
  return session.server.settings.smtputf8_enable && !hides(session, "SMTPUTF8");
}

/** MAIL may have REQUIRETLS. */
export function takesRequireTls(session: Session): boolean {
  return session.tls !== undefined && session.server.settings.requiretls_enable &&
    !hides(session, "REQUIRETLS");
}

/** The lines in Postfix's order. */
function replyText(session: Session, offers: Offers): ReplyText {
  const { settings } = session.server;
  const { words: hidden, told } = session.standing.hidden;
  if (told !== "") session.log.info(`discarding EHLO keywords: ${told}`);
  const keywords = [
    "PIPELINING",
    settings.message_size_limit > 0 ? `SIZE ${settings.message_size_limit}` : "SIZE",
    ...(settings.disable_vrfy_command ? [] : ["VRFY"]),
    "ETRN",
    ...(offersStartTls(session) ? ["STARTTLS"] : []),
    ...offers.logins,
    ...(offers.verp ? ["XVERP"] : []),
    ...(offers.xclient ? [XCLIENT_KEYWORD] : []),
    ...(offers.xforward ? [XFORWARD_KEYWORD] : []),
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "DSN",
    ...(settings.smtputf8_enable ? ["SMTPUTF8"] : []),
    "CHUNKING",
    // RFC 8689 section 2: it is offered only inside TLS.
    ...(takesRequireTls(session) ? ["REQUIRETLS"] : []),
    // RFC 9422 section 4: a client that knows the most recipients of a message splits its list before it is refused.
    ...(settings.smtpd_limits_enable ? [`LIMITS RCPTMAX=${settings.smtpd_recipient_limit}`] : []),
  ];
  const lines = [settings.myhostname, ...keywords.filter((keyword) => !hidden.has(keyword.split(" ")[0]!))];
  return replyLines("250", lines);
}
