/** Class STM of the security cases: command order, groups of commands, ends of transactions. @module */
import assert from "node:assert/strict";
import { MailHost } from "../daemons/smtpd/mail_host.ts";
import { attackHost, type Cut, play, playAll, WHOLE } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";
import { parseScript } from "./script.ts";

const SYNC = "554 5.5.0 Error: SMTP protocol synchronization";
const MAIL_OK = "250 2.1.0 Ok";
const RCPT_OK = "250 2.1.5 Ok";
const OK = "250 2.0.0 Ok";
const NEED_RCPT = "503 5.5.1 Error: need RCPT command";
const NO_SUCH =
  "550 5.1.1 <nouser@local.test>: Recipient address rejected: User unknown in local recipient table";
const HELLO = /^250-mx\.test\n(250-.*\n)*250 .*$/;

interface Expected {
  readonly replies: readonly (string | RegExp)[];
  readonly ended?: boolean;
  /** The replies depend on where the input is cut: each segment is a group of its own. */
  readonly wholeOnly?: boolean;
}

const CHECKS: Readonly<Record<string, Expected>> = {
  "STM-02": { replies: [SYNC], ended: true, wholeOnly: true },
  "STM-04": { replies: [SYNC], ended: true, wholeOnly: true },
  "STM-05": { replies: [MAIL_OK, NO_SUCH, "554 5.5.1 Error: no valid recipients"] },
  "STM-07": { replies: ["554 5.5.1 Error: no valid recipients"] },
  "STM-08": { replies: ["503 5.5.1 Error: nested MAIL command"] },
  "STM-10": { replies: [SYNC], ended: true, wholeOnly: true },
  "STM-11": { replies: [OK, NEED_RCPT] },
  "STM-14": { replies: [SYNC], ended: true, wholeOnly: true },
  "STM-17": { replies: ["500 5.5.2 Error: bad syntax", "500 5.5.2 Error: bad syntax"] },
  "STM-19": { replies: ["221 2.0.0 Bye"], ended: true },
  "STM-20": { replies: [SYNC], ended: true, wholeOnly: true },
  "STM-22": { replies: ["500 5.5.2 Error: bad UTF-8 syntax"] },
  "STM-23": { replies: ["555 5.5.4 Unsupported option: FOO=BAR"] },
  "STM-25": { replies: ["501 5.5.4 Bad message size syntax"] },
  "STM-26": { replies: [] },
  "STM-28": { replies: ["501 5.5.4 Syntax: DATA"] },
  "STM-29": { replies: ["550 5.7.0 Error: insufficient authorization"] },
};

const ELSEWHERE: Readonly<Record<string, string>> = {
  "STM-01": "own test: input before the greeting is not a session's",
  "STM-13": "own test: the session ends",
  "STM-16": "own test: the errors are counted",
};

testEveryCase("STM", CHECKS, ELSEWHERE);

function same(replies: readonly string[], expected: readonly (string | RegExp)[], where: string): void {
  assert.equal(replies.length, expected.length, `${where}: ${replies.join(" | ")}`);
  expected.forEach((one, i) =>
    typeof one === "string" ? assert.equal(replies[i], one, where) : assert.match(replies[i]!, one, where)
  );
}

for (const [id, { replies, ended, wholeOnly }] of Object.entries(CHECKS)) {
  Deno.test(`${id}: whole, byte by byte and cut at every place`, async () => {
    await using host = attackHost();
    const input = caseInput(id);
    const longest = Math.max(
      ...parseScript(input).map((step) => step.kind === "send" ? step.bytes.length : 0),
    );
    const cuts: Cut[] = [WHOLE];
    if (!wholeOnly) {
      cuts.push({ kind: "bytes" });
      for (let offset = 1; offset < longest; offset++) cuts.push({ kind: "at", offset });
    }
    for (const [i, played] of (await playAll(host, input, cuts)).entries()) {
      const where = `${id} ${JSON.stringify(cuts[i])}`;
      same(played.replies, replies, where);
      assert.equal(played.ended, ended ?? false, where);
      assert.equal(played.queued.length, 0, where);
      assert.equal(played.unfinished, 0, where);
    }
  });
}

