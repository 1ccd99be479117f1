/**
 * SCRAM (RFC 5802, RFC 7677) on the client's side: the password is not sent, and the server has to prove that it knows
 * it too. Without channel binding: the runtime does not tell what to bind to.
 *
 * @module
 */
// Safe primitives
import { deriveKey, digest, equalSecrets, hmac } from "../safe/digest.ts";
// Utility
import { parseDecimal } from "../vstring/ascii.ts";
import { decodeBase64, encodeBase64 } from "../vstring/base64.ts";
import { decodeText, encodeText, isUtf8 } from "../vstring/byte_builder.ts";
// SASL
import { type ClientExchange, type Credentials, SaslClientError } from "./client_exchange.ts";

/** Most iterations that a server may make us do, and least that keep a password from being guessed (RFC 7677 section 4). */
const ITERATIONS_LIMIT = 1_000_000;
const LEAST_ITERATIONS = 4096;
/** Longest message and salt of a server, bytes. */
const MESSAGE_LIMIT = 2048;
const SALT_LIMIT = 256;
/** "n,,": no channel binding, nobody else to act for. */
const HEADER = "n,,";
const EMPTY = new Uint8Array(0);

const LENGTHS = { sha1: 20, sha256: 32 } as const;

/** One exchange. */
export class ScramClient implements ClientExchange {
  readonly initial: Uint8Array;
  readonly #digest: keyof typeof LENGTHS;
  readonly #password: string;
  readonly #nonce: string;
  readonly #first: string;
  #serverSignature: Uint8Array | undefined;
  #complete = false;

  /** @param nonce characters that nobody can guess, no comma among them */
  constructor(name: keyof typeof LENGTHS, { user, password }: Credentials, nonce: string) {
    this.#digest = name;
    this.#password = password;
    this.#nonce = nonce;
    // RFC 5802 section 5.1: "=" and "," of a name are written as "=3D" and "=2C".
    this.#first = `n=${user.replaceAll("=", "=3D").replaceAll(",", "=2C")},r=${nonce}`;
    this.initial = encodeText(HEADER + this.#first);
  }

  get complete(): boolean {
    return this.#complete;
  }

  async respond(challenge: Uint8Array): Promise<Uint8Array> {
    if (challenge.length > MESSAGE_LIMIT || !isUtf8(challenge)) {
      throw new SaslClientError("challenge is malformed");
    }
    const text = decodeText(challenge);
    if (this.#serverSignature === undefined) return await this.#prove(text);
    if (this.#complete) throw new SaslClientError("server asks for more than the mechanism has");
    return this.#checkServer(text);
  }

  /** RFC 5802 section 3: the proof of the password for this exchange only. */
  async #prove(serverFirst: string): Promise<Uint8Array> {
    const { nonce, salt, iterations } = this.#readFirst(serverFirst);
    const name = this.#digest;
    const salted = await deriveKey(name, encodeText(this.#password), salt, iterations, LENGTHS[name]);
    const clientKey = hmac(name, salted, encodeText("Client Key"));
    const withoutProof = `c=${encodeBase64(encodeText(HEADER))},r=${nonce}`;
    const message = encodeText(`${this.#first},${serverFirst},${withoutProof}`);
    const signature = hmac(name, digest(name, clientKey), message);
    const proof = clientKey.map((byte, i) => byte ^ signature[i]!);
    this.#serverSignature = hmac(name, hmac(name, salted, encodeText("Server Key")), message);
    return encodeText(`${withoutProof},p=${encodeBase64(proof)}`);
  }

  #readFirst(text: string): { nonce: string; salt: Uint8Array; iterations: number } {
    const [nonce, salt, iterations] = text.split(",");
    // RFC 5802 section 5.1: an extension that begins with "m" is one that must be understood.
    if (nonce?.startsWith("m=")) throw new SaslClientError("server wants an extension that is not known");
    if (!nonce?.startsWith("r=") || !salt?.startsWith("s=") || !iterations?.startsWith("i=")) {
      throw new SaslClientError("challenge is malformed");
    }
    const whole = nonce.slice(2);
    // Our part of the nonce makes this exchange unlike any before: without it an old one could be played back.
    if (!whole.startsWith(this.#nonce) || whole.length === this.#nonce.length) {
      throw new SaslClientError("server's nonce does not hold ours");
    }
    const bytes = decodeBase64(salt.slice(2));
    const count = parseDecimal(iterations.slice(2));
    if (bytes === undefined || bytes.length === 0 || bytes.length > SALT_LIMIT || count === undefined) {
      throw new SaslClientError("challenge is malformed");
    }
    if (count < LEAST_ITERATIONS || count > ITERATIONS_LIMIT) {
      throw new SaslClientError(`server wants ${count} iterations`);
    }
    return { nonce: whole, salt: bytes, iterations: count };
  }

  /** RFC 5802 section 3: a server that cannot prove that it knows the password is not the one that was meant. */
  #checkServer(text: string): Uint8Array {
    if (text.startsWith("e=")) throw new SaslClientError("server refuses the proof");
    const [first = ""] = text.split(",");
    const signature = first.startsWith("v=") ? decodeBase64(first.slice(2)) : undefined;
    if (signature === undefined || !equalSecrets(signature, this.#serverSignature!)) {
      throw new SaslClientError("server does not prove that it knows the password");
    }
    this.#complete = true;
    return EMPTY;
  }
}
