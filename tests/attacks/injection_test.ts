/** Class INJ of the security cases: text that tries to become structure somewhere else. @module */
import assert from "node:assert/strict";
import { Postern } from "../support/postern.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { attackHost, play, type Played } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

const UNKNOWN = "Recipient address rejected: User unknown in local recipient table";
const unknown = (address: string) => `550 5.1.1 <${address}>: ${UNKNOWN}`;
const OURS = "Received: from c.test (unknown [198.51.100.9])\n\tby mx.test (Postern) with ESMTP id ";
const HEADERS = "From: a@ext.test\nTo: alice@local.test\nSubject: test\n\n";

const replies = (...expected: readonly string[]) => (played: Played) => {
  assert.deepEqual(played.replies, expected);
  assert.deepEqual(played.queued, []);
};

/** What is behind our own header in the one message. */
function behindOurs({ replies, queued }: Played): string {
  assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: queued/, replies.join(" | "));
  assert.equal(queued.length, 1);
  const { text } = queued[0]!;
  assert.ok(text.startsWith(OURS), text);
  return text.slice(text.indexOf("+0000 (UTC)\n") + "+0000 (UTC)\n".length);
}

const CHECKS: Readonly<Record<string, (played: Played) => void>> = {
  "INJ-01": ({ queued }) => {
    const [first, second, third, fourth] = queued[0]!.text.split("\n");
    assert.equal(first, "Received: from x??by?evil??y (unknown [198.51.100.9])");
    assert.ok(second!.startsWith("\tby mx.test") && third!.startsWith("\tfor "));
    assert.equal(fourth, "From: a@ext.test");
  },
  "INJ-04": replies("501 5.5.4 Bad ENVID parameter syntax"),
  "INJ-05": replies("501 5.5.4 Error: Bad ORCPT parameter syntax"),
  "INJ-08": replies("501 5.5.4 Bad ENVID parameter syntax"),
  "INJ-10": replies("501 5.5.4 Bad attribute value syntax: a+0Ab"),
  "INJ-11": replies("500 5.5.2 Error: command line too long"),
  "INJ-19": (played) => assert.equal(behindOurs(played), `${HEADERS}\n`),
  "INJ-20": (played) => assert.equal(behindOurs(played), `\n folded first line\n${HEADERS}\n`),
  "INJ-22": replies(unknown("a'or'1'='1@local.test")),
  "INJ-23": replies("501 5.1.3 Bad recipient address syntax"),
  "INJ-25": replies(unknown("$&$1$`@local.test")),
  "INJ-26": replies(unknown("${run{id}}@local.test")),
  "INJ-28": replies("501 Error: invalid parameter syntax"),
};

/** Parameters that a case names in words. */
const SETTINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "INJ-10": { smtpd_authorized_xclient_hosts: '["198.51.100.9"]' },
  "INJ-11": { smtpd_authorized_xforward_hosts: '["198.51.100.9"]' },
};

testEveryCase("INJ", CHECKS, {
  "INJ-02": "own test: the header of a long HELO name",
  "INJ-07": "own test: AUTH= of MAIL",
  "INJ-13": "tests/lib/access/policy_server_test.ts: INJ-13: an equals sign in an address",
  "INJ-14": "tests/daemons/pickup/pickup_service_test.ts: a line feed in the sender; goes to corrupt",
  "INJ-16": "own test: with INJ-17, in a mailbox",
  "INJ-17": "own test: with INJ-16, in a mailbox",
});

for (const [id, check] of Object.entries(CHECKS)) {
  Deno.test(`${id}: stays what it is`, async () => {
    await using host = attackHost({ settings: SETTINGS[id] ?? {} });
    const played = await play(host, caseInput(id));
    check(played);
    for (const line of [...played.replies, ...played.log]) assert.ok(/^[\x20-\x7e\n]*$/.test(line), line);
  });
}

Deno.test("INJ-02: a HELO name of any length leaves no header line beyond 998 bytes", async () => {
  await using host = attackHost();
  const hello = caseInput("INJ-02");
  const { queued } = await play(host, `${hello}{|}{M}{R}DATA\r\n{|}{H}x{EOD}`);
  assert.equal(queued.length, 1);
  for (const line of queued[0]!.text.split("\n")) assert.ok(line.length <= 998, String(line.length));
});

Deno.test("INJ-07: AUTH= of a client that has not logged in is not decoded into the queue file", async () => {
  await using host = attackHost();
  const { replies, queued, log } = await play(host, `${caseInput("INJ-07")}{|}{R}DATA\r\n{|}{H}x{EOD}`);
  assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: queued/);
  for (const [name, value] of queued[0]!.attributes) assert.ok(!/x\ny|x\+0Ay/.test(value), name);
  for (const line of log) assert.ok(/^[\x20-\x7e]*$/.test(line), line);
});

