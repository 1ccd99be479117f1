/**
 * Owners of lists: the alias `owner-LIST` beside the alias LIST (owner_request_special).
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Mail
import { splitAddress } from "../mail/address.ts";
// Server skeleton
import { localRecipient } from "./local_names.ts";
import { type ExpansionSettings, type LocalSources } from "./local_sources.ts";

/** Who answers for a list, internal form; `retry`: that cannot be told now. */
export type ListOwner =
  | { readonly kind: "owner"; readonly address: string }
  | { readonly kind: "none" | "retry" };

/** What is needed to find owners. */
export type OwnerSettings = Pick<
  ExpansionSettings,
  "double_bounce_sender" | "expand_owner_alias" | "owner_request_special" | "recipient_delimiter"
>;
type OwnerSources = Pick<LocalSources, "alias" | "rewrite">;

/** The owner of the alias of this name. */
export async function ownerOfAlias(
  name: string,
  settings: Pick<OwnerSettings, "expand_owner_alias" | "owner_request_special">,
  sources: OwnerSources,
): Promise<ListOwner> {
  if (!settings.owner_request_special || name.startsWith("owner-")) return { kind: "none" };
  const owner = `owner-${name}`;
  const found = await sources.alias(owner);
  if (found.kind !== "found") return { kind: found.kind === "missing" ? "none" : "retry" };
  const address = await sources.rewrite(settings.expand_owner_alias ? found.value : owner);
  return address === undefined ? { kind: "retry" } : { kind: "owner", address };
}

/** The owner of the list with this address: of its whole local part, else of that without its extension. */
export async function ownerOfAddress(
  address: string,
  settings: OwnerSettings,
  sources: OwnerSources,
): Promise<ListOwner> {
  const { localpart, user } = localRecipient(address, asciiLower(splitAddress(address).localpart), settings);
  const owner = await ownerOfAlias(localpart, settings, sources);
  return owner.kind === "none" && user !== localpart ? ownerOfAlias(user, settings, sources) : owner;
}
