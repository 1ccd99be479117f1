/**
 * From a server's certificate to somebody who is trusted: the path validation of RFC 5280 section 6 as far as servers
 * on the internet need it, with trust anchors that are certificates, bare keys, or whatever a TLSA record describes.
 *
 * @module
 */
import { isSignedBy, type SignatureDigest, type SignatureKind } from "../safe/tls_client_crypto.ts";
import {
  ANY_PURPOSE,
  type Certificate,
  equalBytes,
  type NameConstraints,
  SERVER_PURPOSE,
  USAGE,
} from "./client_certificate.ts";
import { namesOf } from "./client_names.ts";

/** Who is trusted. */
export interface TrustAnchors {
  readonly certificates: readonly Certificate[];
  /** SubjectPublicKeyInfo, DER each. */
  readonly keys: readonly Uint8Array[];
}

/** The judgement. `why` is OpenSSL's wording, as Postfix logs it. */
export type ChainVerdict =
  | { readonly kind: "trusted" }
  | { readonly kind: "untrusted"; readonly why: string; readonly at: Certificate };

/** Signatures that are checked for one chain: a server must not make us work for long. */
const SIGNATURE_LIMIT = 50;

const ALGORITHMS: ReadonlyMap<string, readonly [SignatureKind, SignatureDigest]> = new Map([
  ["1.2.840.113549.1.1.11", ["rsa", "sha256"]],
  ["1.2.840.113549.1.1.12", ["rsa", "sha384"]],
  ["1.2.840.113549.1.1.13", ["rsa", "sha512"]],
  ["1.2.840.10045.4.3.2", ["ecdsa", "sha256"]],
  ["1.2.840.10045.4.3.3", ["ecdsa", "sha384"]],
  ["1.2.840.10045.4.3.4", ["ecdsa", "sha512"]],
  ["1.3.101.112", ["ed25519", "sha512"]],
]);

/** One chain's validation. */
class PathSearch {
  readonly #sent: readonly Certificate[];
  readonly #anchors: TrustAnchors;
  readonly #now: number;
  readonly #depth: number;
  #signatures = 0;
  /** Why the path that came nearest was none. */
  #failure: { why: string; at: Certificate } | undefined;

  constructor(sent: readonly Certificate[], anchors: TrustAnchors, now: number, depth: number) {
    this.#sent = sent;
    this.#anchors = anchors;
    this.#now = now;
    this.#depth = depth;
  }

