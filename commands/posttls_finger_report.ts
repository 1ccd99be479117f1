/**
 * What posttls-finger tells of a server: in JSON, as PEM, as lines.
 *
 * @module
 */
// Utility
import { encodeBase64 } from "../lib/vstring/base64.ts";
import type { FingerprintDigest } from "../lib/safe/certificate.ts";
// Wire protocols
import { relayLabel } from "../lib/smtp/client_hosts.ts";
import type { ClientSession } from "../lib/smtp/client_session.ts";
import { trustWord } from "../lib/smtp/client_tls_session.ts";
import { parseCertificate } from "../lib/tls/client_certificate.ts";
import { DerError } from "../lib/tls/client_der.ts";
import { fingerprintOf } from "../lib/tls/client_fingerprint.ts";
// This program
import type { CommandEnv } from "./command.ts";

/** What is told of a host in JSON. */
export interface HostReport {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly level: string;
  error?: string;
  conversation: string[];
  tls?: {
    readonly version: string;
    readonly cipher: string;
    readonly trust: string;
    readonly matched: boolean;
    readonly why: string;
    readonly certificates: readonly CertificateReport[];
  };
}

/** A certificate in JSON. */
export type CertificateReport =
  | {
    readonly names: readonly string[];
    readonly common_names: readonly string[];
    readonly not_before: string;
    readonly not_after: string;
    readonly fingerprint: string;
    readonly pkey_fingerprint: string;
    readonly pem: string;
  }
  | { readonly error: string };

/** Puts what is known of an encrypted connection into the report. */
export function reportServer(
  { security }: ClientSession,
  report: HostReport,
  digest: FingerprintDigest,
): void {
  if (security === undefined) return;
  const { judgement, version, cipher, verified, chain } = security;
  report.tls = {
    version,
    cipher,
    trust: trustWord(judgement, verified),
    matched: judgement.matched,
    why: judgement.why,
    certificates: chain.map((raw) => certificateReport(raw, digest)),
  };
}

/** A line for each name of the server's certificate. */
export function nameLines({ security, host }: ClientSession): string[] {
  return (security?.judgement.leaf?.hostNames ?? []).map((name) =>
    `${relayLabel(host)}: subjectAltName: ${name}`
  );
}

/** Prints the certificates as PEM, each below its digests. */
export function printChain(report: HostReport, env: CommandEnv): void {
  for (const one of report.tls?.certificates ?? []) {
    if ("error" in one) continue;
    env.out(`\n---\ncert digest=${one.fingerprint}\npkey digest=${one.pkey_fingerprint}\n${one.pem}`);
  }
}

function certificateReport(raw: Uint8Array, digest: FingerprintDigest): CertificateReport {
  try {
    const { hostNames, commonNames, notBefore, notAfter, key } = parseCertificate(raw);
    return {
      names: hostNames,
      common_names: commonNames,
      not_before: new Date(notBefore).toISOString(),
      not_after: new Date(notAfter).toISOString(),
      fingerprint: fingerprintOf(digest, raw),
      pkey_fingerprint: fingerprintOf(digest, key),
      pem: pemOf(raw),
    };
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return { error: `Cannot read certificate: ${error.message}` };
  }
}

/** PEM has lines of 64 characters. */
function pemOf(raw: Uint8Array): string {
  const text = encodeBase64(raw);
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += 64) lines.push(text.slice(at, at + 64));
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
