/**
 * What the restrictions look at: the session's client, the mail so far, and the services that answer questions.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
// Internal protocols
import type { FilteredDns } from "../proto/dns_filter.ts";
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
  | "address_verify_poll_count"
  | "address_verify_poll_delay"
  | "address_verify_sender"
  | "address_verify_sender_ttl"
  | "allow_untrusted_routing"
  | "canonical_maps"
  | "default_rbl_reply"
  | "defer_code"
  | "invalid_hostname_reject_code"
  | "local_recipient_maps"
  | "maps_rbl_reject_code"
  | "multi_recipient_bounce_reject_code"
  | "mynetworks"
  | "myorigin"
  | "non_fqdn_reject_code"
  | "parent_domain_matches_subdomains"
  | "permit_mx_backup_networks"
  | "plaintext_reject_code"
  | "rbl_reply_maps"
  | "receive_override_options"
  | "recipient_canonical_maps"
  | "reject_code"
  | "reject_tempfail_action"
  | "relay_clientcerts"
  | "relay_domains_reject_code"
  | "relay_recipient_maps"
  | "sender_canonical_maps"
  | "show_user_unknown_table_name"
  | "smtpd_client_restrictions"
  | "smtpd_data_restrictions"
  | "smtpd_delay_reject"
  | "smtpd_end_of_data_restrictions"
  | "smtpd_etrn_restrictions"
  | "smtpd_expansion_filter"
  | "smtpd_helo_restrictions"
  | "smtpd_log_access_permit_actions"
  | "smtpd_null_access_lookup_key"
  | "smtpd_policy_service_default_action"
  | "smtpd_policy_service_max_idle"
  | "smtpd_policy_service_max_ttl"
  | "smtpd_policy_service_policy_context"
  | "smtpd_policy_service_request_limit"
  | "smtpd_policy_service_retry_delay"
  | "smtpd_policy_service_timeout"
  | "smtpd_policy_service_try_limit"
  | "smtpd_recipient_restrictions"
  | "smtpd_reject_unlisted_recipient"
  | "smtpd_reject_unlisted_sender"
  | "smtpd_relay_before_recipient_restrictions"
  | "smtpd_relay_restrictions"
  | "smtpd_restriction_classes"
  | "smtpd_sasl_auth_enable"
  | "smtpd_sender_login_maps"
  | "smtpd_sender_restrictions"
  | "soft_bounce"
  | "unknown_address_reject_code"
  | "unknown_address_tempfail_action"
  | "unknown_client_reject_code"
  | "unknown_helo_hostname_tempfail_action"
  | "unknown_hostname_reject_code"
  | "unknown_local_recipient_reject_code"
  | "unknown_relay_recipient_reject_code"
  | "unknown_virtual_alias_reject_code"
  | "unknown_virtual_mailbox_reject_code"
  | "unverified_recipient_defer_code"
  | "unverified_recipient_reject_code"
  | "unverified_recipient_reject_reason"
  | "unverified_recipient_tempfail_action"
  | "unverified_sender_defer_code"
  | "unverified_sender_reject_code"
  | "unverified_sender_reject_reason"
  | "unverified_sender_tempfail_action"
  | "virtual_alias_maps"
  | "virtual_mailbox_maps"
>;

/** A restriction where it stands in the configuration. */
export interface Rule {
  /** As the list has it: "reject_unauth_destination", "check_client_access texthash:/etc/postern/clients". */
  readonly text: string;
  /** The parameter or restriction class in whose value it stands, or that asks for it by itself. */
  readonly parameter: string;
  /** Where that is set, "FILE:LINE"; "default" where it is not. */
  readonly place: string;
  /** The restriction that led here: a class's name, or a table whose entry names restrictions. */
  readonly within?: Rule;
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
  readonly outcome: "ok" | "dunno" | "reject";
  readonly reply?: ReplyText;
  /** The table entry that it went by. */
  readonly entry?: TableEntry;
  /** What else became of it: that it only warns, that it puts the message on hold, ... */
  readonly note?: string;
}

/** A refusal, and what caused it. */
export interface Refusal {
  readonly reply: ReplyText;
  /** Undefined where no rule of the configuration is behind it: trouble, or an address that is none. */
  readonly rule?: Rule | undefined;
  readonly entry?: TableEntry | undefined;
}

/** What is known of an address by a probe. */
export interface ProbeResult {
  /** ok: it exists. undeliverable: it does not. deferred: nobody could tell. unknown: a probe is under way. */
  readonly status: "ok" | "undeliverable" | "deferred" | "unknown";
  /** The reason. */
  readonly text: string;
}

/** Who answers questions. */
export interface Services {
  /** Where a parameter is set, "FILE:LINE", or "default". */
  origin(parameter: string): string;
  readonly settings: AccessSettings;
  readonly maps: MapLookup;
  readonly dns: FilteredDns;
  readonly rewrite: Pick<RewriteClient, "resolve" | "rewriteInternal">;
  /** The action that a policy server answers, by the text behind check_policy_service. */
  askPolicy?(server: string, question: Question): Promise<string>;
  /** Asks what is known of an address, and has it probed; undefined where there is no verify service. */
  readonly probe?: ((address: string) => Promise<ProbeResult | undefined>) | undefined;
  /** Logs what is wrong with a rule. */
  warning?(text: string): void;
}

