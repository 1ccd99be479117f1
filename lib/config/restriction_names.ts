/**
 * The restrictions that the SMTP server knows, so that a configuration that names another is refused before anything
 * starts.
 *
 * @module
 */

/** The restrictions, by their names in Postfix. */
export const RESTRICTION_NAMES = [
  "permit",
  "reject",
  "defer",
  "permit_mynetworks",
  "permit_sasl_authenticated",
  "permit_auth_destination",
  "reject_unauth_destination",
  "defer_unauth_destination",
  "reject_unlisted_recipient",
  "reject_non_fqdn_sender",
  "reject_non_fqdn_recipient",
  "reject_invalid_helo_hostname",
  "reject_non_fqdn_helo_hostname",
  "reject_unknown_client_hostname",
  "reject_unknown_sender_domain",
  "reject_unknown_recipient_domain",
  "check_client_access",
  "check_etrn_access",
  "check_helo_access",
  "check_sender_access",
  "check_recipient_access",
] as const;

/** One of the restrictions. */
export type RestrictionName = typeof RESTRICTION_NAMES[number];
