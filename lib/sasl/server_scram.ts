/**
 * SCRAM-SHA-256 on the server's side (RFC 5802, RFC 7677): the password never comes over the wire, and what is stored
 * is no password either.
 *
 * @module
 */
// Safe primitives
import { digest, equalSecrets, hmac, randomBytes } from "../safe/digest.ts";
// Utility
import { decodeBase64, encodeBase64 } from "../vstring/base64.ts";
import { decodeText, encodeText, isUtf8 } from "../vstring/byte_builder.ts";
// SASL
import type { Mechanism, SaslStep, ServerExchange, Started } from "./server_exchange.ts";
import { readName } from "./server_plain.ts";

/** What is stored of a password for SCRAM. */
export interface ScramKeys {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** The keys of a user, under its full name; for one that is not there some that nobody knows the password of. */
export type FindKeys = (
  username: string,
) => { readonly name: string; readonly keys: ScramKeys; readonly known: boolean };

/** The mechanism: the password stays with the client, and the server proves itself too. */
export const SCRAM: Mechanism = { name: "SCRAM-SHA-256", properties: new Set(["mutual-auth"]) };

/** Bytes of the server's part of the nonce. */
const NONCE_LENGTH = 18;
/** Longest message of a client, bytes, and of its nonce, characters. */
const MESSAGE_LIMIT = 2048;
const NONCE_LIMIT = 512;
const EMPTY = new Uint8Array(0);

/** Begins SCRAM-SHA-256. */
export function startScram(
  initial: Uint8Array | undefined,
  find: FindKeys,
  nonce: string = encodeBase64(randomBytes(NONCE_LENGTH)),
): Started {
  const exchange = new ScramExchange(find, nonce);
  return {
    exchange,
    step: initial === undefined ? { kind: "challenge", data: EMPTY } : exchange.first(initial),
  };
}

class ScramExchange implements ServerExchange {
  readonly #find: FindKeys;
  readonly #serverNonce: string;
  #state: "first" | "final" | "last" = "first";
  #username = "";
  #binding = "";
  #nonce = "";
  #authMessage = "";
  #found: ReturnType<FindKeys> | undefined;

  constructor(find: FindKeys, nonce: string) {
    this.#find = find;
    this.#serverNonce = nonce;
  }

  respond(response: Uint8Array): Promise<SaslStep> {
    switch (this.#state) {
      case "first":
        return Promise.resolve(this.first(response));
      case "final":
        return Promise.resolve(this.#final(response));
      case "last":
        // RFC 5802 section 5: the server's proof went with the last challenge; the client has nothing to add.
        return Promise.resolve(
          response.length === 0
            ? { kind: "success", username: this.#found!.name }
            : this.#fail("Invalid SCRAM response"),
        );
    }
  }

  cancel(): void {}

  #fail(why: string): SaslStep {
    return { kind: "failure", why, ...(this.#username === "" ? {} : { username: this.#username }) };
  }

  /** RFC 5802 section 7: client-first-message, "n,,n=user,r=nonce". */
  first(message: Uint8Array): SaslStep {
    const text = readMessage(message);
    const parts = text?.split(",") ?? [];
    const [binding = "", identity = "", name = "", nonce = ""] = parts;
    // RFC 5802 section 5.1: "m=" asks for an extension that nobody knows; it stands where the name should.
    const bad = text === undefined || !name.startsWith("n=") || !nonce.startsWith("r=");
    if (bad || nonce.length < 3 || nonce.length > NONCE_LIMIT) return this.#fail("Invalid SCRAM response");
    if (binding !== "n" && binding !== "y") return this.#fail("Channel binding is not supported");
    const username = unescapeName(name.slice(2));
    const authorized = identity.startsWith("a=") ? unescapeName(identity.slice(2)) : identity;
    if (username === undefined) return this.#fail("Invalid login name");
    this.#username = username;
    if (authorized !== "" && authorized !== username) {
      return this.#fail("Acting for another user is not allowed");
    }
    this.#binding = encodeBase64(encodeText(`${binding},${identity},`));
    this.#nonce = `${nonce.slice(2)}${this.#serverNonce}`;
    this.#found = this.#find(username);
    const { salt, iterations } = this.#found.keys;
    const challenge = `r=${this.#nonce},s=${encodeBase64(salt)},i=${iterations}`;
    this.#authMessage = `${parts.slice(2).join(",")},${challenge}`;
    this.#state = "final";
    return { kind: "challenge", data: encodeText(challenge) };
  }

  /** RFC 5802 section 3: the client's proof, and the server's in return. */
  #final(message: Uint8Array): SaslStep {
    const text = readMessage(message) ?? "";
    const at = text.lastIndexOf(",p=");
    const proof = at < 0 ? undefined : decodeBase64(text.slice(at + 3));
    const [binding, nonce] = text.slice(0, Math.max(at, 0)).split(",");
    const { storedKey, serverKey } = this.#found!.keys;
    if (
      binding !== `c=${this.#binding}` || nonce !== `r=${this.#nonce}` || proof?.length !== storedKey.length
    ) {
      return this.#fail("Invalid SCRAM response");
    }
    const auth = encodeText(`${this.#authMessage},${text.slice(0, at)}`);
    const signature = hmac("sha256", storedKey, auth);
    const clientKey = proof.map((byte, i) => byte ^ signature[i]!);
    const proven = equalSecrets(digest("sha256", clientKey), storedKey);
    if (!proven || !this.#found!.known) return this.#fail("Authentication failed");
    this.#state = "last";
    return { kind: "challenge", data: encodeText(`v=${encodeBase64(hmac("sha256", serverKey, auth))}`) };
  }
}

function readMessage(message: Uint8Array): string | undefined {
  return message.length > MESSAGE_LIMIT || !isUtf8(message) ? undefined : decodeText(message);
}

/** RFC 5802 section 5.1: "=2C" is a comma and "=3D" an equals sign; any other "=" is an error. */
function unescapeName(text: string): string | undefined {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "=") {
      out += text[i];
      continue;
    }
    const code = text.slice(i + 1, i + 3);
    if (code !== "2C" && code !== "3D") return undefined;
    out += code === "2C" ? "," : "=";
    i += 2;
  }
  return out === "" ? undefined : readName(encodeText(out));
}
