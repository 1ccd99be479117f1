/**
 * Fingerprints of certificates and public keys, as Postfix writes them: "AB:CD:...".
 *
 * @module
 */
import { asciiUpper } from "../vstring/ascii.ts";
import { digest as digestOf } from "../safe/digest.ts";
import type { FingerprintDigest } from "../safe/certificate.ts";
import type { Certificate } from "./client_certificate.ts";

/** Digests that fingerprints may be made with. */
export const FINGERPRINT_DIGESTS: readonly FingerprintDigest[] = [
  "md5",
  "sha1",
  "sha256",
  "sha384",
  "sha512",
];

/** The digest of bytes as a fingerprint. */
export function fingerprintOf(digest: FingerprintDigest, bytes: Uint8Array): string {
  return [...digestOf(digest, bytes)].map((byte) => asciiUpper(byte.toString(16).padStart(2, "0"))).join(":");
}

/** True when the certificate, or its key, has one of the fingerprints; they are compared in upper case. */
export function hasFingerprint(
  certificate: Certificate,
  digest: FingerprintDigest,
  wanted: readonly string[],
): boolean {
  const own = [fingerprintOf(digest, certificate.raw), fingerprintOf(digest, certificate.key)];
  return wanted.some((one) => own.includes(asciiUpper(one)));
}
