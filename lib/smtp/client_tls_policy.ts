/**
 * Which TLS a server is to be spoken to with: the level of the destination, what the policy tables, DANE and MTA-STS
 * make of it for each host (postfix-map sections 6.10 to 6.12).
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import { isValidHostname } from "../mail/domain.ts";
import type { DnsLookup } from "../proto/dns_client.ts";
import type { MapLookup } from "../proto/proxymap_client.ts";
import type { StsLookup } from "../proto/sts_client.ts";
// TLS
import type { TrustAnchors } from "../tls/client_chain.ts";
import type { CertificateDemand } from "../tls/client_verify.ts";
// This program
import type { Destination } from "./client_destination.ts";
import type { Host } from "./client_hosts.ts";
import { findTlsa } from "./client_tls_dane.ts";
import type { ReportedPolicy } from "./client_tls_report.ts";
import type { RequireTlsLevel } from "./client_requiretls.ts";
import type { TlsConfiguration, TlsLevel, VersionSpan } from "./client_tls_settings.ts";
import { parseTlsEntry, type TlsTableEntry } from "./client_tls_table.ts";

/** Levels that a host ends up with. "half-dane": matched by records whose MX host nobody proved. */
export type HostLevel = TlsLevel | "half-dane";

/** How one host is to be spoken to. */
export interface HostTls {
  readonly kind: "policy";
  readonly level: HostLevel;
  /** Mail must not go in the clear. */
  readonly required: boolean;
  readonly versions: VersionSpan;
  /** Name for SNI, or empty. */
  readonly serverName: string;
  readonly demand: CertificateDemand;
  readonly anchors: TrustAnchors;
  /** The domain's own policy that counts here; undefined when it has none, or DANE. */
  readonly reported?: ReportedPolicy;
  /** What REQUIRETLS demands beside; undefined for mail without it. */
  readonly requireTls?: RequireTlsLevel | undefined;
}

/** The host's policy; or why it must not be used. */
export type HostTlsFinding =
  | HostTls
  | {
    readonly kind: "invalid";
    readonly why: string;
    /** The configuration is at fault, so that no host will do better. */
    readonly ours: boolean;
    /** Policy and kind of failure for the domain's report. */
    readonly reported?: ReportedPolicy;
    readonly failure?: "validation-failure" | "dnssec-invalid";
  };

/** What is wanted of a destination, before a host is known. */
export type DestinationTls =
  | {
    readonly kind: "wanted";
    readonly level: TlsLevel;
    readonly entry: TlsTableEntry | undefined;
    /** Connections may be shared by those who want the same. */
    readonly label: string;
    /** What the domain itself says of its hosts counts too: a connection is for mail to this domain only. */
    readonly asksDomain?: boolean;
    /** The sender does not want TLS enforced: nobody's policy counts, and the domain is told of no result. */
    readonly relaxed?: true;
  }
  | { readonly kind: "invalid"; readonly why: string };

/** What the finder works with. */
export interface TlsPolicyTools {
  readonly configuration: TlsConfiguration;
  /** Our own name, which a unix socket has. */
  readonly myHostName: string;
  /** Undefined where there are no policy tables. */
  readonly maps: MapLookup | undefined;
  readonly dns: DnsLookup;
  /** Undefined where MTA-STS policies are not asked for. */
  readonly sts?: StsLookup | undefined;
  readonly warn: (text: string) => void;
}

/** Finds policies. */
export class TlsPolicyFinder {
  readonly #tools: TlsPolicyTools;
  /** Warnings that were given: one of each kind is enough. */
  readonly #warned = new Set<string>();

  constructor(tools: TlsPolicyTools) {
    this.#tools = tools;
  }

  /**
   * What is wanted of a destination.
   *
   * @param relaxed the message has "TLS-Required: no" (RFC 8689 section 3): no policy is asked for, TLS is taken where it
   * is offered, and any certificate is good
   */
  async destination(destination: Destination, relaxed = false): Promise<DestinationTls> {
    const { configuration } = this.#tools;
    if (relaxed) {
      const clear = configuration.level === "none" || destination.kind === "unix";
      const level = configuration.wrapper ? "encrypt" : clear ? "none" : "may";
      return { kind: "wanted", level, entry: undefined, label: `relaxed ${level}`, relaxed };
    }
    const entry = await this.#entry(destination);
    if (entry !== undefined && entry.kind === "bad") {
      this.#warn(`TLS policy for ${printable(destination.text)}: ${printable(entry.why)}`);
      return { kind: "invalid", why: "client TLS configuration problem" };
    }
    const level = entry?.level ?? configuration.level;
    if (configuration.wrapper && (level === "none" || level === "may")) {
      const name = configuration.dialect === "lmtp" ? "lmtp" : "smtp";
      this.#warn(`${name}_tls_wrappermode requires "${name}_tls_security_level = encrypt" (or stronger)`);
      return { kind: "invalid", why: "client TLS configuration problem" };
    }
    if (destination.kind === "unix") return this.#ofSocket(level, entry);
    const asksDomain = this.#tools.sts !== undefined && level !== "none" && entry === undefined;
    return { kind: "wanted", level, entry, label: labelOf(level, entry), asksDomain };
  }

