/**
 * Masquerading: domains that hide their subdomains in addresses (masquerade_domains).
 *
 * @module
 */
// Utility
import { asciiLower, equalsIgnoreCase } from "../vstring/ascii.ts";

/**
 * The address with its domain shortened to the first of the listed ones that is a parent of it. A domain that is listed
 * itself stays, and so do those below one with `!` in front.
 *
 * @param address internal form
 */
export function masquerade(address: string, domains: readonly string[]): string {
  const at = address.lastIndexOf("@");
  const domain = address.slice(at + 1);
  if (at < 0) return address;
  for (const item of domains) {
    let keeps = false;
    let listed = item;
    for (; listed.startsWith("!"); listed = listed.slice(1)) keeps = !keeps;
    if (listed === "") continue;
    if (equalsIgnoreCase(listed, domain)) return address;
    if (asciiLower(domain).endsWith(`.${asciiLower(listed)}`)) {
      return keeps ? address : address.slice(0, at + 1) + listed;
    }
  }
  return address;
}
