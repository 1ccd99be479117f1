/**
 * The limits on what one client does: anvil counts for all processes, and what is too much is said here, in Postfix's
 * words. A client of smtpd_client_event_limit_exceptions is neither counted nor limited. Where a rate has no limit it is
 * counted for the statistics, and nobody waits for the answer.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { formatIpAddress, parseIpAddress } from "../../lib/vstring/ip_address.ts";
import { maskAddress } from "../../lib/table/ip_network.ts";
// Internal protocols
import { AnvilConnection, type AnvilEvent, type AnvilService } from "../../lib/proto/anvil_client.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** A reply that refuses, or nothing; a promise when anvil has to be asked. */
export type Admission = ReplyText | undefined | Promise<ReplyText | undefined>;

/** One client's account. */
export interface ClientAccount {
  /** The client has connected: the reply that ends the session, if it connects too much. */
  connect(): Admission;
  /** MAIL. */
  countMessage(): Admission;
  /** RCPT. */
  countRecipient(): Admission;
  /** STARTTLS: refused when there were too many new TLS sessions; counts nothing. */
  checkTls(): Admission;
  /** A TLS session that was not resumed has begun: the reply that ends the session, if that is one too many. */
  countTls(): Admission;
  /** AUTH. */
  countAuth(): Admission;
  /** The session is over. */
  end(): void;
}

/** The account of a client without limits. */
export const UNLIMITED: ClientAccount = {
  connect: () => undefined,
  countMessage: () => undefined,
  countRecipient: () => undefined,
  checkTls: () => undefined,
  countTls: () => undefined,
  countAuth: () => undefined,
  end: () => {},
};

/** What the accounts of one process share. */
export class Accounts {
  readonly settings: SmtpdSettings;
  readonly log: Logger;
  /** Name in master.toml, as anvil and the log have it. */
  readonly service: string;
  readonly #anvil: AnvilService | undefined;
  /** Connections in this process: what is too much here is too much, whatever anvil says, and without it all we know. */
  readonly #here = new Map<string, number>();

  /** @param anvil undefined where master.toml has none */
  constructor(settings: SmtpdSettings, log: Logger, service: string, anvil: AnvilService | undefined) {
    this.settings = settings;
    this.log = log;
    this.service = service;
    this.#anvil = anvil;
  }

