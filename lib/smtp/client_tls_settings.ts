/**
 * The TLS parameters of the SMTP and LMTP clients in one form, checked once when the process starts.
 *
 * @module
 */
// Utility
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
import type { Settings } from "../config/parameters.ts";
import type { FingerprintDigest } from "../safe/certificate.ts";
import type { TlsIdentity, TlsVersion } from "../safe/tls_server.ts";
// TLS
import type { TrustAnchors } from "../tls/client_chain.ts";
import { FINGERPRINT_DIGESTS } from "../tls/client_fingerprint.ts";
import { type ClientTlsMaterial, readAnchors } from "../tls/client_material.ts";
import { disobeyedExclusion, isMetGrade } from "../tls/tls_ciphers.ts";
import { parseVersions } from "../tls/tls_protocols.ts";
import type { Dialect } from "./client_policy.ts";

/** Levels that the configuration may name, weakest first (postconf(5), smtp_tls_security_level). */
export const TLS_LEVELS = [
  "none",
  "may",
  "encrypt",
  "fingerprint",
  "dane",
  "dane-only",
  "verify",
  "secure",
] as const;
/** One of them. */
export type TlsLevel = (typeof TLS_LEVELS)[number];

/** Endings of the TLS parameters that exist as smtp_* and lmtp_*. */
const SHARED = [
  "starttls_timeout",
  "tls_block_early_mail_reply",
  "tls_ciphers",
  "tls_enforce_sts_mx_patterns",
  "tls_exclude_ciphers",
  "tls_fingerprint_cert_match",
  "tls_fingerprint_digest",
  "tls_force_insecure_host_tlsa_lookup",
  "tls_loglevel",
  "tls_mandatory_ciphers",
  "tls_mandatory_exclude_ciphers",
  "tls_mandatory_protocols",
  "tls_note_starttls_offer",
  "tls_policy_maps",
  "tls_protocols",
  "tls_scert_verifydepth",
  "tls_secure_cert_match",
  "tls_security_level",
  "tls_servername",
  "tls_verify_cert_match",
  "tls_wrappermode",
] as const;

type SharedTlsSettings = Settings<`smtp_${(typeof SHARED)[number]}`>;
type CommonTlsSettings = Settings<"ignore_mx_lookup_error" | "minimal_backoff_time" | "tls_dane_digests">;

/** Parameters of the smtp program that are read here. */
export type SmtpTlsSettings =
  & SharedTlsSettings
  & CommonTlsSettings
  & Settings<"smtp_dns_support_level" | "smtp_tls_dane_insecure_mx_policy">;
/** Those of the lmtp program. */
export type LmtpTlsSettings =
  & Settings<`lmtp_${(typeof SHARED)[number]}`>
  & CommonTlsSettings
  & Settings<"lmtp_dns_support_level">;

/** Oldest and newest version. */
export interface VersionSpan {
  readonly least: TlsVersion;
  readonly most: TlsVersion;
}

/** What the configuration says of TLS to servers. */
export interface TlsConfiguration {
  readonly dialect: Dialect;
  readonly level: TlsLevel;
  /** TLS from the first byte on. */
  readonly wrapper: boolean;
  /** Name of the parameter with the policy tables; undefined when it has none. */
  readonly policyTables: string | undefined;
  readonly opportunistic: VersionSpan;
  readonly mandatory: VersionSpan;
  readonly verifyMatch: readonly string[];
  readonly secureMatch: readonly string[];
  readonly fingerprints: readonly string[];
  readonly digest: FingerprintDigest;
  readonly serverName: string;
  readonly depth: number;
  /** smtp_tls_CAfile and smtp_tls_CApath. */
  readonly authorities: TrustAnchors;
  /** smtp_tls_trust_anchor_file; undefined when there is none. */
  readonly anchors: TrustAnchors | undefined;
  readonly identity: TlsIdentity | undefined;
  readonly enforcesPatterns: boolean;
  readonly notesOffers: boolean;
  readonly blocksEarlyReplies: boolean;
  /** Milliseconds. */
  readonly timeout: number;
  readonly logLevel: number;
  /** A message younger than this, in seconds, is not sent in the clear after a handshake that failed. */
  readonly retryAge: number;
  readonly dane: DaneConfiguration;
}

/** How DANE is used. */
export interface DaneConfiguration {
  /** Answers are asked for with proof; without, there is no DANE. Empty when there is, else what is in the way. */
  readonly hindrance: string;
  readonly digests: readonly string[];
  readonly insecureMx: "dane" | "encrypt" | "may";
  readonly forceInsecureHosts: boolean;
}

/** Thrown for parameters that cannot be obeyed; the daemon does not start. */
export class TlsSettingError extends Error {
  override name = "TlsSettingError";
}

/** The TLS configuration of the smtp program. Throws `TlsSettingError`. */
export function smtpTlsConfiguration(
  settings: SmtpTlsSettings,
  material: ClientTlsMaterial,
): TlsConfiguration {
  const hindrance = daneHindrance("smtp", settings.smtp_dns_support_level, settings);
  const insecureMx = settings.smtp_tls_dane_insecure_mx_policy as DaneConfiguration["insecureMx"];
  return tlsConfiguration("smtp", settings, settings, material, { hindrance, insecureMx });
}

