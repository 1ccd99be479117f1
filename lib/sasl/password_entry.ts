/**
 * One user's stored password, `{SCHEME}text` as `doveadm pw` writes it: what is stored lets a password be checked, and is
 * none.
 *
 * @module
 */
// Safe primitives
import { deriveKey, digest, equalSecrets, hmac, scryptKey } from "../safe/digest.ts";
// Utility
import { asciiUpper } from "../vstring/ascii.ts";
import { decodeBase64 } from "../vstring/base64.ts";
import { encodeText } from "../vstring/byte_builder.ts";
// SASL
import { checkArgon2, isArgon2 } from "./argon2.ts";
import type { ScramKeys } from "./server_scram.ts";
import { parseSha512Crypt, sha512Crypt } from "./sha512_crypt.ts";

/** A stored password. */
export interface PasswordEntry {
  /** True for the right password. */
  check(password: Uint8Array): Promise<boolean>;
  /** What SCRAM needs, where it is stored. */
  readonly scram?: ScramKeys;
}

/** An entry, or what is wrong with it. */
export type ParsedEntry =
  | { readonly kind: "entry"; readonly entry: PasswordEntry }
  | { readonly kind: "wrong"; readonly why: string };

/** Most iterations of PBKDF2, and least (RFC 7677 section 4). */
const ITERATIONS_LIMIT = 10_000_000;
const LEAST_ITERATIONS = 4096;
/** Largest cost of scrypt: its parameters take 128 * r * N bytes. */
const SCRYPT_MEMORY_LIMIT = 256 * 1024 * 1024;
const SHA256_SIZE = 32;

const SCHEMES: ReadonlyMap<string, (text: string) => PasswordEntry | undefined> = new Map([
  ["ARGON2ID", argon2Entry],
  ["SCRYPT", scryptEntry],
  ["SHA512-CRYPT", sha512Entry],
  ["SCRAM-SHA-256", scramEntry],
]);
/** The hashes that tell by their beginning what they are. */
const BARE: readonly (readonly [beginning: string, scheme: string])[] = [
  ["$argon2id$", "ARGON2ID"],
  ["$scrypt$", "SCRYPT"],
  ["$6$", "SHA512-CRYPT"],
];

/** Reads an entry. */
export function parseEntry(text: string): ParsedEntry {
  const end = text.indexOf("}");
  const named = text.startsWith("{") && end > 0;
  const scheme = named ? asciiUpper(text.slice(1, end)) : BARE.find(([start]) => text.startsWith(start))?.[1];
  const read = scheme === undefined ? undefined : SCHEMES.get(scheme);
  if (read === undefined) {
    const names = [...SCHEMES.keys()].join(", ");
    return { kind: "wrong", why: `the scheme of the password is none of ${names}` };
  }
  const entry = read(named ? text.slice(end + 1) : text);
  return entry === undefined
    ? { kind: "wrong", why: `the password is no ${scheme} that can be checked` }
    : { kind: "entry", entry };
}

function argon2Entry(text: string): PasswordEntry | undefined {
  return isArgon2(text) ? { check: (password) => checkArgon2(password, text) } : undefined;
}

function sha512Entry(text: string): PasswordEntry | undefined {
  const parsed = parseSha512Crypt(text);
  if (parsed === undefined) return undefined;
  const hash = encodeText(parsed.hash);
  return { check: async (password) => equalSecrets(encodeText(await sha512Crypt(password, parsed)), hash) };
}

/** `$scrypt$ln=15,r=8,p=1$salt$hash`, base64 without padding. */
function scryptEntry(text: string): PasswordEntry | undefined {
  const [empty, name, cost = "", salt = "", hash = "", ...rest] = text.split("$");
  if (empty !== "" || name !== "scrypt" || rest.length > 0) return undefined;
  const values = new Map(cost.split(",").map((one) => one.split("=") as [string, string]));
  const [ln, r, p] = ["ln", "r", "p"].map((key) => Number(values.get(key)));
  const whole = [ln, r, p].every((value) => Number.isSafeInteger(value) && value! >= 1 && value! <= 32);
  if (!whole || 128 * r! * 2 ** ln! > SCRYPT_MEMORY_LIMIT) return undefined;
  const [saltBytes, hashBytes] = [unpadded(salt), unpadded(hash)];
  if (saltBytes === undefined || hashBytes === undefined || hashBytes.length < 16) return undefined;
  const parameters = { cost: 2 ** ln!, blockSize: r!, parallel: p! };
  return {
    check: async (password) =>
      equalSecrets(await scryptKey(password, saltBytes, parameters, hashBytes.length), hashBytes),
  };
}

function unpadded(text: string): Uint8Array | undefined {
  return text === "" ? undefined : decodeBase64(text + "=".repeat((4 - text.length % 4) % 4));
}

/** `iterations,salt,stored key,server key`: enough for SCRAM and, by the same computation, for a password itself. */
function scramEntry(text: string): PasswordEntry | undefined {
  const [count = "", ...encoded] = text.split(",");
  const iterations = Number(count);
  const [salt, storedKey, serverKey, more] = encoded.map(decodeBase64);
  if (!Number.isSafeInteger(iterations) || iterations < LEAST_ITERATIONS || iterations > ITERATIONS_LIMIT) {
    return undefined;
  }
  if (salt === undefined || salt.length === 0 || more !== undefined || encoded.length !== 3) return undefined;
  if (storedKey?.length !== SHA256_SIZE || serverKey?.length !== SHA256_SIZE) return undefined;
  const scram = { iterations, salt, storedKey, serverKey };
  return {
    scram,
    check: async (password) =>
      equalSecrets((await scramKeys(password, salt, iterations)).storedKey, storedKey),
  };
}

/** RFC 5802 section 3: what is stored of a password. */
export async function scramKeys(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
): Promise<ScramKeys> {
  const salted = await deriveKey("sha256", password, salt, iterations, SHA256_SIZE);
  const storedKey = digest("sha256", hmac("sha256", salted, encodeText("Client Key")));
  return { iterations, salt, storedKey, serverKey: hmac("sha256", salted, encodeText("Server Key")) };
}
