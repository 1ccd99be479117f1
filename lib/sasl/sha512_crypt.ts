/**
 * SHA-512 password hashes of crypt(3), `$6$salt$hash`: what shadow files, `openssl passwd -6` and `doveadm pw` have.
 * After U. Drepper's specification "Unix crypt using SHA-256 and SHA-512".
 *
 * @module
 */
// Safe primitives
import { digest } from "../safe/digest.ts";

/** Rounds where the hash names none, and the most that are done here; each round is a digest. */
const DEFAULT_ROUNDS = 5000;
const LEAST_ROUNDS = 1000;
const ROUNDS_LIMIT = 500_000;
/** Rounds after which others get a turn. */
const TURN = 2000;
const SALT_LIMIT = 16;
const SIZE = 64;

const ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A hash taken apart. */
export interface Sha512Crypt {
  readonly rounds: number;
  readonly salt: Uint8Array;
  /** As it is written, 86 characters. */
  readonly hash: string;
}

/** Takes `$6$[rounds=N$]salt$hash` apart; undefined when it is something else, or takes too many rounds. */
export function parseSha512Crypt(text: string): Sha512Crypt | undefined {
  const parts = text.split("$");
  if (parts[0] !== "" || parts[1] !== "6") return undefined;
  const named = parts[2]?.startsWith("rounds=") === true;
  const [salt, hash, ...rest] = parts.slice(named ? 3 : 2);
  const rounds = named ? Number(parts[2]!.slice("rounds=".length)) : DEFAULT_ROUNDS;
  if (!Number.isSafeInteger(rounds) || rounds < LEAST_ROUNDS || rounds > ROUNDS_LIMIT) return undefined;
  if (salt === undefined || hash === undefined || rest.length > 0 || salt.length > SALT_LIMIT) {
    return undefined;
  }
  if (hash.length !== 86 || [...hash].some((one) => !ALPHABET.includes(one))) return undefined;
  return { rounds, salt: new TextEncoder().encode(salt), hash };
}

/** The hash of a password, as it is written. */
export async function sha512Crypt(
  password: Uint8Array,
  { rounds, salt }: Pick<Sha512Crypt, "rounds" | "salt">,
): Promise<string> {
  const alternate = digest("sha512", password, salt, password);
  const pieces = [password, salt, repeated(alternate, password.length)];
  for (let bits = password.length; bits > 0; bits >>= 1) pieces.push(bits & 1 ? alternate : password);
  let state = digest("sha512", ...pieces);
  const p = repeated(
    digest("sha512", ...new Array<Uint8Array>(password.length).fill(password)),
    password.length,
  );
  const s = repeated(digest("sha512", ...new Array<Uint8Array>(16 + state[0]!).fill(salt)), salt.length);
  for (let round = 0; round < rounds; round++) {
    const odd = (round & 1) === 1;
    state = digest(
      "sha512",
      odd ? p : state,
      ...(round % 3 === 0 ? [] : [s]),
      ...(round % 7 === 0 ? [] : [p]),
      odd ? state : p,
    );
    if (round % TURN === TURN - 1) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return written(state);
}

/** The bytes again and again, up to a length. */
function repeated(bytes: Uint8Array, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => bytes[i % SIZE]!);
}

/** Three bytes as four characters at a time, in the specification's own order of bytes. */
function written(state: Uint8Array): string {
  let out = "";
  let [a, b, c] = [0, 21, 42];
  for (let i = 0; i < 21; i++) {
    out += characters((state[a]! << 16) | (state[b]! << 8) | state[c]!, 4);
    [a, b, c] = [b + 1, c + 1, a + 1];
  }
  return out + characters(state[63]!, 2);
}

function characters(value: number, count: number): string {
  let out = "";
  for (let i = 0; i < count; i++) out += ALPHABET[(value >> (6 * i)) & 0x3f];
  return out;
}
