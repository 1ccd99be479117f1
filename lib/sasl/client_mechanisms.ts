/**
 * SASL mechanisms on the client's side (RFC 4422), the best first.
 *
 * @module
 */
// Safe primitives
import { hmac, randomBytes } from "../safe/digest.ts";
// Utility
import { encodeBase64 } from "../vstring/base64.ts";
import { encodeText } from "../vstring/byte_builder.ts";
// SASL
import { type ClientExchange, type Credentials, SaslClientError } from "./client_exchange.ts";
import { ScramClient } from "./client_scram.ts";
import type { Mechanism } from "./server_exchange.ts";

/** A mechanism that the client knows. */
export interface ClientMechanism extends Mechanism {
  start(credentials: Credentials, random: (length: number) => Uint8Array): ClientExchange;
}

const EMPTY = new Uint8Array(0);

/** All mechanisms, the best first: one that shows the password to the server is used when there is no other. */
export const CLIENT_MECHANISMS: readonly ClientMechanism[] = [
  {
    name: "SCRAM-SHA-256",
    properties: new Set(["mutual-auth"]),
    start: (who, random) => new ScramClient("sha256", who, encodeBase64(random(NONCE_LENGTH))),
  },
  {
    name: "SCRAM-SHA-1",
    properties: new Set(["mutual-auth"]),
    start: (who, random) => new ScramClient("sha1", who, encodeBase64(random(NONCE_LENGTH))),
  },
  { name: "CRAM-MD5", properties: new Set(["active", "dictionary"]), start: startCramMd5 },
  { name: "PLAIN", properties: new Set(["plaintext", "active", "dictionary"]), start: startPlain },
  { name: "LOGIN", properties: new Set(["plaintext", "active", "dictionary"]), start: startLogin },
  { name: "XOAUTH2", properties: new Set(["plaintext", "active"]), start: startXoauth2 },
];

/** Bytes of a nonce. */
const NONCE_LENGTH = 18;

/** Begins an exchange. */
export function startClientExchange(
  mechanism: ClientMechanism,
  credentials: Credentials,
  random: (length: number) => Uint8Array = randomBytes,
): ClientExchange {
  return mechanism.start(credentials, random);
}

/** An exchange that answers each challenge by a list. */
function scripted(
  initial: Uint8Array | undefined,
  answers: readonly ((challenge: Uint8Array) => Uint8Array)[],
): ClientExchange {
  let step = 0;
  return {
    initial,
    respond: (challenge) => {
      const answer = answers[step++];
      if (answer === undefined) throw new SaslClientError("server asks for more than the mechanism has");
      return Promise.resolve(answer(challenge));
    },
    get complete() {
      return step >= answers.length;
    },
  };
}

/** RFC 4616 section 2: who to act for (nobody else), NUL, the name, NUL, the password. */
function startPlain({ user, password }: Credentials): ClientExchange {
  if (user.includes("\0") || password.includes("\0")) throw new SaslClientError("name or password holds NUL");
  return scripted(encodeText(`\0${user}\0${password}`), []);
}

/** The mechanism that nobody standardised: the server asks twice, in words that say nothing. */
function startLogin({ user, password }: Credentials): ClientExchange {
  return scripted(undefined, [() => encodeText(user), () => encodeText(password)]);
}

/** RFC 2195 section 2: the name, a blank, the keyed digest of the challenge in hexadecimal. */
function startCramMd5({ user, password }: Credentials): ClientExchange {
  const answer = (challenge: Uint8Array) => {
    if (challenge.length === 0) throw new SaslClientError("challenge is empty");
    const digest = [...hmac("md5", encodeText(password), challenge)];
    return encodeText(`${user} ${digest.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`);
  };
  return scripted(undefined, [answer]);
}

/**
 * Google's and Microsoft's mechanism: the name and a bearer token. After a failure the server sends its reasons as a
 * challenge, which wants an empty answer before the refusal comes.
 */
function startXoauth2({ user, password }: Credentials): ClientExchange {
  if (user.includes("\x01") || password.includes("\x01")) {
    throw new SaslClientError("name or token holds a control character");
  }
  const exchange = scripted(encodeText(`user=${user}\x01auth=Bearer ${password}\x01\x01`), [() => EMPTY]);
  return { initial: exchange.initial, respond: exchange.respond, complete: true };
}
