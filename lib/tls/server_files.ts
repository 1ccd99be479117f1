/**
 * Keys and certificates of a server: read by master from the files that the configuration names, for the daemons that
 * terminate TLS.
 *
 * @module
 */
// Safe primitives
import type { Certificate } from "../safe/certificate.ts";
import type { TlsIdentity } from "../safe/tls_server.ts";
// Utility
import type { ParameterName, Settings } from "../config/parameters.ts";
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
// Tables
import { openTable } from "../table/open.ts";
// TLS
import { type ServerTlsLevel, serverTlsLevel, type ServerTlsMaterial } from "./server_material.ts";
import { disobeyedExclusion, isMetGrade } from "./tls_ciphers.ts";
import { readChains, type ReadIdentities, readPair } from "./tls_identity.ts";
import { parseVersions } from "./tls_protocols.ts";

/** The parameters that say how a server speaks TLS. */
export const SERVER_TLS_PARAMETERS = [
  "smtpd_tls_CAfile",
  "smtpd_tls_ask_ccert",
  "smtpd_tls_cert_file",
  "smtpd_tls_chain_files",
  "smtpd_tls_ciphers",
  "smtpd_tls_eccert_file",
  "smtpd_tls_eckey_file",
  "smtpd_tls_exclude_ciphers",
  "smtpd_tls_key_file",
  "smtpd_tls_mandatory_ciphers",
  "smtpd_tls_mandatory_exclude_ciphers",
  "smtpd_tls_mandatory_protocols",
  "smtpd_tls_protocols",
  "smtpd_tls_req_ccert",
  "smtpd_tls_security_level",
  "smtpd_tls_wrappermode",
  "tls_server_sni_maps",
] as const satisfies readonly ParameterName[];

/** Their values. */
export type ServerTlsSettings = Settings<typeof SERVER_TLS_PARAMETERS[number]>;

/** Something that is wrong with a parameter. */
export interface TlsFinding {
  readonly parameter: ParameterName;
  readonly severity: "error" | "warning";
  readonly text: string;
  readonly cure?: string;
}

/** What was read, and what was found wrong on the way. */
export interface ReadMaterial {
  /** Undefined where TLS is off. */
  readonly material: ServerTlsMaterial | undefined;
  readonly findings: readonly TlsFinding[];
  /** The certificates that are used, with the parameter that names them. */
  readonly leaves: readonly (readonly [parameter: ParameterName, leaf: Certificate])[];
}

/**
 * Reads keys and certificates and looks for what is wrong with the TLS parameters of a server.
 *
 * @param read gives a file's text; throws an Error with the reason
 */
export function readServerMaterial(
  settings: ServerTlsSettings,
  read: (path: string) => string,
): ReadMaterial {
  const level = serverTlsLevel(settings);
  if (level === "none") return { material: undefined, findings: [], leaves: [] };
  const findings: TlsFinding[] = [...checkChoices(settings, level)];
  const leaves: [ParameterName, Certificate][] = [];
  const identity = readIdentity(settings, read, findings, leaves);
  const named = readNamed(settings.tls_server_sni_maps, read, findings, leaves);
  const authorities = readAuthorities(settings.smtpd_tls_CAfile, read, findings);
  if (identity === undefined && !findings.some((one) => one.severity === "error")) {
    findings.push(noCertificate(settings, level));
  }
  const material = { ...(identity === undefined ? {} : { identity }), named, authorities };
  return { material, findings, leaves };
}

function noCertificate(settings: ServerTlsSettings, level: ServerTlsLevel): TlsFinding {
  const parameter = settings.smtpd_tls_wrappermode ? "smtpd_tls_wrappermode" : "smtpd_tls_security_level";
  // Where TLS is a must, no mail could come in at all.
  return {
    parameter,
    severity: level === "encrypt" ? "error" : "warning",
    text: "No server certs available. TLS won't be enabled",
    cure: "set smtpd_tls_chain_files",
  };
}

