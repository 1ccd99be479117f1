/**
 * Files of authorities: certificates and keys that others' certificates are checked against.
 *
 * @module
 */
import { type Certificate, parseCertificate } from "./client_certificate.ts";
import type { TrustAnchors } from "./client_chain.ts";
import { DerError } from "./client_der.ts";
import { pemBytes, splitPem } from "./pem.ts";

/** Most parts of one file: twenty times what a system's list of authorities has. */
const PART_LIMIT = 5000;
const CERTIFICATE_LABELS: readonly string[] = ["CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"];

/**
 * The anchors in a PEM text: certificates, and public keys where those are allowed (smtp_tls_trust_anchor_file).
 * Throws an Error for a part without an end, one that is not base64, and for too many.
 */
export function parseAnchors(text: string): TrustAnchors {
  const parts = splitPem(text, PART_LIMIT + 1);
  if (parts === undefined) throw new Error("Cannot read PEM: a part has no end");
  if (parts.length > PART_LIMIT) throw new Error(`Cannot read PEM: more than ${PART_LIMIT} parts`);
  const certificates: Certificate[] = [];
  const keys: Uint8Array[] = [];
  for (const part of parts) {
    const isKey = part.label === "PUBLIC KEY";
    if (!isKey && !CERTIFICATE_LABELS.includes(part.label)) continue;
    const bytes = pemBytes(part);
    if (bytes === undefined) throw new Error(`Cannot read PEM part "${part.label}": it is not base64`);
    if (isKey) {
      keys.push(bytes);
      continue;
    }
    try {
      certificates.push(parseCertificate(bytes));
    } catch (error) {
      // A list of authorities may hold one that nobody can read any more; it vouches for nobody.
      if (!(error instanceof DerError)) throw error;
    }
  }
  return { certificates, keys };
}
