/**
 * Files of keys and certificates in PEM (RFC 7468), as parts with their labels.
 *
 * @module
 */
import { decodeBase64 } from "../vstring/base64.ts";

/** One part: what stands between its BEGIN and its END, with both. */
export interface PemPart {
  /** As "CERTIFICATE" or "EC PRIVATE KEY". */
  readonly label: string;
  readonly text: string;
}

/** Most parts of one file: more is no chain of certificates, and a list of authorities is not taken apart. */
const PART_LIMIT = 100;
const BEGIN = "-----BEGIN ";
const DASHES = "-----";

/**
 * The parts in their order, the first `most`; what stands between them is left out. Undefined when a part has no end.
 */
export function splitPem(text: string, most: number = PART_LIMIT): PemPart[] | undefined {
  const parts: PemPart[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0 && parts.length < most;) {
    const labelEnd = text.indexOf(DASHES, at + BEGIN.length);
    if (labelEnd < 0) return undefined;
    const label = text.slice(at + BEGIN.length, labelEnd);
    const footer = `-----END ${label}-----`;
    const end = text.indexOf(footer, labelEnd);
    if (end < 0) return undefined;
    parts.push({ label, text: `${text.slice(at, end + footer.length)}\n` });
    at = text.indexOf(BEGIN, end);
  }
  return parts;
}

/** What a part's lines say; undefined when that is not base64. */
export function pemBytes({ label, text }: PemPart): Uint8Array | undefined {
  const body = text.slice(BEGIN.length + label.length + DASHES.length, text.lastIndexOf("-----END "));
  return decodeBase64(body.replaceAll(/[\r\n\t ]/g, ""));
}

/** True for the label of a private key without a passphrase. */
export function isKeyLabel(label: string): boolean {
  return label === "PRIVATE KEY" || label === "RSA PRIVATE KEY" || label === "EC PRIVATE KEY";
}
