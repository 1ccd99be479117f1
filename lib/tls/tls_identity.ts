/**
 * A private key with its chain of certificates: from the texts of files, checked.
 *
 * @module
 */
// Safe primitives
import { Certificate, PrivateKey } from "../safe/certificate.ts";
import type { TlsIdentity } from "../safe/tls_server.ts";
// TLS
import { isKeyLabel, type PemPart, splitPem } from "./pem.ts";

/** The identities in some files, and the first certificate of each; or what is wrong. */
export type ReadIdentities =
  | { readonly kind: "identities"; readonly found: readonly { identity: TlsIdentity; leaf: Certificate }[] }
  | { readonly kind: "wrong"; readonly why: string };

const CERTIFICATE = "CERTIFICATE";

/**
 * Keys, each followed by its certificates, in one file or over several (smtpd_tls_chain_files).
 *
 * @param read gives a file's text; throws an Error with the reason
 */
export function readChains(paths: readonly string[], read: (path: string) => string): ReadIdentities {
  const groups: { key: PemPart; path: string; chain: PemPart[] }[] = [];
  for (const path of paths) {
    const parts = readParts(path, read);
    if (typeof parts === "string") return wrong(parts);
    for (const part of parts) {
      if (isKeyLabel(part.label)) groups.push({ key: part, path, chain: [] });
      else if (part.label !== CERTIFICATE) continue; // EC PARAMETERS and the like
      else if (groups.length === 0) return wrong(`"${path}": a certificate stands before its key`);
      else groups.at(-1)!.chain.push(part);
    }
  }
  if (groups.length === 0) return wrong(`no private key in ${paths.map((one) => `"${one}"`).join(", ")}`);
  return collect(groups.map(({ key, path, chain }) => checked(key, path, chain, path)));
}

/** A key from one file and its certificates from another (smtpd_tls_key_file, smtpd_tls_cert_file); both may be one. */
export function readPair(keyPath: string, certPath: string, read: (path: string) => string): ReadIdentities {
  const certificates = readParts(certPath, read);
  if (typeof certificates === "string") return wrong(certificates);
  const keys = readParts(keyPath, read);
  if (typeof keys === "string") return wrong(keys);
  const key = keys.find(({ label }) => isKeyLabel(label));
  if (key === undefined) {
    const locked = keys.some(({ label, text }) => label.includes("ENCRYPTED") || text.includes("ENCRYPTED"));
    return wrong(`no private key in "${keyPath}"${locked ? " but one with a passphrase" : ""}`);
  }
  return collect([
    checked(key, keyPath, certificates.filter(({ label }) => label === CERTIFICATE), certPath),
  ]);
}

function readParts(path: string, read: (path: string) => string): PemPart[] | string {
  try {
    return splitPem(read(path)) ?? `"${path}": a part has no end`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function wrong(why: string): ReadIdentities {
  return { kind: "wrong", why };
}

type Checked = { readonly identity: TlsIdentity; readonly leaf: Certificate } | string;

function collect(all: readonly Checked[]): ReadIdentities {
  const bad = all.find((one) => typeof one === "string");
  if (bad !== undefined) return wrong(bad);
  return { kind: "identities", found: all.filter((one) => typeof one !== "string") };
}

function checked(key: PemPart, keyPath: string, chain: readonly PemPart[], certPath: string): Checked {
  if (chain.length === 0) return `no certificate in "${certPath}"`;
  if (key.label === "RSA PRIVATE KEY" && key.text.includes("ENCRYPTED")) {
    return `the private key in "${keyPath}" has a passphrase`;
  }
  try {
    const certificates = chain.map(({ text }) => new Certificate(text));
    const leaf = certificates[0]!;
    if (!leaf.fits(new PrivateKey(key.text))) {
      return `the private key in "${keyPath}" does not match the first certificate in "${certPath}"`;
    }
    return { identity: { key: key.text, chain: chain.map(({ text }) => text).join("") }, leaf };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `cannot use the key in "${keyPath}" with the certificates in "${certPath}": ${why}`;
  }
}
