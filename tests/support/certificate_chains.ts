/**
 * Chains of certificates with any extensions and dates, made by openssl, for tests of those who judge them. Not a test
 * itself.
 *
 * @module
 */
import { TemporaryDirectory } from "./temporary.ts";

/** One link of a chain. */
export interface Link {
  /** Common name of the subject; default: the link's name. An empty one leaves the subject empty. */
  readonly subject?: string;
  /** Who signs; default: it signs itself. */
  readonly issuer?: string;
  /** Lines of openssl's x509v3 configuration. */
  readonly extensions?: readonly string[];
  /** Days from now. */
  readonly from?: number;
  readonly to?: number;
  readonly key?: "rsa" | "rsa1024" | "ec" | "ed25519" | "secp384r1";
  readonly digest?: "sha1" | "sha256" | "sha384" | "sha512";
  /** The key of another link, as in a certificate that was renewed. */
  readonly sameKeyAs?: string;
}

/** Extensions of an authority and of a server. */
export const AUTHORITY = [
  "basicConstraints=critical,CA:TRUE",
  "keyUsage=critical,keyCertSign,cRLSign",
] as const;

/** Extensions of a server's certificate. */
export function server(...names: string[]): string[] {
  return ["basicConstraints=CA:FALSE", `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}`];
}

const KEYS = {
  rsa: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  rsa1024: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
  ec: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
  secp384r1: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
  ed25519: ["-algorithm", "ED25519"],
} as const;

/** A directory of certificates by name: "NAME.pem" and "NAME.key". */
export class CertificateChains implements Disposable {
  readonly #directory = new TemporaryDirectory();

  /** Makes a link; its issuer must have been made. Returns the certificate as PEM. */
  make(name: string, link: Link = {}): string {
    const key = this.key(link.sameKeyAs ?? name);
    if (link.sameKeyAs === undefined) openssl(["genpkey", ...KEYS[link.key ?? "ec"], "-out", key]);
    else Deno.copyFileSync(key, this.key(name));
    const subject = link.subject ?? name;
    openssl([
      "req",
      "-new",
      "-key",
      key,
      "-subj",
      subject === "" ? "/" : `/CN=${subject}`,
      "-out",
      this.#at(`${name}.csr`),
    ]);
    Deno.writeTextFileSync(this.#at(`${name}.cnf`), configuration(link.extensions ?? []));
    Deno.writeTextFileSync(this.#at("index"), "");
    const issuer = link.issuer ?? name;
    openssl([
      ...["ca", "-batch", "-notext", "-config", this.#at(`${name}.cnf`), "-name", "ca"],
      ...["-in", this.#at(`${name}.csr`), "-out", this.path(name), "-outdir", this.#directory.path],
      ...["-keyfile", this.key(issuer), "-md", link.digest ?? digestFor(this.key(issuer))],
      ...(link.issuer === undefined ? ["-selfsign"] : ["-cert", this.path(issuer)]),
      ...["-startdate", time(link.from ?? -1), "-enddate", time(link.to ?? 30)],
      ...((link.extensions ?? []).length > 0 ? ["-extensions", "ext"] : []),
    ], { DATABASE: this.#at("index") });
    return Deno.readTextFileSync(this.path(name));
  }

  path(name: string): string {
    return this.#at(`${name}.pem`);
  }

  key(name: string): string {
    return this.#at(`${name}.key`);
  }

  /** The certificates one behind the other, as a file. */
  bundle(name: string, ...names: string[]): string {
    const path = this.#at(`${name}.bundle`);
    Deno.writeTextFileSync(path, names.map((one) => Deno.readTextFileSync(this.path(one))).join(""));
    return path;
  }

  der(name: string): Uint8Array {
    const [, base64 = ""] = Deno.readTextFileSync(this.path(name)).split(
      /-----(?:BEGIN|END) CERTIFICATE-----/,
    );
    return Uint8Array.fromBase64(base64.replace(/\s/g, ""));
  }

  /**
   * A key that passes for a certificate's although it signs with another secret: only who checks signatures sees it.
   * The certificate's key must be of kind "ec".
   */
  falseKey(name: string): string {
    const text = Deno.readTextFileSync(this.key(name)).replace(/-----[A-Z ]+-----|\s/g, "");
    const bytes = Uint8Array.fromBase64(text);
    // PKCS #8 around SEQUENCE, version 1, the secret as an octet string of 32 bytes, and the public key behind it.
    const at = bytes.findIndex((byte, i) => byte === 0x04 && bytes[i + 1] === 0x20) + 2;
    bytes[at + 10]! ^= 0x55;
    const path = this.#at(`${name}.false.key`);
    Deno.writeTextFileSync(
      path,
      `-----BEGIN PRIVATE KEY-----\n${bytes.toBase64()}\n-----END PRIVATE KEY-----\n`,
    );
    return path;
  }

  /** OpenSSL's judgement on a server's chain: empty when it is trusted, else its words. */
  judge(leaf: string, sent: readonly string[], trusted: readonly string[]): string {
    const { success, stdout, stderr } = new Deno.Command("openssl", {
      args: [
        ...["verify", "-purpose", "sslserver", "-partial_chain", "-no-CApath", "-no-CAstore"],
        ...["-CAfile", this.bundle("trusted", ...trusted)],
        ...(sent.length === 0 ? [] : ["-untrusted", this.bundle("sent", ...sent)]),
        this.path(leaf),
      ],
    }).outputSync();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    return success ? "" : /lookup: (.*)/.exec(text)?.[1] ?? text;
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }

  #at(name: string): string {
    return this.#directory.at(name);
  }
}

function configuration(extensions: readonly string[]): string {
  return [
    "[ca]",
    "database=$ENV::DATABASE",
    "policy=any",
    "rand_serial=yes",
    "unique_subject=no",
    "[any]",
    "commonName=optional",
    "[ext]",
    ...extensions,
    "",
  ].join("\n");
}

/** Ed25519 has its own digest, and openssl wants to be told so. */
function digestFor(key: string): string {
  const { stdout } = new Deno.Command("openssl", { args: ["pkey", "-in", key, "-noout", "-text"] })
    .outputSync();
  return new TextDecoder().decode(stdout).startsWith("ED25519") ? "null" : "sha256";
}

function time(days: number): string {
  const stamp = new Date(Date.now() + days * 86_400_000).toISOString();
  return `${stamp.replace(/[-:T]/g, "").slice(0, 14)}Z`;
}

function openssl(args: readonly string[], env: Record<string, string> = {}): void {
  const { success, stderr } = new Deno.Command("openssl", { args: [...args], env }).outputSync();
  if (!success) throw new Error(`openssl ${args.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
}
