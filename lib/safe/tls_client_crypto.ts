/**
 * The arithmetic of certificates: keys and signatures.
 *
 * Permissions needed: none.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { asciiUpper } from "../vstring/ascii.ts";

/** Digests of signatures. */
export type SignatureDigest = "sha256" | "sha384" | "sha512";

/** How a certificate is signed. */
export type SignatureKind = "rsa" | "ecdsa" | "ed25519";

/** Least bits of an RSA key that a signature of is believed. */
const RSA_BITS = 2048;

/**
 * True when `signature` over `data` was made with the private half of a key. Keys that the runtime does not know, that
 * are of another kind or too short, sign nothing.
 *
 * @param key SubjectPublicKeyInfo, DER
 * @param digest ignored for ed25519, which has its own
 */
export function isSignedBy(
  key: Uint8Array,
  kind: SignatureKind,
  digest: SignatureDigest,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const object = createPublicKey({ key: Buffer.from(key), format: "der", type: "spki" });
    if (!isUsable(object, kind)) return false;
    return verify(kind === "ed25519" ? null : digest, data, object, signature);
  } catch {
    // The peer chose the bytes: what is no key or no signature proves nothing.
    return false;
  }
}

/** Type and size of a key in words, as "RSA (2048 bits)" or "prime256v1"; empty when the runtime does not know it. */
export function describeKey(key: Uint8Array): string {
  try {
    const object = createPublicKey({ key: Buffer.from(key), format: "der", type: "spki" });
    const { modulusLength, namedCurve } = object.asymmetricKeyDetails ?? {};
    if (modulusLength !== undefined) return `RSA (${modulusLength} bits)`;
    return namedCurve !== undefined ? `ECDSA (${namedCurve})` : asciiUpper(object.asymmetricKeyType ?? "");
  } catch {
    return "";
  }
}

function isUsable(key: KeyObject, kind: SignatureKind): boolean {
  switch (kind) {
    case "rsa":
      return key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_BITS;
    case "ecdsa":
      return key.asymmetricKeyType === "ec";
    case "ed25519":
      return key.asymmetricKeyType === "ed25519";
  }
}
