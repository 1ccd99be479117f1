/**
 * The orders in which Postfix searches tables. For each key all tables are asked before the next key. Keys cut from
 * another (a domain, a user) are not sent to tables of patterns: these get the full key only. The first trouble ends
 * a search: what a failing table would have said cannot be skipped.
 *
 * @module
 */
// Tables
import {
  domainKeys,
  type ExtensionHow,
  networkKeys,
  type ParentStyle,
  quoteLocalpart,
  splitAddress,
  splitExtension,
} from "./search_keys.ts";
import { formatIpAddress } from "../vstring/ip_address.ts";
import { parseIpAddress } from "./ip_network.ts";
import { MISSING, type Outcome, type Table } from "./table.ts";

/** What a search found, where, and the address extension that the key did not hold, with its delimiter. */
export type SearchOutcome =
  | { readonly kind: "found"; readonly value: string; readonly extension: string; readonly hit?: Hit }
  | { readonly kind: "missing" }
  | { readonly kind: "retry"; readonly why: string };

/** The table that gave the result, and the key that it gave it for. */
export interface Hit {
  readonly table: Table;
  readonly key: string;
}

/** What one key found. */
type KeyOutcome = Outcome & { readonly hit?: Hit };

/** What searches for addresses need to know. */
export interface AddressHow {
  readonly extension: ExtensionHow;
  /**
   * Whether user names without their domain stand for addresses in it: $myorigin, and all that mydestination,
   * inet_interfaces and proxy_interfaces name.
   */
  readonly isLocal: (domain: string) => Outcome | Promise<Outcome>;
}

/** The first table's value for the key as it is. */
export async function keySearch(tables: readonly Table[], key: string): Promise<SearchOutcome> {
  return withExtension(await lookupAll(tables, key, true), "");
}

/**
 * Postfix's default search for an address: `user+ext@domain`, `user@domain`, for local domains `user+ext` and
 * `user`, then `@domain`. The address is in its internal form; its local part is sought quoted first, then as it is.
 */
export async function addressSearch(
  tables: readonly Table[],
  address: string,
  how: AddressHow,
): Promise<SearchOutcome> {
  const { localpart, domain } = splitAddress(address);
  const { user, extension } = splitExtension(localpart, how.extension);
  const at = domain === undefined ? "" : `@${domain}`;
  const full = await lookupAddress(tables, localpart, at, true);
  if (full.kind !== "missing") return withExtension(full, "");
  if (extension !== "") {
    const bare = await lookupAddress(tables, user, at, false);
    if (bare.kind !== "missing") return withExtension(bare, extension);
  }
  if (domain === undefined) return MISSING;
  const local = await how.isLocal(domain);
  if (local.kind === "retry") return local;
  if (local.kind === "found") {
    const name = await lookupAddress(tables, localpart, "", false);
    if (name.kind !== "missing") return withExtension(name, "");
    const bare = extension === "" ? MISSING : await lookupAddress(tables, user, "", false);
    if (bare.kind !== "missing") return withExtension(bare, extension);
  }
  return withExtension(await lookupAll(tables, at, false), extension);
}

/** The address as it is, then without its extension. */
async function wholeAddress(
  tables: readonly Table[],
  address: string,
  how: ExtensionHow,
): Promise<SearchOutcome> {
  const { localpart, domain } = splitAddress(address);
  const { user, extension } = splitExtension(localpart, how);
  const at = domain === undefined ? "" : `@${domain}`;
  const full = await lookupAddress(tables, localpart, at, true);
  if (full.kind !== "missing") return withExtension(full, "");
  const bare = extension === "" ? MISSING : await lookupAddress(tables, user, at, false);
  return withExtension(bare, extension);
}

/** The search of check_sender_access and check_recipient_access: address, domain and parents, then the local part. */
export async function accessSearch(
  tables: readonly Table[],
  address: string,
  how: ExtensionHow,
  parents: ParentStyle,
): Promise<SearchOutcome> {
  const { localpart, domain } = splitAddress(address);
  const { user, extension } = splitExtension(localpart, how);
  const whole = await wholeAddress(tables, address, how);
  if (whole.kind !== "missing") return whole;
  const byDomain = domain === undefined
    ? MISSING
    : await lookupEach(tables, domainKeys(domain, parents), false);
  if (byDomain.kind !== "missing") return withExtension(byDomain, extension);
  const name = await lookupAddress(tables, localpart, "@", false);
  if (name.kind !== "missing" || extension === "") return withExtension(name, "");
  return withExtension(await lookupAddress(tables, user, "@", false), extension);
}

