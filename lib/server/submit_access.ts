/**
 * Who of this host's users may post mail, and with which senders: authorized_submit_users and local_login_sender_maps.
 * sendmail and postdrop ask so that a user is told at once; pickup asks because anybody can write a file without them,
 * and knows its owner.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { joinAddress, splitAddress, splitExtension } from "../mail/address.ts";
// Internal protocols
import type { MapLookup } from "../proto/proxymap_client.ts";

/** The parameters that decide. */
export type SubmitAccessSettings = Settings<
  | "authorized_submit_users"
  | "double_bounce_sender"
  | "empty_address_local_login_sender_maps_lookup_key"
  | "local_login_sender_maps"
  | "owner_request_special"
  | "recipient_delimiter"
>;

/** Who posts. */
export interface Submitter {
  readonly uid: number;
  /** Undefined for a uid that the password file does not have. */
  readonly login: string | undefined;
  /** Root or the owner of the queue. */
  readonly privileged: boolean;
}

/** What becomes of it. */
export type SubmitVerdict =
  | { readonly kind: "allowed" }
  | { readonly kind: "refused"; readonly why: string }
  /** A table cannot answer now. */
  | { readonly kind: "retry"; readonly why: string };

const ALLOWED: SubmitVerdict = { kind: "allowed" };
/** What stands for everybody, and for every sender; the defaults, which need no look-up. */
const ANYONE = "static:anyone";
const ANY_SENDER = "static:*";
/** A pattern that every sender fits. */
const WILDCARD = "*";

/** True when the settings let every user post with every sender: nobody need be asked. */
export function allowsEverybody(
  settings: Pick<SubmitAccessSettings, "authorized_submit_users" | "local_login_sender_maps">,
): boolean {
  return isOnly(settings.authorized_submit_users, ANYONE) && allowsEverySender(settings);
}

/** True when every user may be every sender. */
export function allowsEverySender(settings: Pick<SubmitAccessSettings, "local_login_sender_maps">): boolean {
  return isOnly(settings.local_login_sender_maps, ANY_SENDER);
}

function isOnly(items: readonly string[], one: string): boolean {
  return items.length === 1 && items[0] === one;
}

/** Whether a user may post at all. Root and the owner of the queue always may. */
export async function mayPost(
  submitter: Submitter,
  maps: MapLookup,
  settings: SubmitAccessSettings,
): Promise<SubmitVerdict> {
  if (submitter.privileged || isOnly(settings.authorized_submit_users, ANYONE)) return ALLOWED;
  const name = submitter.login ?? "unknown";
  const found = await maps.find("authorized_submit_users", "list", name);
  if (found.kind === "found") return ALLOWED;
  if (found.kind === "retry") return { kind: "retry", why: `authorized_submit_users: ${found.why}` };
  return { kind: "refused", why: `User ${printable(name)}(${submitter.uid}) is not allowed to submit mail` };
}

/**
 * Whether a user may be a sender. The tables are asked for the login name, or for `uid:` and the number of one who has
 * none, and have patterns: `*`, an address, `@domain`, and the null sender's own.
 *
 * @param sender as the user gave it, internal form
 */
export async function maySendAs(
  submitter: Submitter,
  sender: string,
  maps: MapLookup,
  settings: SubmitAccessSettings,
): Promise<SubmitVerdict> {
  if (allowsEverySender(settings)) return ALLOWED;
  const login = submitter.login ?? `uid:${submitter.uid}`;
  const found = await maps.find("local_login_sender_maps", "key", login);
  if (found.kind === "retry") return { kind: "retry", why: `local_login_sender_maps: ${found.why}` };
  if (found.kind === "found" && splitBlanks(found.value, true).some((one) => fits(one, sender, settings))) {
    return ALLOWED;
  }
  const who = `User ${printable(login)}(${submitter.uid})`;
  return { kind: "refused", why: `${who} is not allowed to send as <${printable(sender)}>` };
}

/** True when the sender fits a pattern; what stands behind a delimiter in its local part does not count. */
function fits(pattern: string, sender: string, settings: SubmitAccessSettings): boolean {
  if (pattern === WILDCARD) return true;
  if (sender === "") return pattern === settings.empty_address_local_login_sender_maps_lookup_key;
  const { localpart, domain } = splitAddress(asciiLower(sender));
  const folded = asciiLower(pattern);
  if (folded.startsWith("@")) return domain === folded.slice(1);
  const plain = joinAddress(splitExtension(localpart, settings).user, domain);
  return folded === plain || folded === joinAddress(localpart, domain);
}
