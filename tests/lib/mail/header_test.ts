import assert from "node:assert/strict";
import { headerName, headerNameLength, readHeaderField, unfoldText } from "../../../lib/mail/header.ts";
import { isContinuation, isHeaderNamed } from "../../../lib/mail/header.ts";
import { findHeaderAddresses, replaceInHeader } from "../../../lib/mail/header_address.ts";
import * as format from "../../../lib/mail/header_format.ts";
import { decodeText, encodeText } from "../../../lib/vstring/byte_builder.ts";

interface Section {
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly rest: string;
  readonly truncated: boolean;
}

function scan(text: string, limit = 1000): Section {
  const content = encodeText(text);
  const fields: [string, string][] = [];
  let truncated = false;
  let at = 0;
  for (let field = readHeaderField(content, at, limit); field !== undefined;) {
    fields.push([headerName(content, field), unfoldText(content.subarray(field.valueStart, field.end))]);
    truncated ||= field.truncated;
    at = field.next;
    field = readHeaderField(content, at, limit);
  }
  return { fields, rest: decodeText(content.subarray(at)), truncated };
}

Deno.test("RFC 5322 section 2.2: a header section is names, values and an empty line", () => {
  for (const newline of ["\n", "\r\n"]) {
    const text = ["A: 1", "B:2 ", "C:", "", "body", "D: 3"].join(newline);
    const section = scan(text);
    assert.deepEqual(section.fields, [["A", "1"], ["B", "2"], ["C", ""]]);
    assert.equal(section.rest, `${newline}body${newline}D: 3`);
  }
});

Deno.test("RFC 5322 section 2.2.3: a line that begins with white space continues the header", () => {
  assert.deepEqual(scan("A: 1\n 2\n\t3\r\n 4\nB: x\n\n").fields, [["A", "1 2\t3 4"], ["B", "x"]]);
});

Deno.test("RFC 5322 section 4.5.8: blanks before the colon are taken", () => {
  const content = encodeText("Subject \t: x");
  assert.equal(headerNameLength(content, 0, content.length), 7);
});

Deno.test("a section ends at an empty line, at a line that is no header, and at the end", () => {
  assert.equal(scan("A: 1\nno header\n\nx").rest, "no header\n\nx");
  assert.equal(scan("A: 1").rest, "");
  assert.equal(scan("A: 1\n").rest, "");
  assert.equal(scan("").rest, "");
  assert.equal(scan("\nbody").rest, "\nbody");
  assert.equal(scan("\n").rest, "\n");
  assert.equal(scan(" A: 1\nB: 2").rest, " A: 1\nB: 2");
  assert.equal(scan(":x\n").rest, ":x\n");
  assert.equal(scan("A\0: 1\n").fields.length, 0);
  assert.equal(scan("É: 1\n").fields.length, 0);
});

Deno.test("a header longer than the limit is cut there, and the next one is found", () => {
  const exact = scan("A: 123\nB: 4\n\n", 6);
  assert.deepEqual([exact.truncated, exact.fields], [false, [["A", "123"], ["B", "4"]]]);
  const cut = scan("A: 123\n 456\nB: 4\n\n", 6);
  assert.deepEqual([cut.truncated, cut.fields], [true, [["A", "123"], ["B", "4"]]]);
});

Deno.test("a message of nothing but headers is read to its end", () => {
  const content = encodeText("a:\n".repeat(300_000));
  let count = 0;
  let at = 0;
  for (let field = readHeaderField(content, 0, 1000); field !== undefined; count++) {
    at = field.next;
    field = readHeaderField(content, at, 1000);
  }
  assert.deepEqual([count, at], [300_000, content.length]);
});

Deno.test("names are compared with ASCII letters folded", () => {
  const content = encodeText("RECEIVED: x\n");
  const field = readHeaderField(content, 0, 100)!;
  assert.ok(isHeaderNamed(content, field, "received"));
  assert.ok(!isHeaderNamed(content, field, "receive"));
  assert.ok(
    isContinuation(encodeText("\tx")) && !isContinuation(encodeText("x")) && !isContinuation(encodeText("")),
  );
});

