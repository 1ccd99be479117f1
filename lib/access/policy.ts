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

/** A restriction where it stands in the configuration. */
export interface Rule {
  /** As the list has it: "reject_unauth_destination", "check_client_access texthash:/etc/postern/clients". */
  readonly text: string;
  /** The parameter in whose value it stands, or that asks for it by itself. */
  readonly parameter: string;
  /** Where that parameter is set, "FILE:LINE"; "default" where it is not. */
  readonly place: string;
}

/** What an entry of a table said. */
export interface TableEntry {
  readonly table: string;
  readonly value: string;
  /** "FILE:LINE"; empty where the table is no text file. */
  readonly place: string;
}

/** What one restriction had to say: told to whoever wants to follow a decision. */
export interface Step {
  readonly rule: Rule;
  /** ok: its list permits. dunno: the next one is asked. reject: with the reply. */
  readonly outcome: Verdict["kind"];
  readonly reply?: ReplyText;
  /** The table entry that it went by. */
  readonly entry?: TableEntry;
  /** What else became of it: that it only warns, for one. */
  readonly note?: string;
}

/** A refusal, and what caused it. */
export interface Refusal {
  readonly reply: ReplyText;
  /** Undefined where no rule of the configuration is behind it: trouble, or an address that is none. */
  readonly rule?: Rule | undefined;
  readonly entry?: TableEntry | undefined;
}

/** Who answers questions. */
export interface Services {
  /** Where a parameter is set, "FILE:LINE", or "default". */
  origin(parameter: string): string;
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
  warn(refusal: Refusal): void;
  /** Gets each restriction that is asked, with what it says. */
  readonly trace?: (step: Step) => void;
}

/** What one restriction, or a list of them, says. */
export type Verdict =
  | { readonly kind: "ok"; readonly entry?: TableEntry }
  | { readonly kind: "dunno"; readonly entry?: TableEntry }
  | { readonly kind: "reject"; readonly reply: ReplyText; readonly entry?: TableEntry };

/** What a list says: undefined unless it refuses. */
export type Ruling = Refusal | undefined;

/** The restriction permits; its list ends. */
export const OK: Verdict = { kind: "ok" };
/** The restriction has no opinion; the next one is asked. */
export const DUNNO: Verdict = { kind: "dunno" };

/** A verdict that refuses with a reply. */
export function reject(reply: ReplyText): Verdict {
  return { kind: "reject", reply };
}
