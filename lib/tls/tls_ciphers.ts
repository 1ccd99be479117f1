/**
 * The ciphers that the runtime's TLS library speaks. It always offers all of them: a grade is met or not, and an exclusion
 * that would take one away cannot be obeyed.
 *
 * @module
 */
// Utility
import { asciiLower, asciiUpper, splitBlanks } from "../vstring/ascii.ts";

/** Bits of the key of each cipher, by OpenSSL's name. */
const CIPHERS: ReadonlyMap<string, number> = new Map([
  ["TLS_AES_256_GCM_SHA384", 256],
  ["TLS_AES_128_GCM_SHA256", 128],
  ["TLS_CHACHA20_POLY1305_SHA256", 256],
  ["ECDHE-ECDSA-AES256-GCM-SHA384", 256],
  ["ECDHE-ECDSA-AES128-GCM-SHA256", 128],
  ["ECDHE-ECDSA-CHACHA20-POLY1305", 256],
  ["ECDHE-RSA-AES256-GCM-SHA384", 256],
  ["ECDHE-RSA-AES128-GCM-SHA256", 128],
  ["ECDHE-RSA-CHACHA20-POLY1305", 256],
]);

/** Words of OpenSSL's cipher lists that stand for one or more of them. */
const OFFERED_WORDS: ReadonlySet<string> = new Set([
  "ALL",
  "HIGH",
  "AES",
  "AES128",
  "AES256",
  "AESGCM",
  "CHACHA20",
  "ECDHE",
  "EECDH",
  "KECDHE",
  "KEECDH",
  "ARSA",
  "AECDSA",
  "ECDSA",
  "SHA256",
  "SHA384",
  "TLSV1.2",
  "TLSV1.3",
  "DEFAULT",
  "SUITEB128",
  "SUITEB192",
]);

/** Grades that all of them meet (postconf(5), smtpd_tls_ciphers). "null" is none: it is about ciphers without encryption. */
const MET_GRADES: readonly string[] = ["export", "low", "medium", "high"];

/** True for a grade of ciphers that all of the library's meet. */
export function isMetGrade(grade: string): boolean {
  return MET_GRADES.includes(asciiLower(grade));
}

/** Bits of a cipher's key; 0 for one that is not known here. */
export function cipherBits(name: string): number {
  return CIPHERS.get(name) ?? 0;
}

/** The first of a list of exclusions that names a cipher that is always offered; undefined: all are obeyed. */
export function disobeyedExclusion(exclusions: readonly string[]): string | undefined {
  return exclusions.flatMap((item) => splitBlanks(item.replaceAll(":", " "), true)).find((word) => {
    // "A+B": what is both. One part that is not offered is enough to be obeyed.
    const parts = asciiUpper(word).split("+");
    return CIPHERS.has(asciiUpper(word)) || parts.every((part) => OFFERED_WORDS.has(part));
  });
}