function addresses(text: string, limit = 1000): string[] {
  const value = encodeText(text);
  return findHeaderAddresses(value, limit).addresses.map((found) => {
    const span = decodeText(value.subarray(found.start, found.end));
    return span === found.address ? span : `${found.address} <- ${span}`;
  });
}

const ADDRESS_LISTS: readonly (readonly [value: string, found: readonly string[]])[] = [
  [" a@b.test", ["a@b.test"]],
  ["root", ["root"]],
  [" a@b.test, c@d.test\n\t, e", ["a@b.test", "c@d.test", "e"]],
  ["Alice Adams <a@b.test>", ["a@b.test"]],
  ['"Adams, Alice" <a@b.test>, "x@evil y" <c@d>', ["a@b.test", "c@d"]],
  ["a@b.test (Alice, <x@y>)", ["a@b.test"]],
  ["(a (nested) comment) a @ (c) b . test (d)", ["a@b.test <- a @ (c) b . test"]],
  ["<@r.test,@s.test:a@b.test>", ["@r.test,@s.test:a@b.test"]],
  ["< a@b.test >", ["a@b.test"]],
  ['"a b"@c.test, "x\\"y"@z', ['"a b"@c.test', '"x\\"y"@z']],
  ["a@[192.0.2.1], b@[IPv6:::1]", ["a@[192.0.2.1]", "b@[IPv6:::1]"]],
  ["friends: a@b.test, Bob <c@d.test>; , e@f", ["a@b.test", "c@d.test", "e@f"]],
  ["undisclosed-recipients:;", []],
  ["<>", []],
  ["John Doe", []],
  ["a@", []],
  ["@b", []],
  ["a@b@c", []],
  [".", []],
  ["a@.", []],
  ["a@b.test.", ["a@b.test."]],
  ["a..b@c.test", ["a..b@c.test"]],
  ['"unterminated', []],
  ["(unterminated a@b.test", []],
  ["<a@b.test", []],
  ["<a@b.test>, c@d, <e", ["a@b.test", "c@d"]],
  ["<a@b.test> trailing, c@d", ["a@b.test", "c@d"]],
  ["a@evil.test)b@good.test", []],
  ["=?utf-8?q?a?=@b.test", ["=?utf-8?q?a?=@b.test"]],
  ["josé@b.test", ["josé@b.test"]],
  ["a%b@c, d!e", ["a%b@c", "d!e"]],
  [",,,a@b,,", ["a@b"]],
  ['"a\n b"@c.test', ['"a b"@c.test <- "a\n b"@c.test']],
  ["", []],
];

Deno.test("RFC 5322 section 3.4: addresses are found in lists, groups, brackets and between comments", () => {
  for (const [value, found] of ADDRESS_LISTS) {
    assert.deepEqual(addresses(value), found, JSON.stringify(value));
  }
});

Deno.test("RFC 5322 section 4.4: a source route belongs to its address", () => {
  assert.deepEqual(addresses("<@a.test:b@c.test>"), ["@a.test:b@c.test"]);
  assert.deepEqual(addresses("<@a.test b@c.test>"), []);
});

Deno.test("reading stops at the limit of tokens, without half an address", () => {
  const value = encodeText("a@b, c@d");
  const found = (limit: number) => {
    const list = findHeaderAddresses(value, limit);
    return [list.addresses.length, list.truncated];
  };
  assert.deepEqual(found(7), [2, false]);
  assert.deepEqual(found(6), [1, true]);
  assert.deepEqual(found(4), [1, true]);
  assert.deepEqual(found(3), [0, true]);
});

Deno.test("RFC 5322 section 3.2.2: comments nest as deep as they like", () => {
  const deep = 50_000;
  assert.deepEqual(addresses(`${"(".repeat(deep)}x${")".repeat(deep)} a@b`), ["a@b"]);
  assert.deepEqual(addresses(`(\\)) a@b`), ["a@b"]);
});

