/** Class UNI of the security cases: characters that become other characters when bytes and strings are mixed up. @module */
import assert from "node:assert/strict";
import { utf8 } from "../support/bytes.ts";
import { latin1 } from "../daemons/smtpd/queued_message.ts";
import { attackHost, play } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

const UNKNOWN = "500 5.5.2 Error: command not recognized";
const NOT_UTF8 = "500 5.5.2 Error: bad UTF-8 syntax";

/** Replies, where they tell it all. */
const CHECKS: Readonly<Record<string, readonly string[]>> = {
  "UNI-07": [NOT_UTF8],
  "UNI-08": [NOT_UTF8],
  "UNI-13": ["501 5.5.4 Bad message size syntax"],
  "UNI-14": [
    "250 2.1.0 Ok",
    "550 5.1.1 <jose\u0301@local.test>: Recipient address rejected: User unknown in local recipient table",
  ],
};

const ELSEWHERE: Readonly<Record<string, string>> = {
  "UNI-01": "own test: the stored bytes",
  "UNI-02": "own test: so is ENVID",
  "UNI-04": "own test: what the HELO name becomes",
  "UNI-05": "own test: the stored bytes",
  "UNI-10": "own test: what a locale would fold",
  "UNI-11": "own test: a mechanism is compared as ASCII",
  "UNI-16": "own test: the stored bytes",
};

testEveryCase("UNI", CHECKS, ELSEWHERE);

for (const [id, replies] of Object.entries(CHECKS)) {
  Deno.test(`${id}: is refused`, async () => {
    await using host = attackHost();
    const played = await play(host, caseInput(id));
    assert.deepEqual(played.replies, replies);
    assert.deepEqual(played.queued, []);
  });
}

Deno.test("UNI-01, UNI-02: characters whose low bytes are CR and LF end no line anywhere", async () => {
  await using host = attackHost();
  const { replies, queued, log } = await play(host, caseInput("UNI-01"));
  assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: queued/, replies.join(" | "));
  // Bytes c4 8d c4 8a, as they came: neither cut to 0d 0a nor made anything else.
  assert.equal(queued[0]!.sender, "a\u010d\u010aRCPT@ext.test");
  assert.deepEqual(queued[0]!.recipients, ["r@relay.test"]);
  const envid = await play(host, caseInput("UNI-02"));
  assert.deepEqual(envid.replies, ["501 5.5.4 Bad ENVID parameter syntax"]);
  for (const line of [...log, ...envid.log]) assert.ok(!/[\r\n]/.test(line));
});

Deno.test("UNI-04: a HELO name is kept as ASCII, in the log, the envelope and the header", async () => {
  await using host = attackHost();
  const hello = caseInput("UNI-04").replace(/\r\n$/, "");
  const { queued, log } = await play(host, `${hello}\r\n{|}{M}{R}DATA\r\n{|}{H}x{EOD}`);
  const [message] = queued;
  assert.match(message!.attributes.get("helo_name")!, /^\?+X$/);
  assert.match(message!.text, /^Received: from \?+X \(unknown/);
  for (const line of log) assert.ok(/^[\x20-\x7e]*$/.test(line), line);
});

Deno.test("UNI-05: bytes that are no UTF-8 are stored as they came", async () => {
  await using host = attackHost();
  const { queued } = await play(host, caseInput("UNI-05"));
  assert.ok(queued[0]!.text.endsWith("X-T: \xe9\n\n\xe9\xfe\x80\xff\n"));
});

Deno.test("UNI-08: an overlong line end is none", async () => {
  await using host = attackHost();
  const { replies } = await play(host, `${caseInput("UNI-08").trimEnd()}\r\n{|}NOOP\r\n`);
  assert.deepEqual(replies, [NOT_UTF8, "250 2.0.0 Ok"]);
});

Deno.test("UNI-10: verbs are compared as ASCII", async () => {
  await using host = attackHost();
  const [first, second] = caseInput("UNI-10").replace("{E}", "").split("\r\n");
  const { replies } = await play(host, `{E}${first}\r\n{|}${second}\r\n`);
  assert.deepEqual(replies, [UNKNOWN, UNKNOWN]);
});

Deno.test("UNI-16: a megabyte of characters beyond the first plane is stored byte for byte", async () => {
  await using host = attackHost({ settings: { message_size_limit: "2000000" } });
  const { replies, queued } = await play(host, caseInput("UNI-16"));
  assert.match(replies[0]!, /^250 /);
  assert.equal(queued[0]!.body, `${latin1(utf8("\u{1f4a3}".repeat(250_000)))}\n`);
});
