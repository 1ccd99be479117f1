import assert from "node:assert/strict";
import { isEightBitEncoding, parseContentType } from "../../../lib/mail/mime_type.ts";

Deno.test("RFC 2046 section 5.1.1: boundaries are found in Content-Type values, and encodings told apart", () => {
  const types: readonly (readonly [string, string, string, boolean])[] = [
    ["text/plain", "leaf", "", false],
    [" MULTIPART/Mixed ; Boundary = abc ", "multipart", "abc", false],
    ['multipart/mixed; boundary="a;b\\"c"', "multipart", 'a;b"c', false],
    ["multipart/mixed (comment; boundary=no) ; boundary=yes", "multipart", "yes", false],
    ["multipart/digest; boundary=x", "multipart", "x", true],
    ["multipart/mixed", "multipart", "", false],
    ["message/rfc822", "message", "", false],
    ["message/partial", "message", "", false],
    ["", "leaf", "", false],
    ['multipart/x; boundary="unclosed', "multipart", "unclosed", false],
  ];
  for (const [value, kind, boundary, digest] of types) {
    const parsed = parseContentType(value, 250);
    const found = { kind: parsed.kind, boundary: parsed.boundaries[0] ?? "", digest: parsed.digest };
    assert.deepEqual(found, { kind, boundary, digest }, value);
  }
  const long = parseContentType(`multipart/x; boundary=${"b".repeat(300)}`, 250);
  assert.equal(long.boundaries[0]!.length, 250);
  assert.deepEqual(parseContentType("multipart/x; boundary=a; boundary=b", 250).boundaries, ["a", "b"]);
  assert.equal(parseContentType("message/partial", 250).opaque, true);
  assert.equal(parseContentType("message/global", 250).opaque, false);
  for (
    const [value, is] of [["8bit", true], [" 8BIT ", true], ["binary (x)", true], ["7bit", false], [
      "base64",
      false,
    ], ["8bits", false]] as const
  ) {
    assert.equal(isEightBitEncoding(value), is, value);
  }
});
