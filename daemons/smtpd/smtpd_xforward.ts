/**
 * XFORWARD: another mail program, as a content filter's client, says whose mail it passes on. It is for the log and for
 * what later programs log, and decides on nothing but whether headers are completed as those of mail from here.
 */
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import {
  type AttributeRow,
  hostAddress,
  hostName,
  oneOf,
  plainText,
  portNumber,
  protocolName,
  readAttributes,
} from "./smtpd_client_attributes.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";

/** What an attribute says that nobody knows. */
export const UNKNOWN = "unknown";

/** In the order in which EHLO names them. */
const ROWS: Readonly<Record<string, AttributeRow>> = {
  NAME: hostName,
  ADDR: hostAddress,
  PROTO: protocolName,
  HELO: plainText,
  SOURCE: oneOf("LOCAL", "REMOTE"),
  PORT: portNumber,
  IDENT: plainText,
};

/** What EHLO says. */
export const XFORWARD_KEYWORD = `XFORWARD ${Object.keys(ROWS).join(" ")}`;

/** Where the next message comes from, as its client says. */
export interface ForwardFacts {
  readonly name: string;
  readonly address: string;
  readonly port: string;
  readonly helo: string;
  readonly protocol: string;
  /** Queue id of the message there, or unknown. */
  readonly ident: string;
  /** Its headers are completed as those of mail from here; undefined: not said. */
  readonly local: boolean | undefined;
}

const NOTHING: ForwardFacts = {
  name: UNKNOWN,
  address: UNKNOWN,
  port: UNKNOWN,
  helo: UNKNOWN,
  protocol: UNKNOWN,
  ident: UNKNOWN,
  local: undefined,
};

const FIELDS: Readonly<Record<string, Exclude<keyof ForwardFacts, "local">>> = {
  NAME: "name",
  ADDR: "address",
  PORT: "port",
  HELO: "helo",
  PROTO: "protocol",
  IDENT: "ident",
};

/** XFORWARD. */
export function xforward(session: Session, argument: Uint8Array): ReplyText | Promise<ReplyText> {
  if (session.transaction !== undefined) return REPLY.inMail;
  const allowed = session.server.mayForward(session.peer);
  if (typeof allowed === "boolean") return allowed ? take(session, argument) : REPLY.notAuthorized;
  return allowed.then((may) => may ? take(session, argument) : REPLY.notAuthorized);
}

function take(session: Session, argument: Uint8Array): ReplyText {
  const found = readAttributes("XFORWARD", ROWS, argument);
  if (typeof found === "string") return found;
  const facts: Record<string, unknown> = { ...NOTHING, ...session.forwarded };
  for (const [name, { text }] of found) {
    if (name === "SOURCE") facts["local"] = text === undefined ? undefined : text === "LOCAL";
    else facts[FIELDS[name]!] = text ?? UNKNOWN;
  }
  session.forwarded = facts as unknown as ForwardFacts;
  return REPLY.ok;
}
