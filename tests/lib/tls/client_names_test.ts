/** Names of servers in certificates: RFC 6125. @module */
import assert from "node:assert/strict";
import { type Certificate, parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { matchingName } from "../../../lib/tls/client_names.ts";
import { CertificateChains } from "../../support/certificate_chains.ts";
import { testNeeding } from "../../support/tools.ts";

/** A certificate with names. */
function named(
  hostNames: readonly string[],
  commonNames: readonly string[] = [],
  addresses: Uint8Array[] = [],
): Certificate {
  const names = { hostNames, commonNames, addresses, hasHostNames: hostNames.length > 0 };
  return names as unknown as Certificate;
}

const MATCHES: readonly (readonly [string, string, boolean])[] = [
  ["mx.example.test", "mx.example.test", true],
  ["mx.example.test", "MX.Example.TEST", true],
  ["mx.example.test", "mx.example.test.", true],
  ["mx.example.test", "example.test", false],
  ["mx.example.test", "xmx.example.test", false],
  ["*.example.test", "mx.example.test", true],
  ["*.example.test", "example.test", false],
  ["*.example.test", ".example.test", true],
  ["mx.example.test", ".example.test", true],
  ["a.b.example.test", ".example.test", true],
  ["example.test", ".example.test", false],
  ["evilexample.test", ".example.test", false],
  ["*.example.test", "*.example.test", false],
];

for (const [pattern, name, matches] of MATCHES) {
  Deno.test(`certificate ${pattern} ${matches ? "is" : "is not"} for ${name}`, () => {
    assert.equal(matchingName(named([pattern]), [name]) !== undefined, matches);
  });
}

Deno.test("RFC 6125 section 6.4.3: a wildcard stands for one label (CRT-02)", () => {
  assert.equal(matchingName(named(["*.example.test"]), ["a.b.example.test"]), undefined);
});

Deno.test("CRT-04: a wildcard that is not the whole first label, or is for a top-level domain, is for nothing", () => {
  const names = ["*", "*.test", "m*.example.test", "mx.*.test", "**.x.test", "*.*.x.test", "*.", "*..test"];
  for (const pattern of names) {
    for (
      const name of ["mx.example.test", "mx.test", "test", "a.x.test", "a.b.x.test", "a.", ".x.test", ".test"]
    ) {
      assert.equal(matchingName(named([pattern]), [name]), undefined, `${pattern} ${name}`);
    }
  }
});

Deno.test("RFC 6125 section 6.4.4: the common name counts only where there is no alternative host name", () => {
  assert.equal(matchingName(named([], ["mx.example.test"]), ["mx.example.test"]), "mx.example.test");
  assert.equal(matchingName(named(["other.test"], ["mx.example.test"]), ["mx.example.test"]), undefined);
});

Deno.test("CRT-14: an address is matched by addresses only", () => {
  assert.equal(matchingName(named(["192.0.2.1"]), ["192.0.2.1"]), undefined);
  assert.equal(matchingName(named([], ["192.0.2.1"]), ["192.0.2.1"]), undefined);
  const address = new Uint8Array([192, 0, 2, 1]);
  assert.equal(matchingName(named([], [], [address]), ["192.0.2.1"]), "192.0.2.1");
  assert.equal(matchingName(named([], [], [address]), ["192.0.2.2"]), undefined);
});

testNeeding(["openssl"], "CRT-05: a NUL in a name makes it no name", () => {
  using chains = new CertificateChains();
  // IA5String with a NUL inside, written in hexadecimal: openssl's own syntax has no NUL.
  const evil = [...new TextEncoder().encode("mx.example.test\0.evil.test")].map((byte) =>
    byte.toString(16).padStart(2, "0")
  );
  const body = `82${evil.length.toString(16).padStart(2, "0")}${evil.join("")}`;
  const sequence = `30${(evil.length + 2).toString(16).padStart(2, "0")}${body}`;
  chains.make("mx", { subject: "mx.example.test", extensions: [`2.5.29.17=DER:${sequence}`] });
  const certificate = parseCertificate(chains.der("mx"));
  assert.deepEqual(certificate.hostNames, []);
  // It has an alternative name, even though nobody can use it: the common name does not step in for it.
  assert.equal(matchingName(certificate, ["mx.example.test"]), undefined);
});

testNeeding(["openssl"], "names, addresses and common name of a real certificate are read", () => {
  using chains = new CertificateChains();
  const names =
    "DNS:MX.example.test,DNS:*.example.test,IP:192.0.2.7,IP:2001:db8::7,email:a@b.test,URI:https://x.test/";
  chains.make("mx", { subject: "Some Name", extensions: [`subjectAltName=${names}`] });
  const certificate = parseCertificate(chains.der("mx"));
  assert.deepEqual(certificate.hostNames, ["mx.example.test", "*.example.test"]);
  assert.deepEqual(certificate.commonNames, []);
  assert.equal(matchingName(certificate, ["2001:db8::7"]), "2001:db8::7");
  assert.equal(matchingName(certificate, ["192.0.2.7"]), "192.0.2.7");
});
