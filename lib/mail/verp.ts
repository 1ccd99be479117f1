/**
 * Variable envelope return paths: each recipient's copy has a sender that names the recipient, so that a report
 * tells by its own address whom it is about (Postfix's VERP_README).
 *
 * @module
 */
import { joinAddress, splitAddress } from "./address.ts";

/** True for two characters that the site allows as delimiters (verp_delimiter_filter). */
export function areVerpDelimiters(text: string, filter: string): boolean {
  return text.length === 2 && filter.includes(text[0]!) && filter.includes(text[1]!);
}

/**
 * `list@site` for `user@domain` as `list+user=domain@site`.
 *
 * @param delimiters two characters, "+=" above
 * @param sender internal form; the null sender stays as it is
 * @param recipient internal form, as the sender gave it: that is what the list's owner knows
 */
export function verpSender(delimiters: string, sender: string, recipient: string): string {
  if (sender === "") return "";
  const from = splitAddress(sender);
  const to = splitAddress(recipient);
  const encoded = to.domain === undefined ? to.localpart : `${to.localpart}${delimiters[1]}${to.domain}`;
  const localpart = `${from.localpart}${delimiters[0]}${encoded}`;
  return from.domain === undefined ? localpart : joinAddress(localpart, from.domain);
}
