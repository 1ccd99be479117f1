/**
 * # saslpasswd
 *
 * Makes a line of smtpd_sasl_password_file.
 *
 * ## Synopsis
 * `saslpasswd [-s SCHEME] USER`
 *
 * ## Description
 * Reads a password from standard input, up to the end of the first line, and prints `USER:{SCHEME}hash`: a line for the
 * password file, which is for the administrator to put there. SCHEME is one of
 *
 * - `SCRAM-SHA-256` (default): enough for every mechanism, SCRAM-SHA-256 among them;
 * - `ARGON2ID`: the hardest to guess from a stolen file, for PLAIN and LOGIN;
 * - `SCRYPT`: the same with less memory.
 *
 * ## Security
 * The password is never on the command line, where other users could see it. Nothing is written to a file.
 *
 * ## Diagnostics
 * Status 1: no password, or a name or scheme that cannot be used.
 *
 * ## Known limits
 * A terminal shows what is typed: use a pipe, or `stty -echo`. Lines made by `doveadm pw` are as good.
 *
 * @module
 */
// Safe primitives
import { randomBytes, scryptKey } from "../lib/safe/digest.ts";
// Utility
import { encodeBase64 } from "../lib/vstring/base64.ts";
import { asciiUpper, CR, LF } from "../lib/vstring/ascii.ts";
import { ByteBuilder, encodeText } from "../lib/vstring/byte_builder.ts";
// Wire protocols
import { makeArgon2 } from "../lib/sasl/argon2.ts";
import { scramKeys } from "../lib/sasl/password_entry.ts";
import { PASSWORD_LIMIT } from "../lib/sasl/server_exchange.ts";
import { readName } from "../lib/sasl/server_plain.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { parseOptions } from "./options.ts";

const SALT_SIZE = 16;
const HASH_SIZE = 32;
/** Work that a guess takes: iterations of PBKDF2, and the parameters of scrypt. */
const ITERATIONS = 100_000;
const SCRYPT = { cost: 2 ** 15, blockSize: 8, parallel: 1 };

const MAKERS: ReadonlyMap<string, (password: Uint8Array, salt: Uint8Array) => Promise<string>> = new Map([
  ["SCRAM-SHA-256", makeScram],
  ["ARGON2ID", makeArgon2],
  ["SCRYPT", makeScrypt],
]);

/** Prints the line. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "s:");
  if (parsed.kind === "invalid" || parsed.operands.length !== 1) {
    throw new CommandError("fatal: usage: saslpasswd [-s scheme] user");
  }
  const [user = ""] = parsed.operands;
  const scheme = asciiUpper(parsed.options.at(-1)?.value ?? "SCRAM-SHA-256");
  const make = MAKERS.get(scheme);
  if (make === undefined) {
    throw new CommandError(`fatal: unknown scheme "${scheme}": use ${[...MAKERS.keys()].join(", ")}`);
  }
  if (
    user.includes(":") || user.startsWith("#") || (readName(encodeText(user)) ?? "") !== user.trim() ||
    user === ""
  ) {
    throw new CommandError(`fatal: "${user}" cannot be a login name`);
  }
  const password = await firstLine(env);
  if (password.length === 0) throw new CommandError("fatal: no password on standard input");
  env.out(`${user}:{${scheme}}${await make(password, randomBytes(SALT_SIZE))}\n`);
  return 0;
}

async function firstLine(env: CommandEnv): Promise<Uint8Array> {
  const input = new ByteBuilder(PASSWORD_LIMIT);
  for await (const chunk of env.stdin()) {
    const end = chunk.indexOf(LF);
    const part = end < 0 ? chunk : chunk.subarray(0, end);
    if (input.length + part.length > PASSWORD_LIMIT) {
      throw new CommandError(`fatal: a password has at most ${PASSWORD_LIMIT} bytes`);
    }
    input.bytes(part);
    if (end >= 0) break;
  }
  const line = input.view().slice();
  return line.at(-1) === CR ? line.subarray(0, line.length - 1) : line;
}

async function makeScram(password: Uint8Array, salt: Uint8Array): Promise<string> {
  const { storedKey, serverKey } = await scramKeys(password, salt, ITERATIONS);
  return [String(ITERATIONS), ...[salt, storedKey, serverKey].map(encodeBase64)].join(",");
}

async function makeScrypt(password: Uint8Array, salt: Uint8Array): Promise<string> {
  const hash = await scryptKey(password, salt, SCRYPT, HASH_SIZE);
  const [s, h] = [salt, hash].map((bytes) => encodeBase64(bytes).split("=")[0]);
  return `$scrypt$ln=${Math.log2(SCRYPT.cost)},r=${SCRYPT.blockSize},p=${SCRYPT.parallel}$${s}$${h}`;
}