Deno.test("STM-01: a client that talks before the greeting is not served", async () => {
  await using host = new MailHost();
  const client = host.connect(undefined, "EHLO c.test\r\n");
  assert.equal(await client.reply(), SYNC);
  assert.equal(await client.reply(), "");
});

Deno.test("STM-02, STM-04: the same commands one by one are in order, or wait for their place", async () => {
  await using host = attackHost();
  const helo = await play(host, "HELO c\r\n{|}MAIL FROM:<a@ext.test>\r\n");
  assert.deepEqual(helo.replies, ["250 mx.test", MAIL_OK]);
  const data = await play(host, "{D}Subject: x\r\n\r\nhi\r\n.\r\n");
  assert.match(data.replies[0]!, /^250 2\.0\.0 Ok: queued/);
  assert.equal(data.queued.length, 1);
});

Deno.test("STM-10, STM-14, STM-20: what may not stand in a group, one by one", async () => {
  await using host = attackHost();
  same((await play(host, caseInput("STM-10").replace("again\r\n", "again\r\n{|}"))).replies, [
    HELLO,
    NEED_RCPT,
  ], "STM-10");
  await using strict = attackHost({ settings: { strict_smtputf8: "true" } });
  const vrfy = await play(strict, caseInput("STM-14").replace("test\r\n", "test\r\n{|}"));
  // VRFY touches no transaction: DATA goes on where it was.
  same(vrfy.replies, ["553 5.6.7 Must declare SMTPUTF8 to send unicode address", /^354 /], "STM-14");
  const verbs = await play(host, caseInput("STM-20").replaceAll("\r\n", "\r\n{|}"));
  same(verbs.replies, [HELLO, MAIL_OK, RCPT_OK], "STM-20");
});

Deno.test("STM-08: after a nested MAIL the first sender stays", async () => {
  await using host = attackHost();
  const played = await play(host, `${caseInput("STM-08")}{|}{R}DATA\r\n{|}{H}x{EOD}`);
  assert.equal(played.queued[0]!.sender, "a@ext.test");
});

Deno.test("STM-13: a chunk of no size ends the session, and DATA behind a chunk is out of order", async () => {
  await using host = attackHost();
  const malformed = await play(host, caseInput("STM-13"));
  same(malformed.replies, ["521 5.5.4 Syntax: BDAT count [LAST]"], "STM-13");
  assert.equal(malformed.ended, true);
  const refused = await play(host, "{E}{M}{R}BDAT 1\r\nx{|}BDAT 9999999\r\n{|}DATA\r\n");
  assert.equal(refused.replies[1], "552 5.3.4 Chunk exceeds message size limit");
  const mixed = await play(host, "{E}{M}{R}BDAT 1\r\nx{|}DATA\r\n");
  same(mixed.replies, ["250 2.0.0 Ok: 1 bytes", /^503 5\.5\.1 /], "STM-13");
  assert.deepEqual([...malformed.queued, ...refused.queued, ...mixed.queued], []);
});

Deno.test("STM-16: commands that bring no mail are errors in the end", async () => {
  await using host = attackHost();
  const { replies, ended } = await play(host, caseInput("STM-16"));
  assert.equal(replies.at(-1), "421 4.7.0 mx.test Error: too many errors");
  // EHLO and a hundred more are free, the next one too, as in Postfix; then come twenty errors.
  assert.equal(replies.filter((reply) => reply === OK).length, 120);
  assert.equal(ended, true);
});

Deno.test("STM-25: other sizes that are none", async () => {
  await using host = attackHost();
  for (const size of ["1e9", "0x10", "", "5 5", "+5", "\uff11\uff10", "1.5", "99999999999999999999"]) {
    const { replies } = await play(host, `{E}MAIL FROM:<a@ext.test> SIZE=${size}\r\n`);
    assert.equal(replies.length, 1);
    assert.match(replies[0]!, /^501 5\.5\.4 |^555 5\.5\.4 Unsupported option: 5$/, size);
  }
});

Deno.test("STM-26: a client that leaves in the middle of a message leaves a line in the log", async () => {
  await using host = attackHost();
  const { log } = await play(host, caseInput("STM-26"));
  assert.ok(log.includes("lost connection after DATA from unknown[198.51.100.9]"));
});