function checkChoices(settings: ServerTlsSettings, level: ServerTlsLevel): TlsFinding[] {
  const findings: TlsFinding[] = [];
  const mandatory = level === "encrypt";
  const versions = mandatory ? "smtpd_tls_mandatory_protocols" : "smtpd_tls_protocols";
  const range = parseVersions(settings[versions]);
  if (range.kind === "wrong") findings.push({ parameter: versions, severity: "error", text: range.why });
  const grade = mandatory ? "smtpd_tls_mandatory_ciphers" : "smtpd_tls_ciphers";
  if (!isMetGrade(settings[grade])) {
    const text = `the TLS library has no ciphers of the grade "${settings[grade]}"`;
    findings.push({ parameter: grade, severity: "error", text, cure: 'use "medium" or "high"' });
  }
  const lists = ["smtpd_tls_exclude_ciphers", "smtpd_tls_mandatory_exclude_ciphers"] as const;
  for (const parameter of mandatory ? lists : lists.slice(0, 1)) {
    const word = disobeyedExclusion(settings[parameter]);
    if (word === undefined) continue;
    const text = `"${word}" cannot be excluded: the TLS library always offers all of its ciphers`;
    findings.push({ parameter, severity: "error", text, cure: "leave it out: none of them is weak" });
  }
  if (settings.smtpd_tls_req_ccert && !mandatory) {
    const text = "Can't require client certs unless TLS is required";
    findings.push({ parameter: "smtpd_tls_req_ccert", severity: "warning", text });
  }
  return findings;
}

/** One identity: the library takes one, so that of several kinds of key the first is used. */
function readIdentity(
  settings: ServerTlsSettings,
  read: (path: string) => string,
  findings: TlsFinding[],
  leaves: [ParameterName, Certificate][],
): TlsIdentity | undefined {
  const { smtpd_tls_chain_files: chains, smtpd_tls_cert_file: rsa, smtpd_tls_eccert_file: ec } = settings;
  const [parameter, result]: [ParameterName, ReadIdentities | undefined] = chains.length > 0
    ? ["smtpd_tls_chain_files", readChains(chains, read)]
    : rsa !== ""
    ? ["smtpd_tls_cert_file", readPair(settings.smtpd_tls_key_file, rsa, read)]
    : ["smtpd_tls_eccert_file", ec === "" ? undefined : readPair(settings.smtpd_tls_eckey_file, ec, read)];
  if (result === undefined) return undefined;
  if (result.kind === "wrong") {
    findings.push({ parameter, severity: "error", text: result.why });
    return undefined;
  }
  const [first] = result.found;
  if (result.found.length > 1 || (parameter === "smtpd_tls_cert_file" && ec !== "")) {
    const text = `the TLS library takes one certificate: that with the ${first!.leaf.keyType} key is used`;
    const left = parameter === "smtpd_tls_cert_file" ? "smtpd_tls_eccert_file" : parameter;
    findings.push({ parameter: left, severity: "warning", text, cure: "leave the others out" });
  }
  leaves.push([parameter, first!.leaf]);
  return first!.identity;
}

function readAuthorities(path: string, read: (path: string) => string, findings: TlsFinding[]): string {
  if (path === "") return "";
  try {
    const text = read(path);
    if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
    findings.push({
      parameter: "smtpd_tls_CAfile",
      severity: "error",
      text: `no certificate in "${path}"`,
    });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    findings.push({ parameter: "smtpd_tls_CAfile", severity: "error", text });
  }
  return "";
}

/** The tables of identities by name: `name file ...`, as the source of `postmap -F` has it. */
function readNamed(
  specs: readonly string[],
  read: (path: string) => string,
  findings: TlsFinding[],
  leaves: [ParameterName, Certificate][],
): [string, TlsIdentity][] {
  const parameter = "tls_server_sni_maps";
  const named = new Map<string, TlsIdentity>();
  const fail = (text: string) => findings.push({ parameter, severity: "error", text });
  for (const spec of specs) {
    let entries: Iterable<readonly [string, string]>;
    try {
      const table = openTable(spec);
      if (table.entries === undefined) {
        fail(`table "${spec}" cannot be listed: use texthash`);
        continue;
      }
      entries = table.entries();
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
      continue;
    }
    for (const [name, files] of entries) {
      const result = readChains(splitBlanks(files, true), read);
      if (result.kind === "wrong") {
        fail(`"${name}": ${result.why}`);
        continue;
      }
      const [first] = result.found;
      if (!named.has(asciiLower(name))) named.set(asciiLower(name), first!.identity);
      leaves.push([parameter, first!.leaf]);
    }
  }
  return [...named];
}
