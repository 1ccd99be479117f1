/** Keys and certificates as master reads them, and what is said of those that are wrong. @module */
import assert from "node:assert/strict";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import { formatProblem } from "../../../lib/config/problem.ts";
import { findTlsProblems } from "../../../lib/server/tls_files.ts";
import { readServerMaterial, type ServerTlsSettings } from "../../../lib/tls/server_files.ts";
import { findIdentity } from "../../../lib/tls/server_material.ts";
import { SERVICES } from "../../../daemons/services.ts";
import { Certificates } from "../../support/certificates.ts";
import { testNeeding } from "../../support/tools.ts";

const read = (path: string) => Deno.readTextFileSync(path);

/** Settings with TLS on and nothing else set. */
const BASE: ServerTlsSettings = {
  smtpd_tls_CAfile: "",
  smtpd_tls_ask_ccert: false,
  smtpd_tls_cert_file: "",
  smtpd_tls_chain_files: [],
  smtpd_tls_ciphers: "medium",
  smtpd_tls_eccert_file: "",
  smtpd_tls_eckey_file: "",
  smtpd_tls_exclude_ciphers: [],
  smtpd_tls_key_file: "",
  smtpd_tls_mandatory_ciphers: "medium",
  smtpd_tls_mandatory_exclude_ciphers: [],
  smtpd_tls_mandatory_protocols: ">=TLSv1",
  smtpd_tls_protocols: ">=TLSv1",
  smtpd_tls_req_ccert: false,
  smtpd_tls_security_level: "may",
  smtpd_tls_wrappermode: false,
  tls_server_sni_maps: [],
};

/** What is found wrong with settings, each as `severity parameter: text`. */
function findings(more: Partial<ServerTlsSettings>): string[] {
  return readServerMaterial({ ...BASE, ...more }, read).findings.map(({ severity, parameter, text }) =>
    `${severity} ${parameter}: ${text}`
  );
}

testNeeding(["openssl"], "tls: keys and certificates are taken from every form of files", () => {
  using made = new Certificates();
  const rsa = made.make("rsa.test", { kind: "rsa" });
  const ec = made.make("ec.test");
  const identity = (more: Partial<ServerTlsSettings>) => {
    const { material, findings } = readServerMaterial({ ...BASE, ...more }, read);
    return [material?.identity, findings.map(({ text }) => text)];
  };
  const asRsa = { key: read(rsa.key), chain: read(rsa.certificate) };
  const asEc = { key: read(ec.key), chain: read(ec.certificate) };
  const pair = { smtpd_tls_cert_file: rsa.certificate, smtpd_tls_key_file: rsa.key };
  assert.deepEqual(identity(pair), [asRsa, []]);
  assert.deepEqual(identity({ smtpd_tls_cert_file: rsa.chain, smtpd_tls_key_file: rsa.chain }), [asRsa, []]);
  assert.deepEqual(identity({ smtpd_tls_eccert_file: ec.certificate, smtpd_tls_eckey_file: ec.key }), [
    asEc,
    [],
  ]);
  assert.deepEqual(identity({ smtpd_tls_chain_files: [ec.chain] }), [asEc, []]);
  assert.deepEqual(identity({ smtpd_tls_chain_files: [ec.key, ec.certificate] }), [asEc, []]);
  assert.deepEqual(
    identity({ ...pair, smtpd_tls_eccert_file: ec.certificate, smtpd_tls_eckey_file: ec.key }),
    [
      asRsa,
      ["the TLS library takes one certificate: that with the rsa key is used"],
    ],
  );
  assert.deepEqual(identity({ smtpd_tls_chain_files: [ec.chain, rsa.chain] }), [
    asEc,
    ["the TLS library takes one certificate: that with the ec key is used"],
  ]);
  assert.equal(
    readServerMaterial({ ...BASE, ...pair, smtpd_tls_security_level: "" }, read).material,
    undefined,
  );
});

