/**
 * Domain names in ASCII.
 *
 * @module
 */
import { isAscii } from "./ascii.ts";

/**
 * The name in ASCII (RFC 5890 A-labels), one that is ASCII already as it is; undefined for what has no such form. Whether
 * it is a good host name is for the caller to see.
 */
export function domainToAscii(name: string): string | undefined {
  if (isAscii(name)) return name;
  const mapped = URL.parse(`http://${name}/`)?.hostname ?? "";
  return mapped === "" ? undefined : mapped;
}
