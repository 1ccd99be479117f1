/** Lists of protocol versions, and the ciphers that can be excluded. @module */
import assert from "node:assert/strict";
import { cipherBits, disobeyedExclusion } from "../../../lib/tls/tls_ciphers.ts";
import { parseVersions } from "../../../lib/tls/tls_protocols.ts";
import { splitPem } from "../../../lib/tls/pem.ts";

const LISTS: Readonly<Record<string, string>> = {
  "": "TLSv1.2 TLSv1.3",
  ">=TLSv1": "TLSv1.2 TLSv1.3",
  ">=TLSv1.2, <=TLSv1.3": "TLSv1.2 TLSv1.3",
  ">=tlsv1.3": "TLSv1.3 TLSv1.3",
  "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1": "TLSv1.2 TLSv1.3",
  "!SSLv2:!SSLv3:!TLSv1.3": "TLSv1.2 TLSv1.2",
  "TLSv1.2": "TLSv1.2 TLSv1.2",
  "TLSv1 TLSv1.3": "TLSv1.3 TLSv1.3",
  "<=TLSv1.2": "TLSv1.2 TLSv1.2",
  "TLSv1": "it leaves no version: the TLS library speaks TLSv1.2 and TLSv1.3 only",
  ">=TLSv1.3 !TLSv1.3": "it leaves no version: the TLS library speaks TLSv1.2 and TLSv1.3 only",
  "TLSv1.4": 'unknown protocol "TLSv1.4"',
  ">=": 'unknown protocol ">="',
  "!>=TLSv1": 'unknown protocol "!>=TLSv1"',
};

Deno.test("tls: a list of versions leaves a range of those that are spoken", () => {
  for (const [list, expected] of Object.entries(LISTS)) {
    const range = parseVersions(list);
    assert.equal(range.kind === "range" ? `${range.oldest} ${range.newest}` : range.why, expected, list);
  }
});

Deno.test("tls: an exclusion is obeyed when nothing that is offered falls under it", () => {
  for (const list of [["aNULL, MD5 , DES", "RC4"], ["aNULL:eNULL:EXPORT"], ["kRSA+AES128"], ["SHA1"], []]) {
    assert.equal(disobeyedExclusion(list), undefined, list.join());
  }
  assert.equal(disobeyedExclusion(["RC4 chacha20"]), "chacha20");
  assert.equal(disobeyedExclusion(["TLS_AES_128_GCM_SHA256"]), "TLS_AES_128_GCM_SHA256");
});

Deno.test("tls: the bits of a cipher are known, of an unknown one none", () => {
  assert.equal(cipherBits("TLS_AES_128_GCM_SHA256"), 128);
  assert.equal(cipherBits("ECDHE-RSA-CHACHA20-POLY1305"), 256);
  assert.equal(cipherBits("constructor"), 0);
});

Deno.test("tls: PEM is taken apart at its labels, whatever stands between, and cut at every byte", () => {
  const one = "-----BEGIN A-----\nx\n-----END A-----\n";
  const two = "-----BEGIN B C-----\ny\n-----END B C-----\n";
  const text = `comment\n${one}more\n${two}tail`;
  assert.deepEqual(splitPem(text), [{ label: "A", text: one }, { label: "B C", text: two }]);
  for (let end = 0; end < text.length; end++) {
    const parts = splitPem(text.slice(0, end)) ?? [];
    assert.ok(parts.length <= 2 && parts.every((part) => part.text === one || part.text === two));
  }
  assert.equal(splitPem("-----BEGIN A-----\n-----END B-----\n"), undefined);
  assert.equal(splitPem("-----BEGIN "), undefined);
  assert.equal(splitPem(one.repeat(200))?.length, 100);
});
