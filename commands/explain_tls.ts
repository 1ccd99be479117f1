/**
 * Which TLS the client would speak with a host: its level, and what the certificate must prove.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import type { ParameterName, Settings } from "../lib/config/parameters.ts";
// Internal protocols
import type { DnsLookup } from "../lib/proto/dns_client.ts";
// Wire protocols
import type { Destination } from "../lib/smtp/client_destination.ts";
import type { Host } from "../lib/smtp/client_hosts.ts";
import { type HostTlsFinding, TlsPolicyFinder } from "../lib/smtp/client_tls_policy.ts";
import {
  lmtpTlsConfiguration,
  smtpTlsConfiguration,
  type TlsConfiguration,
  TlsSettingError,
} from "../lib/smtp/client_tls_settings.ts";
// Server skeleton
import type { Decisions } from "../lib/server/decisions.ts";
import { clientTlsMaterial } from "../lib/server/tls_client_files.ts";
// This program
import type { TlsFacts } from "./explain_facts.ts";

/** Finds the TLS of a transport's hosts. */
export class TlsExplainer {
  readonly #finder: TlsPolicyFinder | undefined;
  readonly #why: string;

  /** @param entry a service that runs smtp or lmtp */
  constructor(
    configuration: Configuration,
    entry: ServiceEntry,
    settings: Settings<ParameterName>,
    decisions: Decisions,
    dns: DnsLookup,
  ) {
    const made = tlsOf(configuration, entry, settings);
    this.#why = typeof made === "string" ? made : "";
    this.#finder = typeof made === "string" ? undefined : new TlsPolicyFinder({
      configuration: made,
      myHostName: settings.myhostname,
      maps: decisions.mapsOf(entry.command),
      dns,
      warn: () => {},
    });
  }

  /** The TLS of one host of a destination. */
  async of(destination: Destination, host: Host): Promise<TlsFacts> {
    const finder = this.#finder;
    if (finder === undefined) return { level: "", required: true, matches: [], trouble: this.#why };
    return toFacts(await finder.host(await finder.destination(destination), destination, host));
  }
}

function tlsOf(
  configuration: Configuration,
  entry: ServiceEntry,
  settings: Settings<ParameterName>,
): TlsConfiguration | string {
  try {
    const material = clientTlsMaterial(configuration, entry);
    return entry.command === "smtp"
      ? smtpTlsConfiguration(settings, material)
      : lmtpTlsConfiguration(settings, material);
  } catch (error) {
    if (error instanceof TlsSettingError) return error.message;
    throw error;
  }
}

function toFacts(finding: HostTlsFinding): TlsFacts {
  if (finding.kind === "invalid") return { level: "", required: true, matches: [], trouble: finding.why };
  const { level, required, demand } = finding;
  switch (demand.kind) {
    case "none":
      return { level, required, matches: [] };
    case "names":
      return { level, required, matches: demand.names };
    case "fingerprints":
      return { level, required, matches: demand.fingerprints };
    case "dane":
      return { level, required, matches: demand.names };
    default:
      return demand satisfies never;
  }
}
