/**
 * Logging in to servers: whose password, with which mechanism, and what becomes of mail when it does not work (RFC 4954;
 * postfix-map section 6.14).
 *
 * @module
 */
// Utility
import { asciiUpper } from "../vstring/ascii.ts";
import { decodeBase64, encodeBase64 } from "../vstring/base64.ts";
import { printable } from "../vstring/printable.ts";
import type { ParameterName, Settings } from "../config/parameters.ts";
import type { MapLookup } from "../proto/proxymap_client.ts";
// SASL
import { type ClientExchange, type Credentials, SaslClientError } from "../sasl/client_exchange.ts";
import { CLIENT_MECHANISMS, type ClientMechanism, startClientExchange } from "../sasl/client_mechanisms.ts";
import { offeredMechanisms } from "../sasl/server_filter.ts";
// This program
import type { Destination } from "./client_destination.ts";
import { type Failure, localFailure } from "./client_failure.ts";
import type { Host } from "./client_hosts.ts";
import type { Dialect } from "./client_policy.ts";
import type { RefusedLogin, RefusedLogins } from "./client_sasl_cache.ts";
import type { ClientSession } from "./client_session.ts";
import type { Reply } from "./reply.ts";

/** Parameters of each program that are read here. */
const NAMES = {
  smtp: {
    enable: "smtp_sasl_auth_enable",
    cache: "smtp_sasl_auth_cache_name",
    cacheTime: "smtp_sasl_auth_cache_time",
    passwords: "smtp_sasl_password_maps",
    delimiter: "smtp_sasl_password_result_delimiter",
    bySender: "smtp_sender_dependent_authentication",
    softBounce: "smtp_sasl_auth_soft_bounce",
    filter: "smtp_sasl_mechanism_filter",
    clear: "smtp_sasl_security_options",
    encrypted: "smtp_sasl_tls_security_options",
    verified: "smtp_sasl_tls_verified_security_options",
    dummyAuth: "smtp_send_dummy_mail_auth",
  },
  lmtp: {
    enable: "lmtp_sasl_auth_enable",
    cache: "lmtp_sasl_auth_cache_name",
    cacheTime: "lmtp_sasl_auth_cache_time",
    passwords: "lmtp_sasl_password_maps",
    delimiter: "lmtp_sasl_password_result_delimiter",
    bySender: "lmtp_sender_dependent_authentication",
    softBounce: "lmtp_sasl_auth_soft_bounce",
    filter: "lmtp_sasl_mechanism_filter",
    clear: "lmtp_sasl_security_options",
    encrypted: "lmtp_sasl_tls_security_options",
    verified: "lmtp_sasl_tls_verified_security_options",
    dummyAuth: "lmtp_send_dummy_mail_auth",
  },
} as const;

/** Parameters of one program that are read here. */
export type SaslSettings<D extends Dialect> = Settings<
  Extract<(typeof NAMES)[D][keyof (typeof NAMES)["smtp"]], ParameterName>
>;

/** What the configuration says of logins. */
export interface SaslConfiguration {
  /** Parameter with the password tables. */
  readonly passwords: string;
  readonly delimiter: string;
  readonly bySender: boolean;
  readonly softBounce: boolean;
  /** Parameter with the cache of refused logins; undefined where there is none. */
  readonly cache?: string | undefined;
  /** How long they are remembered, seconds. */
  readonly cacheTime?: number;
  readonly filter: readonly string[];
  /** Security options in the clear, over TLS, and over TLS with a server whose certificate was verified. */
  readonly clear: readonly string[];
  readonly encrypted: readonly string[];
  readonly verified: readonly string[];
  /** MAIL says `AUTH=<>` to servers that were logged in to. */
  readonly dummyAuth?: boolean;
}

/** The configuration, or undefined where nobody logs in. */
export function saslConfiguration<D extends Dialect>(
  dialect: D,
  settings: SaslSettings<D>,
): SaslConfiguration | undefined {
  const names = NAMES[dialect];
  const values = settings as unknown as SaslSettings<"smtp"> & SaslSettings<"lmtp">;
  if (!values[names.enable] || values[names.passwords].length === 0) return undefined;
  return {
    passwords: names.passwords,
    delimiter: values[names.delimiter],
    bySender: values[names.bySender],
    softBounce: values[names.softBounce],
    cache: values[names.cache] === "" ? undefined : names.cache,
    cacheTime: values[names.cacheTime],
    filter: values[names.filter],
    clear: values[names.clear],
    encrypted: values[names.encrypted],
    verified: values[names.verified],
    dummyAuth: values[names.dummyAuth],
  };
}

/** Who logs in at a server: somebody, nobody, or it cannot be told now. */
export type FoundLogin =
  | { readonly kind: "found"; readonly credentials: Credentials }
  | { readonly kind: "none" }
  | { readonly kind: "trouble"; readonly why: string };

/** Rounds of an exchange. */
const STEP_LIMIT = 100;
/** Longest AUTH line that carries the initial response too, CR LF included (RFC 4954 section 4). */
const LINE_LIMIT = 512;
/** Longest challenge that is looked at, characters of base64. */
const CHALLENGE_LIMIT = 16_384;

/** Logs in. */
export class ClientLogin {
  readonly #configuration: SaslConfiguration;
  readonly #maps: MapLookup;
  readonly #refused: RefusedLogins | undefined;

  /** @param refused where refused logins are remembered */
  constructor(configuration: SaslConfiguration, maps: MapLookup, refused?: RefusedLogins) {
    this.#configuration = configuration;
    this.#maps = maps;
    this.#refused = refused;
  }

