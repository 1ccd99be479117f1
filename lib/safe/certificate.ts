/**
 * X.509 certificates and private keys: what is in them, whether they belong together. Nothing here decides whether a
 * certificate is trusted; the handshake does (tls_server.ts).
 *
 * Permissions needed: none.
 *
 * @module
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { checkServerIdentity } from "node:tls";
import { asciiLower, asciiUpper } from "../vstring/ascii.ts";

/** Digests that fingerprints are made with. */
export type FingerprintDigest = "md5" | "sha1" | "sha256" | "sha384" | "sha512";

/** A certificate. */
export class Certificate {
  readonly #certificate: X509Certificate;

  /** @param encoded DER, or one certificate as PEM. Throws when it is neither */
  constructor(encoded: Uint8Array | string) {
    this.#certificate = new X509Certificate(encoded);
  }

  /** Common name of who it is for; anything may stand in it. Empty: it has none. */
  get subjectName(): string {
    return commonName(this.#certificate.toLegacyObject().subject);
  }

  /** Common name of who made it; anything may stand in it. */
  get issuerName(): string {
    return commonName(this.#certificate.toLegacyObject().issuer);
  }

  /** When it begins and ends to be valid, milliseconds since 1970. */
  get validFrom(): number {
    return Date.parse(this.#certificate.validFrom);
  }

  get validTo(): number {
    return Date.parse(this.#certificate.validTo);
  }

  /** The kind of its key: "rsa", "ec", "ed25519". */
  get keyType(): string {
    return this.#certificate.publicKey.asymmetricKeyType ?? "";
  }

  /** True when it is for the host: a name of its own or a wildcard of one label. */
  isFor(host: string): boolean {
    return checkServerIdentity(asciiLower(host), this.#certificate.toLegacyObject()) === undefined;
  }

  /** True when the private key is this certificate's. */
  fits(key: PrivateKey): boolean {
    return this.#certificate.checkPrivateKey(key.object);
  }

  /** Digest of the whole certificate, "AB:CD:...". */
  fingerprint(digest: FingerprintDigest): string {
    return colons(createHash(digest).update(this.#certificate.raw).digest("hex"));
  }

  /** The same of its public key, which a renewed certificate may keep. */
  keyFingerprint(digest: FingerprintDigest): string {
    const key = this.#certificate.publicKey.export({ type: "spki", format: "der" });
    return colons(createHash(digest).update(key).digest("hex"));
  }
}

/** A private key. */
export class PrivateKey {
  readonly object: KeyObject;

  /** @param pem one key as PEM, without a passphrase. Throws when it is none */
  constructor(pem: string) {
    this.object = createPrivateKey(pem);
  }
}

/** A name may have several common names: the last one is the most specific. */
function commonName(name: unknown): string {
  const value = (name as { CN?: string | string[] } | undefined)?.CN;
  return (Array.isArray(value) ? value.at(-1) : value) ?? "";
}

function colons(hex: string): string {
  const pairs: string[] = [];
  for (let i = 0; i < hex.length; i += 2) pairs.push(hex.slice(i, i + 2));
  return asciiUpper(pairs.join(":"));
}
