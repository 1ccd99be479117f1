/**
 * Whether a recipient exists, asked at RCPT so that mail for nobody is refused and not bounced.
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Mail
import { splitAddress } from "../mail/address.ts";
import { splitStatus } from "../mail/status_code.ts";
import { isVerifySender } from "../mail/verify_sender.ts";
// Internal protocols
import type { Resolved } from "../proto/rewrite_client.ts";
// Access
import { type AccessSettings, DUNNO, type Question, reject, type Services, type Verdict } from "./policy.ts";
import { lookupFailure, refusal, shown } from "./reply.ts";
import { fitStatus, SUBJECT, type Subject } from "./subject.ts";

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

/** Tables whose addresses exist, as they stand for others. */
const REPLACED = {
  sender: ["sender_canonical_maps", "canonical_maps", "virtual_alias_maps"],
  recipient: ["recipient_canonical_maps", "canonical_maps", "virtual_alias_maps"],
} as const;

/** An address as the client sent it, and whose it is. */
interface Named {
  readonly address: string;
  readonly subject: Subject;
}

/**
 * Looks a recipient up in the aliases, then in the table of its class.
 *
 * @param recipient as the client sent it
 */
export function checkRecipientExists(
  services: Services,
  recipient: string,
  resolved: Resolved,
): Promise<Verdict> {
  return checkExists(
    services,
    { address: recipient, subject: SUBJECT.recipient },
    resolved,
    REPLACED.recipient,
  );
}

/** The same for a sender of ours. */
export async function checkSenderExists(services: Services, { sender }: Question): Promise<Verdict> {
  if (!sender) return DUNNO;
  const resolved = await services.rewrite.resolve("", sender);
  if (resolved.kind === "retry") return reject(lookupFailure(sender));
  return checkExists(services, { address: sender, subject: SUBJECT.sender }, resolved, REPLACED.sender);
}

async function checkExists(
  services: Services,
  named: Named,
  resolved: Resolved,
  replaced: readonly (keyof AccessSettings)[],
): Promise<Verdict> {
  const { settings } = services;
  const row = CLASSES[resolved.class];
  if (row === undefined && resolved.transport !== "error") return DUNNO;
  if (isVerifySender(settings, resolved.recipient, Date.now())) return DUNNO;
  for (const parameter of replaced) {
    if ((settings[parameter] as readonly string[]).length === 0) continue;
    const alias = await services.maps.find(parameter, "address", resolved.recipient);
    if (alias.kind === "retry") return reject(lookupFailure(named.address));
    if (alias.kind === "found") return DUNNO;
  }
  // The transport table, or the address class itself, refuses it.
  if (resolved.transport === "error") return unknownBy(settings, named, resolved, row);
  if (row === undefined || row.parameter === "virtual_alias_maps") return DUNNO;
  if (row.emptyAccepts && settings[row.parameter].length === 0) return DUNNO;
  const { localpart } = splitAddress(resolved.recipient);
  if (resolved.class === "local" && ALWAYS_LOCAL.has(asciiLower(localpart))) return DUNNO;
  const found = await services.maps.find(row.parameter, "address", resolved.recipient);
  if (found.kind === "found") return DUNNO;
  if (found.kind === "retry") return reject(lookupFailure(named.address));
  return unknown(settings, named, row);
}

function unknown(settings: AccessSettings, { address, subject }: Named, row: ClassRow): Verdict {
  const where = settings.show_user_unknown_table_name ? ` in ${row.table}` : "";
  const text = `<${shown(address)}>: ${subject.what} rejected: User unknown${where}`;
  const status = subject.address === "sender" ? "5.1.0" : "5.1.1";
  return reject(refusal(row.code(settings), status, text));
}

function unknownBy(
  settings: AccessSettings,
  { address, subject }: Named,
  resolved: Resolved,
  row: ClassRow | undefined,
): Verdict {
  if (row?.parameter === "virtual_alias_maps") return unknown(settings, { address, subject }, row);
  const { status, text } = splitStatus(resolved.nexthop, "5.1.1");
  const reason = text || "Address is undeliverable";
  const code = status.startsWith("4") ? 450 : 550;
  const words = `<${shown(address)}>: ${subject.what} rejected: ${shown(reason)}`;
  return reject(refusal(code, fitStatus(status, subject), words));
}
