/**
 * argon2id (RFC 9106): the only importer of hash-wasm. A check takes the memory that the hash says, and all of a thread.
 *
 * @module
 */
import { argon2id, argon2Verify } from "hash-wasm";

/** Most memory, KiB, passes and lanes that a hash may ask for. */
const MEMORY_LIMIT = 262_144;
const PASSES_LIMIT = 20;
const LANES_LIMIT = 16;

/** True for a hash in PHC form that can be checked here: `$argon2id$v=19$m=65536,t=3,p=1$salt$hash`. */
export function isArgon2(text: string): boolean {
  const [empty, name, version, cost = "", salt = "", hash = "", ...rest] = text.split("$");
  if (empty !== "" || name !== "argon2id" || version !== "v=19" || rest.length > 0) return false;
  const values = new Map(cost.split(",").map((one) => one.split("=") as [string, string]));
  const within = (key: string, most: number) => {
    const value = Number(values.get(key));
    return Number.isSafeInteger(value) && value >= 1 && value <= most;
  };
  return within("m", MEMORY_LIMIT) && within("t", PASSES_LIMIT) && within("p", LANES_LIMIT) && salt !== "" &&
    hash !== "";
}

/** True when the password is that of the hash. */
export function checkArgon2(password: Uint8Array, hash: string): Promise<boolean> {
  return argon2Verify({ password, hash });
}

/** Work of a new hash: KiB of memory and passes. */
const MEMORY = 65_536;
const PASSES = 3;
const HASH_SIZE = 32;

/** A new hash in PHC form. */
export function makeArgon2(password: Uint8Array, salt: Uint8Array): Promise<string> {
  return argon2id({
    password,
    salt,
    parallelism: 1,
    iterations: PASSES,
    memorySize: MEMORY,
    hashLength: HASH_SIZE,
    outputType: "encoded",
  });
}
