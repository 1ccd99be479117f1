/** Records and policies of MTA-STS: RFC 8461 section 3. @module */
import assert from "node:assert/strict";
import { MAX_AGE_LIMIT, parsePolicy, readRecord } from "../../../daemons/sts/sts_policy.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("RFC 8461 section 3.1: one record of the version counts, others are passed over", () => {
  assert.equal(readRecord(["v=STSv1; id=20160831085700Z;"]), "20160831085700Z");
  assert.equal(readRecord(["v=spf1 -all", "v=STSv1;id=a"]), "a");
  assert.equal(readRecord(["v=STSv1; x=y; id=b; z"]), "b");
  for (
    const texts of [
      [],
      ["v=STSv1; id=a", "v=STSv1; id=b"],
      ["v=STSv2; id=a"],
      ["v=STSv1"],
      ["v=STSv1; id="],
      ["v=STSv1; id=a-b"],
      [`v=STSv1; id=${"a".repeat(33)}`],
      [" v=STSv1; id=a"],
      ["V=STSv1; id=a"],
    ]
  ) assert.equal(readRecord(texts), undefined, JSON.stringify(texts));
});

const GOOD =
  "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

Deno.test("RFC 8461 section 3.2: the example, and what is no policy", () => {
  const policy = parsePolicy(bytes(GOOD))!;
  assert.equal(policy.mode, "enforce");
  assert.deepEqual(policy.patterns, ["mail.example.com", "*.example.net"]);
  assert.equal(policy.maxAge, 604800);
  assert.ok(parsePolicy(bytes(GOOD.replaceAll("\r", ""))));
  assert.ok(parsePolicy(bytes(`${GOOD}future: something\r\n`)));
  assert.equal(
    parsePolicy(bytes(GOOD.replace("mode: enforce", "mode: testing\r\nmode: enforce")))?.mode,
    "testing",
  );
  assert.equal(parsePolicy(bytes(GOOD.replace("604800", "99999999999")))?.maxAge, MAX_AGE_LIMIT);
  assert.equal(parsePolicy(bytes("version: STSv1\nmode: none\nmax_age: 1\n"))?.mode, "none");
  for (
    const bad of [
      "",
      "<html>",
      GOOD.replace("STSv1", "STSv2"),
      GOOD.replace("enforce", "strict"),
      GOOD.replace("max_age: 604800\r\n", ""),
      GOOD.replace("604800", "-1"),
      GOOD.replace("604800", "1e9"),
      "version: STSv1\nmode: enforce\nmax_age: 1\n",
      GOOD.replace("mail.example.com", "*"),
      GOOD.replace("mail.example.com", "m*.example.com"),
      GOOD.replace("mail.example.com", "*.*.com"),
      GOOD.replace("mail.example.com", "a b"),
      GOOD.replace("mail.example.com", "x".repeat(300)),
      `${GOOD}${"mx: a.test\r\n".repeat(101)}`,
      "x: y\n".repeat(1001) + GOOD,
    ]
  ) assert.equal(parsePolicy(bytes(bad)), undefined, bad.slice(0, 60));
  assert.equal(parsePolicy(new Uint8Array([0xff, 0xfe])), undefined);
});

Deno.test("a policy that is cut at any byte is itself, or none, and never weaker", () => {
  for (let end = 0; end < GOOD.length; end++) {
    const policy = parsePolicy(bytes(GOOD.slice(0, end)));
    assert.ok(policy === undefined || policy.mode === "enforce", String(end));
  }
});
