import assert from "node:assert/strict";
import {
  asciiLower,
  asciiUpper,
  equalsIgnoreCase,
  isAlnum,
  isAlpha,
  isAscii,
  isBlank,
  isDigit,
  lowerByte,
  parseDecimal,
  splitBlanks,
  startsWithIgnoreCase,
  trimBlanks,
} from "../../../lib/vstring/ascii.ts";
import { utf8 } from "../../support/bytes.ts";

Deno.test("byte classes hold for every unit of a string, also above 255", () => {
  for (let unit = 0; unit < 0x10000; unit++) {
    const ascii = unit < 0x80 ? String.fromCharCode(unit) : "";
    assert.equal(isDigit(unit), ascii !== "" && "0123456789".includes(ascii), `digit ${unit}`);
    const letter = ascii !== "" && "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".includes(ascii);
    assert.equal(isAlpha(unit), letter, `letter ${unit}`);
    assert.equal(isAlnum(unit), isDigit(unit) || letter, `alnum ${unit}`);
    assert.equal(isBlank(unit), unit === 0x20 || unit === 0x09, `blank ${unit}`);
    assert.equal(lowerByte(unit), letter && unit < 0x60 ? unit + 32 : unit, `lower ${unit}`);
  }
});

Deno.test("asciiLower and asciiUpper change the 26 letters of ASCII and nothing else", () => {
  for (let unit = 0; unit < 0x10000; unit++) {
    const one = String.fromCharCode(unit);
    const lower = unit >= 0x41 && unit <= 0x5a ? String.fromCharCode(unit + 32) : one;
    const upper = unit >= 0x61 && unit <= 0x7a ? String.fromCharCode(unit - 32) : one;
    if (asciiLower(one) !== lower || asciiUpper(one) !== upper) assert.fail(`unit ${unit}`);
  }
  assert.equal(asciiLower("aBc\u0130\u212a"), "abc\u0130\u212a"); // U+0130 and the Kelvin sign have other lower forms
  assert.equal(asciiUpper("\u00df\u0131\u017f"), "\u00df\u0131\u017f");
});

Deno.test("equalsIgnoreCase folds ASCII only", () => {
  const cases: readonly [string, string, boolean][] = [
    ["", "", true],
    ["Abc", "aBC", true],
    ["abc", "abcd", false],
    ["\u212a", "k", false], // Kelvin sign
    ["ß", "SS", false],
    ["@", "`", false],
    ["[", "{", false],
    ["a\0b", "A\0B", true],
  ];
  for (const [a, b, equal] of cases) assert.equal(equalsIgnoreCase(a, b), equal, `${a} ${b}`);
});

Deno.test("startsWithIgnoreCase never looks past the end", () => {
  const bytes = utf8("xReceived: y");
  assert.equal(startsWithIgnoreCase(bytes, "received:", 1), true);
  assert.equal(startsWithIgnoreCase(bytes, "received:"), false);
  for (let cut = 0; cut < 9; cut++) {
    assert.equal(startsWithIgnoreCase(utf8("received:").subarray(0, cut), "received:"), false);
  }
  assert.equal(startsWithIgnoreCase(bytes, "y", 12), false);
  assert.equal(startsWithIgnoreCase(bytes, "", 12), true);
});

Deno.test("trimBlanks and splitBlanks know space, tab, CR and LF, and no other white space", () => {
  const others = ["\u00a0", "\u2028", "\ufeff", "\v", "\f", "\u3000", "\0"];
  for (const other of others) {
    assert.equal(trimBlanks(` ${other}a${other}\t`), `${other}a${other}`);
    assert.deepEqual(splitBlanks(`a${other}b c`), [`a${other}b`, "c"]);
  }
  assert.equal(trimBlanks("\r\n \t"), "");
  assert.equal(trimBlanks(""), "");
  assert.equal(trimBlanks("a b"), "a b");
  assert.deepEqual(splitBlanks(" a\tb\r\nc  "), ["a", "b", "c"]);
  assert.deepEqual(splitBlanks("a,b, ,c"), ["a,b,", ",c"]);
  assert.deepEqual(splitBlanks("a,b, ,c", true), ["a", "b", "c"]);
  assert.deepEqual(splitBlanks(" , ", true), []);
});

Deno.test("parseDecimal takes digits only, up to its limit", () => {
  const good: readonly [string, number][] = [
    ["0", 0],
    ["007", 7],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
    ["65535", 65535],
  ];
  for (const [text, value] of good) assert.equal(parseDecimal(text), value);
  const bad = [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1.0",
    "1e3",
    "0x10",
    "١",
    "1\0",
    "9007199254740992",
    "00000000000000001",
  ];
  for (const text of bad) assert.equal(parseDecimal(text), undefined, text);
  assert.equal(parseDecimal("255", 255), 255);
  assert.equal(parseDecimal("256", 255), undefined);
});

Deno.test("isAscii", () => {
  assert.equal(isAscii("\0\x7f"), true);
  assert.equal(isAscii("a\x80"), false);
  assert.equal(isAscii(""), true);
});
