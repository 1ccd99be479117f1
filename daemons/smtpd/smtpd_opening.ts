/**
 * What comes between a client that is admitted and the banner: restrictions that judge it at once, and its filters.
 */
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import type { Session } from "./smtpd_session.ts";

/** The greeting in the place of the banner; undefined when nobody has to be asked. */
export function openingOf(session: Session): Promise<ReplyText | undefined> | undefined {
  const { access, milters } = session.server;
  return access.judgesClients || milters !== undefined ? askOpening(session) : undefined;
}

async function askOpening(session: Session): Promise<ReplyText | undefined> {
  const { access, milters } = session.server;
  const refused = access.judgesClients ? await access.checkClient(session) : undefined;
  if (refused !== undefined) return refused;
  session.milters = await milters?.open(session);
  if (session.isOver) session.milters?.quit(); // the client has gone
  return session.milters?.greeting;
}
