/**
 * TLS of a client under test: a configuration as the parameters' defaults make it, and what changes of it.
 *
 * @module
 */
import type { Logger } from "../../../lib/log/log.ts";
import type { DnsLookup } from "../../../lib/proto/dns_client.ts";
import type { StsLookup } from "../../../lib/proto/sts_client.ts";
import type { MapLookup, MapOutcome } from "../../../lib/proto/proxymap_client.ts";
import { ClientTls } from "../../../lib/smtp/client_tls.ts";
import { TlsPolicyFinder } from "../../../lib/smtp/client_tls_policy.ts";
import type { TlsConfiguration } from "../../../lib/smtp/client_tls_settings.ts";

export const TLS_CONFIGURATION: TlsConfiguration = {
  dialect: "smtp",
  level: "may",
  wrapper: false,
  policyTables: undefined,
  opportunistic: { least: "TLSv1.2", most: "TLSv1.3" },
  mandatory: { least: "TLSv1.2", most: "TLSv1.3" },
  verifyMatch: ["hostname"],
  secureMatch: ["nexthop", "dot-nexthop"],
  fingerprints: [],
  digest: "sha256",
  serverName: "",
  depth: 9,
  authorities: { certificates: [], keys: [] },
  anchors: undefined,
  identity: undefined,
  enforcesPatterns: true,
  notesOffers: false,
  blocksEarlyReplies: false,
  timeout: 20_000,
  logLevel: 1,
  retryAge: 300,
  dane: { hindrance: "", digests: ["sha512", "sha256"], insecureMx: "dane", forceInsecureHosts: false },
};

/** Tables that hold these entries. */
export function fakeMaps(entries: Readonly<Record<string, string>>): MapLookup {
  return {
    find: (_parameter, _search, key): Promise<MapOutcome> => {
      const value = entries[key];
      if (value === undefined) return Promise.resolve({ kind: "missing" });
      if (value === "TROUBLE") return Promise.resolve({ kind: "retry", why: "table is away" });
      return Promise.resolve({ kind: "found", value, extension: "" });
    },
  };
}

/** A finder of policies, and the warnings that it gave. */
export function makeFinder(
  changes: Partial<TlsConfiguration>,
  dns: DnsLookup,
  entries: Readonly<Record<string, string>> = {},
  sts?: StsLookup,
): { readonly finder: TlsPolicyFinder; readonly warnings: string[] } {
  const warnings: string[] = [];
  const finder = new TlsPolicyFinder({
    configuration: { ...TLS_CONFIGURATION, ...changes },
    myHostName: "client.test",
    maps: fakeMaps(entries),
    dns,
    sts,
    warn: (text) => void warnings.push(text),
  });
  return { finder, warnings };
}

/** TLS of a client whose deliveries are tested. */
export function makeClientTls(
  changes: Partial<TlsConfiguration>,
  dns: DnsLookup,
  log: Logger,
  entries: Readonly<Record<string, string>> = {},
): ClientTls {
  const configuration = { ...TLS_CONFIGURATION, ...changes };
  return new ClientTls(configuration, makeFinder(changes, dns, entries).finder, log);
}
