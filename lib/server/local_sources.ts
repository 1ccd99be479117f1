/**
 * What decides about a local recipient: parameters, tables, users, and what other programs do for it. The local agent has
 * all of it; `postern explain` has what takes no other process.
 *
 * @module
 */
// Utility
import { type Settings } from "../config/parameters.ts";
// Tables
import { openAliasTable, openTable } from "../table/open.ts";
import { type OpenHow } from "../table/open_how.ts";
import { aliasSearch, keySearch, type SearchOutcome } from "../table/search.ts";
import { type Table } from "../table/table.ts";
// Internal protocols
import { openTables } from "../proto/proxy_table.ts";
import { type MapLookup } from "../proto/proxymap_client.ts";
// Server skeleton
import { type HelperRequest } from "./boot.ts";
import { type HelperFile } from "./mailbox_helper.ts";

/** The settings by which a recipient is expanded. */
export type ExpansionSettings = Settings<
  | "alias_maps"
  | "allow_mail_to_commands"
  | "allow_mail_to_files"
  | "double_bounce_sender"
  | "duplicate_filter_limit"
  | "expand_owner_alias"
  | "fallback_transport"
  | "fallback_transport_maps"
  | "forward_expansion_filter"
  | "forward_path"
  | "frozen_delivered_to"
  | "home_mailbox"
  | "line_length_limit"
  | "luser_relay"
  | "mail_spool_directory"
  | "mailbox_command"
  | "mailbox_command_maps"
  | "mailbox_transport"
  | "mailbox_transport_maps"
  | "owner_request_special"
  | "propagate_unmatched_extensions"
  | "recipient_delimiter"
  | "require_home_directory"
  | "reset_owner_alias"
>;

/** Tables by user name. */
export type UserMaps = "mailbox_transport_maps" | "mailbox_command_maps" | "fallback_transport_maps";

/** What trivial-rewrite says of an address. */
export type Resolved =
  | { readonly kind: "resolved"; readonly transport: string; readonly recipient: string }
  | { readonly kind: "bad" }
  | { readonly kind: "retry"; readonly why: string };

/** The look-ups of an expansion. None of them throws. */
export interface LocalSources {
  /** The alias of exactly this local part. */
  alias(localpart: string): Promise<SearchOutcome>;
  /** What the tables have for a user. */
  forUser(maps: UserMaps, user: string): Promise<SearchOutcome>;
  /** The first that exists of the files of a request. */
  read(request: HelperRequest): Promise<HelperFile>;
  /** The line of passwd(5) of a user. */
  passwd(user: string): Promise<SearchOutcome>;
  /** Completes and resolves an address of an alias. */
  resolve(sender: string, address: string): Promise<Resolved>;
  /** The canonical form of an address, or undefined when it cannot be had now. */
  rewrite(address: string): Promise<string | undefined>;
  /** True when the message was delivered to the address before. */
  wasDeliveredTo(address: string): boolean;
  warn(text: string): void;
}

/** Aliases are searched by exactly the name given: the order of name and extension is the expansion's. */
const WHOLE_NAME = { delimiters: "", ownerRequestSpecial: false, doubleBounceSender: "" };

/** The look-ups that take tables and the password file only. */
export type LocalLookups = Pick<LocalSources, "alias" | "forUser" | "passwd">;

/**
 * Opens the tables of aliases and users.
 *
 * @param maps makes the client of proxymap for tables on servers; called when one is needed
 * @param found is told of each entry of alias_maps that is used
 */
export function openLocalTables(
  settings: ExpansionSettings,
  how: OpenHow,
  maps: () => MapLookup,
  found?: (name: string, outcome: Extract<SearchOutcome, { kind: "found" }>) => void,
): LocalLookups {
  const aliases = openTables("alias_maps", settings.alias_maps, maps, (spec) => openAliasTable(spec, how));
  // Names of the password file are case-sensitive; local parts come folded.
  const users = [openTable("unix:passwd.byname", { ...how, paranoid: true, foldKeys: false })];
  const open = (parameter: UserMaps, paranoid: boolean) =>
    openTables(parameter, settings[parameter], maps, (spec) => openTable(spec, { ...how, paranoid }));
  const userMaps: Readonly<Record<UserMaps, readonly Table[]>> = {
    fallback_transport_maps: open("fallback_transport_maps", false),
    mailbox_command_maps: open("mailbox_command_maps", true),
    mailbox_transport_maps: open("mailbox_transport_maps", false),
  };
  return {
    alias: async (name) => {
      const outcome = await aliasSearch(aliases, name, WHOLE_NAME);
      if (outcome.kind === "found") found?.(name, outcome);
      return outcome;
    },
    passwd: (user) => keySearch(users, user),
    forUser: (parameter, user) => keySearch(userMaps[parameter], user),
  };
}