  /** Opens a client's account. */
  open(peer: Peer): ClientAccount {
    return new LimitedAccount(this, peer, this.#range(peer.address));
  }

  /** One more connection of a client here; returns how many there are. */
  arrive(range: string): number {
    const count = (this.#here.get(range) ?? 0) + 1;
    this.#here.set(range, count);
    return count;
  }

  /** One less. */
  leave(range: string): void {
    const count = (this.#here.get(range) ?? 1) - 1;
    if (count > 0) this.#here.set(range, count);
    else this.#here.delete(range);
  }

  /** A connection to anvil; undefined where nothing that it counts has a limit, as in Postfix. */
  connection(): AnvilConnection | undefined {
    const { settings } = this;
    const limited = settings.smtpd_client_connection_count_limit > 0 ||
      settings.smtpd_client_connection_rate_limit > 0 || settings.smtpd_client_message_rate_limit > 0 ||
      settings.smtpd_client_recipient_rate_limit > 0 || settings.smtpd_client_auth_rate_limit > 0 ||
      settings.smtpd_client_new_tls_session_rate_limit > 0;
    return limited && this.#anvil !== undefined ? new AnvilConnection(this.#anvil) : undefined;
  }

  /** The network that counts as one client, as "2001:db8::/84"; a whole address stands alone. */
  #range(address: string): string {
    const bytes = parseIpAddress(address);
    if (bytes === undefined) return address;
    const { smtpd_client_ipv4_prefix_length, smtpd_client_ipv6_prefix_length } = this.settings;
    const bits = bytes.length === 4 ? smtpd_client_ipv4_prefix_length : smtpd_client_ipv6_prefix_length;
    if (bits >= bytes.length * 8) return formatIpAddress(bytes);
    return `${formatIpAddress(maskAddress(bytes, bits))}/${bits}`;
  }
}

/** The account of a client whose doings are limited. */
class LimitedAccount implements ClientAccount {
  readonly #shared: Accounts;
  readonly #peer: Peer;
  readonly #range: string;
  #connection: AnvilConnection | undefined;
  #open = false;

  constructor(shared: Accounts, peer: Peer, range: string) {
    this.#shared = shared;
    this.#peer = peer;
    this.#range = range;
  }

  connect(): Admission {
    const { settings, service } = this.#shared;
    this.#open = true;
    const here = this.#shared.arrive(this.#range);
    this.#connection = this.#shared.connection();
    const asked = this.#connection?.connect(service, this.#range);
    const most = settings.smtpd_client_connection_count_limit;
    if (most > 0 && here > most) return this.#tooManyConnections("concurrency", here);
    return asked?.then((answer) => {
      if (answer === undefined) return undefined;
      if (most > 0 && answer.count > most) return this.#tooManyConnections("concurrency", answer.count);
      const mostRate = settings.smtpd_client_connection_rate_limit;
      return mostRate > 0 && answer.rate > mostRate
        ? this.#tooManyConnections("rate", answer.rate)
        : undefined;
    });
  }

  countMessage(): Admission {
    return this.#count(
      "message",
      this.#shared.settings.smtpd_client_message_rate_limit,
      "Message delivery request",
      `450 4.7.1 Error: too much mail from ${this.#peer.address}`,
    );
  }

  countRecipient(): Admission {
    return this.#count(
      "recipient",
      this.#shared.settings.smtpd_client_recipient_rate_limit,
      "Recipient address",
      `450 4.7.1 Error: too many recipients from ${this.#peer.address}`,
    );
  }

  countAuth(): Admission {
    return this.#count(
      "auth",
      this.#shared.settings.smtpd_client_auth_rate_limit,
      "AUTH command",
      `450 4.7.1 Error: too many AUTH commands from ${this.#peer.address}`,
    );
  }

  countTls(): Admission {
    const { settings } = this.#shared;
    return this.#count(
      "newtls",
      settings.smtpd_client_new_tls_session_rate_limit,
      "New TLS session",
      `421 4.7.0 ${settings.myhostname} Error: too many new TLS sessions from ${this.#client}`,
    );
  }

  checkTls(): Admission {
    const most = this.#shared.settings.smtpd_client_new_tls_session_rate_limit;
    if (most === 0) return undefined;
    return this.#connection?.look("newtls").then((rate) => {
      if (rate === undefined || rate <= most) return undefined;
      const { log, service } = this.#shared;
      log.warning(`Refusing STARTTLS request from ${this.#client} for service ${service}`);
      return `454 4.7.0 Error: too many new TLS sessions from ${this.#client}`;
    });
  }

  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#shared.leave(this.#range);
    this.#connection?.end();
  }

  get #client(): string {
    return `${this.#peer.name}[${this.#peer.address}]`;
  }

  #count(event: AnvilEvent, most: number, what: string, refusal: ReplyText): Admission {
    const rate = this.#connection?.count(event);
    if (most === 0) return undefined;
    return rate?.then((rate) => {
      if (rate === undefined || rate <= most) return undefined;
      this.#warn(`${what} rate`, rate);
      return refusal;
    });
  }

  #tooManyConnections(what: "concurrency" | "rate", count: number): ReplyText {
    this.#warn(`Connection ${what}`, count);
    return `421 4.7.0 ${this.#shared.settings.myhostname} Error: too many connections from ${this.#peer.address}`;
  }

  #warn(what: string, count: number): void {
    const { log, service } = this.#shared;
    log.warning(`${what} limit exceeded: ${count} from ${this.#client} for service ${service}`);
  }
}
