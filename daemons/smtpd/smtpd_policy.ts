/**
 * What the restrictions look at: the session's client, the mail so far, and the services that answer questions.
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
// Server skeleton
import type { DnsLookup } from "../../lib/proto/dns_client.ts";
import type { FlushConnection } from "../../lib/proto/flush_client.ts";
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
import type { Resolved, RewriteClient } from "../../lib/proto/rewrite_client.ts";
// This program
import type { Peer } from "./smtpd_peer.ts";
import type { ReplyText } from "./smtpd_reply.ts";
import type { SERVICE } from "./service.ts";

/** The settings that smtpd is told. */
export type SmtpdSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Who answers questions. */
export interface Services {
  readonly settings: SmtpdSettings;
  readonly maps: MapLookup;
  readonly dns: DnsLookup;
  readonly rewrite: RewriteClient;
  /** Undefined where master.toml has no flush service. */
  readonly flush?: FlushConnection | undefined;
}

/** One question to the restrictions. */
export interface Question {
  readonly peer: Peer;
  /** "host[address]". */
  readonly client: string;
  /** The client is in mynetworks. */
  readonly trusted: boolean;
  readonly helo: string;
  /** Undefined before MAIL. */
  readonly sender: string | undefined;
  /** As the client sent it; undefined before RCPT. */
  readonly recipient: string | undefined;
  /** What ETRN names; undefined at other commands. */
  readonly etrnDomain?: string | undefined;
  /** Where the recipient leads; undefined before RCPT. */
  readonly resolved: Resolved | undefined;
  /** Gets what warn_if_reject would have refused. */
  warn(reply: ReplyText): void;
}

/** What one restriction, or a list of them, says. */
export type Verdict =
  | { readonly kind: "ok" }
  | { readonly kind: "dunno" }
  | { readonly kind: "reject"; readonly reply: ReplyText };

/** The restriction permits; its list ends. */
export const OK: Verdict = { kind: "ok" };
/** The restriction has no opinion; the next one is asked. */
export const DUNNO: Verdict = { kind: "dunno" };

/** A verdict that refuses with a reply. */
export function reject(reply: ReplyText): Verdict {
  return { kind: "reject", reply };
}