/** A name, then its parent domains. Tables of patterns get the name only. */
export async function domainSearch(
  tables: readonly Table[],
  name: string,
  parents: ParentStyle,
): Promise<SearchOutcome> {
  return withExtension(await lookupEach(tables, domainKeys(name, parents), true), "");
}

/** The search of transport_maps: address, address without extension, domain and its parents, then `*`. */
export async function transportSearch(
  tables: readonly Table[],
  address: string,
  how: ExtensionHow,
  parents: ParentStyle,
): Promise<SearchOutcome> {
  const { localpart, domain } = splitAddress(address);
  const { extension } = splitExtension(localpart, how);
  const whole = await wholeAddress(tables, address, how);
  if (whole.kind !== "missing") return whole;
  const keys = domain === undefined ? [] : domainKeys(domain, parents);
  const byDomain = await lookupEach(tables, keys, false);
  // The star is a key of its own, not a part of another: tables of patterns are asked for it too.
  return withExtension(
    byDomain.kind === "missing" ? await lookupAll(tables, "*", true) : byDomain,
    extension,
  );
}

/** The search of check_client_access: host name and parents, then the address and the networks around it. */
export async function clientSearch(
  tables: readonly Table[],
  name: string,
  address: string,
  parents: ParentStyle,
): Promise<SearchOutcome> {
  const byName = name === "" ? MISSING : await lookupEach(tables, domainKeys(name, parents), true);
  if (byName.kind !== "missing" || address === "") return withExtension(byName, "");
  const parsed = parseIpAddress(address);
  const text = parsed === undefined ? address : formatIpAddress(parsed);
  return withExtension(await lookupEach(tables, networkKeys(text), true), "");
}

/** The search of alias_maps for a local part: `name+ext`, then `name`; each quoted first, then as it is. */
export async function aliasSearch(
  tables: readonly Table[],
  localpart: string,
  how: ExtensionHow,
): Promise<SearchOutcome> {
  const full = await lookupAddress(tables, localpart, "", true);
  if (full.kind !== "missing") return withExtension(full, "");
  const { user, extension } = splitExtension(localpart, how);
  if (extension === "") return MISSING;
  return withExtension(await lookupAddress(tables, user, "", true), extension);
}

function withExtension(outcome: KeyOutcome, extension: string): SearchOutcome {
  return outcome.kind === "found" ? { ...outcome, extension } : outcome;
}

/** The keys in turn; the first is a full key if `full`, the others are cut from it. */
async function lookupEach(
  tables: readonly Table[],
  keys: readonly string[],
  full: boolean,
): Promise<KeyOutcome> {
  for (let i = 0; i < keys.length; i++) {
    const outcome = await lookupAll(tables, keys[i]!, full && i === 0);
    if (outcome.kind !== "missing") return outcome;
  }
  return MISSING;
}

/** A local part with what follows it: in quoted form, which tables hold, then in the form without quotes. */
async function lookupAddress(
  tables: readonly Table[],
  localpart: string,
  rest: string,
  full: boolean,
): Promise<KeyOutcome> {
  const quoted = quoteLocalpart(localpart);
  const outcome = await lookupAll(tables, quoted + rest, full);
  if (outcome.kind !== "missing" || quoted === localpart) return outcome;
  return await lookupAll(tables, localpart + rest, full);
}

/** One key in all tables, in their order. */
async function lookupAll(tables: readonly Table[], key: string, full: boolean): Promise<KeyOutcome> {
  for (const table of tables) {
    if (!full && !table.partialKeys) continue;
    const outcome = await table.lookup(key);
    if (outcome.kind === "found" && outcome.value === "") {
      // An empty result is a mistake in the table: neither "found" nor "not found" would be what was meant.
      return { kind: "retry", why: `table ${table.spec}: lookup of "${key}" returns an empty string` };
    }
    if (outcome.kind === "found") return { ...outcome, hit: { table, key } };
    if (outcome.kind !== "missing") return outcome;
  }
  return MISSING;
}
