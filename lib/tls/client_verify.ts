/**
 * The judgement on a server after the handshake: what its certificates prove at the level that is wanted of it.
 *
 * @module
 */
import { printable } from "../vstring/printable.ts";
import type { FingerprintDigest } from "../safe/certificate.ts";
import { type Certificate, commonNameOf, parseCertificate } from "./client_certificate.ts";
import { type TrustAnchors, verifyChain } from "./client_chain.ts";
import { judgeDane, type TlsaRecord } from "./client_dane.ts";
import { DerError } from "./client_der.ts";
import { hasFingerprint } from "./client_fingerprint.ts";
import { matchingName } from "./client_names.ts";

/** What a server's certificate is held to. */
export type CertificateDemand =
  /** Nothing; whether it is trusted is told all the same. */
  | { readonly kind: "none" }
  /** `names`: a host name each, or ".domain" for all below it. */
  | { readonly kind: "names"; readonly names: readonly string[] }
  | {
    readonly kind: "fingerprints";
    readonly digest: FingerprintDigest;
    readonly fingerprints: readonly string[];
  }
  | { readonly kind: "dane"; readonly records: readonly TlsaRecord[]; readonly names: readonly string[] };

/** What the certificates prove. */
export interface CertificateJudgement {
  /** The server sent a certificate. */
  readonly present: boolean;
  /** Somebody who is trusted vouches for it. */
  readonly trusted: boolean;
  /** It is what was demanded; false where nothing was. */
  readonly matched: boolean;
  /** Why it is not, for the log; empty when it is or nothing was demanded. */
  readonly why: string;
  /** Its subject's and issuer's common names, printable. */
  readonly subject: string;
  readonly issuer: string;
  readonly leaf: Certificate | undefined;
}

/**
 * Judges the certificates that a server sent, its own first, DER each.
 *
 * @param anchors authorities that are trusted
 * @param now milliseconds since 1970
 */
export function judgeServer(
  chain: readonly Uint8Array[],
  demand: CertificateDemand,
  anchors: TrustAnchors,
  now: number,
  depth: number,
): CertificateJudgement {
  const sent = readAll(chain);
  const [leaf] = sent;
  if (leaf === undefined) {
    const why = chain.length === 0 ? "no certificate" : "certificate cannot be read";
    return { present: chain.length > 0, trusted: false, matched: false, why, subject: "", issuer: "", leaf };
  }
  const names = {
    subject: printable(commonNameOf(leaf.subject)),
    issuer: printable(commonNameOf(leaf.issuer)),
  };
  return { present: true, leaf, ...names, ...judge(sent, leaf, demand, anchors, now, depth) };
}

function judge(
  sent: readonly Certificate[],
  leaf: Certificate,
  demand: CertificateDemand,
  anchors: TrustAnchors,
  now: number,
  depth: number,
): Pick<CertificateJudgement, "trusted" | "matched" | "why"> {
  switch (demand.kind) {
    case "none":
      return { trusted: isTrusted(sent, anchors, now, depth), matched: false, why: "" };
    case "names": {
      const verdict = verifyChain(sent, anchors, now, depth);
      if (verdict.kind === "untrusted") {
        const { why, at } = verdict;
        const untrusted = why === "unable to get local issuer certificate"
          ? `untrusted issuer ${printable(commonNameOf(at.issuer))}`
          : why;
        return { trusted: false, matched: false, why: untrusted };
      }
      const matched = matchingName(leaf, demand.names) !== undefined;
      return { trusted: true, matched, why: matched ? "" : "hostname mismatch" };
    }
    case "fingerprints": {
      const matched = hasFingerprint(leaf, demand.digest, demand.fingerprints);
      return { trusted: false, matched, why: matched ? "" : "fingerprint mismatch" };
    }
    case "dane": {
      const verdict = judgeDane(sent, demand.records, demand.names, now, depth);
      const matched = verdict.kind === "matched";
      return { trusted: matched, matched, why: matched ? "" : verdict.why };
    }
    default:
      return demand satisfies never;
  }
}

function isTrusted(sent: readonly Certificate[], anchors: TrustAnchors, now: number, depth: number): boolean {
  if (anchors.certificates.length === 0 && anchors.keys.length === 0) return false;
  return verifyChain(sent, anchors, now, depth).kind === "trusted";
}

/** The certificates up to the first that cannot be read: what comes after it may still vouch for nobody. */
function readAll(chain: readonly Uint8Array[]): Certificate[] {
  const read: Certificate[] = [];
  for (const raw of chain) {
    try {
      read.push(parseCertificate(raw));
    } catch (error) {
      if (error instanceof DerError) return read;
      throw error;
    }
  }
  return read;
}