  verdict(): ChainVerdict {
    const leaf = this.#sent[0]!;
    const fault = this.#faultOfServer(leaf);
    if (fault !== undefined) return { kind: "untrusted", why: fault, at: leaf };
    if (this.#reaches([leaf])) return { kind: "trusted" };
    return { kind: "untrusted", ...this.#failure ?? { why: noIssuer(this.#sent), at: last(this.#sent) } };
  }

  /** True when the path, from the server's certificate up, can be led to an anchor. */
  #reaches(path: readonly Certificate[]): boolean {
    const top = last(path);
    if (this.#anchors.certificates.some((anchor) => equalBytes(anchor.raw, top.raw))) return true;
    if (this.#anchors.keys.some((key) => this.#isSigned(top, key))) return true;
    // OpenSSL's depth counts the authorities between the server and the anchor.
    if (path.length - 1 > this.#depth) return false;
    const issuers = [...this.#anchors.certificates, ...this.#sent.slice(1)];
    for (const issuer of issuers) {
      if (!equalBytes(issuer.subject, top.issuer) || path.includes(issuer)) continue;
      const fault = this.#faultOfAuthority(issuer, path);
      if (fault !== undefined) {
        this.#failure ??= { why: fault, at: issuer };
        continue;
      }
      if (!this.#isSigned(top, issuer.key)) {
        if (this.#signatures >= SIGNATURE_LIMIT) return false;
        this.#failure ??= { why: "certificate signature failure", at: top };
        continue;
      }
      if (this.#reaches([...path, issuer])) return true;
    }
    return false;
  }

  #isSigned(certificate: Certificate, key: Uint8Array): boolean {
    const algorithm = ALGORITHMS.get(certificate.algorithm);
    if (algorithm === undefined || this.#signatures >= SIGNATURE_LIMIT) return false;
    this.#signatures++;
    return isSignedBy(key, ...algorithm, certificate.signed, certificate.signature);
  }

  #faultOfServer(leaf: Certificate): string | undefined {
    const { DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT } = USAGE;
    const uses = DIGITAL_SIGNATURE | KEY_ENCIPHERMENT | KEY_AGREEMENT;
    if (leaf.usage !== undefined && (leaf.usage & uses) === 0) return "unsuitable certificate purpose";
    return this.#faultOfAny(leaf);
  }

  /** What forbids a certificate to vouch for the path below it. */
  #faultOfAuthority(issuer: Certificate, path: readonly Certificate[]): string | undefined {
    const isAnchor = this.#anchors.certificates.includes(issuer);
    // A root of version 1 has no extensions to say what it is; being in the list of authorities says it.
    const isAuthority = issuer.authority ?? (isAnchor && issuer.version === 1);
    if (!isAuthority) return "invalid CA certificate";
    if (issuer.usage !== undefined && (issuer.usage & USAGE.SIGN) === 0) return "invalid CA certificate";
    // RFC 5280 section 4.2.1.9: the length does not count the server's certificate and those that renew a key.
    const below = path.slice(1).filter((one) => !equalBytes(one.subject, one.issuer)).length;
    if (below > issuer.pathLimit) return "path length constraint exceeded";
    if (issuer.constraints !== undefined && !permits(issuer.constraints, path[0]!)) {
      return "permitted subtree violation";
    }
    return this.#faultOfAny(issuer);
  }

  #faultOfAny(certificate: Certificate): string | undefined {
    const { purposes } = certificate;
    if (certificate.unknownCritical) return "unhandled critical extension";
    if (this.#now < certificate.notBefore) return "certificate is not yet valid";
    if (this.#now > certificate.notAfter) return "certificate has expired";
    if (purposes !== undefined && !purposes.includes(SERVER_PURPOSE) && !purposes.includes(ANY_PURPOSE)) {
      return "unsuitable certificate purpose";
    }
    return undefined;
  }
}

/**
 * Judges the certificates that a server sent, its own first.
 *
 * @param now milliseconds since 1970
 * @param depth most authorities between the server and the anchor (smtp_tls_scert_verifydepth)
 */
export function verifyChain(
  sent: readonly Certificate[],
  anchors: TrustAnchors,
  now: number,
  depth: number,
): ChainVerdict {
  return new PathSearch(sent, anchors, now, depth).verdict();
}

/** OpenSSL's words for a chain that ends with a stranger. */
function noIssuer(sent: readonly Certificate[]): string {
  const top = last(sent);
  if (!equalBytes(top.subject, top.issuer)) return "unable to get local issuer certificate";
  return sent.length === 1 ? "self-signed certificate" : "self-signed certificate in certificate chain";
}

/** RFC 5280 section 4.2.1.10: a constraint of "example.com" covers that name and all below it. */
function permits(constraints: NameConstraints, leaf: Certificate): boolean {
  if (constraints.other) return false;
  const { permitted, excluded } = constraints;
  return namesOf(leaf).every((name) => {
    // "*.example.com" is within what its domain is within, and reaches into what is below that.
    const isWild = name.startsWith("*.");
    const plain = isWild ? name.slice(2) : name;
    if (excluded.some((base) => isBelow(plain, base) || (isWild && isBelow(base, plain)))) return false;
    return permitted === undefined || permitted.some((base) => isBelow(plain, base));
  });
}

function isBelow(name: string, base: string): boolean {
  const plain = base.startsWith(".") ? base.slice(1) : base;
  return plain === "" || name === plain || name.endsWith(`.${plain}`);
}

function last<T>(items: readonly T[]): T {
  return items[items.length - 1]!;
}
