import assert from "node:assert/strict";
import * as address from "../../../lib/mail/address.ts";
import { isValidDomain, isValidHostname, parseAddressLiteral } from "../../../lib/mail/domain.ts";

Deno.test("an internal address splits at its last @", () => {
  assert.deepEqual(address.splitAddress("a@b@c.test"), { localpart: "a@b", domain: "c.test" });
  assert.deepEqual(address.splitAddress("a"), { localpart: "a", domain: undefined });
  assert.deepEqual(address.splitAddress("a@"), { localpart: "a", domain: "" });
  assert.deepEqual(address.splitAddress(""), { localpart: "", domain: undefined });
});

Deno.test("an external address splits at its last @ outside quotes", () => {
  const table = [
    ['"a@b"@c.test', "a@b", "c.test"],
    ['"a@b"', "a@b", undefined],
    ['"a\\"@b"@c', 'a"@b', "c"],
    ["a\\@b@c", "a@b", "c"],
    ["a@b", "a", "b"],
  ] as const;
  for (const [external, localpart, domain] of table) {
    assert.deepEqual(address.splitExternal(external), { localpart, domain }, external);
  }
});

Deno.test("RFC 5321 section 4.1.2: a local part is quoted exactly where it is no dot-string", () => {
  const table = [
    ["user", "user"],
    ["first.last", "first.last"],
    ["a+b", "a+b"],
    ["josé", "josé"],
    ["", '""'],
    ["a b", '"a b"'],
    [".a", '".a"'],
    ["a.", '"a."'],
    ["a..b", '"a..b"'],
    ["a@b", '"a@b"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ["a(b)", '"a(b)"'],
    ["a\x7f", '"a\x7f"'],
    ["a!b%c", "a!b%c"],
  ] as const;
  for (const [localpart, external] of table) {
    assert.equal(address.quoteLocalpart(localpart), external);
    assert.equal(address.unquoteLocalpart(external), localpart);
  }
});

Deno.test("quoting and unquoting an address come back to where they began", () => {
  for (
    const internal of ["", "a", "a@b.test", "a@b@c.test", ' "\\ @b', "@b.test", "a b@[1.2.3.4]", "x\r\ny@b"]
  ) {
    assert.equal(address.unquoteAddress(address.quoteAddress(internal)), internal, JSON.stringify(internal));
  }
  assert.equal(address.quoteAddress("@b.test"), '""@b.test');
});

Deno.test("only ASCII letters of the domain are folded", () => {
  assert.equal(address.domainOf("a@B.test"), "b.test");
  assert.equal(address.domainOf("a"), "");
  assert.equal(address.domainOf("a@İ.Test"), "İ.test");
});

Deno.test("text with NUL, CR or LF is no envelope text", () => {
  for (const text of ["a\0", "a\r", "\nb"]) assert.equal(address.envelopeText(text), undefined);
  assert.equal(address.envelopeText("a\u010d\u010a"), "a\u010d\u010a");
});

Deno.test("a local part splits at the first delimiter, system addresses do not", () => {
  const split = (localpart: string, recipient_delimiter = "+", owner_request_special = true) => {
    const rule = { recipient_delimiter, owner_request_special, double_bounce_sender: "double-bounce" };
    const parts = address.splitExtension(localpart, rule);
    return `${parts.user}|${parts.delimiter}|${parts.extension}`;
  };
  assert.equal(split("user+ext"), "user|+|ext");
  assert.equal(split("user+ext+more"), "user|+|ext+more");
  assert.equal(split("user-a+b", "+-"), "user|-|a+b");
  assert.equal(split("user"), "user||");
  assert.equal(split("user+ext", ""), "user+ext||");
  assert.equal(split("+ext"), "+ext||");
  assert.equal(split("user+"), "user|+|");
  assert.equal(split("Postmaster+x"), "Postmaster|+|x");
  assert.equal(split("mailer-daemon", "-"), "mailer-daemon||");
  assert.equal(split("MAILER-Daemon", "-"), "MAILER-Daemon||");
  assert.equal(split("double-bounce", "-"), "double-bounce||");
  assert.equal(split("owner-list", "-"), "owner-list||");
  assert.equal(split("list-request", "-"), "list-request||");
  assert.equal(split("-request", "-"), "-request||");
  assert.equal(split("owner-list", "-", false), "owner|-|list");
  assert.equal(split("owner-list+x", "+"), "owner-list|+|x");
});

Deno.test("host names follow the label rules", () => {
  const valid = [
    "a",
    "a.test",
    "a-b.test",
    "1a.test",
    "1.2.3.4.in-addr.arpa",
    "a_b.test",
    "xn--bcher-kva.test",
  ];
  for (const name of valid) assert.ok(isValidHostname(name), name);
  const invalid = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "-a",
    "a-",
    "a b",
    "1",
    "1.2.3.4",
    "a.0x1f",
    "0x7f.1",
    "a@b",
    "é",
  ];
  for (const name of invalid) assert.ok(!isValidHostname(name), name);
  assert.ok(!isValidHostname("a_b.test", { underscore: false }));
  assert.ok(isValidHostname("é.test", { utf8: true }));
  assert.ok(isValidHostname(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(63)}`));
  assert.ok(!isValidHostname(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(63)}.e`));
  assert.ok(!isValidHostname(`${"é".repeat(32)}.test`, { utf8: true }));
});

Deno.test("RFC 5321 section 4.1.3: a literal is an IPv4 address, or an IPv6 address with its tag", () => {
  assert.deepEqual(parseAddressLiteral("[192.0.2.1]"), { family: 4, bytes: new Uint8Array([192, 0, 2, 1]) });
  assert.equal(parseAddressLiteral("[ipv6:::1]")?.family, 6);
  for (
    const wrong of ["192.0.2.1", "[::1]", "[192.0.2]", "[x:1]", "[192.0.2.01]", "[IPv6:192.0.2.1]", "[", "[]"]
  ) {
    assert.equal(parseAddressLiteral(wrong), undefined, wrong);
    if (wrong !== "192.0.2.1") assert.ok(!isValidDomain(wrong), wrong);
  }
});
