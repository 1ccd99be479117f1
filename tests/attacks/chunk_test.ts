/** Class BDT of the security cases: text in counted chunks. @module */
import assert from "node:assert/strict";
import { attackHost, type Cut, play, playAll, WHOLE } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";
import { parseScript } from "./script.ts";

const SYNTAX = "521 5.5.4 Syntax: BDAT count [LAST]";
const OK = "250 2.0.0 Ok";
const queued = (size: number) => new RegExp(`^250 2\\.0\\.0 Ok: ${size} bytes queued as \\w+$`);

interface Expected {
  readonly replies: readonly (string | RegExp)[];
  /** What the one message holds behind our header and an empty line; undefined: there is none. */
  readonly body?: string;
  readonly ended?: boolean;
}

const CHECKS: Readonly<Record<string, Expected>> = {
  "BDT-01": { replies: ["250 2.0.0 Ok: 5 bytes", queued(7)], body: "hello\n" },
  "BDT-02": { replies: [queued(7), OK], body: "hello\n" },
  "BDT-04": { replies: [SYNTAX], ended: true },
  "BDT-05": { replies: [SYNTAX], ended: true },
  "BDT-07": { replies: ["551 5.7.1 Null BDAT request"] },
  "BDT-08": { replies: ["503 5.5.1 Error: need RCPT command"] },
  "BDT-10": {
    replies: [
      "250 2.0.0 Ok: 5 bytes",
      "503 5.5.1 Error: RCPT after BDAT",
      "503 5.5.1 Error: nested MAIL command",
    ],
  },
  "BDT-11": {
    replies: [
      "552 5.3.4 Chunk exceeds message size limit",
      "421 4.3.0 mx.test Error: chunk is too large to be skipped",
    ],
    ended: true,
  },
  "BDT-13": { replies: [queued(5)], body: "abc\n" },
  "BDT-16": { replies: [SYNTAX], ended: true },
  "BDT-17": { replies: ["521 5.5.1 Error: command not implemented"], ended: true },
  "BDT-19": { replies: ["250 2.0.0 Ok: 1 bytes", queued(3)], body: ".\n" },
};

/** Parameters that a case names in words. */
const SETTINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "BDT-17": { smtpd_discard_ehlo_keywords: '["chunking"]' },
};

testEveryCase("BDT", CHECKS, { "BDT-14": "own test: many chunks of one byte" });

/** Inputs up to this length are cut at every byte, longer ones only in the first bytes. */
const CUT_MOST = 60;

for (const [id, { replies, body, ended }] of Object.entries(CHECKS)) {
  Deno.test(`${id}: whole, byte by byte and cut at every place`, async () => {
    await using host = attackHost({ settings: SETTINGS[id] ?? {} });
    const input = caseInput(id);
    const lengths = parseScript(input).map((step) => step.kind === "send" ? step.bytes.length : 0);
    const longest = Math.min(CUT_MOST, Math.max(...lengths));
    const cuts: Cut[] = [WHOLE];
    if (longest < CUT_MOST) cuts.push({ kind: "bytes" });
    for (let offset = 1; offset < longest; offset++) cuts.push({ kind: "at", offset });
    for (const [i, played] of (await playAll(host, input, cuts)).entries()) {
      const where = `${id} ${JSON.stringify(cuts[i])}: ${played.replies.join(" | ")}`;
      assert.equal(played.replies.length, replies.length, where);
      replies.forEach((one, n) =>
        typeof one === "string"
          ? assert.equal(played.replies[n], one, where)
          : assert.match(played.replies[n]!, one, where)
      );
      assert.equal(played.ended, ended ?? false, where);
      assert.equal(played.unfinished, 0, where);
      const bodies = played.queued.map(({ text }) => text.slice(text.indexOf("\n\n") + 2));
      assert.deepEqual(bodies, body === undefined ? [] : [body], where);
    }
  });
}

Deno.test("BDT-04: other sizes that are none end the session", async () => {
  await using host = attackHost();
  for (const size of ["0x10", "+5", "5abc", "5.0", "\uff15", "-1", "", "1 2", "1,5"]) {
    const { replies, ended } = await play(host, `{E}{M}{R}BDAT ${size}\r\nhello`);
    assert.deepEqual([replies, ended], [[SYNTAX], true], size);
  }
});

Deno.test("BDT-08: what a refused chunk holds is skipped to its last byte, and the next command is answered", async () => {
  await using host = attackHost();
  const { replies } = await play(host, `${caseInput("BDT-08")}NOOP\r\n`);
  assert.deepEqual(replies, ["503 5.5.1 Error: need RCPT command", OK]);
});

Deno.test("BDT-10: after a refused MAIL and RCPT the message is still the one that was begun", async () => {
  await using host = attackHost();
  const { replies, queued } = await play(host, `${caseInput("BDT-10")}BDAT 0 LAST\r\n`);
  assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: 7 bytes queued/);
  assert.deepEqual(queued.map(({ sender, recipients }) => [sender, recipients]), [
    ["a@ext.test", ["alice@local.test"]],
  ]);
});

Deno.test("BDT-11: a chunk that is a little too large is read over, and the session goes on", async () => {
  await using host = attackHost();
  const input = "{E}{M}{R}BDAT 1200000 LAST\r\n{REP:RSET\r\n:200000}NOOP\r\n";
  const { replies, ended, queued } = await play(host, input);
  assert.deepEqual(replies, ["552 5.3.4 Chunk exceeds message size limit", OK]);
  assert.deepEqual([ended, queued.length], [false, 0]);
});

Deno.test("BDT-14: chunks of one byte cost the same, the last as the first", async () => {
  await using host = attackHost();
  const time = async (count: number) => {
    const client = await host.greeted();
    await client.says("MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>");
    const started = performance.now();
    client.send("BDAT 1\r\na".repeat(count));
    assert.match(await client.say("BDAT 0 LAST"), /^250 2\.0\.0 Ok: 1 bytes$/);
    const replies = await client.rest();
    assert.match(replies.at(-1)!, new RegExp(`^250 2\\.0\\.0 Ok: ${count + 2} bytes queued`));
    client.leave();
    return performance.now() - started;
  };
  await time(1000);
  const [few, many] = [await time(2000), await time(20_000)];
  assert.ok(many < 10 * few * 4 + 500, `${few} ms for 2,000 and ${many} ms for 20,000`);
  // Neither the log nor the queue has a trace of each of them.
  assert.ok(host.log.length < 40, `${host.log.length} lines`);
  assert.equal(host.messages().length, 3);
});
