/**
 * Cyrus' saslauthd: PLAIN and LOGIN, each password checked over a connection of its own. The request is four texts with
 * their lengths in two bytes, the answer one.
 *
 * @module
 */
// Safe primitives
import { NetworkError } from "../safe/connect.ts";
// Utility
import type { Logger } from "../log/log.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// SASL
import { connectSasl, SASL_TIMEOUT } from "./sasl_socket.ts";
import { type SaslTarget, targetText } from "./sasl_target.ts";
import { type Mechanism, over, type SaslBackend, type SaslStep, type Started } from "./server_exchange.ts";
import { LOGIN, PLAIN, startPlain } from "./server_plain.ts";

/** How long saslauthd may take: PAM makes those wait whose password is wrong. Milliseconds. */
const ANSWER_TIMEOUT = 3 * SASL_TIMEOUT;
/** Longest answer, bytes. */
const ANSWER_LIMIT = 1024;

/** saslauthd as a backend. */
export class SaslauthdBackend implements SaslBackend {
  readonly #target: SaslTarget;
  readonly #service: string;
  readonly #realm: string;
  readonly #log: Logger;

  /** @param realm of names without "@", or empty */
  constructor(target: SaslTarget, service: string, realm: string, log: Logger) {
    this.#target = target;
    this.#service = service;
    this.#realm = realm;
    this.#log = log;
  }

  mechanisms(): Promise<readonly Mechanism[]> {
    return Promise.resolve([PLAIN, LOGIN]);
  }

  start(mechanism: string, initial: Uint8Array | undefined): Promise<Started> {
    if (mechanism === "PLAIN" || mechanism === "LOGIN") {
      return startPlain(mechanism, initial, (name, password) => this.#check(name, password));
    }
    return Promise.resolve(over({ kind: "failure", why: "Invalid authentication mechanism" }));
  }

  async #check(name: string, password: Uint8Array): Promise<SaslStep> {
    const at = name.lastIndexOf("@");
    const [user, realm] = at < 0 ? [name, this.#realm] : [name.slice(0, at), name.slice(at + 1)];
    const username = at < 0 && realm !== "" ? `${name}@${realm}` : name;
    try {
      const answer = await this.#ask([
        encodeText(user),
        password,
        encodeText(this.#service),
        encodeText(realm),
      ]);
      if (answer.startsWith("OK")) return { kind: "success", username };
      if (answer.startsWith("NO")) return { kind: "failure", why: "authentication failure", username };
      return { kind: "trouble", why: "Authentication backend error" };
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      if (error.kind === "denied") throw error.cause;
      const place = targetText(this.#target);
      this.#log.warning(`SASL: cannot ask saslauthd at '${place}': ${printable(error.message)}`);
      return { kind: "trouble", why: "Can't connect to authentication server" };
    }
  }

  async #ask(texts: readonly Uint8Array[]): Promise<string> {
    using connection = await connectSasl(this.#target);
    connection.deadline(ANSWER_TIMEOUT);
    const request = new Uint8Array(texts.reduce((sum, text) => sum + 2 + text.length, 0));
    let at = 0;
    for (const text of texts) {
      request.set([text.length >> 8, text.length & 0xff], at);
      request.set(text, at + 2);
      at += 2 + text.length;
    }
    await connection.write(request);
    const answer = new Uint8Array(2 + ANSWER_LIMIT);
    let length = 0;
    while (length < 2 || length < 2 + ((answer[0]! << 8) | answer[1]!)) {
      const count = length === answer.length ? null : await connection.read(answer.subarray(length));
      if (count === null) break;
      length += count;
    }
    return decodeText(answer.subarray(2, length));
  }
}
