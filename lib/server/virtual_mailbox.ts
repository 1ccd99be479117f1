/**
 * Where a virtual mailbox is, and who owns it: what virtual_mailbox_maps, virtual_uid_maps and virtual_gid_maps say
 * (postfix-map section 9.8). The virtual agent delivers there; `postern explain` shows it.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
import { asciiLower, parseDecimal } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { addressSearch, type SearchOutcome } from "../table/search.ts";
import { MISSING, type Table } from "../table/table.ts";
// Mail
import { splitAddress, splitExtension } from "../mail/address.ts";
import { type MailboxOutcome, outcomeOf } from "../mail/mailbox_outcome.ts";
// Server skeleton
import type { HelperTask } from "./boot.ts";
import { virtualPath } from "./virtual_path.ts";

/** The settings that say where virtual mailboxes are. */
export type VirtualSettings = Settings<
  | "double_bounce_sender"
  | "owner_request_special"
  | "recipient_delimiter"
  | "virtual_mailbox_base"
  | "virtual_mailbox_path"
  | "virtual_minimum_uid"
>;

/** Which parameter's tables are searched. */
export type VirtualMaps = "virtual_mailbox_maps" | "virtual_uid_maps" | "virtual_gid_maps";

/** What finding a mailbox takes. */
export interface VirtualDelivery {
  readonly settings: VirtualSettings;
  /** Searches by the folded address: with extension, without, then the domain. */
  readonly find: (maps: VirtualMaps, address: string) => Promise<SearchOutcome>;
  readonly warn: (text: string) => void;
}

/** Largest user and group id of Linux. */
const ID_MOST = 0xfffffffe;

/** The search of the tables: the address with extension, without, then its domain. */
export function virtualSearch(
  settings: VirtualSettings,
  open: (parameter: VirtualMaps) => readonly Table[],
): VirtualDelivery["find"] {
  const tables = {
    virtual_mailbox_maps: open("virtual_mailbox_maps"),
    virtual_uid_maps: open("virtual_uid_maps"),
    virtual_gid_maps: open("virtual_gid_maps"),
  };
  const how = {
    extension: {
      delimiters: settings.recipient_delimiter,
      ownerRequestSpecial: settings.owner_request_special,
      doubleBounceSender: settings.double_bounce_sender,
    },
    // A user name alone never stands for a virtual mailbox.
    isLocal: () => MISSING,
  };
  return (maps, address) => addressSearch(tables[maps], address, how);
}

/** The mailbox to write, or the outcome that the look-ups settle at once. */
export type FoundMailbox =
  | { readonly kind: "mailbox"; readonly task: HelperTask }
  | { readonly kind: "settled"; readonly outcome: MailboxOutcome };

/** Finds path, user and group of a recipient's mailbox. */
export async function findMailbox(virtual: VirtualDelivery, address: string): Promise<FoundMailbox> {
  const { settings } = virtual;
  const folded = asciiLower(address);
  const { localpart, domain = "" } = splitAddress(folded);
  const known = await virtual.find("virtual_mailbox_maps", folded);
  if (known.kind === "retry") return settled("4.3.5", `mail system configuration error: ${known.why}`);
  if (known.kind === "missing") return settled("5.1.1", `unknown user: "${printable(folded)}"`);
  const { user } = splitExtension(localpart, settings);
  const path = virtualPath(settings.virtual_mailbox_base, settings.virtual_mailbox_path, known.value, {
    user,
    domain,
  });
  if (path.kind === "badRecipient") return settled("5.1.1", path.why);
  if (path.kind === "badConfiguration") return misconfigured(virtual, folded, path.why);
  const uid = await findId(virtual, "virtual_uid_maps", folded, settings.virtual_minimum_uid);
  if (typeof uid === "string") return misconfigured(virtual, folded, uid);
  const gid = await findId(virtual, "virtual_gid_maps", folded, 1);
  if (typeof gid === "string") return misconfigured(virtual, folded, gid);
  return {
    kind: "mailbox",
    task: { kind: "mailbox", path: path.path, format: path.format, user: folded, uid, gid },
  };
}

/** The number that a table gives for a recipient, or what is wrong. */
async function findId(
  virtual: VirtualDelivery,
  maps: VirtualMaps,
  address: string,
  least: number,
): Promise<number | string> {
  const found = await virtual.find(maps, address);
  if (found.kind === "retry") return `${maps}: ${found.why}`;
  if (found.kind === "missing") return `recipient is not in ${maps}`;
  const id = parseDecimal(found.value, ID_MOST);
  if (id === undefined) return `"${found.value}" in ${maps} is no number`;
  return id < least ? `${id} in ${maps} is less than ${least}` : id;
}

function misconfigured(virtual: VirtualDelivery, address: string, why: string): FoundMailbox {
  virtual.warn(`recipient ${printable(address)}: ${printable(why)}`);
  return settled("4.3.5", "mail system configuration error");
}

function settled(status: string, reason: string): FoundMailbox {
  return { kind: "settled", outcome: outcomeOf(status, reason) };
}
