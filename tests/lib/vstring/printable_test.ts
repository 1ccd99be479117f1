import assert from "node:assert/strict";
import { printable, PRINTABLE_LIMIT } from "../../../lib/vstring/printable.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

const CASES: readonly [string, string | Uint8Array, string][] = [
  ["plain text stays", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>"],
  [
    "a second log line cannot be forged",
    "a\r\nNov 1 mail postfix/smtpd[1]: x",
    "a??Nov 1 mail postfix/smtpd[1]: x",
  ],
  ["NUL", "a\0b", "a?b"],
  ["terminal escapes", "\x1b[31mred\x07", "?[31mred?"],
  ["DEL and C1 controls", "\x7f\x80\x9b\x9f", "????"],
  ["line and paragraph separators", "a\u2028b\u2029c", "a?b?c"],
  ["direction marks and overrides", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069", "???????"],
  ["byte-order mark and noncharacters", "\ufeff\ufffe\uffff", "???"],
  ["lone surrogates, as bytes that are no UTF-8 become", "\udc80\ud800a\udfff", "??a?"],
  ["letters and emoji stay", "Grüße \u{1F600} 日本", "Grüße \u{1F600} 日本"],
  ["bytes as UTF-8", utf8("é\n"), "é?"],
  ["bytes that are no UTF-8", Uint8Array.from([0x41, 0xff, 0xc3]), "A??"],
  ["nothing", "", ""],
];

for (const [name, value, expected] of CASES) {
  Deno.test(`printable: ${name}`, () => assert.equal(printable(value), expected));
}

Deno.test("printable: the limit holds at n and n+1, and never cuts a character in two", () => {
  assert.equal(printable("abc", 3), "abc");
  assert.equal(printable("abcd", 3), "abc...");
  assert.equal(printable("ab\u{1F600}", 4), "ab\u{1F600}");
  assert.equal(printable("ab\u{1F600}c", 3), "ab...");
  assert.equal(printable("x".repeat(PRINTABLE_LIMIT)).length, PRINTABLE_LIMIT);
  assert.equal(printable("x".repeat(PRINTABLE_LIMIT + 1)).length, PRINTABLE_LIMIT + 3);
  assert.equal(printable(new Uint8Array(10_000_000).fill(0x41), 5), "AAAAA...");
});

Deno.test("printable: no byte sequence gets a control character through", () => {
  const random = new Random(3);
  for (let round = 0; round < 2000; round++) {
    const shown = printable(random.bytes(random.below(60)), 20);
    assert.ok(shown.isWellFormed());
    assert.ok(!/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069\ufeff]/u.test(shown), JSON.stringify(shown));
    assert.equal(printable(shown, 30), shown);
  }
});
