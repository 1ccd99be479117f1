/**
 * PLAIN and LOGIN on the server's side, over anything that checks a name and a password.
 *
 * @module
 */
// Utility
import { encodeText, isUtf8 } from "../vstring/byte_builder.ts";
import { decodeText } from "../vstring/byte_builder.ts";
// SASL
import {
  type Mechanism,
  NAME_LIMIT,
  over,
  PASSWORD_LIMIT,
  type SaslStep,
  type ServerExchange,
  type Started,
} from "./server_exchange.ts";

/** Checks a password. */
export type CheckPassword = (username: string, password: Uint8Array) => Promise<SaslStep>;

/** The mechanisms; both send the password as it is. */
export const PLAIN: Mechanism = { name: "PLAIN", properties: new Set(["plaintext"]) };
/** See PLAIN. */
export const LOGIN: Mechanism = { name: "LOGIN", properties: new Set(["plaintext"]) };

const EMPTY = new Uint8Array(0);
const USER_PROMPT = encodeText("Username:");
const PASSWORD_PROMPT = encodeText("Password:");

/** Begins PLAIN or LOGIN. */
export async function startPlain(
  mechanism: "PLAIN" | "LOGIN",
  initial: Uint8Array | undefined,
  check: CheckPassword,
): Promise<Started> {
  if (mechanism === "LOGIN") return startLogin(initial, check);
  if (initial !== undefined) return over(await plain(initial, check));
  // RFC 4954 section 4: a client that sends no initial response is asked for it by an empty challenge.
  return {
    exchange: { respond: (response) => plain(response, check), cancel: () => {} },
    step: { kind: "challenge", data: EMPTY },
  };
}

/** RFC 4616 section 2: an identity to act for, NUL, a name, NUL, a password. */
async function plain(message: Uint8Array, check: CheckPassword): Promise<SaslStep> {
  const first = message.indexOf(0);
  const second = message.indexOf(0, first + 1);
  if (first < 0 || second < 0 || message.indexOf(0, second + 1) >= 0) {
    return { kind: "failure", why: "Invalid PLAIN response" };
  }
  const identity = readName(message.subarray(0, first));
  const username = readName(message.subarray(first + 1, second));
  if (username === undefined || username === "" || identity === undefined) {
    return { kind: "failure", why: "Invalid login name" };
  }
  // Nobody acts for others here: to be taken for another would be a right that no password gives.
  if (identity !== "" && identity !== username) {
    return { kind: "failure", why: "Acting for another user is not allowed", username };
  }
  return await checkLength(username, message.subarray(second + 1), check);
}

function startLogin(initial: Uint8Array | undefined, check: CheckPassword): Started {
  const exchange = new LoginExchange(check);
  return {
    exchange,
    step: initial === undefined ? { kind: "challenge", data: USER_PROMPT } : exchange.name(initial),
  };
}

/** LOGIN, which never became a standard: the name, then the password. */
class LoginExchange implements ServerExchange {
  readonly #check: CheckPassword;
  #username: string | undefined;

  constructor(check: CheckPassword) {
    this.#check = check;
  }

  name(bytes: Uint8Array): SaslStep {
    const username = readName(bytes);
    if (username === undefined || username === "") return { kind: "failure", why: "Invalid login name" };
    this.#username = username;
    return { kind: "challenge", data: PASSWORD_PROMPT };
  }

  respond(response: Uint8Array): Promise<SaslStep> {
    if (this.#username === undefined) return Promise.resolve(this.name(response));
    return checkLength(this.#username, response, this.#check);
  }

  cancel(): void {}
}

async function checkLength(username: string, password: Uint8Array, check: CheckPassword): Promise<SaslStep> {
  // A backend may read a NUL as an end: what is behind it would not be checked.
  if (password.length === 0 || password.length > PASSWORD_LIMIT || password.includes(0)) {
    return { kind: "failure", why: "Invalid password", username };
  }
  return await check(username, password);
}

/** A login name: UTF-8 without control characters; undefined when it is none. */
export function readName(bytes: Uint8Array): string | undefined {
  if (bytes.length > NAME_LIMIT || !isUtf8(bytes)) return undefined;
  return bytes.some((byte) => byte < 0x20 || byte === 0x7f) ? undefined : decodeText(bytes);
}