  /** The policy of one host of a destination. */
  async host(wanted: DestinationTls, destination: Destination, host: Host): Promise<HostTlsFinding> {
    if (wanted.kind === "invalid") return { kind: "invalid", why: wanted.why, ours: true };
    const found = await this.#configured(wanted, destination, host);
    // RFC 8461 section 2: where DANE has something to say of the host, a policy on the web does not count.
    const open = found.kind === "policy" && (found.level === "may" || found.level === "encrypt");
    return wanted.asksDomain === true && open ? await this.#ofDomain(found, destination, host) : found;
  }

  /** What the domain's MTA-STS policy makes of a host that the configuration demands little of. */
  async #ofDomain(found: HostTls, destination: Destination, host: Host): Promise<HostTlsFinding> {
    if (destination.kind !== "inet" || !destination.mx) return found;
    const sts = await this.#tools.sts?.policy(destination.host);
    if (sts === undefined) return { kind: "invalid", why: "MTA-STS policy lookup problem", ours: true };
    const patterns = sts.patterns.map(({ name }) => name);
    const reported = { kind: "sts", strings: sts.lines.map(({ line }) => line), patterns } as const;
    const matches = patterns.some((pattern) => matchesMxPattern(pattern, host.name));
    switch (sts.mode) {
      case "none":
        return found;
      case "testing":
        // RFC 8461 section 5: mail goes on as without the policy.
        if (!matches) {
          const text = `MX host ${printable(host.name)} does not match the MTA-STS policy of `;
          this.#warn(`${text}${printable(destination.host)}, which is in mode testing`);
        }
        return { ...found, reported };
      case "enforce": {
        if (!matches) {
          const why = `MX host ${printable(host.name)} does not match the MTA-STS policy`;
          return { kind: "invalid", why, ours: false, reported, failure: "validation-failure" };
        }
        const demand = { kind: "names", names: [host.name] } as const;
        return { ...this.#policy("secure", undefined, demand, { serverName: host.name }), reported };
      }
      default:
        return sts.mode satisfies never;
    }
  }

