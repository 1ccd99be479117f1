/**
 * What a session has proven of itself: how it is encrypted, and who has logged in. The restrictions decide on it, the log,
 * the Received header and the queue file tell of it.
 *
 * @module
 */

/** A client's certificate; that the client has its key is proven. */
export interface ClientCertificate {
  /** Common names; anything may stand in them. */
  readonly subject: string;
  readonly issuer: string;
  /** "AB:CD:...", by smtpd_tls_fingerprint_digest: of the certificate and of its public key. */
  readonly fingerprint: string;
  readonly keyFingerprint: string;
  /** It leads to one of our authorities and is valid now. */
  readonly trusted: boolean;
}

/** A session's TLS. */
export interface TlsFacts {
  readonly protocol: string;
  readonly cipher: string;
  /** Bits of the cipher's key. */
  readonly bits: number;
  /** What the client asked for by SNI; anything may stand in it. */
  readonly serverName: string;
  /** The client was asked for a certificate. */
  readonly asked: boolean;
  readonly certificate: ClientCertificate | undefined;
}

/** A session's login. */
export interface SaslFacts {
  readonly method: string;
  /** Who logged in; printable text. */
  readonly username: string;
}
