/**
 * What counts as a name. A name in a DNS answer may hold any byte; one that is used to connect, to log or to
 * compare must be a host name in the sense of RFC 952 and RFC 1123 section 2.1.
 *
 * @module
 */
import { isValidHostname } from "../mail/domain.ts";

/** Longest name as text, RFC 1035 section 3.1: 255 on the wire with length bytes and root. */
export const NAME_LIMIT = 253;

/**
 * True for a host name, underscores allowed as names in use have them, so that "_25._tcp.mx.example" and
 * "1.2.0.192.in-addr.arpa" pass as well.
 */
export function isHostName(name: string): boolean {
  return name.length <= NAME_LIMIT && isValidHostname(name);
}

/** The name without the dot that marks it as complete. */
export function withoutFinalDot(name: string): string {
  return name.endsWith(".") && name.length > 1 ? name.slice(0, -1) : name;
}