/** The TLS configuration of the lmtp program. Throws `TlsSettingError`. */
export function lmtpTlsConfiguration(
  settings: LmtpTlsSettings,
  material: ClientTlsMaterial,
): TlsConfiguration {
  // lmtp_x has the type of smtp_x for every x of the list, so one function reads both.
  const renamed = Object.fromEntries(SHARED.map((name) => [`smtp_${name}`, settings[`lmtp_${name}`]]));
  const shared = renamed as unknown as SharedTlsSettings;
  const hindrance = daneHindrance("lmtp", settings.lmtp_dns_support_level, settings);
  // There are no MX records in it.
  return tlsConfiguration("lmtp", settings, shared, material, { hindrance, insecureMx: "dane" });
}

/** What of the configuration keeps DANE from being used; empty: nothing. */
function daneHindrance(
  dialect: Dialect,
  level: string,
  { ignore_mx_lookup_error }: CommonTlsSettings,
): string {
  if (level !== "dnssec") return `${dialect}_dns_support_level is not "dnssec"`;
  return ignore_mx_lookup_error ? "ignore_mx_lookup_error is set" : "";
}

function tlsConfiguration(
  dialect: Dialect,
  common: CommonTlsSettings,
  shared: SharedTlsSettings,
  material: ClientTlsMaterial,
  dane: Pick<DaneConfiguration, "hindrance" | "insecureMx">,
): TlsConfiguration {
  const fail = (name: string, why: string): never => {
    throw new TlsSettingError(`Cannot use ${dialect}_${name}: ${why}`);
  };
  const checkCiphers = (name: string, grade: string, exclusions: readonly string[]) => {
    const why = cipherTrouble(grade, exclusions);
    if (why !== undefined) fail(name, why);
  };
  const { smtp_tls_exclude_ciphers: excluded, smtp_tls_mandatory_exclude_ciphers: mandatory } = shared;
  checkCiphers("tls_ciphers", shared.smtp_tls_ciphers, excluded);
  checkCiphers("tls_mandatory_ciphers", shared.smtp_tls_mandatory_ciphers, [...excluded, ...mandatory]);
  const span = (name: string, text: readonly string[]): VersionSpan => {
    const found = spanOf(text.join(" "));
    return typeof found === "string" ? fail(name, found) : found;
  };
  const digest = FINGERPRINT_DIGESTS.find((one) => one === asciiLower(shared.smtp_tls_fingerprint_digest));
  const level = shared.smtp_tls_security_level === "" ? "none" : shared.smtp_tls_security_level as TlsLevel;
  if (level === "fingerprint" && shared.smtp_tls_fingerprint_cert_match.length === 0) {
    fail("tls_security_level", 'level "fingerprint" needs fingerprints (tls_fingerprint_cert_match)');
  }
  return {
    dialect,
    level,
    wrapper: shared.smtp_tls_wrappermode,
    policyTables: shared.smtp_tls_policy_maps.length > 0 ? `${dialect}_tls_policy_maps` : undefined,
    opportunistic: span("tls_protocols", shared.smtp_tls_protocols),
    mandatory: span("tls_mandatory_protocols", shared.smtp_tls_mandatory_protocols),
    verifyMatch: matchWords(shared.smtp_tls_verify_cert_match),
    secureMatch: matchWords(shared.smtp_tls_secure_cert_match),
    fingerprints: shared.smtp_tls_fingerprint_cert_match.flatMap((item) => item.split("|")),
    digest: digest ??
      fail("tls_fingerprint_digest", `unknown digest "${shared.smtp_tls_fingerprint_digest}"`),
    serverName: shared.smtp_tls_servername,
    depth: shared.smtp_tls_scert_verifydepth,
    authorities: readAnchors(material.authorities),
    anchors: material.anchors === "" ? undefined : readAnchors(material.anchors),
    identity: material.identity,
    enforcesPatterns: shared.smtp_tls_enforce_sts_mx_patterns,
    notesOffers: shared.smtp_tls_note_starttls_offer,
    blocksEarlyReplies: shared.smtp_tls_block_early_mail_reply,
    timeout: shared.smtp_starttls_timeout * 1000,
    logLevel: shared.smtp_tls_loglevel,
    retryAge: common.minimal_backoff_time,
    dane: {
      ...dane,
      digests: common.tls_dane_digests,
      forceInsecureHosts: shared.smtp_tls_force_insecure_host_tlsa_lookup,
    },
  };
}

/** What is wrong with a grade or with ciphers that shall not be used; undefined when they can be obeyed. */
export function cipherTrouble(grade: string, exclusions: readonly string[]): string | undefined {
  if (!isMetGrade(grade)) return `no cipher has the grade "${grade}"`;
  const disobeyed = disobeyedExclusion(exclusions);
  return disobeyed === undefined ? undefined : `cipher "${disobeyed}" is always offered`;
}

/** The versions of a list as Postfix writes it, or what is wrong with it. */
export function spanOf(text: string): VersionSpan | string {
  const range = parseVersions(text);
  return range.kind === "wrong" ? range.why : { least: range.oldest, most: range.newest };
}

/** Names and strategies of a `match` attribute or parameter, lower case. */
export function matchWords(items: readonly string[]): string[] {
  return items.flatMap((item) => splitBlanks(item.replaceAll(":", " "), true)).map(asciiLower);
}
