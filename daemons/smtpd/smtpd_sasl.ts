/**
 * Who may log in, and by which mechanisms: the backend of one smtpd process.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Internal protocols
import type { IpcClient } from "../../lib/ipc/client.ts";
import type { SASL } from "../../lib/proto/protocols.ts";
// Wire protocols
import { DovecotBackend } from "../../lib/sasl/dovecot_backend.ts";
import { PasswordsBackend } from "../../lib/sasl/passwords_backend.ts";
import { parseSaslPath } from "../../lib/sasl/sasl_target.ts";
import { SaslauthdBackend } from "../../lib/sasl/saslauthd_backend.ts";
import { type Mechanism, over, type SaslBackend, type Started } from "../../lib/sasl/server_exchange.ts";
import { offeredMechanisms } from "../../lib/sasl/server_filter.ts";
// This program
import { hides } from "./smtpd_client.ts";
import type { Session } from "./smtpd_session.ts";
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** How long it is remembered that the backend offers nothing, milliseconds. */
const PAUSE = 1000;

/** SASL of one smtpd process. */
export class SmtpdSasl {
  readonly #backend: SaslBackend;
  readonly #settings: SmtpdSettings;
  readonly #log: Logger;
  #warnedAt = -Infinity;

  constructor(backend: SaslBackend, settings: SmtpdSettings, log: Logger) {
    this.#backend = backend;
    this.#settings = settings;
    this.#log = log;
  }

  /**
   * The SASL that the settings ask for; undefined: nobody logs in.
   *
   * @param passwords makes the client of the sasl daemon
   */
  static of(
    settings: SmtpdSettings,
    passwords: () => Pick<IpcClient<typeof SASL>, "call" | "open">,
    log: Logger,
  ): SmtpdSasl | undefined {
    if (!settings.smtpd_sasl_auth_enable) return undefined;
    return new SmtpdSasl(makeBackend(settings, passwords, log), settings, log);
  }

  /** True when the client of a session may log in now. */
  isActive(session: Session): boolean {
    const { smtpd_tls_auth_only } = this.#settings;
    return (!smtpd_tls_auth_only || session.tls !== undefined) &&
      !hides(session, "AUTH") && !session.standing.noLogin;
  }

  /** Names of the mechanisms that a session is offered. */
  async mechanisms(session: Session): Promise<string[]> {
    const offered = await this.#offered(session);
    if (offered.length === 0 && performance.now() - this.#warnedAt > PAUSE) {
      this.#warnedAt = performance.now();
      this.#log.warning("no SASL authentication mechanisms");
    }
    return offered.map(({ name }) => name);
  }

  async #offered({ tls }: Session): Promise<Mechanism[]> {
    const { smtpd_sasl_security_options: clear, smtpd_sasl_tls_security_options: secured } = this.#settings;
    const all = await this.#backend.mechanisms() ?? [];
    const options = tls === undefined ? clear : secured;
    return offeredMechanisms(all, options, this.#settings.smtpd_sasl_mechanism_filter);
  }

  /** Begins an exchange by a mechanism that the session is offered. */
  async start(session: Session, mechanism: string, initial: Uint8Array | undefined): Promise<Started> {
    const all = await this.#backend.mechanisms();
    if (all === undefined) return over({ kind: "trouble", why: "Can't connect to authentication server" });
    const offered = await this.#offered(session);
    if (!offered.some(({ name }) => name === mechanism)) {
      return over({ kind: "failure", why: "Invalid authentication mechanism" });
    }
    return await this.#backend.start(mechanism, initial, {
      clientAddress: session.peer.address,
      serverAddress: session.peer.serverAddress,
      secured: session.tls !== undefined,
    });
  }
}

function makeBackend(
  settings: SmtpdSettings,
  passwords: () => Pick<IpcClient<typeof SASL>, "call" | "open">,
  log: Logger,
): SaslBackend {
  const { smtpd_sasl_type: type, smtpd_sasl_service: service, smtpd_sasl_local_domain: realm } = settings;
  if (type === "passwords") return new PasswordsBackend(passwords(), realm);
  const parsed = parseSaslPath(type, settings.smtpd_sasl_path, "/");
  // The configuration was looked at before anything started.
  if (parsed.kind === "wrong") throw new Error(`Cannot use smtpd_sasl_path: ${parsed.why}`);
  return type === "dovecot"
    ? new DovecotBackend(parsed.target, service, log)
    : new SaslauthdBackend(parsed.target, service, realm, log);
}