testNeeding(["openssl"], "tls: files that cannot be used are errors that name the file", () => {
  using made = new Certificates();
  const one = made.make("one.test");
  const two = made.make("two.test");
  const text = made.directory.write("text", "no key at all\n");
  const cut = made.directory.write("cut", read(one.chain).slice(0, -60));
  const junk = made.directory.write(
    "junk",
    `${read(one.key)}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
  );
  const locked = made.directory.at("locked");
  new Deno.Command("openssl", {
    args: ["pkey", "-in", one.key, "-aes128", "-passout", "pass:x", "-out", locked],
  })
    .outputSync();
  const chain = (...files: string[]) => findings({ smtpd_tls_chain_files: files });
  const pair = (key: string, certificate: string) =>
    findings({ smtpd_tls_cert_file: certificate, smtpd_tls_key_file: key });
  assert.deepEqual(chain(text), [`error smtpd_tls_chain_files: no private key in "${text}"`]);
  assert.deepEqual(chain(cut), [`error smtpd_tls_chain_files: "${cut}": a part has no end`]);
  assert.deepEqual(chain(one.certificate, one.key), [
    `error smtpd_tls_chain_files: "${one.certificate}": a certificate stands before its key`,
  ]);
  assert.deepEqual(chain(one.key), [`error smtpd_tls_chain_files: no certificate in "${one.key}"`]);
  assert.match(chain(junk).join(), /^error smtpd_tls_chain_files: cannot use the key in ".*junk" with /);
  assert.match(chain("/nowhere/at/all").join(), /^error smtpd_tls_chain_files: .*No such file or directory/);
  assert.deepEqual(pair(two.key, one.certificate), [
    `error smtpd_tls_cert_file: the private key in "${two.key}" does not match the first certificate in ` +
    `"${one.certificate}"`,
  ]);
  assert.deepEqual(pair(locked, one.certificate), [
    `error smtpd_tls_cert_file: no private key in "${locked}" but one with a passphrase`,
  ]);
  assert.deepEqual(findings({ smtpd_tls_chain_files: [one.chain], smtpd_tls_CAfile: text }), [
    `error smtpd_tls_CAfile: no certificate in "${text}"`,
  ]);
});

testNeeding(["openssl"], "tls: what the TLS library cannot do is refused by name", () => {
  using made = new Certificates();
  const files = { smtpd_tls_chain_files: [made.make("one.test").chain] };
  const only = "it leaves no version: the TLS library speaks TLSv1.2 and TLSv1.3 only";
  assert.deepEqual(findings({ ...files, smtpd_tls_protocols: "TLSv1" }), [
    `error smtpd_tls_protocols: ${only}`,
  ]);
  assert.deepEqual(findings({ ...files, smtpd_tls_mandatory_protocols: "TLSv1" }), []);
  assert.deepEqual(
    findings({ ...files, smtpd_tls_security_level: "encrypt", smtpd_tls_mandatory_protocols: "<=TLSv1.1" }),
    [`error smtpd_tls_mandatory_protocols: ${only}`],
  );
  assert.deepEqual(
    findings({ ...files, smtpd_tls_exclude_ciphers: ["aNULL", "RC4", "3DES", "AES128-SHA"] }),
    [],
  );
  for (const word of ["AES128", "ECDHE-RSA-CHACHA20-POLY1305", "aECDSA+AESGCM", "HIGH", "EECDH"]) {
    const found = findings({ ...files, smtpd_tls_exclude_ciphers: ["aNULL", word] });
    const expected = word === "aECDSA+AESGCM" ? "aECDSA+AESGCM" : word;
    assert.deepEqual(found, [
      `error smtpd_tls_exclude_ciphers: "${expected}" cannot be excluded: the TLS library always offers all of its ciphers`,
    ]);
  }
  assert.deepEqual(findings({ ...files, smtpd_tls_ciphers: "null", smtpd_tls_mandatory_ciphers: "HIGH" }), [
    'error smtpd_tls_ciphers: the TLS library has no ciphers of the grade "null"',
  ]);
  assert.deepEqual(findings({ ...files, smtpd_tls_req_ccert: true }), [
    "warning smtpd_tls_req_ccert: Can't require client certs unless TLS is required",
  ]);
  const none = "No server certs available. TLS won't be enabled";
  assert.deepEqual(findings({}), [`warning smtpd_tls_security_level: ${none}`]);
  assert.deepEqual(findings({ smtpd_tls_security_level: "encrypt" }), [
    `error smtpd_tls_security_level: ${none}`,
  ]);
  assert.deepEqual(findings({ smtpd_tls_wrappermode: true }), [`error smtpd_tls_wrappermode: ${none}`]);
});

testNeeding(["openssl"], "tls: identities by name are read from tables, a domain's for all below it", () => {
  using made = new Certificates();
  const [base, own, below] = ["base.test", "own.test", "below.test"].map((name) => made.make(name));
  const table = made.directory.write(
    "sni",
    `Own.test ${own!.chain}\n.below.test ${below!.key}, ${below!.certificate}\n`,
  );
  const settings = { smtpd_tls_chain_files: [base!.chain], tls_server_sni_maps: [`texthash:${table}`] };
  const { material, findings: found } = readServerMaterial({ ...BASE, ...settings }, read);
  assert.deepEqual(found, []);
  const named = new Map(material!.named);
  const keyFor = (name: string) => findIdentity(named, name)?.key;
  assert.equal(keyFor("OWN.test"), read(own!.key));
  assert.equal(keyFor("a.b.below.test"), read(below!.key));
  for (const name of ["below.test", "x.own.test", "other.test", "", ".", "..", "xbelow.test"]) {
    assert.equal(keyFor(name), undefined, name);
  }
  assert.deepEqual(findings({ ...settings, tls_server_sni_maps: ["inline:{own.test=/nowhere}"] }).length, 1);
  assert.deepEqual(findings({ ...settings, tls_server_sni_maps: ["static:x"] }), [
    'error tls_server_sni_maps: table "static:x" cannot be listed: use texthash',
  ]);
});

testNeeding(
  ["openssl"],
  "check warns of certificates that have ended, are for others, or whose key anybody reads",
  () => {
    using made = new Certificates();
    const good = made.make("mx.test");
    const old = made.make("old.test", { days: -3, hosts: ["mx.test"] });
    const soon = made.make("soon.test", { days: 2, hosts: ["mx.test"] });
    const other = made.make("other.test");
    const open = made.directory.write("open.pem", read(good.chain), 0o644);
    const problems = (chain: string) => {
      const files: Record<string, string> = {
        "/c/main.toml": `queue_directory = "/q"\nmyhostname = "mx.test"\nsmtpd_tls_security_level = "may"\n` +
          `smtpd_tls_chain_files = ["${chain}"]\n`,
        "/c/master.toml": '[[service]]\nname = "25"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n' +
          '[[service]]\nname = "587"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n',
      };
      const facts = { hostName: "mx.test", addresses: [] } as unknown as Parameters<
        typeof loadConfiguration
      >[1];
      const { configuration, problems } = loadConfiguration("/c", facts, {
        readText: (path) => files[path]!,
        commands: [...SERVICES.keys()],
      });
      assert.ok(configuration !== undefined, problems.map(formatProblem).join("\n"));
      return findTlsProblems(configuration, SERVICES).map(({ severity, file, line, text }) =>
        `${severity} ${file}:${line} ${text.replace(/[0-9]{4}-[0-9]{2}-[0-9]{2}/, "DATE")}`
      );
    };
    const at = "warning /c/main.toml:4";
    assert.deepEqual(problems(good.chain), []);
    assert.deepEqual(problems(old.chain), [
      `${at} "smtpd_tls_chain_files": the certificate has expired on DATE`,
    ]);
    assert.deepEqual(problems(soon.chain), [
      `${at} "smtpd_tls_chain_files": the certificate expires on DATE`,
    ]);
    assert.deepEqual(problems(other.chain), [
      `${at} "smtpd_tls_chain_files": the certificate is not for myhostname "mx.test"`,
    ]);
    assert.deepEqual(problems(open), [`${at} "${open}": everybody can read the private key`]);
  },
);
