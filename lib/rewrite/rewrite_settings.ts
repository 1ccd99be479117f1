/**
 * The settings of this program, and how its parts look into tables.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";

/** The settings that decide where an address leads. */
export type RewriteSettings = Settings<
  | "allow_min_user"
  | "allow_percent_hack"
  | "append_at_myorigin"
  | "append_dot_mydomain"
  | "default_transport"
  | "empty_address_default_transport_maps_lookup_key"
  | "empty_address_recipient"
  | "empty_address_relayhost_maps_lookup_key"
  | "helpful_warnings"
  | "inet_interfaces"
  | "local_transport"
  | "mydestination"
  | "mydomain"
  | "myhostname"
  | "myorigin"
  | "parent_domain_matches_subdomains"
  | "proxy_interfaces"
  | "relay_domains"
  | "relay_transport"
  | "relayhost"
  | "relocated_maps"
  | "relocated_prefix_enable"
  | "remote_header_rewrite_domain"
  | "resolve_dequoted_address"
  | "resolve_null_domain"
  | "resolve_numeric_domain"
  | "sender_dependent_default_transport_maps"
  | "sender_dependent_relayhost_maps"
  | "show_user_unknown_table_name"
  | "smtputf8_enable"
  | "swap_bangpath"
  | "transport_maps"
  | "virtual_alias_domains"
  | "virtual_mailbox_domains"
  | "virtual_transport"
>;

/** What a look-up says. */
export type Found =
  | { readonly kind: "found"; readonly value: string }
  | { readonly kind: "missing" }
  | { readonly kind: "retry"; readonly why: string };

/** Ways to search, as the proxymap protocol names them. */
export type Search = "address" | "transport" | "list";

/** Looks into the tables that a parameter names: the proxymap service, or a table in a test. */
export interface Maps {
  find(parameter: string, search: Search, key: string): Promise<Found>;
}

/** A table that cannot answer now. Thrown by what looks up, caught by the service, which answers "retry". */
export class TableTrouble extends Error {
  override name = "TableTrouble";
}

/** The value that the parameter's tables hold for the key, or undefined. Throws `TableTrouble`. */
export async function findValue(
  maps: Maps,
  parameter: string,
  search: Search,
  key: string,
): Promise<string | undefined> {
  const found = await maps.find(parameter, search, key);
  switch (found.kind) {
    case "found":
      return found.value;
    case "missing":
      return undefined;
    case "retry":
      throw new TableTrouble(`${parameter} lookup failure: ${found.why}`);
    default:
      return found satisfies never;
  }
}
