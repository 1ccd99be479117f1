/**
 * What the restrictions look at: the session's client, the mail so far, and the services that answer questions.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
// Internal protocols
import type { DnsLookup } from "../proto/dns_client.ts";
import type { MapLookup } from "../proto/proxymap_client.ts";
import type { Resolved, RewriteClient } from "../proto/rewrite_client.ts";
// Access
import type { Peer } from "./peer.ts";
import type { ReplyText } from "./reply.ts";
import type { SaslFacts, TlsFacts } from "./session_facts.ts";

/** The settings that decide on recipients. */
export type AccessSettings = Settings<
  | "access_map_defer_code"
  | "access_map_reject_code"
  | "defer_code"
  | "invalid_hostname_reject_code"
  | "local_recipient_maps"
  | "non_fqdn_reject_code"
  | "reject_code"
  | "receive_override_options"
  | "relay_domains_reject_code"
  | "relay_recipient_maps"
  | "show_user_unknown_table_name"
  | "smtpd_client_restrictions"
  | "smtpd_data_restrictions"
  | "smtpd_helo_restrictions"
  | "smtpd_recipient_restrictions"
  | "smtpd_reject_unlisted_recipient"
  | "smtpd_relay_before_recipient_restrictions"
  | "smtpd_relay_restrictions"
  | "smtpd_sender_restrictions"
  | "unknown_address_reject_code"
  | "unknown_client_reject_code"
  | "unknown_local_recipient_reject_code"
  | "unknown_relay_recipient_reject_code"
  | "unknown_virtual_alias_reject_code"
  | "unknown_virtual_mailbox_reject_code"
  | "virtual_alias_maps"
  | "virtual_mailbox_maps"
>;

/** Who answers questions. */
export interface Services {
  readonly settings: AccessSettings;
  readonly maps: MapLookup;
  readonly dns: DnsLookup;
  readonly rewrite: Pick<RewriteClient, "resolve" | "rewriteInternal">;
}

/** One question to the restrictions. */
export interface Question {
  readonly peer: Peer;
  /** "host[address]". */
  readonly client: string;
  /** The client is in mynetworks. */
  readonly trusted: boolean;
  readonly helo: string;
  /** Undefined in a session without TLS. */
  readonly tls?: TlsFacts | undefined;
  /** Undefined while nobody has logged in. */
  readonly sasl?: SaslFacts | undefined;
  /** Undefined before MAIL. */
  readonly sender: string | undefined;
  /** As the client sent it; undefined before RCPT. */
  readonly recipient: string | undefined;
  /** Where the recipient leads; undefined before RCPT. */
  readonly resolved: Resolved | undefined;
  /** What ETRN names; undefined at other commands. */
  readonly etrnDomain?: string | undefined;
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
