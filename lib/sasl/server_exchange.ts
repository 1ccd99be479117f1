/**
 * What every SASL backend of the server offers: mechanisms, and exchanges of challenges and responses (RFC 4422).
 *
 * @module
 */

/** What one step of an exchange comes to. All but a challenge end it. */
export type SaslStep =
  | { readonly kind: "challenge"; readonly data: Uint8Array }
  /** Who has logged in. */
  | { readonly kind: "success"; readonly username: string }
  /** Not accepted; `username` is who was claimed, where that is known. */
  | { readonly kind: "failure"; readonly why: string; readonly username?: string }
  /** A trouble that may pass. */
  | { readonly kind: "trouble"; readonly why: string };

/** An exchange under way. */
export interface ServerExchange {
  /** Takes what the client answers to the last challenge. */
  respond(response: Uint8Array): Promise<SaslStep>;
  /** The client has broken it off, or has gone. */
  cancel(): void;
}

/** An exchange that has begun, with its first step. */
export interface Started {
  readonly exchange: ServerExchange;
  readonly step: SaslStep;
}

/** What a mechanism lets happen to passwords, in the words of Dovecot's protocol. */
export type MechanismProperty =
  | "plaintext"
  | "active"
  | "dictionary"
  | "anonymous"
  | "forward-secrecy"
  | "mutual-auth"
  | "private";

/** A mechanism that a backend has. */
export interface Mechanism {
  readonly name: string;
  readonly properties: ReadonlySet<MechanismProperty>;
}

/** What a backend is told of the client. */
export interface SaslClientFacts {
  readonly clientAddress: string;
  readonly serverAddress: string;
  /** The connection is encrypted. */
  readonly secured: boolean;
}

/** Where passwords are checked. */
export interface SaslBackend {
  /** The mechanisms; undefined while nobody can tell. */
  mechanisms(): Promise<readonly Mechanism[] | undefined>;
  /** Begins an exchange. Without an initial response the mechanism may ask for one by an empty challenge. */
  start(mechanism: string, initial: Uint8Array | undefined, client: SaslClientFacts): Promise<Started>;
}

/** An exchange that is over with its first step. */
export function over(step: SaslStep): Started {
  return { exchange: { respond: () => Promise.resolve(step), cancel: () => {} }, step };
}

/** Longest login name, password and identity to act for, bytes (RFC 4616 section 2). */
export const NAME_LIMIT = 255;
export const PASSWORD_LIMIT = 1024;
