/**
 * TLS with clients: STARTTLS and wrapper mode. What a session said before its handshake is thrown away with the session
 * itself; another one takes over.
 */
// Safe primitives
import type { Channel, ChannelEvents } from "../../lib/safe/channel.ts";
import type { Certificate, FingerprintDigest } from "../../lib/safe/certificate.ts";
import { type Handshake, TlsServer, type TlsSession } from "../../lib/safe/tls_server.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import type { DeadlineRule } from "../../lib/stream/deadline.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Wire protocols
import { findIdentity, serverTlsLevel, type ServerTlsMaterial } from "../../lib/tls/server_material.ts";
import { cipherBits } from "../../lib/tls/tls_ciphers.ts";
import { parseVersions } from "../../lib/tls/tls_protocols.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
import type { ClientCertificate, TlsFacts } from "../../lib/access/session_facts.ts";
// This program
import { hides } from "./smtpd_client.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** Text of a certificate's name or a server name that is kept, UTF-16 units. */
const NAME_LIMIT = 256;
/** smtpd_tls_loglevel from which on each handshake has a line, and from which on its certificate has one too. */
const SUMMARY = 1;
const VERBOSE = 2;

/** What a handshake comes to, once. */
export interface TlsEvents {
  secure(channel: Channel, facts: TlsFacts, resumed: boolean): void;
  failed(): void;
}

/** TLS of one smtpd process. */
export class SmtpdTls {
  /** Every session begins with a handshake. */
  readonly wrapper: boolean;
  /** Without TLS no mail is taken. */
  readonly demanded: boolean;
  readonly #server: TlsServer | undefined;
  readonly #settings: SmtpdSettings;
  readonly #log: Logger;
  readonly #asks: boolean;

  /** The TLS that the settings ask for; undefined: none. */
  static of(
    settings: SmtpdSettings,
    material: ServerTlsMaterial | undefined,
    log: Logger,
  ): SmtpdTls | undefined {
    if (serverTlsLevel(settings) === "none" || material === undefined) return undefined;
    return new SmtpdTls(settings, material, log);
  }

  private constructor(settings: SmtpdSettings, material: ServerTlsMaterial, log: Logger) {
    this.#settings = settings;
    this.#log = log;
    this.wrapper = settings.smtpd_tls_wrappermode;
    this.demanded = serverTlsLevel(settings) === "encrypt";
    this.#asks = settings.smtpd_tls_ask_ccert || (this.demanded && settings.smtpd_tls_req_ccert);
    this.#server = this.#makeServer(material);
  }

