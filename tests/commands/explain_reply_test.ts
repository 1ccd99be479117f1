/** The story of a refusal: from lines of a log, and from a mail system that has just refused. @module */
import assert from "node:assert/strict";
import { ReplySearch } from "../../commands/explain_reply.ts";
import { isReplyId, makeReplyId, readRule, ruleText } from "../../lib/access/refusal_log.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { Postern } from "../support/postern.ts";

const HEAD = "Nov 28 16:39:08 mx postfix/smtpd";
const REJECT =
  "NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 5.7.1 <x@y.test>: Relay access denied; from=<> to=<x@y.test> proto=ESMTP helo=<h>";
const RULE = ' reply=BCDFGHJK rule="reject_unauth_destination" in=smtpd_relay_restrictions at=/c/main.toml:7';

function search(lines: readonly string[], id = "BCDFGHJK") {
  const found = new ReplySearch(id);
  for (const line of lines) found.take(line);
  return found.story;
}

Deno.test("explain --reply: the session's lines, and no others", () => {
  const story = search([
    `${HEAD}[7]: connect from a.test[192.0.2.1]`,
    `${HEAD}[7]: disconnect from a.test[192.0.2.1] quit=1 commands=1`,
    `${HEAD}[7]: connect from b.test[192.0.2.2]`,
    `${HEAD}[7]: connect from a.test[192.0.2.1]`,
    `${HEAD}[8]: connect from a.test[192.0.2.1]`,
    "nonsense",
    `${HEAD}[7]: ${REJECT} reply=ZZZZZZZZ`,
    `${HEAD}[7]: ${REJECT}${RULE}`,
    `${HEAD}[8]: disconnect from a.test[192.0.2.1]`,
    `${HEAD}[7]: 4F2A: client=a.test[192.0.2.1]`,
    `${HEAD}[7]: disconnect from a.test[192.0.2.1] ehlo=1`,
    `${HEAD}[7]: connect from a.test[192.0.2.1]`,
  ]);
  assert.deepEqual(story?.lines.map(({ message }) => message.split(" ").slice(0, 2).join(" ")), [
    "connect from",
    "NOQUEUE: reject:",
    "NOQUEUE: reject:",
    "4F2A: client=a.test[192.0.2.1]",
    "disconnect from",
  ]);
  assert.equal(story?.complete, true);
  assert.deepEqual(story?.rule, {
    id: "BCDFGHJK",
    rule: "reject_unauth_destination",
    parameter: "smtpd_relay_restrictions",
    place: "/c/main.toml:7",
    entry: "",
  });
});

Deno.test("explain --reply: lines as JSON", () => {
  const line = (message: string) => JSON.stringify({ time: "t", program: "postfix/smtpd", pid: 7, message });
  const story = search([line("connect from a.test[192.0.2.1]"), line(REJECT + RULE), "{}", "{"]);
  assert.equal(story?.lines.length, 2);
  assert.equal(story?.complete, false);
});

Deno.test("explain --reply: what a client says cannot pass for an id", () => {
  const forged =
    `${HEAD}[7]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 550 <x reply=BCDFGHJK@y>: no; helo=<x> reply=CCCCCCCC`;
  assert.equal(search([forged]), undefined);
  assert.notEqual(search([forged], "CCCCCCCC"), undefined);
});

Deno.test("a rule is read from the log as it was written", () => {
  const rule = {
    text: 'check_x inline:{ a = "b" in=c }',
    parameter: "p_restrictions",
    place: "/my files/main.toml:7",
  };
  const entry = { table: "t", value: "v", place: "/my files/t:3" };
  const id = makeReplyId();
  assert.ok(isReplyId(id));
  assert.deepEqual(readRule(`x${ruleText(id, { reply: "", rule, entry })}`), {
    id,
    rule: rule.text,
    parameter: "p_restrictions",
    place: rule.place,
    entry: entry.place,
  });
  assert.deepEqual(readRule(`x${ruleText(id, { reply: "" })}`), {
    id,
    rule: "",
    parameter: "",
    place: "",
    entry: "",
  });
  for (const bad of ["x", "x reply=", "x reply=abc", `x reply=${id} more`, `x reply=${id} rule="y`]) {
    assert.equal(readRule(bad), undefined, bad);
  }
});

Deno.test("explain --reply tells what a running system has refused", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "postern-reply-" });
  Deno.writeTextFileSync(`${directory}/senders`, "# who may not\nspam.example 550 5.7.9 go away\n");
  {
    await using system = await Postern.start({
      settings: {
        smtpd_reply_id: "true",
        smtpd_sender_restrictions: `['check_sender_access texthash:${directory}/senders']`,
      },
    });
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    const reply = await client.says(
      "EHLO c.example",
      "MAIL FROM:<a@spam.example>",
      "RCPT TO:<one@example.test>",
    );
    const id = /^550 5\.7\.9 <a@spam\.example>: Sender address rejected: go away \[([0-9B-Z]{8})\]$/.exec(
      reply,
    )?.[1];
    assert.ok(id !== undefined, reply);
    await client.say("QUIT");
    await system.untilLogged(/disconnect from/);
    const told = await system.run(["explain", "--reply", id, "--log", system.paths.log]);
    assert.equal(told.status, 0, told.errors);
    assert.match(told.output, /^> .* reject: RCPT from .*go away; from=<a@spam\.example>/m);
    assert.match(told.output, /^ {2}.* disconnect from /m);
    assert.match(told.output, /^Decided by check_sender_access texthash:/m);
    assert.match(
      told.output,
      /^ {2}in smtpd_sender_restrictions, .*main\.toml:[0-9]+: smtpd_sender_restrictions = /m,
    );
    assert.match(told.output, /^ {2}table entry: .*senders:2: spam\.example 550 5\.7\.9 go away$/m);
    const unknown = await system.run(["explain", "--reply", "00000000", "--log", system.paths.log]);
    assert.equal(unknown.status, 1);
    assert.match(unknown.errors, /has no refusal with the id 00000000/);
  }
  Deno.removeSync(directory, { recursive: true });
});
