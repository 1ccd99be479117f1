/**
 * What can go wrong with a delivery, who is to blame, and whether trying again may help (postfix-map section 6.8).
 *
 * @module
 */
import type { Reply } from "./reply.ts";

/**
 * site: the destination as a whole. stream: the conversation broke off. message: this message, for all recipients.
 * recipient: one of them. The first two slow qmgr down for the destination.
 */
export type Blame = "site" | "stream" | "message" | "recipient";

/** One failure, of all recipients that are left or of one. */
export interface Failure {
  readonly blame: Blame;
  /** Another host, or another time, may do better. */
  readonly soft: boolean;
  /** Enhanced status code, RFC 3463. */
  readonly status: string;
  /** Reason for the log and for the report, printable. */
  readonly text: string;
  /** What the server said, if it was the server. */
  readonly reply: string;
  /** Name of the server that is concerned, or empty. */
  readonly remoteMta: string;
  /** Final for this server, but another one of the same destination may be able to. */
  readonly elsewhere?: true;
}

/** A failure that no server's reply caused. */
export function localFailure(
  blame: Blame,
  soft: boolean,
  status: string,
  text: string,
  remoteMta = "",
): Failure {
  return { blame, soft, status, text, reply: "", remoteMta };
}

/** How a server is named: "host[address]". */
export interface ServerLabel {
  readonly name: string;
  readonly label: string;
  /** Told of every reply that counts as a refusal. */
  refused?(reply: Reply): void;
}

/** Thrown when the conversation cannot go on: timeout, loss, or a server that does not speak in replies. */
export class StreamError extends Error {
  override name = "StreamError";
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.text);
    this.failure = failure;
  }
}

/** A server's refusal in answer to a command. `request` is as "RCPT TO command". */
export function refusal(blame: Blame, server: ServerLabel, reply: Reply, request: string): Failure {
  return judged(blame, server, reply, `host ${server.label} said: ${reply.text} (in reply to ${request})`);
}

/** A server that does not want to talk at all. */
export function refusedToTalk(server: ServerLabel, reply: Reply): Failure {
  return judged("site", server, reply, `host ${server.label} refused to talk to me: ${reply.text}`);
}

/**
 * RFC 5321 section 4.2.1: 5yz is final; 4yz passes. A positive reply to what was not asked is final, as in Postfix;
 * a code that no server can mean says nothing, and may be another one at the next try.
 */
function judged(blame: Blame, server: ServerLabel, reply: Reply, text: string): Failure {
  server.refused?.(reply);
  const family = Math.floor(reply.code / 100);
  const said = { blame, text, reply: reply.text, remoteMta: server.name };
  switch (family) {
    case 4:
      return { ...said, soft: true, status: reply.status };
    case 5:
      return { ...said, soft: false, status: reply.status };
    case 2:
      return { ...said, soft: false, status: "5.5.0", text: `Protocol error: ${text}` };
    case 3:
      return { ...said, soft: false, status: "5.5.0" };
    default:
      return { ...said, soft: true, status: "4.5.0", text: `Protocol error: ${text}` };
  }
}

/** True for a failure that says that the mail comes back to us (RFC 3463: routing loop detected). */
export function isLoop({ status }: Failure): boolean {
  return status === "5.4.6" || status === "4.4.6";
}

/** The same failure, one that passes. The code's class follows, as it must. */
export function softened(failure: Failure): Failure {
  return failure.soft ? failure : { ...failure, soft: true, status: `4${failure.status.slice(1)}` };
}
