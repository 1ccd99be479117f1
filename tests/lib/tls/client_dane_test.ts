/** TLSA records of mail servers: RFC 7671, RFC 7672. @module */
import assert from "node:assert/strict";
import { digest as digestOf } from "../../../lib/safe/digest.ts";
import { type Certificate, parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { judgeDane, usableRecords } from "../../../lib/tls/client_dane.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { testNeeding } from "../../support/tools.ts";

const DIGESTS = ["sha512", "sha256"];

/** A record's data. */
function tlsa(usage: number, selector: number, type: number, certificate: Certificate): Uint8Array {
  const bytes = selector === 0 ? certificate.raw : certificate.key;
  const data = type === 1 ? digestOf("sha256", bytes) : type === 2 ? digestOf("sha512", bytes) : bytes;
  return new Uint8Array([usage, selector, type, ...data]);
}

function judge(
  records: readonly Uint8Array[],
  sent: readonly Certificate[],
  names = ["mx.example.test"],
): string {
  const verdict = judgeDane(sent, usableRecords(records, DIGESTS), names, Date.now(), 9);
  return verdict.kind === "matched" ? `matched ${verdict.usage}` : verdict.why;
}

testNeeding(["openssl"], "records are compared with the certificates", async (t) => {
  using chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("middle", { issuer: "root", extensions: AUTHORITY });
  chains.make("mx", { issuer: "middle", extensions: server("mx.example.test") });
  chains.make("old", { extensions: server("elsewhere.test"), from: -9, to: -1 });
  chains.make("stranger", { subject: "middle", extensions: AUTHORITY });
  const [root, middle, mx, old, stranger] = ["root", "middle", "mx", "old", "stranger"].map((name) =>
    parseCertificate(chains.der(name))
  ) as [Certificate, Certificate, Certificate, Certificate, Certificate];
  for (const selector of [0, 1]) {
    for (const type of [0, 1, 2]) {
      await t.step(
        `RFC 7672 section 3.1.1: 3 ${selector} ${type} is about the server's own, whatever its name and dates`,
        () => {
          assert.equal(judge([tlsa(3, selector, type, mx)], [mx]), "matched 3");
          assert.equal(judge([tlsa(3, selector, type, old)], [old]), "matched 3");
          assert.equal(judge([tlsa(3, selector, type, mx)], [old]), "No matching DANE TLSA records");
          assert.equal(
            judge([tlsa(3, selector, type, middle)], [mx, middle]),
            "No matching DANE TLSA records",
          );
        },
      );
      await t.step(
        `RFC 7672 section 3.1.2: 2 ${selector} ${type} is about an authority, and the name must be right`,
        () => {
          for (const anchor of [root, middle]) {
            const record = tlsa(2, selector, type, anchor);
            assert.equal(judge([record], [mx, middle, root]), "matched 2");
            assert.equal(
              judge([record], [mx, middle, root], ["example.test", "mx.example.test"]),
              "matched 2",
            );
            assert.equal(judge([record], [mx, middle, root], ["other.test"]), "hostname mismatch");
          }
          assert.equal(
            judge([tlsa(2, selector, type, stranger)], [mx, stranger]).startsWith("matched"),
            false,
          );
          // The server's own certificate is not its authority.
          assert.equal(judge([tlsa(2, selector, type, mx)], [mx, middle, root]).startsWith("matched"), false);
        },
      );
    }
  }
  await t.step("an authority by digest must be sent", () => {
    assert.equal(judge([tlsa(2, 0, 1, root)], [mx, middle]), "No matching DANE TLSA records");
    assert.equal(judge([tlsa(2, 0, 0, root)], [mx, middle]), "matched 2");
  });
  await t.step("one record that matches is enough", () => {
    assert.equal(judge([tlsa(3, 1, 1, old), tlsa(3, 1, 1, mx)], [mx]), "matched 3");
  });
  await t.step("RFC 7671 section 9: of the digests of one kind only the strongest counts", () => {
    assert.equal(judge([tlsa(3, 1, 1, mx), tlsa(3, 1, 2, old)], [mx]), "No matching DANE TLSA records");
    assert.equal(judge([tlsa(3, 0, 1, mx), tlsa(3, 1, 2, old)], [mx]), "matched 3");
    assert.equal(judge([tlsa(3, 1, 0, mx), tlsa(3, 1, 2, old)], [mx]), "matched 3");
  });
});

testNeeding(["openssl"], "RFC 7672 section 3.1.3: records that mail does not know are not used", () => {
  using chains = new CertificateChains();
  chains.make("mx", { extensions: server("mx.example.test") });
  const mx = parseCertificate(chains.der("mx"));
  const good = tlsa(3, 1, 1, mx);
  for (
    const bad of [
      tlsa(0, 1, 1, mx),
      tlsa(1, 1, 1, mx),
      tlsa(4, 1, 1, mx),
      tlsa(255, 1, 1, mx),
      tlsa(3, 2, 1, mx),
      new Uint8Array([3, 1, 3, ...new Uint8Array(48)]),
      new Uint8Array([3, 1, 255, ...mx.key]),
      good.subarray(0, good.length - 1),
      new Uint8Array([...good, 0]),
      new Uint8Array([3, 1, 1]),
      new Uint8Array([3, 0, 0, 1, 2, 3]),
      new Uint8Array([3]),
      new Uint8Array([]),
    ]
  ) assert.deepEqual(usableRecords([bad], DIGESTS), []);
  assert.equal(usableRecords([good], DIGESTS).length, 1);
  assert.equal(usableRecords([good], ["sha512"]).length, 0);
});
