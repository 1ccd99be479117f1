/**
 * TLS of one client process: what a delivery asks for each destination and host.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import type { TlsReporter } from "../proto/tlsrpt_client.ts";
// This program
import type { Destination } from "./client_destination.ts";
import { type Failure, localFailure } from "./client_failure.ts";
import type { Host } from "./client_hosts.ts";
import type { SessionTerms } from "./client_key.ts";
import { demandsTls } from "./client_requiretls.ts";
import type { ClientSession, Introduction } from "./client_session.ts";
import { type DestinationTls, type HostTls, type TlsPolicyFinder } from "./client_tls_policy.ts";
import { type Introduced, introduceSecurely } from "./client_tls_session.ts";
import { NO_POLICY, policyOf, reportResult } from "./client_tls_report.ts";
import type { TlsConfiguration } from "./client_tls_settings.ts";

/** The message, as far as going without TLS depends on it. */
export interface FallbackFacts {
  readonly probe: boolean;
  /** Milliseconds since 1970. */
  readonly arrivalTime: number;
}

/** TLS of one client process. */
export class ClientTls {
  readonly #configuration: TlsConfiguration;
  readonly #finder: TlsPolicyFinder;
  readonly #log: Logger;
  readonly #reporter: TlsReporter | undefined;

  constructor(
    configuration: TlsConfiguration,
    finder: TlsPolicyFinder,
    log: Logger,
    reporter?: TlsReporter,
  ) {
    this.#reporter = reporter;
    this.#configuration = configuration;
    this.#finder = finder;
    this.#log = log;
  }

  /** What is wanted of a destination; `relaxed` for mail with "TLS-Required: no". */
  async destination(destination: Destination, relaxed: boolean): Promise<DestinationTls> {
    return await this.#finder.destination(destination, relaxed);
  }

  /** The host's policy, or why it is not used. */
  async host(
    wanted: DestinationTls,
    destination: Destination,
    host: Host,
  ): Promise<HostTls | { readonly kind: "failed"; readonly failure: Failure }> {
    const found = await this.#finder.host(wanted, destination, host);
    if (found.kind === "policy") return found;
    if (found.failure !== undefined) {
      reportResult(this.#reporter, destination, host, found.reported ?? NO_POLICY, found.failure);
    }
    return { kind: "failed", failure: localFailure("site", true, "4.7.5", found.why, host.name) };
  }

  /** Introduces us to a server as its policy demands. Throws `StreamError`. */
  async introduce(
    session: ClientSession,
    destination: Destination,
    tls: HostTls,
    by: Introduction,
    how: { readonly clear: boolean; readonly reported: boolean },
  ): Promise<Introduced> {
    const info = (text: string) => this.#log.info(text);
    const tools = { by, configuration: this.#configuration, info };
    const introduced = await introduceSecurely(session, tls, tools, how.clear);
    // The second try, in the clear, is about the same failure.
    if (tls.level !== "none" && !how.clear && how.reported) {
      this.#report(session, destination, tls, introduced);
    }
    return introduced;
  }

  /** RFC 8460 section 4.2: one result for each connection: TLS as the policy wants it, or what was wrong with it. */
  #report(session: ClientSession, destination: Destination, tls: HostTls, introduced: Introduced): void {
    const fault = introduced.kind === "failed" ? introduced.tls : undefined;
    // A server that broke off for another reason says nothing of its TLS.
    if (introduced.kind === "failed" && fault === undefined) return;
    const failure = fault ?? (session.security === undefined ? "starttls-not-supported" : "");
    reportResult(this.#reporter, destination, session.host, policyOf(tls), failure);
  }

  /**
   * True when mail may go in the clear after TLS broke. A young message waits: whoever breaks a handshake must do so for
   * longer, and a server whose TLS is down for a moment gets the mail over TLS after all.
   */
  mayGoClear(tls: HostTls, message: FallbackFacts): boolean {
    const age = (Date.now() - message.arrivalTime) / 1000;
    return tls.level === "may" && !demandsTls(tls.requireTls) &&
      (message.probe || age >= this.#configuration.retryAge);
  }
}

/**
 * What two deliveries must have in common to share a connection: the same demands, and where a certificate is compared
 * with names, the same destination and host.
 *
 * @param host undefined: any host of the destination
 */
export function tlsTerms(
  wanted: DestinationTls,
  destination: Destination,
  host?: Host,
): Pick<SessionTerms, "tls" | "boundTo"> {
  if (wanted.kind === "invalid") return { tls: "invalid", boundTo: "" };
  const compares = wanted.asksDomain === true ||
    wanted.level !== "none" && wanted.level !== "may" && wanted.level !== "encrypt";
  return { tls: wanted.label, boundTo: compares ? `${destination.text} ${host?.name ?? ""}` : "" };
}
