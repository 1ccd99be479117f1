/**
 * Names of destinations, and of the files that their lists are in.
 */
// Utility
import { asciiLower, isAlnum } from "../../lib/vstring/ascii.ts";
// Mail
import { isValidHostname, parseAddressLiteral, toAsciiName } from "../../lib/mail/domain.ts";
import { type QueueId, toQueueId } from "../../lib/mail/queue_id.ts";

declare const SITE_NAME: unique symbol;
/** The domain of an address, in lower case and ASCII. */
export type SiteName = string & { readonly [SITE_NAME]: true };

/** The name of a destination; undefined for what cannot be one. */
export function siteNameOf(domain: string): SiteName | undefined {
  if (parseAddressLiteral(domain) !== undefined) return asciiLower(domain) as SiteName;
  const name = toAsciiName(domain);
  return name === undefined || !isValidHostname(name) ? undefined : asciiLower(name) as SiteName;
}

/** Postfix's name for a destination's file: what is no letter or digit becomes `_`. */
export function fileNameOf(site: SiteName): QueueId {
  let name = "";
  for (let i = 0; i < site.length; i++) name += isAlnum(site.charCodeAt(i)) ? site[i] : "_";
  const made = toQueueId(name);
  if (made === undefined) throw new Error(`Cannot name the list of "${site}": it is too long`);
  return made;
}
