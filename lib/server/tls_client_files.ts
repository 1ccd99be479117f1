/**
 * The files that clients of TLS stand on: authorities, keys, certificates. Read for the daemons that open connections
 * outside, which may open no file, and looked at by `check` before anything starts.
 *
 * @module
 */
// Safe primitives
import { listDirectory, lookAt, readTextFile, realPath } from "../safe/file.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import type { Settings } from "../config/parameters.ts";
import { errorAt, type Problem } from "../config/problem.ts";
// Wire protocols
import { type ClientTlsMaterial, NO_MATERIAL } from "../tls/client_material.ts";
import { parseAnchors } from "../tls/client_anchors.ts";
import { readChains, type ReadIdentities, readPair } from "../tls/tls_identity.ts";
// Server skeleton
import type { Service } from "./service.ts";

/** Longest file of authorities or keys, bytes. */
const FILE_LIMIT = 4 * 1024 * 1024;
/** Most files of a directory of authorities that are read, and most bytes of them together. */
const DIRECTORY_LIMIT = 1000;
const AUTHORITIES_LIMIT = 8 * 1024 * 1024;
/** Where systems keep the authorities that everybody trusts. */
const SYSTEM_AUTHORITIES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
] as const;

/** Parameters that name the files, of each program. */
const PARAMETERS = {
  smtp: {
    file: "smtp_tls_CAfile",
    directory: "smtp_tls_CApath",
    anchors: "smtp_tls_trust_anchor_file",
    chains: "smtp_tls_chain_files",
    certificate: "smtp_tls_cert_file",
    key: "smtp_tls_key_file",
    ecCertificate: "smtp_tls_eccert_file",
    ecKey: "smtp_tls_eckey_file",
  },
  lmtp: {
    file: "lmtp_tls_CAfile",
    directory: "lmtp_tls_CApath",
    anchors: "lmtp_tls_trust_anchor_file",
    chains: "lmtp_tls_chain_files",
    certificate: "lmtp_tls_cert_file",
    key: "lmtp_tls_key_file",
    ecCertificate: "lmtp_tls_eccert_file",
    ecKey: "lmtp_tls_eckey_file",
  },
} as const;
type Names = (typeof PARAMETERS)["smtp" | "lmtp"];
type FileParameter = Names[keyof Names];

/** What was read, and what is wrong with it by parameter. */
interface Reading {
  readonly material: ClientTlsMaterial;
  readonly faults: readonly Fault[];
}

/** What a service that opens TLS connections is handed. */
export function clientTlsMaterial(configuration: Configuration, entry: ServiceEntry): ClientTlsMaterial {
  return readMaterial(configuration, entry).material;
}

/** All that is wrong with the files of TLS clients. */
export function findClientTlsProblems(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
): Problem[] {
  const problems = new Map<string, Problem>();
  for (const entry of configuration.services) {
    if (services.get(entry.command)?.opensTls !== true) continue;
    for (const { parameter, why } of readMaterial(configuration, entry).faults) {
      const problem = errorAt(
        configuration.scopeOf(entry).setting(parameter) ?? entry.place,
        `"${parameter}": ${why}`,
      );
      problems.set(`${problem.file} ${problem.line} ${problem.text}`, problem);
    }
  }
  return [...problems.values()];
}

/** The certificates of a file and of a directory's files, one behind the other; either may be empty. */
export function authorityTexts(file: string, directory: string, read: (path: string) => string): string {
  const paths = [...file === "" ? [] : [file], ...directory === "" ? [] : authorityFiles(directory)];
  return paths.map(read).join("\n");
}

/** Something that is wrong with a parameter's files. */
interface Fault {
  readonly parameter: string;
  readonly why: string;
}