Deno.test("INJ-08: other xtext that is none", async () => {
  await using host = attackHost();
  for (const value of ["+", "a+", "a+4", "a+4g", "a+4a", "+00", "+0D", "a=b+7F", "a+0D+0ARCPT"]) {
    const { replies } = await play(host, `{E}MAIL FROM:<a@ext.test> ENVID=${value}\r\n`);
    assert.deepEqual(replies, ["501 5.5.4 Bad ENVID parameter syntax"], value);
    const recipient = await play(host, `{E}{M}RCPT TO:<alice@local.test> ORCPT=rfc822;${value}\r\n`);
    assert.deepEqual(recipient.replies, ["501 5.5.4 Error: Bad ORCPT parameter syntax"], value);
  }
});

Deno.test("INJ-11: attributes of XFORWARD and XCLIENT that are too long or hold controls are refused", async () => {
  const hosts = '["198.51.100.9"]';
  await using host = attackHost({
    settings: { smtpd_authorized_xforward_hosts: hosts, smtpd_authorized_xclient_hosts: hosts },
  });
  for (const [verb, attribute] of [["XFORWARD", "IDENT"], ["XFORWARD", "HELO"], ["XCLIENT", "HELO"]]) {
    for (const value of ["x".repeat(1500), "a+0Ab", "a+00", "a+1B[2J", "+C2+9B", "+FF"]) {
      const { replies, log } = await play(host, `{E}${verb} ${attribute}=${value}\r\n`);
      assert.match(replies[0]!, /^(501 5\.5\.4 |250 |220 )/, `${verb} ${attribute}=${value}`);
      for (const line of log) assert.ok(/^[^\p{Cc}]*$/u.test(line), line);
    }
  }
});

Deno.test("INJ-22, INJ-23: what means something to a database is an address that nobody has, and nothing more", async () => {
  await using host = attackHost();
  const client = await host.greeted();
  await client.say("MAIL FROM:<a@ext.test>");
  for (const name of ["a;b", 'a"b', "a\\b", "a--b", "a%27b", "_", "%%", "*)(uid=*", "*", "a)(b"]) {
    const needsQuotes = /[;"\\()]/.test(name);
    const written = needsQuotes ? `"${name.replaceAll(/["\\]/g, "\\$&")}"` : name;
    const reply = await client.say(`RCPT TO:<${written}@local.test>`);
    assert.match(reply, /^(550 5\.1\.1 .*User unknown|554 5\.7\.1 .*Relay access denied$)/, written);
  }
});

Deno.test("INJ-25: what tables make of an address takes its text as it is", async () => {
  await using host = attackHost({
    settings: {
      local_recipient_maps: "[]",
      relay_domains: '["relay.test", "cat.test", "pattern.test"]',
      virtual_alias_maps:
        "['inline:{ {@cat.test=@local.test} }', 'pcre:{ {/^(.*)@pattern\\.test$$/ $${1}@local.test} }']",
    },
  });
  for (const domain of ["cat.test", "pattern.test"]) {
    for (const name of ["$&$1$`", "$$", "$'", "${1}", "$<x>"]) {
      const needsQuotes = name.includes("<");
      const written = needsQuotes ? `"${name}"` : name;
      const { queued } = await play(host, `{E}{M}RCPT TO:<${written}@${domain}>\r\n{|}DATA\r\n{|}{H}x{EOD}`);
      assert.deepEqual(queued.map(({ recipients }) => recipients), [[`${name}@local.test`]], domain);
    }
  }
});

Deno.test("INJ-28: ETRN of what is no domain reaches nobody", async () => {
  await using host = attackHost();
  for (const name of ["a'b", "a;b", '"a"', "a b", "../x", "a\\b", "a/b", "#a'b", "@a;b", "\u00e9'"]) {
    const { replies } = await play(host, `{E}ETRN ${name}\r\n`);
    assert.match(replies[0]!, /^(501 Error: invalid parameter syntax|500 Syntax: |501 5\.5\.4)/, name);
  }
});

Deno.test("INJ-16, INJ-17: in a mailbox a message ends where it ends, and begins nowhere else", async () => {
  await using system = await Postern.start({
    settings: {
      notify_classes: "[]",
      virtual_mailbox_path: '"box"',
    },
  });
  const send = async (text: string) => {
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.says("EHLO x", "MAIL FROM:<a@ext.test>", "RCPT TO:<someone@example.test>", "DATA");
    await client.send(`${text}\r\n.\r\n`);
    assert.match(await client.reply(), /^250 2\.0\.0 Ok: queued/);
  };
  await send("Subject: one\r\n\r\nno newline at end");
  await send(`Subject: two\r\n\r\n${"a".repeat(2048)}From x\r\nFrom y`);
  await send("Subject: three\r\nReturn-Path: <x@y>\r\n\r\nx");
  await system.untilEmpty();
  const text = Deno.readTextFileSync(`${system.paths.mail}/box`);
  const messages = text.split(/^(?=From )/m);
  assert.equal(messages.length, 3, text);
  for (const message of messages) assert.ok(message.endsWith("\n\n"), message);
  assert.deepEqual(messages.map((one) => /^Subject: (.*)$/m.exec(one)![1]), ["one", "two", "three"]);
  assert.ok(messages[1]!.endsWith(`\n${"a".repeat(2048)}From x\n>From y\n\n`));
  assert.deepEqual(messages[2]!.match(/^Return-Path: .*$/gm), ["Return-Path: <a@ext.test>"]);
});
