import assert from "node:assert/strict";
import { splitStatus, statusLength, withClass } from "../../../lib/mail/status_code.ts";

const CASES: readonly [string, string, string][] = [
  ["5.1.1 User unknown", "5.1.1", "User unknown"],
  ["4.7.1", "4.7.1", ""],
  ["2.0.0   Ok ", "2.0.0", "Ok"],
  ["5.123.456 x", "5.123.456", "x"],
];

for (const [value, status, text] of CASES) {
  Deno.test(`RFC 3463 section 2: ${JSON.stringify(value)} begins with the status code ${status}`, () => {
    assert.deepEqual(splitStatus(value, "5.0.0"), { status, text });
  });
}

const NONE = [
  "",
  "5",
  "5.1",
  "5.1.",
  "5..1 x",
  ".1.1",
  "3.1.1 class 3 does not exist",
  "1.1.1 x",
  "6.1.1 x",
  "5.1.1x",
  "5.1.1.1 x",
  "5.1234.1 x",
  "5.1.1234 x",
  "5.1.1\tx",
  "-5.1.1 x",
  " 5.1.1 x",
  "550 5.1.1 x",
  "User unknown",
  "٥.1.1 x",
];

for (const value of NONE) {
  Deno.test(`RFC 3463 section 2: ${JSON.stringify(value)} has no status code and gets the default`, () => {
    assert.equal(statusLength(value), 0);
    assert.equal(splitStatus(value, "4.3.0").status, "4.3.0");
  });
}

Deno.test("a code in another class keeps subject and detail", () => {
  assert.equal(withClass("5.1.1", "4"), "4.1.1");
  assert.equal(withClass("4.47.123", "5"), "5.47.123");
});
