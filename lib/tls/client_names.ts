/**
 * Is a server's certificate the one of the host that was meant (RFC 6125, RFC 9525; smtp_tls_secure_cert_match)?
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";
import { type Certificate, equalBytes } from "./client_certificate.ts";

/**
 * The name among `wanted` that the certificate is for, or undefined. A wanted name that begins with a dot stands for all
 * names below that domain, and not for the domain itself. A wanted address is matched by addresses only.
 */
export function matchingName(certificate: Certificate, wanted: readonly string[]): string | undefined {
  return wanted.find((name) => {
    const address = parseIpAddress(name);
    if (address !== undefined) return certificate.addresses.some((one) => equalBytes(one, address));
    return namesOf(certificate).some((pattern) => isNamed(pattern, asciiLower(name)));
  });
}

/** RFC 6125 section 6.4.4: the common name counts only where there is no alternative host name. */
export function namesOf(certificate: Certificate): readonly string[] {
  return certificate.hasHostNames ? certificate.hostNames : certificate.commonNames;
}

function isNamed(pattern: string, name: string): boolean {
  const plain = name.endsWith(".") ? name.slice(0, -1) : name;
  // A wildcard is for a certificate to have, and for no host.
  if (plain.includes("*")) return false;
  // A certificate for all hosts of a domain is one for a host below that domain.
  if (plain.startsWith(".")) {
    return pattern.length > plain.length && pattern.endsWith(plain) && isSound(pattern);
  }
  return pattern.includes("*") ? matchesWildcard(pattern, plain) : pattern === plain;
}

/**
 * RFC 6125 section 6.4.3: the wildcard is the whole first label and stands for exactly one label; no `m*.example.com`,
 * no `mx.*.com`. What is left must have two labels at least, so that nobody is certified for a top-level domain.
 */
function matchesWildcard(pattern: string, name: string): boolean {
  if (!isSound(pattern)) return false;
  const rest = pattern.slice(1);
  const dot = name.indexOf(".");
  return dot > 0 && name.slice(dot) === rest;
}

/** True for a name without wildcards, or with one that is allowed. */
function isSound(pattern: string): boolean {
  if (!pattern.includes("*")) return true;
  if (!pattern.startsWith("*.")) return false;
  const rest = pattern.slice(2);
  return !rest.includes("*") && rest.includes(".") && !rest.startsWith(".") && !rest.endsWith(".");
}
