/** MAIL and RCPT lines, and the EHLO answers that they depend on. @module */
import assert from "node:assert/strict";
import { formatMail, formatPath, formatRcpt } from "../../../lib/smtp/command.ts";
import { NO_FEATURES, parseEhlo } from "../../../lib/smtp/ehlo.ts";

const ALL = parseEhlo([
  "mx.test greets you",
  "PIPELINING",
  "8BITMIME",
  "SIZE 1000",
  "DSN",
  "SMTPUTF8",
  "ENHANCEDSTATUSCODES",
]);
const STYLE = { quote: true };
const MAIL = {
  sender: "a@b.test",
  size: 10,
  body: "8bit",
  smtputf8: false,
  requireTls: false,
  envelopeId: "",
  ret: 0,
} as const;
const RCPT = { address: "a@b.test", originalRecipient: "", dsnOriginalRecipient: "", notify: 0 };

Deno.test("RFC 5321 section 4.1.1.1: EHLO keywords are found in any case, and the first line is none", () => {
  const found = parseEhlo(["pipelining", "size 99", "8bitmime", "Dsn", "AUTH=LOGIN PLAIN", "X-OTHER y"]);
  assert.equal(found.serverName, "pipelining");
  assert.equal(found.pipelining, false);
  assert.deepEqual([found.size, found.sizeLimit, found.eightBitMime, found.dsn], [true, 99, true, true]);
  assert.equal(parseEhlo(["x", "SIZE=500"]).sizeLimit, 500);
  assert.deepEqual(parseEhlo([]), NO_FEATURES);
});

Deno.test("RFC 1870 section 3: SIZE has a limit, or says nothing of one with zero, without a number and with none", () => {
  for (const [line, limit] of [["SIZE 1000", 1000], ["SIZE 0", 0], ["SIZE", 0], ["SIZE 1e3", 0]] as const) {
    const found = parseEhlo(["x", line]);
    assert.deepEqual([found.size, found.sizeLimit], [true, limit], line);
  }
  assert.deepEqual([parseEhlo(["x"]).size, parseEhlo(["x"]).sizeLimit], [false, 0]);
});

Deno.test("RFC 6531 section 3.1: a server with SMTPUTF8 has 8BITMIME, whatever it forgot to say", () => {
  assert.equal(parseEhlo(["x", "SMTPUTF8"]).eightBitMime, true);
});

Deno.test("keywords that the configuration discards are not believed", () => {
  const found = parseEhlo(["x", "PIPELINING", "SIZE 1"], ["pipelining", "silent-discard"]);
  assert.deepEqual([found.pipelining, found.size], [false, true]);
});

Deno.test("MAIL has the parameters that the server offered and no others", () => {
  assert.equal(formatMail(MAIL, NO_FEATURES, STYLE), "MAIL FROM:<a@b.test>");
  assert.equal(formatMail(MAIL, ALL, STYLE), "MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME");
  assert.equal(formatMail({ ...MAIL, sender: "", size: undefined, body: "" }, ALL, STYLE), "MAIL FROM:<>");
  assert.equal(
    formatMail({ ...MAIL, body: "7bit", smtputf8: true, envelopeId: "a b+", ret: 1 }, ALL, STYLE),
    "MAIL FROM:<a@b.test> SIZE=10 BODY=7BIT ENVID=a+20b+2B RET=FULL SMTPUTF8",
  );
  assert.equal(formatMail({ ...MAIL, envelopeId: "x".repeat(101) }, ALL, STYLE)?.includes("ENVID"), false);
});

Deno.test("RFC 3461 section 4.1: NEVER stands alone", () => {
  const notify = (bits: number) => formatRcpt({ ...RCPT, notify: bits }, ALL, STYLE)?.split("NOTIFY=")[1];
  assert.deepEqual([0, 1, 2, 4, 8, 14, 15].map(notify), [
    undefined,
    "NEVER",
    "SUCCESS",
    "FAILURE",
    "DELAY",
    "SUCCESS,FAILURE,DELAY",
    "NEVER",
  ]);
  assert.equal(formatRcpt({ ...RCPT, notify: 2 }, NO_FEATURES, STYLE), "RCPT TO:<a@b.test>");
});

Deno.test("RFC 6533 section 3: an original recipient outside ASCII goes to servers with SMTPUTF8 only", () => {
  const original = { ...RCPT, originalRecipient: "jürgen+a@bücher.test" };
  const orcpt = "ORCPT=utf-8;jürgen\\x{2B}a@bücher.test";
  assert.equal(formatRcpt(original, ALL, STYLE), `RCPT TO:<a@b.test> ${orcpt}`);
  assert.equal(formatRcpt(original, { ...ALL, smtputf8: false }, STYLE), "RCPT TO:<a@b.test>");
  const given = { ...RCPT, dsnOriginalRecipient: "UTF-8;j\\ü r=@b.test" };
  assert.equal(
    formatRcpt(given, ALL, STYLE),
    "RCPT TO:<a@b.test> ORCPT=utf-8;j\\x{5C}ü\\x{20}r\\x{3D}@b.test",
  );
  const other = { ...RCPT, dsnOriginalRecipient: "rfc822;jürgen@b.test" };
  assert.equal(formatRcpt(other, ALL, STYLE), "RCPT TO:<a@b.test>");
});

Deno.test("RFC 3461 section 4.2: ORCPT is the given one, or made from the original recipient", () => {
  const original = (values: Partial<typeof RCPT>) =>
    formatRcpt({ ...RCPT, ...values }, ALL, STYLE)?.slice(19);
  assert.equal(original({ dsnOriginalRecipient: "rfc822;x y@z.test" }), "ORCPT=rfc822;x+20y@z.test");
  assert.equal(original({ dsnOriginalRecipient: "x400;/c=de/" }), "ORCPT=x400;/c+3Dde/");
  assert.equal(
    original({ originalRecipient: "o p@z.test" }),
    "ORCPT=rfc822;+22o+20p+22@z.test".replaceAll("+22", '"'),
  );
  assert.equal(original({ dsnOriginalRecipient: "nosemicolon" }), "");
  assert.equal(original({ dsnOriginalRecipient: `rfc822;${"x".repeat(500)}` }), "");
});

Deno.test("RFC 5321 section 4.1.2: local parts are quoted where they must be, and nothing ends the line", () => {
  assert.equal(formatPath("a b@c.test", STYLE), '<"a b"@c.test>');
  assert.equal(formatPath("a b@c.test", { quote: false }), "<a b@c.test>");
  assert.equal(formatPath('a"\\@c.test', STYLE), '<"a\\"\\\\"@c.test>');
  assert.equal(formatPath("", STYLE), "<>");
  for (const bad of ["a\r\nb@c.test", "a\nb", "a\0b", "\r"]) {
    assert.equal(formatPath(bad, STYLE), undefined);
    assert.equal(formatMail({ ...MAIL, sender: bad }, ALL, STYLE), undefined);
    assert.equal(formatRcpt({ ...RCPT, address: bad }, ALL, STYLE), undefined);
  }
  const hostile = formatRcpt({ ...RCPT, dsnOriginalRecipient: "rfc822;a\r\nDATA", notify: 2 }, ALL, STYLE)!;
  assert.ok(!hostile.includes("\r") && !hostile.includes("\n"));
  assert.ok(!formatMail({ ...MAIL, envelopeId: "a\r\nDATA" }, ALL, STYLE)!.includes("\n"));
});
