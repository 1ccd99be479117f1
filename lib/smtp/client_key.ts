/**
 * What a kept connection may be used for. This is the one place that decides it: a connection is used again only by
 * mail that would have made the same one, with the same TLS policy and the same login (postfix-map section 6.5).
 *
 * @module
 */
import type { Host } from "./client_hosts.ts";

/**
 * What a connection has beside its address. Whoever adds something that a server sees, or that we demand of it,
 * adds it here.
 */
export interface SessionTerms {
  /** TLS level and everything that was demanded of the certificate, as one text; empty: none is used. */
  readonly tls: string;
  /** The level of smtp_requiretls_policy for mail with REQUIRETLS; empty: other mail. */
  readonly requireTls: string;
  /** Who we log in as, and how, as one text; empty: nobody. */
  readonly login: string;
  /** Where the certificate or the login is bound to the destination's name: that name; else empty. */
  readonly boundTo: string;
}

/** A connection in the clear, for anybody's mail. */
export const PLAIN_TERMS: SessionTerms = { tls: "", requireTls: "", login: "", boundTo: "" };

/** Key of the sessions to a destination as the request has it: what its first good host was. */
export function destinationKey(destination: string, terms: SessionTerms): string {
  return JSON.stringify(["destination", destination, ...parts(terms)]);
}

/** Key of the sessions to one address, whichever destination led there. */
export function endpointKey(host: Pick<Host, "kind" | "address" | "port">, terms: SessionTerms): string {
  return JSON.stringify([host.kind, host.address, host.port, ...parts(terms)]);
}

function parts({ tls, requireTls, login, boundTo }: SessionTerms): string[] {
  return [tls, requireTls, login, boundTo];
}
