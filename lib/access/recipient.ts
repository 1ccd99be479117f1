/**
 * Whether a recipient exists, asked at RCPT so that mail for nobody is refused and not bounced.
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Mail
import { splitAddress } from "../mail/address.ts";
import { splitStatus } from "../mail/status_code.ts";
// Internal protocols
import type { Resolved } from "../proto/rewrite_client.ts";
// Access
import { type AccessSettings, DUNNO, reject, type Services, type Verdict } from "./policy.ts";
import { lookupFailure, refusal, shown } from "./reply.ts";

/** Local parts that are always there. */
const ALWAYS_LOCAL: ReadonlySet<string> = new Set(["postmaster", "mailer-daemon", "double-bounce"]);

/** One address class's table of recipients. */
interface ClassRow {
  readonly parameter:
    | "local_recipient_maps"
    | "virtual_alias_maps"
    | "virtual_mailbox_maps"
    | "relay_recipient_maps";
  readonly table: string;
  readonly code: (settings: AccessSettings) => number;
  /** An empty table means that every recipient exists. */
  readonly emptyAccepts: boolean;
}

const CLASSES: Readonly<Record<Resolved["class"], ClassRow | undefined>> = {
  local: {
    parameter: "local_recipient_maps",
    table: "local recipient table",
    code: (settings) => settings.unknown_local_recipient_reject_code,
    emptyAccepts: true,
  },
  alias: {
    parameter: "virtual_alias_maps",
    table: "virtual alias table",
    code: (settings) => settings.unknown_virtual_alias_reject_code,
    emptyAccepts: false,
  },
  virtual: {
    parameter: "virtual_mailbox_maps",
    table: "virtual mailbox table",
    code: (settings) => settings.unknown_virtual_mailbox_reject_code,
    emptyAccepts: true,
  },
  relay: {
    parameter: "relay_recipient_maps",
    table: "relay recipient table",
    code: (settings) => settings.unknown_relay_recipient_reject_code,
    emptyAccepts: true,
  },
  default: undefined,
};

/**
 * Looks a recipient up in the aliases, then in the table of its class.
 *
 * @param recipient as the client sent it
 */
export async function checkRecipientExists(
  services: Services,
  recipient: string,
  resolved: Resolved,
): Promise<Verdict> {
  const { settings } = services;
  const row = CLASSES[resolved.class];
  if (row === undefined && resolved.transport !== "error") return DUNNO;
  if (settings.virtual_alias_maps.length > 0) {
    const alias = await services.maps.find("virtual_alias_maps", "address", resolved.recipient);
    if (alias.kind === "retry") return reject(lookupFailure(recipient));
    if (alias.kind === "found") return DUNNO;
  }
  // The transport table, or the address class itself, refuses it.
  if (resolved.transport === "error") return unknownBy(settings, recipient, resolved, row);
  if (row === undefined || row.parameter === "virtual_alias_maps") return DUNNO;
  if (row.emptyAccepts && settings[row.parameter].length === 0) return DUNNO;
  const { localpart } = splitAddress(resolved.recipient);
  if (resolved.class === "local" && ALWAYS_LOCAL.has(asciiLower(localpart))) return DUNNO;
  const found = await services.maps.find(row.parameter, "address", resolved.recipient);
  if (found.kind === "found") return DUNNO;
  if (found.kind === "retry") return reject(lookupFailure(recipient));
  return unknown(settings, recipient, row);
}

function unknown(settings: AccessSettings, recipient: string, row: ClassRow): Verdict {
  const where = settings.show_user_unknown_table_name ? ` in ${row.table}` : "";
  const text = `<${shown(recipient)}>: Recipient address rejected: User unknown${where}`;
  return reject(refusal(row.code(settings), "5.1.1", text));
}

function unknownBy(
  settings: AccessSettings,
  recipient: string,
  resolved: Resolved,
  row: ClassRow | undefined,
): Verdict {
  if (row?.parameter === "virtual_alias_maps") return unknown(settings, recipient, row);
  const { status, text } = splitStatus(resolved.nexthop, "5.1.1");
  const reason = text || "Address is undeliverable";
  const code = status.startsWith("4") ? 450 : 550;
  return reject(refusal(code, status, `<${shown(recipient)}>: Recipient address rejected: ${shown(reason)}`));
}
