/**
 * The files of keys and certificates: read for the daemons that terminate TLS, and looked at by `check` before anything
 * starts.
 *
 * @module
 */
// Safe primitives
import { lookAt, readTextFile, realPath } from "../safe/file.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { errorAt, type Problem, warningAt } from "../config/problem.ts";
// Wire protocols
import { readServerMaterial, SERVER_TLS_PARAMETERS, type ServerTlsSettings } from "../tls/server_files.ts";
import type { ServerTlsMaterial } from "../tls/server_material.ts";
// Server skeleton
import type { Service } from "./service.ts";

/** Longest file of keys, certificates or authorities, bytes. */
const FILE_LIMIT = 4 * 1024 * 1024;
/** A certificate that ends sooner is told of, milliseconds. */
const SOON = 7 * 24 * 3600 * 1000;

/** Reads a file of keys or certificates. */
function readKeyFile(path: string): string {
  return readTextFile(path, FILE_LIMIT);
}

/** What a service that terminates TLS is handed; undefined where TLS is off. */
export function serverTlsMaterial(
  configuration: Configuration,
  entry: ServiceEntry,
): ServerTlsMaterial | undefined {
  return readServerMaterial(settingsFor(configuration, entry, SERVER_TLS_PARAMETERS), readKeyFile).material;
}

/** All that is wrong with keys, certificates and the TLS parameters of servers, each thing once. */
export function findTlsProblems(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
  now: number = Date.now(),
): Problem[] {
  const problems = new Map<string, Problem>();
  for (const entry of configuration.services) {
    if (services.get(entry.command)?.terminatesTls !== true) continue;
    for (const problem of serviceProblems(configuration, entry, now)) {
      problems.set(`${problem.file} ${problem.line} ${problem.text}`, problem);
    }
  }
  return [...problems.values()];
}

function serviceProblems(configuration: Configuration, entry: ServiceEntry, now: number): Problem[] {
  const scope = configuration.scopeOf(entry);
  const settings = settingsFor(configuration, entry, SERVER_TLS_PARAMETERS);
  const { findings, leaves } = readServerMaterial(settings, readKeyFile);
  const place = (name: string) => scope.setting(name) ?? entry.place;
  const problems = findings.map(({ parameter, severity, text, cure }) =>
    (severity === "error" ? errorAt : warningAt)(place(parameter), `"${parameter}": ${text}`, cure)
  );
  const { myhostname } = configuration.settings;
  for (const [parameter, leaf] of leaves) {
    const warn = (text: string, cure?: string) =>
      problems.push(warningAt(place(parameter), `"${parameter}": ${text}`, cure));
    const end = new Date(leaf.validTo).toISOString().slice(0, 10);
    if (leaf.validTo < now) warn(`the certificate has expired on ${end}`, "renew it");
    else if (leaf.validTo < now + SOON) warn(`the certificate expires on ${end}`, "renew it");
    if (leaf.validFrom > now) warn("the certificate is not yet valid", "look at the clock");
    // Which names a table's certificates are for is what the table is about.
    if (parameter !== "tls_server_sni_maps" && !leaf.isFor(myhostname)) {
      warn(`the certificate is not for myhostname "${myhostname}"`, "clients that look will not trust it");
    }
  }
  return [...problems, ...openKeys(settings, place)];
}

/** Private keys that others than their owner may read. */
function openKeys(
  settings: ServerTlsSettings,
  place: (name: string) => { readonly file: string; readonly line: number },
): Problem[] {
  const { smtpd_tls_chain_files: chains, smtpd_tls_cert_file: rsa, smtpd_tls_eccert_file: ec } = settings;
  const files = chains.length > 0
    ? chains.map((path) => ["smtpd_tls_chain_files", path])
    : rsa !== ""
    ? [["smtpd_tls_key_file", settings.smtpd_tls_key_file]]
    : ec !== ""
    ? [["smtpd_tls_eckey_file", settings.smtpd_tls_eckey_file]]
    : [];
  return files.flatMap(([parameter, path]) => {
    const stat = lookAt(realPath(path!) ?? path!);
    if (stat === undefined || (stat.mode & 0o004) === 0) return [];
    return [warningAt(place(parameter!), `"${path}": everybody can read the private key`, "chmod o-r")];
  });
}
