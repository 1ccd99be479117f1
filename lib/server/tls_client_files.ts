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
import { errorAt, type Problem, warningAt } from "../config/problem.ts";
// Wire protocols
import { type ClientTlsMaterial, NO_MATERIAL } from "../tls/client_material.ts";
import { parseAnchors } from "../tls/client_pem.ts";
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

type FileParameter =
  | "smtp_tls_CAfile"
  | "smtp_tls_CApath"
  | "smtp_tls_cert_file"
  | "smtp_tls_chain_files"
  | "smtp_tls_eccert_file"
  | "smtp_tls_eckey_file"
  | "smtp_tls_key_file"
  | "smtp_tls_trust_anchor_file";

/** What was read, and what is wrong with it by parameter. */
interface Reading {
  readonly material: ClientTlsMaterial;
  readonly faults: readonly { readonly parameter: string; readonly why: string; readonly harmless?: true }[];
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
    for (const { parameter, why, harmless } of readMaterial(configuration, entry).faults) {
      const place = configuration.scopeOf(entry).setting(parameter) ?? entry.place;
      const text = `"${parameter}": ${why}`;
      const problem = harmless ? warningAt(place, text) : errorAt(place, text);
      problems.set(`${problem.file} ${problem.line} ${text}`, problem);
    }
  }
  return [...problems.values()];
}

function readMaterial(configuration: Configuration, entry: ServiceEntry): Reading {
  const dialect = entry.command === "lmtp" ? "lmtp" : "smtp";
  const named = (name: FileParameter) => `${dialect}_${name.slice("smtp_".length)}` as FileParameter;
  const setting = <N extends FileParameter>(name: N) =>
    settingsFor(configuration, entry, [named(name)])[named(name)];
  const faults: { parameter: string; why: string; harmless?: true }[] = [];
  const texts: string[] = [];
  const take = (name: FileParameter, path: string) => {
    try {
      const text = readTextFile(path, FILE_LIMIT);
      parseAnchors(text);
      texts.push(text);
    } catch (error) {
      faults.push({ parameter: named(name), why: reasonOf(error) });
    }
  };
  const file = String(setting("smtp_tls_CAfile"));
  if (file !== "") take("smtp_tls_CAfile", file);
  const directory = String(setting("smtp_tls_CApath"));
  if (directory !== "") { for (const path of authorityFiles(directory)) take("smtp_tls_CApath", path); }
  if (configuration.settings.tls_append_default_CA) {
    const path = SYSTEM_AUTHORITIES.find((one) => lookAt(realPath(one) ?? one) !== undefined);
    if (path === undefined) {
      faults.push({ parameter: "tls_append_default_CA", why: "this system has no list of authorities" });
    } else texts.push(readTextFile(path, FILE_LIMIT));
  }
  const anchors = (setting("smtp_tls_trust_anchor_file") as readonly string[]).flatMap((path) => {
    try {
      const text = readTextFile(path, FILE_LIMIT);
      const { certificates, keys } = parseAnchors(text);
      if (certificates.length > 0 || keys.length > 0) return [text];
      faults.push({
        parameter: named("smtp_tls_trust_anchor_file"),
        why: `"${path}" has no certificate and no key`,
      });
    } catch (error) {
      faults.push({ parameter: named("smtp_tls_trust_anchor_file"), why: reasonOf(error) });
    }
    return [];
  });
  const authorities = joined(texts);
  if (authorities.length > AUTHORITIES_LIMIT) {
    faults.push({
      parameter: named("smtp_tls_CApath"),
      why: `more than ${AUTHORITIES_LIMIT} bytes of authorities`,
    });
    return { material: NO_MATERIAL, faults };
  }
  return {
    material: { authorities, anchors: joined(anchors), ...identityOf(setting, named, faults) },
    faults,
  };
}

/** The client's key and certificates, if it has any. */
function identityOf(
  setting: (name: FileParameter) => string | readonly string[],
  named: (name: FileParameter) => string,
  faults: { parameter: string; why: string }[],
): Pick<ClientTlsMaterial, "identity"> {
  const read = (path: string) => readTextFile(path, FILE_LIMIT);
  const chains = setting("smtp_tls_chain_files") as readonly string[];
  const [rsa, ec] = [String(setting("smtp_tls_cert_file")), String(setting("smtp_tls_eccert_file"))];
  let found: ReadIdentities;
  let parameter: FileParameter;
  if (chains.length > 0) [parameter, found] = ["smtp_tls_chain_files", readChains(chains, read)];
  else if (rsa !== "") {
    [parameter, found] = ["smtp_tls_cert_file", readPair(String(setting("smtp_tls_key_file")), rsa, read)];
  } else if (ec !== "") {
    [parameter, found] = ["smtp_tls_eccert_file", readPair(String(setting("smtp_tls_eckey_file")), ec, read)];
  } else return {};
  if (found.kind === "wrong") {
    faults.push({ parameter: named(parameter), why: found.why });
    return {};
  }
  const [first] = found.found;
  return first === undefined ? {} : { identity: first.identity };
}

/** The files of a directory of authorities; links that c_rehash makes lead to files that are there as well. */
function authorityFiles(directory: string): string[] {
  if (lookAt(realPath(directory) ?? directory)?.kind !== "directory") return [directory];
  const paths = listDirectory(directory).sort().map((name) => realPath(`${directory}/${name}`));
  const files = paths.flatMap((path) => path !== undefined && lookAt(path)?.kind === "file" ? [path] : []);
  return [...new Set(files)].slice(0, DIRECTORY_LIMIT);
}

function joined(texts: readonly string[]): string {
  return texts.map((text) => text.endsWith("\n") ? text : `${text}\n`).join("");
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
