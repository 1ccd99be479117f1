/**
 * Certificates and keys in PEM (RFC 7468), as files of authorities hold them.
 *
 * @module
 */
import { trimBlanks } from "../vstring/ascii.ts";
import { decodeBase64 } from "../vstring/base64.ts";
import { type Certificate, parseCertificate } from "./client_certificate.ts";
import type { TrustAnchors } from "./client_chain.ts";
import { DerError } from "./client_der.ts";

/** One block between BEGIN and END. */
export interface PemBlock {
  /** As "CERTIFICATE". */
  readonly label: string;
  readonly bytes: Uint8Array;
}

/** Most blocks of one file: twenty times what a system's list of authorities has. */
const BLOCK_LIMIT = 5000;
const BEGIN = "-----BEGIN ";
const DASHES = "-----";

/** The blocks of a text; what stands between them is passed over. Throws an Error for a block without an end. */
export function parsePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let body = "";
  for (
    const line of text.split("\n").map((each) => trimBlanks(each.endsWith("\r") ? each.slice(0, -1) : each))
  ) {
    if (label === undefined) {
      if (line.startsWith(BEGIN) && line.endsWith(DASHES)) label = line.slice(BEGIN.length, -DASHES.length);
      body = "";
      continue;
    }
    if (line !== `-----END ${label}-----`) {
      body += line;
      continue;
    }
    const bytes = decodeBase64(body);
    if (bytes === undefined) throw new Error(`Cannot read PEM block "${label}": it is not base64`);
    if (blocks.length >= BLOCK_LIMIT) throw new Error(`Cannot read PEM: more than ${BLOCK_LIMIT} blocks`);
    blocks.push({ label, bytes });
    label = undefined;
  }
  if (label !== undefined) throw new Error(`Cannot read PEM block "${label}": it has no end`);
  return blocks;
}

/** The anchors in a text: certificates, and public keys where those are allowed (smtp_tls_trust_anchor_file). */
export function parseAnchors(text: string): TrustAnchors {
  const certificates: Certificate[] = [];
  const keys: Uint8Array[] = [];
  for (const { label, bytes } of parsePem(text)) {
    if (label === "PUBLIC KEY") keys.push(bytes);
    if (label !== "CERTIFICATE" && label !== "TRUSTED CERTIFICATE" && label !== "X509 CERTIFICATE") continue;
    try {
      certificates.push(parseCertificate(bytes));
    } catch (error) {
      // A list of authorities may hold one that nobody can read any more; it vouches for nobody.
      if (!(error instanceof DerError)) throw error;
    }
  }
  return { certificates, keys };
}