  #makeServer({ identity, named, authorities }: ServerTlsMaterial): TlsServer | undefined {
    const { smtpd_tls_mandatory_protocols: must, smtpd_tls_protocols: may } = this.#settings;
    const versions = parseVersions(this.demanded ? must : may);
    if (identity === undefined || versions.kind === "wrong") {
      const why = versions.kind === "wrong" ? versions.why : "No server certs available";
      this.#log.warning(`${why}. TLS won't be enabled`);
      return undefined;
    }
    const names = new Map(named);
    return new TlsServer({
      identity,
      identityFor: names.size === 0 ? undefined : (name) => findIdentity(names, name),
      oldest: versions.oldest,
      newest: versions.newest,
      asksCertificate: this.#asks,
      authorities,
    });
  }

  /** There is a certificate, so that a handshake may begin. */
  get available(): boolean {
    return this.#server !== undefined;
  }

  /**
   * Begins a handshake on a client's connection.
   *
   * @param client as all logs name it
   * @param early what was read of it already
   */
  accept(client: string, channel: Channel, early: Uint8Array, events: TlsEvents): Handshake {
    if (this.#settings.smtpd_tls_loglevel >= VERBOSE) {
      this.#log.info(`setting up TLS connection from ${client}`);
    }
    return this.#server!.accept(channel, early, {
      secure: (secure, session) => {
        const facts = this.#factsOf(session);
        this.#logSession(client, session, facts);
        const refusal = this.#refusal(facts);
        if (refusal === undefined) return events.secure(secure, facts, session.resumed);
        this.#log.info(`NOQUEUE: abort: TLS from ${client}: ${refusal}`);
        secure.destroy();
        events.failed();
      },
      failed: (why) => {
        this.logFailure(client, why);
        events.failed();
      },
    });
  }

  /** Says that a handshake came to nothing. */
  logFailure(client: string, why: string): void {
    this.#log.info(`SSL_accept error from ${client}: ${printable(why)}`);
  }

  #factsOf(session: TlsSession): TlsFacts {
    const { certificate, trusted } = session;
    return {
      protocol: session.protocol,
      cipher: session.cipher,
      bits: cipherBits(session.cipher),
      serverName: session.serverName.slice(0, NAME_LIMIT),
      asked: this.#asks,
      certificate: certificate === undefined ? undefined : this.#certificateFacts(certificate, trusted),
    };
  }

  #certificateFacts(certificate: Certificate, trusted: boolean): ClientCertificate {
    const digest = this.#settings.smtpd_tls_fingerprint_digest as FingerprintDigest;
    return {
      subject: certificate.subjectName.slice(0, NAME_LIMIT),
      issuer: certificate.issuerName.slice(0, NAME_LIMIT),
      fingerprint: certificate.fingerprint(digest),
      keyFingerprint: certificate.keyFingerprint(digest),
      trusted,
    };
  }

  /** Why a client without the certificate that is demanded is not served. */
  #refusal({ certificate }: TlsFacts): string | undefined {
    if (!this.demanded || !this.#settings.smtpd_tls_req_ccert || certificate?.trusted) return undefined;
    return certificate === undefined ? "No client certificate presented" : "Client certificate not trusted";
  }

  #logSession(client: string, session: TlsSession, facts: TlsFacts): void {
    const { smtpd_tls_loglevel: level } = this.#settings;
    const { certificate } = facts;
    if (level >= VERBOSE && certificate !== undefined) {
      this.#log.info(
        `${client}: subject_CN=${printable(certificate.subject)}, issuer=${printable(certificate.issuer)}, ` +
          `fingerprint=${certificate.fingerprint}, pkey_fingerprint=${certificate.keyFingerprint}`,
      );
    }
    if (level < SUMMARY) return;
    const trust = certificate === undefined ? "Anonymous" : certificate.trusted ? "Trusted" : "Untrusted";
    const how = session.resumed ? "reused" : "established";
    const to = facts.serverName === "" ? "" : ` to ${printable(facts.serverName)}`;
    this.#log.info(
      `${trust} TLS connection ${how} from ${client}${to}: ${facts.protocol} with cipher ${facts.cipher} ` +
        `(${facts.bits}/${facts.bits} bits)`,
    );
  }
}

/** STARTTLS: answers, and hands the connection to the handshake. */
export function startTls(
  session: Session,
  argument: Uint8Array,
): ReplyText | undefined | Promise<ReplyText | undefined> {
  const { tls } = session.server;
  // RFC 3207 section 4: STARTTLS has no parameters.
  if (argument.length > 0) return REPLY.startTlsSyntax;
  if (session.tls !== undefined) return REPLY.tlsActive;
  if (tls === undefined || hides(session, "STARTTLS")) return REPLY.notImplemented;
  if (!tls.available) return REPLY.tlsUnavailable;
  const refused = session.anvil.checkTls();
  if (!(refused instanceof Promise)) return refused ?? session.startTls();
  return refused.then((reply) => reply ?? session.startTls());
}

/** What a connection tells its session. */
export function channelEvents(session: Session): ChannelEvents {
  return {
    data: (bytes) => session.data(bytes),
    ended: () => session.ended(),
    closed: () => session.closed(),
  };
}

/** How long a handshake may take: one budget for all of it, so that a byte now and then does not hold a client's place. */
export function handshakeRule({ smtpd_starttls_timeout }: SmtpdSettings): DeadlineRule {
  return { timeout: smtpd_starttls_timeout * 1000, perRequest: true, minimumRate: Infinity };
}

/** True when EHLO offers STARTTLS. */
export function offersStartTls({ server, tls }: Session): boolean {
  // RFC 3207 section 4.2: not offered again inside TLS.
  return server.tls?.available === true && tls === undefined;
}
