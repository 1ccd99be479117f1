/**
 * Digests and derived keys, for authentication.
 *
 * Permissions needed: none.
 *
 * @module
 */
import {
  createHash,
  createHmac,
  pbkdf2,
  randomBytes as systemRandomBytes,
  scrypt,
  timingSafeEqual,
} from "node:crypto";

/** Digests that are made here. */
export type DigestName = "md5" | "sha1" | "sha256" | "sha384" | "sha512";

/** Memory that scrypt may take beyond what its parameters ask for, bytes. */
const SCRYPT_SPARE = 1024 * 1024;

/** The digest of some pieces one behind the other. */
export function digest(name: DigestName, ...pieces: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(name);
  for (const piece of pieces) hash.update(piece);
  return new Uint8Array(hash.digest());
}

/** HMAC of a text (RFC 2104). */
export function hmac(name: DigestName, key: Uint8Array, text: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac(name, key).update(text).digest());
}

/** PBKDF2 with HMAC (RFC 8018), in another thread. */
export function deriveKey(
  name: DigestName,
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    pbkdf2(
      password,
      salt,
      iterations,
      length,
      name,
      (error, key) => error === null || error === undefined ? resolve(new Uint8Array(key)) : reject(error),
    )
  );
}

/** scrypt (RFC 7914), in another thread. `cost` is N, a power of two. */
export function scryptKey(
  password: Uint8Array,
  salt: Uint8Array,
  parameters: { readonly cost: number; readonly blockSize: number; readonly parallel: number },
  length: number,
): Promise<Uint8Array> {
  const { cost, blockSize, parallel } = parameters;
  const options = {
    N: cost,
    r: blockSize,
    p: parallel,
    maxmem: 128 * blockSize * (cost + parallel) + SCRYPT_SPARE,
  };
  return new Promise((resolve, reject) =>
    scrypt(
      password,
      salt,
      length,
      options,
      (error, key) => error === null || error === undefined ? resolve(new Uint8Array(key)) : reject(error),
    )
  );
}

/** True when both are equal; how long it takes tells nothing of where they differ. */
export function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Random bytes that nobody can guess. */
export function randomBytes(count: number): Uint8Array {
  return new Uint8Array(systemRandomBytes(count));
}