  /** Who logs in: by sender where that is configured, then by host, then by destination. */
  async find(destination: Destination, host: Host, sender: string): Promise<FoundLogin> {
    const { passwords, bySender, delimiter } = this.#configuration;
    const place = destination.kind === "unix" ? destination.path : destination.text;
    const asked: readonly (readonly ["address" | "key", string])[] = [
      ...bySender && sender !== "" ? [["address", sender] as const] : [],
      ["key", host.name],
      ["key", place],
    ];
    for (const [search, key] of asked) {
      const found = await this.#maps.find(passwords, search, key);
      if (found.kind === "retry") {
        return { kind: "trouble", why: `${passwords} lookup problem: ${found.why}` };
      }
      if (found.kind === "missing") continue;
      const colon = found.value.indexOf(delimiter);
      const user = colon < 0 ? found.value : found.value.slice(0, colon);
      const password = colon < 0 ? "" : found.value.slice(colon + delimiter.length);
      return { kind: "found", credentials: { user, password } };
    }
    return { kind: "none" };
  }

  /** What else than the server makes two logins different. */
  terms(sender: string): string {
    return this.#configuration.bySender ? `sender ${sender}` : "login";
  }

  /**
   * Logs in at a server that has been introduced to. Throws `StreamError`.
   *
   * @returns why mail cannot be sent there; undefined when it can
   */
  async login(session: ClientSession, login: FoundLogin, timeoutMs: number): Promise<Failure | undefined> {
    if (session.features.mechanisms.length === 0 || login.kind === "none") return undefined;
    if (login.kind === "trouble") return this.#fail(session, "4.3.0", login.why);
    const { credentials } = login;
    const known = await this.#refused?.find(session.name, credentials);
    if (known !== undefined) return this.#refusal(session, known, "SASL [CACHED] authentication failed");
    const mechanism = this.#choose(session);
    if (mechanism === undefined) {
      const text =
        `SASL authentication failed: server ${session.label} offered no compatible authentication ` +
        "mechanisms for this type of connection security";
      return this.#fail(session, "4.7.0", text);
    }
    try {
      return await this.#run(session, mechanism, credentials, timeoutMs);
    } catch (error) {
      if (!(error instanceof SaslClientError)) throw error;
      // In the middle of an exchange there is no way back to mail but a new connection.
      session.sound = false;
      const text =
        `SASL authentication failed; cannot authenticate to server ${session.label}: ${error.message}`;
      return this.#fail(session, "4.7.0", text);
    }
  }

  #choose({ features, security }: ClientSession): ClientMechanism | undefined {
    const { clear, encrypted, verified, filter } = this.#configuration;
    const options = security === undefined ? clear : security.verified ? verified : encrypted;
    const offered = CLIENT_MECHANISMS.filter(({ name }) => features.mechanisms.includes(name));
    // A token is no password: only who names the mechanism has one in his table.
    const named = filter.some((item) => asciiUpper(item) === "XOAUTH2");
    const candidates = offered.filter(({ name }) => (name === "XOAUTH2") === named);
    const allowed = offeredMechanisms(candidates, options, filter.length === 0 ? ["static:all"] : filter);
    return CLIENT_MECHANISMS.find(({ name }) => allowed.some((one) => one.name === name));
  }

  async #run(
    session: ClientSession,
    mechanism: ClientMechanism,
    credentials: Credentials,
    timeoutMs: number,
  ): Promise<Failure | undefined> {
    const exchange = startClientExchange(mechanism, credentials);
    const doing = "performing SASL authentication";
    let pending = exchange.initial;
    const inline = pending === undefined ? "" : ` ${encodeResponse(pending)}`;
    const fits = `AUTH ${mechanism.name}${inline}`.length + 2 <= LINE_LIMIT;
    if (fits) pending = undefined;
    let reply = await session.ask(`AUTH ${mechanism.name}${fits ? inline : ""}`, timeoutMs, doing, "secret");
    for (let steps = 0; Math.floor(reply.code / 100) === 3; steps++) {
      if (steps >= STEP_LIMIT) throw new SaslClientError("server asks without an end");
      // The initial response that did not fit answers the first, empty challenge.
      const response = pending ?? await exchange.respond(readChallenge(reply));
      pending = undefined;
      reply = await session.ask(encodeBase64(response), timeoutMs, doing, "secret");
    }
    if (reply.code === 535) this.#refused?.remember(session.name, credentials, reply);
    return this.#outcome(session, reply, exchange);
  }

  #outcome(session: ClientSession, reply: Reply, exchange: ClientExchange): Failure | undefined {
    if (Math.floor(reply.code / 100) === 2) {
      if (exchange.complete) {
        session.dummyAuth = this.#configuration.dummyAuth === true;
        return undefined;
      }
      throw new SaslClientError("server does not prove that it knows the password");
    }
    return this.#refusal(session, reply, "SASL authentication failed");
  }

  #refusal(session: ClientSession, refused: RefusedLogin, what: string): Failure {
    const hard = refused.status.startsWith("5") && !this.#configuration.softBounce;
    return {
      blame: "site",
      soft: !hard,
      status: hard ? refused.status : `4${refused.status.slice(1)}`,
      text: `${what}; server ${session.label} said: ${refused.text}`,
      reply: refused.text,
      remoteMta: session.name,
    };
  }

  #fail(session: ClientSession, status: string, text: string): Failure {
    return localFailure("site", true, status, printable(text), session.name);
  }
}

/** RFC 4954 section 4: an empty initial response is "=". */
function encodeResponse(response: Uint8Array): string {
  return response.length === 0 ? "=" : encodeBase64(response);
}

function readChallenge(reply: Reply): Uint8Array {
  const text = reply.lines[reply.lines.length - 1] ?? "";
  const bytes = text.length > CHALLENGE_LIMIT ? undefined : decodeBase64(text);
  if (bytes === undefined) throw new SaslClientError("challenge is no base64");
  return bytes;
}