  async #configured(
    { level, entry }: Extract<DestinationTls, { kind: "wanted" }>,
    destination: Destination,
    host: Host,
  ): Promise<HostTlsFinding> {
    switch (level) {
      case "none":
      case "may":
      case "encrypt":
        return this.#plain(level, entry);
      case "fingerprint": {
        const { configuration } = this.#tools;
        const fingerprints = entry?.matches ?? configuration.fingerprints;
        if (fingerprints.length === 0) return this.#broken(destination, "no fingerprints to match");
        const { digest } = configuration;
        return this.#policy(level, entry, { kind: "fingerprints", digest, fingerprints });
      }
      case "verify":
      case "secure":
        return this.#named(level, entry, destination, host);
      case "dane":
      case "dane-only":
        return await this.#dane(level, entry, destination, host);
      default:
        return level satisfies never;
    }
  }

  /** A unix socket has no DNS and no network to be listened to on. */
  #ofSocket(level: TlsLevel, entry: TlsTableEntry | undefined): DestinationTls {
    if (level === "dane" || level === "dane-only") {
      this.#warn(`TLS level "${level}" is not for unix sockets`);
      return { kind: "invalid", why: "client TLS configuration problem" };
    }
    if (level !== "may") return { kind: "wanted", level, entry, label: labelOf(level, entry) };
    this.#warn('TLS level "may" is "none" for unix sockets');
    return { kind: "wanted", level: "none", entry: undefined, label: "none" };
  }

  #plain(level: "none" | "may" | "encrypt", entry: TlsTableEntry | undefined): HostTls {
    return this.#policy(level, entry, { kind: "none" });
  }

  #named(
    level: "verify" | "secure",
    entry: TlsTableEntry | undefined,
    destination: Destination,
    host: Host,
  ): HostTlsFinding {
    const { configuration, myHostName } = this.#tools;
    let words = entry?.matches ??
      (level === "secure" ? configuration.secureMatch : configuration.verifyMatch);
    const patterns = entry?.sts?.patterns ?? [];
    if (configuration.enforcesPatterns && entry?.matches !== undefined && patterns.length > 0) {
      // RFC 8461 section 4.1: the policy names the MX hosts, and each must be itself.
      if (!patterns.some((pattern) => matchesMxPattern(pattern, host.name))) {
        const why = `MX host ${printable(host.name)} does not match the MTA-STS policy`;
        return { kind: "invalid", why, ours: false };
      }
      words = ["hostname"];
    }
    const nexthop = asciiLower(destination.kind === "inet" ? destination.host : myHostName);
    const names = words.map((word) => {
      if (word === "nexthop") return nexthop;
      if (word === "dot-nexthop") return `.${nexthop}`;
      return word === "hostname" ? host.name : word;
    });
    if (names.length === 0) return this.#broken(destination, "no names to match");
    return this.#policy(level, entry, { kind: "names", names }, {
      anchors: configuration.anchors ?? configuration.authorities,
    });
  }

  async #dane(
    level: "dane" | "dane-only",
    entry: TlsTableEntry | undefined,
    destination: Destination,
    host: Host,
  ): Promise<HostTlsFinding> {
    const { dane } = this.#tools.configuration;
    const only = level === "dane-only";
    if (dane.hindrance !== "" || destination.kind !== "inet") {
      if (only) return this.#broken(destination, `TLS level "dane-only" cannot be had: ${dane.hindrance}`);
      this.#warn(`TLS level "dane" is reduced to "may": ${dane.hindrance}`);
      return this.#plain("may", entry);
    }
    const found = await findTlsa(destination, host, dane, this.#tools.dns);
    switch (found.kind) {
      case "trouble":
        return { kind: "invalid", why: found.why, ours: false, failure: "dnssec-invalid" };
      case "absent": {
        if (only) {
          return { kind: "invalid", why: `${found.why}: ${printable(host.name)}:${host.port}`, ours: false };
        }
        const encrypts = found.insecureMx && dane.insecureMx === "encrypt";
        return this.#plain(encrypts ? "encrypt" : "may", entry);
      }
      case "unusable":
        return only
          ? { kind: "invalid", why: `TLSA records of ${printable(host.name)} are not usable`, ours: false }
          : this.#plain("encrypt", entry);
      case "records": {
        if (found.half && only) {
          return { kind: "invalid", why: "MX records are not DNSSEC validated", ours: false };
        }
        const { records, names, base } = found;
        // RFC 7672 section 8.1: the server is told the name at which its records were found.
        return this.#policy(found.half ? "half-dane" : level, entry, { kind: "dane", records, names }, {
          serverName: base,
        });
      }
      default:
        return found satisfies never;
    }
  }

  #policy(
    level: HostLevel,
    entry: TlsTableEntry | undefined,
    demand: CertificateDemand,
    given: { readonly serverName?: string; readonly anchors?: TrustAnchors } = {},
  ): HostTls {
    const { configuration } = this.#tools;
    const required = level !== "none" && level !== "may";
    return {
      kind: "policy",
      level,
      required,
      versions: entry?.versions ?? (required ? configuration.mandatory : configuration.opportunistic),
      serverName: given.serverName ?? entry?.serverName ?? configuration.serverName,
      demand,
      anchors: given.anchors ?? configuration.authorities,
    };
  }

  /** A policy that cannot be obeyed is the administrator's to mend; until then the mail waits. */
  #broken(destination: Destination, why: string): HostTlsFinding {
    this.#warn(`TLS policy for ${printable(destination.text)}: ${why}`);
    return { kind: "invalid", why: "client TLS configuration problem", ours: true };
  }

  /** The table's entry for a destination as it is written; a plain domain is looked for by its parents too. */
  async #entry(destination: Destination): Promise<ReturnType<typeof parseTlsEntry> | undefined> {
    const { maps, configuration } = this.#tools;
    const parameter = configuration.policyTables;
    if (parameter === undefined || maps === undefined) return undefined;
    for (const key of keysOf(destination)) {
      const found = await maps.find(parameter, "key", key);
      if (found.kind === "retry") return { kind: "bad", why: `${parameter} lookup problem: ${found.why}` };
      if (found.kind === "missing") continue;
      const entry = parseTlsEntry(found.value);
      if (entry.kind === "entry") {
        for (const warning of entry.warnings) {
          this.#warn(`TLS policy for ${printable(key)}: ${printable(warning)}`);
        }
      }
      return entry;
    }
    return undefined;
  }

  #warn(text: string): void {
    if (this.#warned.has(text)) return;
    // Texts are made of the configuration, which is small; a list of destinations that comes by must not grow.
    if (this.#warned.size >= WARNING_LIMIT) this.#warned.clear();
    this.#warned.add(text);
    this.#tools.warn(text);
  }
}

/** Warnings that are remembered. */
const WARNING_LIMIT = 200;

/** Keys of the policy table: the destination as written; only a plain domain has parents. */
function keysOf(destination: Destination): string[] {
  const text = destination.kind === "unix" ? destination.path : destination.text;
  if (destination.kind !== "inet" || !isValidHostname(text)) return [text];
  const keys = [text];
  for (let dot = text.indexOf("."); dot >= 0; dot = text.indexOf(".", dot + 1)) keys.push(text.slice(dot));
  return keys;
}

/**
 * What tells one policy from another, so that a connection is used again only where it would have been made alike.
 */
function labelOf(level: TlsLevel, entry: TlsTableEntry | undefined): string {
  return entry === undefined ? level : `${level} ${JSON.stringify(entry)}`;
}

/** RFC 8461 section 4.1: a pattern is a name, or `*.` and a name for exactly one label before it. */
export function matchesMxPattern(pattern: string, name: string): boolean {
  const wanted = asciiLower(pattern);
  const host = asciiLower(name);
  if (!wanted.startsWith("*.")) return wanted === host;
  const dot = host.indexOf(".");
  return dot > 0 && host.slice(dot) === wanted.slice(1);
}
