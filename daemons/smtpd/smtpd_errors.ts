/**
 * How often a client has erred, over all sessions of its connection: slowly answered from smtpd_soft_error_limit on,
 * sent away at smtpd_hard_error_limit.
 */
// This program
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** The errors of one client. */
export class ClientErrors {
  readonly #server: { readonly settings: SmtpdSettings };
  #errors = 0;
  #junk = 0;

  /** @param server whose settings are others under stress, also for sessions that are under way */
  constructor(server: { readonly settings: SmtpdSettings }) {
    this.#server = server;
  }

  /** A command was refused. */
  refused(): void {
    this.#errors++;
  }

  /** A command came that brings no mail; too many of them are errors. */
  junk(): void {
    if (this.#junk++ > this.#server.settings.smtpd_junk_command_limit) this.#errors++;
  }

  /** A message was taken in. */
  forgive(): void {
    this.#errors = 0;
    this.#junk = 0;
  }

  /** Milliseconds that the next reply waits. */
  get delay(): number {
    const { smtpd_soft_error_limit, smtpd_error_sleep_time } = this.#server.settings;
    return this.#errors < smtpd_soft_error_limit ? 0 : smtpd_error_sleep_time * 1000;
  }

  /** The client has erred too often. */
  get tooMany(): boolean {
    return this.#errors >= this.#server.settings.smtpd_hard_error_limit;
  }
}
