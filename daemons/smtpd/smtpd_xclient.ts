/**
 * XCLIENT: a proxy or a test that is authorised to says who its client is. From then on the session is that client's, in
 * every decision and in the log: it starts anew, with another greeting.
 */
// Access
import { isLoopback, type Peer } from "../../lib/access/peer.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import {
  type AttributeRow,
  type AttributeValue,
  hostAddress,
  hostName,
  oneOf,
  plainText,
  portNumber,
  readAttributes,
} from "./smtpd_client_attributes.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Greeting } from "./smtpd_client.ts";
import type { Session } from "./smtpd_session.ts";

const UNKNOWN = "unknown";

/** In the order in which EHLO names them. */
const ROWS: Readonly<Record<string, AttributeRow>> = {
  NAME: hostName,
  ADDR: hostAddress,
  PROTO: oneOf("SMTP", "ESMTP"),
  HELO: plainText,
  REVERSE_NAME: hostName,
  PORT: portNumber,
  LOGIN: plainText,
  DESTADDR: hostAddress,
  DESTPORT: portNumber,
};

/** What EHLO says. */
export const XCLIENT_KEYWORD = `XCLIENT ${Object.keys(ROWS).join(" ")}`;

/** Who the session is from now on. */
export interface Identity {
  readonly peer: Peer;
  readonly greeting: Greeting | undefined;
  /** Name of the login; undefined: none. */
  readonly login: string | undefined;
}

/** XCLIENT. */
export function xclient(session: Session, argument: Uint8Array): ReplyText | Promise<ReplyText | undefined> {
  if (session.transaction !== undefined) return REPLY.inMail;
  return askAndTake(session, argument);
}

async function askAndTake(session: Session, argument: Uint8Array): Promise<ReplyText | undefined> {
  if (!await session.server.mayImpersonate(session.peer)) return REPLY.notAuthorized;
  const found = readAttributes("XCLIENT", ROWS, argument);
  if (typeof found === "string") return found;
  const identity = identityFrom(session, found);
  const standing = await session.server.standingOf(identity.peer);
  if (session.isOver) return undefined;
  const next = session.giveWay(identity.peer, standing, session.tls);
  next.greeting = identity.greeting;
  if (identity.login !== undefined) next.sasl = { method: "XCLIENT", username: identity.login };
  next.judge();
  return undefined;
}

function identityFrom(session: Session, found: ReadonlyMap<string, AttributeValue>): Identity {
  const { peer } = session;
  const pick = (name: string, before: string) => found.has(name) ? found.get(name)!.text ?? UNKNOWN : before;
  const port = (name: string, before: number) =>
    found.has(name) ? Number(found.get(name)!.text ?? 0) : before;
  const name = pick("NAME", peer.name);
  const address = pick("ADDR", peer.address);
  const serverAddress = pick("DESTADDR", peer.serverAddress);
  const helo = found.get("HELO")?.text;
  const protocol = found.get("PROTO")?.text;
  return {
    peer: {
      name,
      // The name stands for the one of the address as well, unless that is given by itself.
      reverseName: pick("REVERSE_NAME", found.has("NAME") ? name : peer.reverseName),
      address,
      port: port("PORT", peer.port),
      serverAddress,
      serverPort: port("DESTPORT", peer.serverPort),
      nameTrouble: found.has("NAME") ? found.get("NAME")!.again : peer.nameTrouble,
      ours: isLoopback(address) || address === serverAddress,
    },
    greeting: helo === undefined ? undefined : { name: helo, esmtp: protocol !== "SMTP" },
    login: found.get("LOGIN")?.text,
  };
}
