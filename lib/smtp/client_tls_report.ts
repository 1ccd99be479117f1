/**
 * What is told to the tlsrpt daemon of TLS with a server (RFC 8460).
 *
 * @module
 */
import type { TlsReporter } from "../proto/tlsrpt_client.ts";
import { toAsciiName } from "../mail/domain.ts";
import type { TlsaRecord } from "../tls/client_dane.ts";
import type { Destination } from "./client_destination.ts";
import type { Host } from "./client_hosts.ts";
import type { HostTls } from "./client_tls_policy.ts";

/** The policy that a result belongs to. */
export interface ReportedPolicy {
  readonly kind: "no-policy-found" | "sts" | "tlsa";
  readonly strings: readonly string[];
  readonly patterns: readonly string[];
}

/** A server without a policy. */
export const NO_POLICY: ReportedPolicy = { kind: "no-policy-found", strings: [], patterns: [] };

/** Most strings of a policy that are told. */
const STRING_LIMIT = 200;

/** TLSA records as RFC 8460 section 4.4 has them: numbers and hexadecimal. */
export function tlsaPolicy(records: readonly TlsaRecord[]): ReportedPolicy {
  const strings = records.map(({ usage, selector, digest, data }) => {
    const type = digest === undefined ? 0 : digest === "sha256" ? 1 : 2;
    const hex = [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${usage} ${selector} ${type} ${hex}`.slice(0, 2000);
  });
  return { kind: "tlsa", strings, patterns: [] };
}

/**
 * Tells a result. Destinations without an MX lookup belong to the administrator, not to a domain with reports.
 *
 * @param failure empty when TLS was as the policy wants it
 */
export function reportResult(
  reporter: TlsReporter | undefined,
  destination: Destination,
  host: Host,
  policy: ReportedPolicy,
  failure: string,
): void {
  if (reporter === undefined || destination.kind !== "inet" || !destination.mx) return;
  const domain = toAsciiName(destination.host);
  if (domain === undefined) return;
  reporter.report({
    domain,
    policy: policy.kind,
    strings: policy.strings.slice(0, STRING_LIMIT).map((line) => ({ line })),
    patterns: policy.patterns.map((name) => ({ name })),
    failure,
    host: host.name,
    address: host.address,
  });
}

/** The policy of a host as it is reported. */
export function policyOf({ demand, reported }: HostTls): ReportedPolicy {
  return demand.kind === "dane" ? tlsaPolicy(demand.records) : reported ?? NO_POLICY;
}