/** Where in a session a question is asked, as logs and policy servers are told. */
export type Stage =
  | "CONNECT"
  | "HELO"
  | "EHLO"
  | "MAIL"
  | "RCPT"
  | "VRFY"
  | "ETRN"
  | "DATA"
  | "END-OF-MESSAGE";

/** One question to the restrictions. */
export interface Question {
  readonly stage: Stage;
  readonly peer: Peer;
  /** "host[address]". */
  readonly client: string;
  /** The client is in mynetworks. */
  readonly trusted: boolean;
  /** Empty before HELO and EHLO. */
  readonly helo: string;
  readonly protocol: "SMTP" | "ESMTP";
  /** Undefined before MAIL. */
  readonly sender: string | undefined;
  /** As the client sent it; undefined before RCPT, and behind it when there are several. */
  readonly recipient: string | undefined;
  /** Where the recipient leads; undefined before RCPT. */
  readonly resolved: Resolved | undefined;
  /** Recipients that were accepted so far. */
  readonly recipientCount: number;
  /** What ETRN names; undefined at other commands. */
  readonly etrnDomain?: string | undefined;
  /** Bytes of the message: as MAIL declares them, at the end as they are; 0 when nobody has said. */
  readonly size: number;
  /** Empty when there is none yet. */
  readonly queueId: string;
  /** Tells one mail transaction from another. */
  readonly instance: string;
  /** The client has sent commands before it could. */
  readonly pipelined: boolean;
  readonly tls?: TlsFacts | undefined;
  readonly sasl?: SaslFacts | undefined;
  /** AUTH= of MAIL. */
  readonly saslSender?: string | undefined;
  /** Gets what warn_if_reject would have refused. */
  warn(refusal: Refusal): void;
  /** Gets what else the log tells of a rule: "hold", "info", ... with its text. */
  note(word: string, text: string): void;
  /** Gets each restriction that is asked, with what it says. */
  readonly trace?: (step: Step) => void;
}

/** What a restriction wants done to the message. */
export type Effect =
  | { readonly kind: "bcc" | "filter" | "prepend" | "redirect"; readonly text: string }
  | { readonly kind: "discard" | "hold" };

/** What one restriction says. */
export type Verdict =
  | { readonly kind: "ok"; readonly entry?: TableEntry }
  | { readonly kind: "dunno"; readonly entry?: TableEntry }
  /** `fault`: something is wrong with the configuration, so warn_if_reject does not soften it. */
  | {
    readonly kind: "reject";
    readonly reply: ReplyText;
    readonly entry?: TableEntry;
    readonly fault?: true;
  }
  /** What would be permitted later on is refused so. `now`: the administrator would rather have it refused at once. */
  | {
    readonly kind: "deferIfPermit";
    readonly reply: ReplyText;
    readonly entry?: TableEntry;
    readonly now?: boolean;
  }
  /** What would be refused for good later on is refused so. */
  | { readonly kind: "deferIfReject"; readonly reply: ReplyText; readonly entry?: TableEntry }
  /** The log says `text`, and the message meets the effect, if there is one. */
  | {
    readonly kind: "act";
    readonly word: string;
    readonly text: string;
    readonly effect?: Effect;
    readonly entry?: TableEntry;
  }
  /** Restrictions in the place of this one. */
  | { readonly kind: "run"; readonly words: readonly string[]; readonly entry?: TableEntry };

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

/** A verdict for what the administrator has to mend. */
export function fault(): Verdict {
  return { kind: "reject", reply: "451 4.3.5 Server configuration error", fault: true };
}

/** A verdict for what cannot be told now, by a parameter such as reject_tempfail_action. */
export function cannotTell(reply: ReplyText, action: string): Verdict {
  return { kind: "deferIfPermit", reply, now: action === "defer" };
}

/** What restrictions have left behind for those that follow, and for the message. */
export class Standing {
  /** What would be permitted is refused so. */
  deferIfPermit: Refusal | undefined;
  #effects: readonly Effect[];

  private constructor(deferIfPermit: Refusal | undefined, effects: readonly Effect[]) {
    this.deferIfPermit = deferIfPermit;
    this.#effects = effects;
  }

  /** Nothing has been asked yet. */
  static fresh(): Standing {
    return new Standing(undefined, []);
  }

  /** The same for what comes next: what that leaves behind does not change this one. */
  next(): Standing {
    return new Standing(this.deferIfPermit, this.#effects);
  }

  /** What the message meets. */
  get effects(): readonly Effect[] {
    return this.#effects;
  }

  /** The message is thrown away: nothing more is asked. */
  get discarded(): boolean {
    return this.#effects.length > 0 && this.#effects.some(({ kind }) => kind === "discard");
  }

  /** Notes an effect; one that is there already is not had twice, as rules are asked for each recipient. */
  add(effect: Effect): void {
    if (this.#effects.length < EFFECT_LIMIT && !this.#effects.some((one) => isSame(one, effect))) {
      this.#effects = [...this.#effects, effect];
    }
  }

  /** Takes over the effects of what was asked behind this one. */
  keep(later: Standing): void {
    this.#effects = later.#effects;
  }
}

/** Most effects that rules may have on one message. */
const EFFECT_LIMIT = 1000;

function isSame(a: Effect, b: Effect): boolean {
  return a.kind === b.kind && (!("text" in a) || !("text" in b) || a.text === b.text);
}
