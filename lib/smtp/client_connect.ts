/**
 * From a host to a session that mail may be sent over: the connection, from which address, and the introduction.
 *
 * @module
 */
// Safe primitives
import { BindError, connectFrom } from "../safe/bound_connect.ts";
import { type Connection, connectTcp, connectUnix, NetworkError } from "../safe/connect.ts";
// Utility
import { printable } from "../vstring/printable.ts";
// Wire protocols
import { type Failure, localFailure, StreamError } from "./client_failure.ts";
import { type Host, relayLabel } from "./client_hosts.ts";
import { ClientSession, type Introduction } from "./client_session.ts";
import type { Introduced, TlsFault } from "./client_tls_session.ts";
import { ClientTranscript } from "./client_transcript.ts";

/** What connecting needs. */
export interface ConnectTools extends Introduction {
  /** Introduces us, over TLS and with a login as it may be. Throws `StreamError`. */
  readonly introduce: (session: ClientSession, by: Introduction) => Promise<Introduced>;
  /** What is said is kept for the postmaster. */
  readonly keepsTranscripts: boolean;
  /** Log line without the message's id: it is about a host. */
  readonly log: (text: string) => void;
  /** Gets errors that are neither the peer's nor the network's, refusals of the sandbox among them. */
  readonly trouble: (what: string, error: unknown) => void;
}

/** What became of a host. */
export type Opened =
  | { readonly kind: "ready"; readonly session: ClientSession }
  | {
    readonly kind: "failed";
    readonly failure: Failure;
    /** The connection, where there is one: say goodbye to it. */
    readonly session: ClientSession | undefined;
    /** TLS broke: it may be done without where it is not demanded. */
    readonly brokenTls?: boolean;
    /** What was wrong with TLS, where that was it. */
    readonly fault?: TlsFault | undefined;
  };

/** Connects to a host and introduces us. */
export async function openSession(host: Host, tools: ConnectTools): Promise<Opened> {
  const made = await connect(host, tools);
  if (!("connection" in made)) return { kind: "failed", failure: made.failure, session: undefined };
  const { tables } = tools;
  const session = new ClientSession(host, made.connection, {
    filter: tables?.filtersReplies === true ? (line, of) => tables.filterReply(line, of) : undefined,
    transcript: tools.keepsTranscripts ? new ClientTranscript() : undefined,
  });
  try {
    const introduced = await tools.introduce(session, tools);
    if (introduced.kind === "ready") return { kind: "ready", session };
    const { failure, tls: fault } = introduced;
    return { kind: "failed", failure, session, brokenTls: fault !== undefined, fault };
  } catch (error) {
    session.close();
    if (!(error instanceof StreamError)) throw error;
    // What breaks before any mail was offered is the site's trouble.
    return { kind: "failed", failure: error.failure, session, brokenTls: session.security !== undefined };
  }
}

async function connect(
  host: Host,
  tools: ConnectTools,
): Promise<{ readonly connection: Connection } | { readonly failure: Failure }> {
  try {
    return { connection: await dial(host, tools) };
  } catch (error) {
    if (error instanceof BindError) {
      return { failure: localFailure("site", true, "4.4.0", "server configuration error", host.name) };
    }
    if (!(error instanceof NetworkError)) throw error;
    if (error.kind === "denied") tools.trouble(`connect to ${relayLabel(host)}`, error.cause);
    const text = `connect to ${relayLabel(host)}: ${printable(error.reason)}`;
    tools.log(text);
    return { failure: localFailure("site", true, "4.4.1", text, host.name) };
  }
}

/** @throws NetworkError, and BindError where no other address than the configured one may be used */
async function dial(host: Host, { policy, warn }: ConnectTools): Promise<Connection> {
  const timeout = policy.timeouts.connect;
  if (host.kind === "unix") return await connectUnix(host.address, timeout);
  const own = host.address.includes(":") ? policy.bind.ipv6 : policy.bind.ipv4;
  if (own === undefined) return await connectTcp(host.address, host.port, timeout);
  try {
    return await connectFrom(own, host.address, host.port, timeout);
  } catch (error) {
    if (!(error instanceof BindError)) throw error;
    warn(`bind ${own}: ${error.message}`);
    if (policy.bind.enforce) throw error;
    return await connectTcp(host.address, host.port, timeout);
  }
}
