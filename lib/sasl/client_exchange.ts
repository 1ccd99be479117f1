/**
 * What every SASL mechanism of the client has: who logs in, and the client's half of an exchange (RFC 4422).
 *
 * @module
 */

/** Who logs in. */
export interface Credentials {
  readonly user: string;
  /** For XOAUTH2 the bearer token. */
  readonly password: string;
}

/** The client's half of an exchange. A challenge that makes no sense throws `SaslClientError`. */
export interface ClientExchange {
  /** What is sent with the mechanism's name; undefined when the server speaks first. */
  readonly initial: Uint8Array | undefined;
  /** The answer to a challenge. */
  respond(challenge: Uint8Array): Promise<Uint8Array>;
  /** True when the server may say now that the login is good: all that it has to prove is proven. */
  readonly complete: boolean;
}

/** Thrown for a challenge that no honest server sends, or that the mechanism refuses; the text says why. */
export class SaslClientError extends Error {
  override name = "SaslClientError";
}
