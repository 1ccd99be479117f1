/**
 * luser_relay: an address for mail to unknown users, made from the recipient.
 *
 * @module
 */
// Utility
import { isAlnum } from "../../lib/vstring/ascii.ts";
import { expand, ExpandError } from "../../lib/config/expand.ts";
// Mail
import { splitAddress } from "../../lib/mail/address.ts";
// This program
import { type LocalSettings } from "./local_settings.ts";

/** The recipient that is unknown. */
export interface UnknownRecipient {
  readonly address: string;
  /** Local part in lower case, with its extension. */
  readonly localpart: string;
  readonly user: string;
  readonly extension: string;
}

/** The address, or what is wrong with the parameter. */
export type LuserRelay =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "bad"; readonly why: string };

/** Characters beside letters and digits that a value keeps (forward_expansion_filter). */
const SAFE_PUNCTUATION = "!@%-_=+:,./";

/** The value of luser_relay for a recipient. */
export function expandLuserRelay(settings: LocalSettings, recipient: UnknownRecipient): LuserRelay {
  const values: ReadonlyMap<string, string> = new Map([
    ["user", recipient.user],
    ["home", ""],
    ["shell", ""],
    ["domain", splitAddress(recipient.address).domain ?? ""],
    ["local", recipient.localpart],
    ["mailbox", recipient.localpart],
    ["recipient", recipient.address],
    ["extension", recipient.extension],
    ["recipient_delimiter", settings.recipient_delimiter],
  ]);
  try {
    const address = expand(settings.luser_relay, (name) => {
      const value = values.get(name);
      if (value === undefined) throw new ExpandError(`unknown name "${name}"`);
      return filtered(value);
    });
    if (address.startsWith("/") || address.startsWith("|") || address.startsWith(":")) {
      return { kind: "bad", why: "commands, files and include lists are not allowed" };
    }
    return { kind: "address", address };
  } catch (error) {
    if (!(error instanceof ExpandError)) throw error;
    return { kind: "bad", why: error.message };
  }
}

/** The value with `_` for everything that might mean something where it is put. */
function filtered(value: string): string {
  let out = "";
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    out += unit < 0x80 && (isAlnum(unit) || SAFE_PUNCTUATION.includes(value[i]!)) ? value[i] : "_";
  }
  return out;
}
