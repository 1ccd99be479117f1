/** Certificates for tests, made by openssl. Not a test itself. @module */
import { TemporaryDirectory } from "./temporary.ts";

/** A certificate and its key, as paths of PEM files. */
export interface MadeCertificate {
  readonly key: string;
  readonly certificate: string;
  /** The key with the certificate behind it. */
  readonly chain: string;
}

/** What a certificate is like. */
export interface CertificateOptions {
  readonly kind?: "rsa" | "ec";
  /** Names that it is for; default: its own. */
  readonly hosts?: readonly string[];
  /** Common name, with the escapes of openssl's configuration; default: its own name. */
  readonly commonName?: string;
  /** Days that it is valid, less than 0: it ended so many days ago. */
  readonly days?: number;
  /** Who signs; default: it signs itself. */
  readonly issuer?: MadeCertificate;
  /** It may sign others. */
  readonly authority?: boolean;
}

/** A directory of certificates. */
export class Certificates implements Disposable {
  readonly directory: TemporaryDirectory = new TemporaryDirectory();

  /** Makes one under a name of its own. */
  make(name: string, options: CertificateOptions = {}): MadeCertificate {
    const at = (suffix: string) => this.directory.at(`${name}.${suffix}`);
    const key = options.kind === "rsa" ? ["rsa:2048"] : ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    const hosts = (options.hosts ?? [name]).map((host) => `DNS:${host}`).join(",");
    const configuration = this.directory.write(
      `${name}.cnf`,
      `[req]
distinguished_name=dn
prompt=no
string_mask=utf8only
[dn]
CN=${options.commonName ?? name}
[ext]
subjectAltName=${hosts}
basicConstraints=critical,CA:${options.authority ? "TRUE" : "FALSE"}
`,
    );
    openssl(
      "req",
      "-newkey",
      ...key,
      "-nodes",
      "-keyout",
      at("key"),
      "-out",
      at("csr"),
      "-config",
      configuration,
    );
    const days = options.days ?? 30;
    const time = (offset: number) =>
      new Date(Date.now() + offset * 86_400_000).toISOString().replace(/[-:T]/g, "").slice(0, 14) + "Z";
    this.directory.write(`${name}.db`, "");
    this.directory.write(`${name}.ca.cnf`, CA_CONFIGURATION);
    const signer = options.issuer ?? { key: at("key"), certificate: undefined };
    openssl(
      ...["ca", "-batch", "-notext", "-config", at("ca.cnf"), "-name", "ca"],
      ...["-in", at("csr"), "-out", at("crt"), "-outdir", this.directory.path, "-extfile", configuration],
      ...["-extensions", "ext", "-keyfile", signer.key, "-md", "sha256"],
      ...(signer.certificate === undefined ? ["-selfsign"] : ["-cert", signer.certificate]),
      ...["-startdate", time(Math.min(days - 1, -1)), "-enddate", time(days)],
    );
    const made = { key: at("key"), certificate: at("crt") };
    const chain = this.directory.write(`${name}.pem`, read(made.key) + read(made.certificate));
    return { ...made, chain };
  }

  /** An EC key that passes for a certificate's although it signs with another secret: only who checks signatures sees it. */
  falseKey({ key }: MadeCertificate, name: string): string {
    const der = this.directory.at(`${name}.der`);
    openssl("ec", "-in", key, "-outform", "DER", "-out", der);
    const bytes = Deno.readFileSync(der);
    // SEQUENCE, version 1, then the secret as an octet string of 32 bytes; the public key behind it stays.
    if (bytes[5] !== 0x04 || bytes[6] !== 32) throw new Error("key has an unexpected form");
    bytes[20]! ^= 0x55;
    Deno.writeFileSync(der, bytes);
    const path = this.directory.at(`${name}.key`);
    openssl("ec", "-inform", "DER", "-in", der, "-out", path);
    return path;
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]();
  }
}

const CA_CONFIGURATION = `[ca]
database=$ENV::CA_DATABASE
policy=any
rand_serial=yes
unique_subject=no
[any]
commonName=supplied
`;

function read(path: string): string {
  return Deno.readTextFileSync(path);
}

function openssl(...args: string[]): void {
  const out = args[args.indexOf("-out") + 1] ?? "";
  const { success, stderr } = new Deno.Command("openssl", {
    args,
    env: { CA_DATABASE: out.replace(/\.[a-z]+$/, ".db") },
  }).outputSync();
  if (!success) throw new Error(`openssl ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
}
