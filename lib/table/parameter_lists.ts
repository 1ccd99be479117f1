/**
 * Which parameters are lists of which kind, and which of them take `example.com` for its subdomains too.
 *
 * @module
 */
// Tables
import type { ListKind } from "./match_list.ts";
import type { ParentStyle } from "./search_keys.ts";
import { withoutProxy } from "./spec.ts";

/** The list parameters of main.cf by the way they match; postconf(5) says it of each. */
const LIST_KINDS: ReadonlyMap<string, ListKind> = new Map<string, ListKind>([
  ["authorized_flush_users", "string"],
  ["authorized_mailq_users", "string"],
  ["authorized_submit_users", "string"],
  ["fast_flush_domains", "domain"],
  ["lmtp_connection_cache_destinations", "string"],
  ["masquerade_exceptions", "string"],
  ["mydestination", "string"],
  ["mynetworks", "address"],
  ["permit_mx_backup_networks", "address"],
  ["qmqpd_authorized_clients", "address"],
  ["relay_domains", "domain"],
  ["smtp_connection_cache_destinations", "string"],
  ["smtpd_authorized_verp_clients", "address"],
  ["smtpd_authorized_xclient_hosts", "address"],
  ["smtpd_authorized_xforward_hosts", "address"],
  ["smtpd_client_event_limit_exceptions", "address"],
  ["smtpd_log_access_permit_actions", "string"],
  ["smtpd_forbid_bare_newline_exclusions", "address"],
  ["postscreen_forbidden_commands", "string"],
  ["smtpd_forbidden_commands", "string"],
  ["smtpd_noop_commands", "string"],
  ["virtual_alias_domains", "string"],
  ["virtual_mailbox_domains", "string"],
]);

/** How the list that the parameter holds matches, or undefined when it is no such list. */
export function listKind(parameter: string): ListKind | undefined {
  return LIST_KINDS.get(parameter);
}

/** The style of the parameter (or feature, as smtpd_access_maps) by parent_domain_matches_subdomains. */
export function parentStyle(
  parameter: string,
  parentDomainMatchesSubdomains: readonly string[],
): ParentStyle {
  return parentDomainMatchesSubdomains.includes(parameter) ? "plain" : "dotted";
}

/**
 * Whether a table's file is an alias file (`name: value`): one that alias_maps or alias_database names, also where
 * another parameter names it too, as local_recipient_maps does.
 */
export function isAliasTable(spec: string, aliasTables: readonly string[]): boolean {
  return aliasTables.some((alias) => withoutProxy(alias) === withoutProxy(spec));
}
