/** Values of the parameters that say what a sender wants to be told: xtext, NOTIFY, RET, VERP. @module */
import assert from "node:assert/strict";
import { NOTIFY, parseNotify, parseRet, withoutSuccess } from "../../../lib/mail/notify.ts";
import { areVerpDelimiters, verpSender } from "../../../lib/mail/verp.ts";
import { decodeXtext, encodeXtext } from "../../../lib/mail/xtext.ts";

const XTEXTS: readonly (readonly [xtext: string, text: string | undefined])[] = [
  ["", ""],
  ["QQ314159", "QQ314159"],
  ["a+2Bb+3Dc+20d", "a+b=c d"],
  ["Bob@Example.COM", "Bob@Example.COM"],
  ["a=b", "a=b"], // Postfix takes it too
  ["+", undefined],
  ["a+2", undefined],
  ["a+2b", undefined],
  ["a+G0", undefined],
  ["a+00", undefined],
  ["a+0D+0Ab", undefined],
  ["a+7F", undefined],
  ["a+C3+A9", undefined],
  ["\u00e9", undefined],
  ["a b\t", undefined],
];

for (const [xtext, text] of XTEXTS) {
  Deno.test(`xtext ${JSON.stringify(xtext)} stands for ${JSON.stringify(text)}`, () => {
    assert.equal(decodeXtext(xtext), text);
  });
}

Deno.test("RFC 3461 section 4: what encodeXtext makes of printable text, decodeXtext reads", () => {
  const all = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");
  assert.equal(decodeXtext(encodeXtext(all)), all);
  assert.doesNotMatch(encodeXtext(all), /[ =]/);
});

const NOTIFIES: readonly (readonly [value: string, bits: number | undefined])[] = [
  ["NEVER", 1],
  ["success", 2],
  ["SUCCESS,Failure,delay", 14],
  ["DELAY,DELAY", 8],
  ["NEVER,NEVER", 1],
  ["NEVER,SUCCESS", undefined],
  ["", undefined],
  ["SUCCESS,", undefined],
  ["ALWAYS", undefined],
];

for (const [value, bits] of NOTIFIES) {
  Deno.test(`RFC 3461 section 4.1: NOTIFY=${value} is ${bits}`, () => {
    assert.equal(parseNotify(value.split(",")), bits);
  });
}

Deno.test("RFC 3461 section 4.3: RET is FULL or HDRS, in any case", () => {
  assert.deepEqual(["FULL", "hdrs", "", "BODY"].map(parseRet), [1, 2, undefined, undefined]);
});

Deno.test("RFC 3461 section 5.2.7.1: SUCCESS goes, and nothing else is asked for in its place", () => {
  assert.equal(withoutSuccess(NOTIFY.SUCCESS), NOTIFY.NEVER);
  assert.equal(withoutSuccess(NOTIFY.SUCCESS | NOTIFY.DELAY), NOTIFY.DELAY);
  assert.equal(withoutSuccess(NOTIFY.NEVER), NOTIFY.NEVER);
  assert.equal(withoutSuccess(0), 0);
});

const VERPS: readonly (readonly [string, string, string, string])[] = [
  ["+=", "owner-list@origin.test", "user@domain.test", "owner-list+user=domain.test@origin.test"],
  ["-=", "list-@site.test", "a-b@c.test", "list--a-b=c.test@site.test"],
  ["+=", "list", "user@d", "list+user=d"],
  ["+=", "list@o", "user", "list+user@o"],
  ["+=", "list@o", "odd @x@d", "list+odd @x=d@o"],
  ["+=", "", "user@d", ""],
];

for (const [delimiters, sender, recipient, expected] of VERPS) {
  Deno.test(`VERP ${delimiters}: ${sender || "<>"} for ${recipient} is ${expected || "<>"}`, () => {
    assert.equal(verpSender(delimiters, sender, recipient), expected);
  });
}

Deno.test("VERP delimiters are two characters of the filter", () => {
  const good = ["+=", "--", "=-"];
  for (const text of [...good, "", "+", "+=+", "a=", "=@"]) {
    assert.equal(areVerpDelimiters(text, "-=+"), good.includes(text), text);
  }
});
