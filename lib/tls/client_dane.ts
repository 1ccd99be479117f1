/**
 * TLSA records (RFC 6698, RFC 7671) as mail uses them (RFC 7672): which of them count, and whether a server's
 * certificates are what they say.
 *
 * @module
 */
import { digest as digestOf, type DigestName } from "../safe/digest.ts";
import { type Certificate, equalBytes, parseCertificate } from "./client_certificate.ts";
import { type TrustAnchors, verifyChain } from "./client_chain.ts";
import { DerError, DerReader, TAG } from "./client_der.ts";
import { matchingName } from "./client_names.ts";

/** Certificate usages that mail knows. */
export const USAGE_ANCHOR = 2;
export const USAGE_SERVER = 3;

/** One record that can be used. */
export interface TlsaRecord {
  readonly usage: typeof USAGE_ANCHOR | typeof USAGE_SERVER;
  /** 0: the certificate, 1: its public key. */
  readonly selector: 0 | 1;
  /** Undefined: the thing itself. */
  readonly digest: DigestName | undefined;
  readonly data: Uint8Array;
}

/** Matching types that are digests, with their length. */
const MATCHING: ReadonlyMap<number, readonly [DigestName, number]> = new Map([
  [1, ["sha256", 32]],
  [2, ["sha512", 64]],
]);

/**
 * The records that can be used, from the data of a TLSA answer: usage, selector, matching type, then the rest.
 *
 * @param digests those that are believed, the strongest first (tls_dane_digests)
 */
export function usableRecords(answers: readonly Uint8Array[], digests: readonly string[]): TlsaRecord[] {
  const records = answers.flatMap((data) => parseRecord(data) ?? []).filter((record) =>
    record.digest === undefined || digests.includes(record.digest)
  );
  // RFC 7671 section 9: of the digests of one usage and selector only the strongest counts, so that a weak one that was
  // broken opens nothing.
  return records.filter((record) => {
    if (record.digest === undefined) return true;
    const strength = digests.indexOf(record.digest);
    return !records.some((other) =>
      other.usage === record.usage && other.selector === record.selector && other.digest !== undefined &&
      digests.indexOf(other.digest) < strength
    );
  });
}

/** RFC 7672 section 3.1.3: usages 0 and 1 say nothing to mail, nor does what is not known here. */
function parseRecord(bytes: Uint8Array): TlsaRecord | undefined {
  const [usage, selector, type] = bytes;
  const data = bytes.subarray(3);
  if ((usage !== USAGE_ANCHOR && usage !== USAGE_SERVER) || (selector !== 0 && selector !== 1)) {
    return undefined;
  }
  if (type === 0) return isWhole(selector, data) ? { usage, selector, digest: undefined, data } : undefined;
  const [digest, length] = MATCHING.get(type ?? -1) ?? [];
  return digest !== undefined && data.length === length ? { usage, selector, digest, data } : undefined;
}

function isWhole(selector: 0 | 1, data: Uint8Array): boolean {
  try {
    if (selector === 0) parseCertificate(data);
    else new DerReader(data).next(TAG.SEQUENCE);
    return true;
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

/** What the records say of a server. */
export type DaneVerdict =
  | { readonly kind: "matched"; readonly usage: number; readonly name: string }
  | { readonly kind: "unmatched"; readonly why: string };

/**
 * Compares the certificates that a server sent, its own first, with the records.
 *
 * @param names those that the server's certificate may have where an authority is named (usage 2)
 */
export function judgeDane(
  sent: readonly Certificate[],
  records: readonly TlsaRecord[],
  names: readonly string[],
  now: number,
  depth: number,
): DaneVerdict {
  const [leaf] = sent;
  if (leaf === undefined) return { kind: "unmatched", why: "no certificate" };
  // RFC 7672 section 3.1.1: neither names nor dates matter where the record is about the server's own certificate.
  const own = records.some((record) => record.usage === USAGE_SERVER && isDescribed(leaf, record));
  if (own) return { kind: "matched", usage: USAGE_SERVER, name: "" };
  const anchors = anchorsOf(sent, records.filter((record) => record.usage === USAGE_ANCHOR));
  if (anchors.certificates.length === 0 && anchors.keys.length === 0) {
    return { kind: "unmatched", why: "No matching DANE TLSA records" };
  }
  const chain = verifyChain(sent, anchors, now, depth);
  if (chain.kind === "untrusted") return { kind: "unmatched", why: chain.why };
  // RFC 7672 section 3.1.2: an authority vouches for many, so the name must be the server's.
  const name = matchingName(leaf, names);
  return name === undefined
    ? { kind: "unmatched", why: "hostname mismatch" }
    : { kind: "matched", usage: USAGE_ANCHOR, name };
}

/** The authorities that the records describe: those that the server sent, and those that stand in a record whole. */
function anchorsOf(sent: readonly Certificate[], records: readonly TlsaRecord[]): TrustAnchors {
  const certificates: Certificate[] = sent.slice(1).filter((one) =>
    records.some((record) => isDescribed(one, record))
  );
  const keys: Uint8Array[] = [];
  for (const { digest, selector, data } of records) {
    if (digest !== undefined) continue;
    if (selector === 1) keys.push(data);
    // A server's own certificate is no authority over itself; usage 3 is for that.
    else if (!equalBytes(data, sent[0]!.raw)) certificates.push(parseCertificate(data));
  }
  return { certificates, keys };
}

function isDescribed(certificate: Certificate, { selector, digest, data }: TlsaRecord): boolean {
  const bytes = selector === 0 ? certificate.raw : certificate.key;
  return equalBytes(digest === undefined ? bytes : digestOf(digest, bytes), data);
}
