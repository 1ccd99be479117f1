/**
 * The restrictions that the SMTP server knows, so that a configuration that names another is refused before anything
 * starts.
 *
 * @module
 */

/** What stands behind a restriction's name: nothing, a table, a DNS list, a policy server, or seconds. */
export type RestrictionArgument = "none" | "table" | "domain" | "server" | "number";

/** The restrictions, by their names in Postfix. */
export const RESTRICTIONS = {
  permit: "none",
  reject: "none",
  defer: "none",
  defer_if_permit: "none",
  defer_if_reject: "none",
  permit_inet_interfaces: "none",
  permit_mynetworks: "none",
  permit_sasl_authenticated: "none",
  permit_tls_all_clientcerts: "none",
  permit_tls_clientcerts: "none",
  permit_auth_destination: "none",
  permit_mx_backup: "none",
  permit_dnswl_client: "domain",
  permit_rhswl_client: "domain",
  reject_unauth_destination: "none",
  defer_unauth_destination: "none",
  reject_unlisted_recipient: "none",
  reject_unlisted_sender: "none",
  reject_non_fqdn_sender: "none",
  reject_non_fqdn_recipient: "none",
  reject_invalid_helo_hostname: "none",
  reject_non_fqdn_helo_hostname: "none",
  reject_unknown_helo_hostname: "none",
  reject_unknown_client_hostname: "none",
  reject_unknown_reverse_client_hostname: "none",
  reject_unknown_sender_domain: "none",
  reject_unknown_recipient_domain: "none",
  reject_unverified_sender: "none",
  reject_unverified_recipient: "none",
  reject_sender_login_mismatch: "none",
  reject_authenticated_sender_login_mismatch: "none",
  reject_known_sender_login_mismatch: "none",
  reject_unauthenticated_sender_login_mismatch: "none",
  reject_multi_recipient_bounce: "none",
  reject_plaintext_session: "none",
  reject_unauth_pipelining: "none",
  reject_rbl_client: "domain",
  reject_rhsbl_client: "domain",
  reject_rhsbl_helo: "domain",
  reject_rhsbl_recipient: "domain",
  reject_rhsbl_reverse_client: "domain",
  reject_rhsbl_sender: "domain",
  check_ccert_access: "table",
  check_client_access: "table",
  check_client_a_access: "table",
  check_client_mx_access: "table",
  check_client_ns_access: "table",
  check_reverse_client_hostname_access: "table",
  check_reverse_client_hostname_a_access: "table",
  check_reverse_client_hostname_mx_access: "table",
  check_reverse_client_hostname_ns_access: "table",
  check_sasl_access: "table",
  check_etrn_access: "table",
  check_helo_access: "table",
  check_helo_a_access: "table",
  check_helo_mx_access: "table",
  check_helo_ns_access: "table",
  check_sender_access: "table",
  check_sender_a_access: "table",
  check_sender_mx_access: "table",
  check_sender_ns_access: "table",
  check_recipient_access: "table",
  check_recipient_a_access: "table",
  check_recipient_mx_access: "table",
  check_recipient_ns_access: "table",
  check_policy_service: "server",
  sleep: "number",
} as const satisfies Readonly<Record<string, RestrictionArgument>>;

/** One of the restrictions. */
export type RestrictionName = keyof typeof RESTRICTIONS;

/** The restrictions' names. */
export const RESTRICTION_NAMES = Object.keys(RESTRICTIONS) as readonly RestrictionName[];

/** Names that restrictions had before Postfix 2.3, which it still takes. */
export const OLD_NAMES = {
  check_recipient_maps: "reject_unlisted_recipient",
  reject_invalid_hostname: "reject_invalid_helo_hostname",
  reject_non_fqdn_hostname: "reject_non_fqdn_helo_hostname",
  reject_rbl: "reject_rbl_client",
  reject_unknown_address: "reject_unknown_sender_domain",
  reject_unknown_client: "reject_unknown_client_hostname",
  reject_unknown_hostname: "reject_unknown_helo_hostname",
} as const satisfies Readonly<Record<string, RestrictionName>>;

/** What stands in front of a restriction: it logs what it would refuse. */
export const WARN_PREFIX = "warn_if_reject";

/** The restriction of a name, old names included; undefined for any other word. */
export function findRestriction(word: string): RestrictionName | undefined {
  const name = Object.hasOwn(OLD_NAMES, word) ? OLD_NAMES[word as keyof typeof OLD_NAMES] : word;
  return Object.hasOwn(RESTRICTIONS, name) ? name as RestrictionName : undefined;
}

/** True for a word that stands for a table by itself: "type:name". */
export function isTableWord(word: string): boolean {
  return !word.startsWith("{") && word.includes(":");
}
