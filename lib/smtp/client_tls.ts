/**
 * TLS of one client process: what a delivery asks for each destination and host.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
// This program
import type { Destination } from "./client_destination.ts";
import { type Failure, localFailure } from "./client_failure.ts";
import type { Host } from "./client_hosts.ts";
import type { ClientPolicy } from "./client_policy.ts";
import type { ClientSession } from "./client_session.ts";
import { type DestinationTls, type HostTls, type TlsPolicyFinder } from "./client_tls_policy.ts";
import { introduceSecurely, type Introduction } from "./client_tls_session.ts";
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
  readonly #policy: ClientPolicy;
  readonly #log: Logger;

  constructor(configuration: TlsConfiguration, finder: TlsPolicyFinder, policy: ClientPolicy, log: Logger) {
    this.#configuration = configuration;
    this.#finder = finder;
    this.#policy = policy;
    this.#log = log;
  }

  /** What is wanted of a destination. */
  async destination(destination: Destination): Promise<DestinationTls> {
    return await this.#finder.destination(destination);
  }

  /** The host's policy, or why it is not used. */
  async host(
    wanted: DestinationTls,
    destination: Destination,
    host: Host,
  ): Promise<HostTls | { readonly kind: "failed"; readonly failure: Failure }> {
    const found = await this.#finder.host(wanted, destination, host);
    if (found.kind === "policy") return found;
    return { kind: "failed", failure: localFailure("site", true, "4.7.5", found.why, host.name) };
  }

  /** Introduces us to a server as its policy demands. Throws `StreamError`. */
  async introduce(session: ClientSession, tls: HostTls, clear: boolean): Promise<Introduction> {
    const tools = {
      policy: this.#policy,
      configuration: this.#configuration,
      info: (text: string) => this.#log.info(text),
    };
    return await introduceSecurely(session, tls, tools, clear);
  }

  /**
   * True when mail may go in the clear after TLS broke. A young message waits: whoever breaks a handshake must do so for
   * longer, and a server whose TLS is down for a moment gets the mail over TLS after all.
   */
  mayGoClear(tls: HostTls, message: FallbackFacts): boolean {
    const age = (Date.now() - message.arrivalTime) / 1000;
    return tls.level === "may" && (message.probe || age >= this.#configuration.retryAge);
  }
}

/**
 * What two deliveries must have in common to share a connection: the same demands, and where the server's name is
 * compared with the destination's, the same destination.
 */
export function tlsTerms(wanted: DestinationTls): string {
  return wanted.kind === "wanted" ? wanted.label : "";
}