Deno.test("replacing an address leaves every other byte as it was", () => {
  const text = ' "Adams, A" <root> (c),\n\tx: bob ;';
  const value = encodeText(text);
  const found = findHeaderAddresses(value, 1000).addresses;
  const replacements = found.map(({ start, end, address }) => ({ start, end, text: `${address}@h.test` }));
  const out = decodeText(replaceInHeader(value, replacements));
  assert.equal(out, ' "Adams, A" <root@h.test> (c),\n\tx: bob@h.test ;');
  assert.equal(decodeText(replaceInHeader(value, [])), text);
});

Deno.test("an address list that is cut anywhere gives only addresses that stand in it", () => {
  const whole = 'G: "a, b" <x@y.test> (c), d@[1.2.3.4]; e\\ f, <@r:u@v>';
  for (let length = 0; length <= whole.length; length++) {
    for (const found of addresses(whole.slice(0, length))) {
      assert.ok(whole.includes(found), `${length}: ${found}`);
    }
  }
});

Deno.test("random bytes give spans in order and inside the value", () => {
  let state = 99;
  const random = (most: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % most;
  const alphabet = encodeText('ab.@<>"\\:,;[]() \r\n\0é');
  for (let round = 0; round < 5000; round++) {
    const value = Uint8Array.from({ length: random(30) }, () => alphabet[random(alphabet.length)]!);
    let last = 0;
    for (const { start, end, address } of findHeaderAddresses(value, 20).addresses) {
      assert.ok(start >= last && end > start && end <= value.length);
      assert.ok(!/[\r\n]/.test(address));
      last = end;
    }
  }
});

Deno.test("RFC 5322 section 3.4: a From header has name and address, quoted where they need it", () => {
  const table = [
    ["a@b.test", "Alice Adams", "From: Alice Adams <a@b.test>", "From: a@b.test (Alice Adams)"],
    ["a@b.test", "", "From: a@b.test", "From: a@b.test"],
    ["a b@b.test", 'A. "x"', 'From: "A. \\"x\\"" <"a b"@b.test>', 'From: "a b"@b.test (A. "x")'],
    ["", "Mail (x", 'From: "Mail (x" <MAILER-DAEMON>', "From: MAILER-DAEMON (Mail \\(x)"],
    ["a@b.test", "A\r\nX: y", 'From: "A??X: y" <a@b.test>', "From: a@b.test (A??X: y)"],
    ["a@b.test", "José", "From: =?utf-8?Q?Jos=C3=A9?= <a@b.test>", "From: a@b.test (=?utf-8?Q?Jos=C3=A9?=)"],
    ["a@b.test", "=?x", 'From: "=?x" <a@b.test>', "From: a@b.test (=?x)"],
  ] as const;
  for (const [address, name, standard, obsolete] of table) {
    assert.equal(format.formatFrom(address, name), standard);
    assert.equal(format.formatFrom(address, name, "obsolete"), obsolete);
  }
});

Deno.test("RFC 2047 section 5 (3): names outside ASCII become encoded words of whole characters", () => {
  const words = format.formatDisplayName("Zoë " + "é".repeat(40)).split(" ");
  assert.ok(words.length > 2);
  for (const word of words) {
    assert.ok(word.length <= 75, word);
    const bytes = Uint8Array.from(
      word.slice(10, -2).replaceAll("_", " ").replace(
        /=(..)/g,
        (_, hex) => String.fromCharCode(parseInt(hex, 16)),
      ),
      (character) => character.charCodeAt(0),
    );
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  }
});

Deno.test("RFC 5322 section 3.6.4: a message id holds what makes it unique", () => {
  const time = Date.UTC(2026, 10, 23, 5, 6, 2);
  assert.equal(format.formatMessageId("4F2A", false, time, "h.test"), "<20261123050602.4F2A@h.test>");
  assert.equal(format.formatMessageId("4F2Azz", true, time, "h.test"), "<4F2Azz@h.test>");
});