function readMaterial(configuration: Configuration, entry: ServiceEntry): Reading {
  if (entry.command !== "smtp" && entry.command !== "lmtp") return readWebAuthorities(configuration, entry);
  const names = PARAMETERS[entry.command === "lmtp" ? "lmtp" : "smtp"];
  const values = settingsFor(configuration, entry, [
    ...Object.values(names),
    "smtp_tls_sts",
    "tls_append_default_CA",
  ]);
  // RFC 8461 section 4.2: MX hosts of a policy have certificates of authorities that everybody trusts.
  const everybody = values.tls_append_default_CA || (entry.command === "smtp" && values.smtp_tls_sts);
  const faults: Fault[] = [];
  const file = values[names.file];
  const directory = values[names.directory];
  const texts = [
    ...(file === "" ? [] : readAll(names.file, [file], faults)),
    ...(directory === "" ? [] : readAll(names.directory, authorityFiles(directory), faults)),
    ...(everybody ? readAll("tls_append_default_CA", [systemAuthorities()], faults) : []),
  ];
  const authorities = texts.join("");
  if (authorities.length > AUTHORITIES_LIMIT) {
    faults.push({ parameter: names.directory, why: `more than ${AUTHORITIES_LIMIT} bytes of authorities` });
    return { material: NO_MATERIAL, faults };
  }
  const anchors = readAll(names.anchors, values[names.anchors], faults).join("");
  return { material: { authorities, anchors, ...identityOf(values, names, faults) }, faults };
}

/** The authorities of a daemon that asks web servers. */
function readWebAuthorities(configuration: Configuration, entry: ServiceEntry): Reading {
  const { https_CAfile: file } = settingsFor(configuration, entry, ["https_CAfile"]);
  const faults: Fault[] = [];
  const texts = readAll("https_CAfile", [file === "" ? systemAuthorities() : file], faults);
  return { material: { ...NO_MATERIAL, authorities: texts.join("") }, faults };
}

/** The texts of files that hold certificates or keys. */
function readAll(parameter: string, paths: readonly string[], faults: Fault[]): string[] {
  return paths.flatMap((path) => {
    try {
      const text = readTextFile(path, FILE_LIMIT);
      const { certificates, keys } = parseAnchors(text);
      if (certificates.length > 0 || keys.length > 0) return [text.endsWith("\n") ? text : `${text}\n`];
      faults.push({ parameter, why: `"${path}" has no certificate` });
    } catch (error) {
      faults.push({ parameter, why: error instanceof Error ? error.message : String(error) });
    }
    return [];
  });
}

/** The client's key and certificates, if it has any. */
function identityOf(
  values: Settings<FileParameter>,
  names: Names,
  faults: Fault[],
): Pick<ClientTlsMaterial, "identity"> {
  const read = (path: string) => readTextFile(path, FILE_LIMIT);
  const chains = values[names.chains];
  const [rsa, ec] = [values[names.certificate], values[names.ecCertificate]];
  let found: ReadIdentities;
  let parameter: string;
  if (chains.length > 0) [parameter, found] = [names.chains, readChains(chains, read)];
  else if (rsa !== "") [parameter, found] = [names.certificate, readPair(values[names.key], rsa, read)];
  else if (ec !== "") [parameter, found] = [names.ecCertificate, readPair(values[names.ecKey], ec, read)];
  else return {};
  if (found.kind === "wrong") {
    faults.push({ parameter, why: found.why });
    return {};
  }
  const [first] = found.found;
  return first === undefined ? {} : { identity: first.identity };
}

/** The list that this system has; the first place, to be told of, where it has none. */
function systemAuthorities(): string {
  return SYSTEM_AUTHORITIES.find((one) => lookAt(realPath(one) ?? one) !== undefined) ??
    SYSTEM_AUTHORITIES[0];
}

/** The files of a directory of authorities; links that c_rehash makes lead to files that are there as well. */
function authorityFiles(directory: string): string[] {
  if (lookAt(realPath(directory) ?? directory)?.kind !== "directory") return [directory];
  const paths = listDirectory(directory).sort().map((name) => realPath(`${directory}/${name}`));
  const files = paths.flatMap((path) => path !== undefined && lookAt(path)?.kind === "file" ? [path] : []);
  return [...new Set(files)].slice(0, DIRECTORY_LIMIT);
}
