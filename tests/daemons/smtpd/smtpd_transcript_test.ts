/** The postmaster's transcripts of sessions with errors. @module */
import assert from "node:assert/strict";
import { classOf, wantsTranscripts } from "../../../daemons/smtpd/smtpd_transcript.ts";
import { until } from "../../commands/mail_system.ts";
import { Postfix } from "../../support/postfix.ts";
import { Postern } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";
import { MailHost } from "./mail_host.ts";

const ALL = '["data", "policy", "protocol", "resource", "software"]';

/** Runs a session to its end and gives the messages that came of it: [sender, recipients, text]. */
async function transcripts(
  settings: Readonly<Record<string, string>>,
  lines: readonly string[],
  expected: number,
): Promise<readonly (readonly [sender: string, recipients: readonly string[], text: string])[]> {
  await using host = new MailHost({ settings });
  const client = host.connect();
  await client.reply();
  for (const line of lines) await client.say(line);
  await client.rest();
  await until(() => host.messages().length >= expected, 2000);
  return host.messages().map(({ sender, recipients, text }) => [sender, recipients, text]);
}

/** What Debian's Postfix mails of such a session, dates and ids apart. */
const POSTFIX_TEXT = `From: Mail Delivery System <MAILER-DAEMON@mx.test>
To: Postmaster <postmaster@mx.test>
Subject: Postern SMTP server: errors from unknown[198.51.100.9]

Transcript of session follows.

 Out: 220 mx.test ESMTP Postern
 In:  HELO me.test
 Out: 250 mx.test
 In:  FOO
     ${"x".repeat(200)}
     ${"y ".repeat(37).trim()}
     y y y
 Out: 500 5.5.2 Error: command not recognized
 In:  QUIT
 Out: 221 2.0.0 Bye


For other details, see the local mail logfile
`;

Deno.test("a session with errors is mailed to the postmaster as Postfix does it", async () => {
  const lines = ["HELO me.test", `FOO ${"x".repeat(200)}${" y".repeat(40)}`, "QUIT"];
  const [found, ...more] = await transcripts({ notify_classes: '["protocol"]' }, lines, 1);
  assert.equal(more.length, 0);
  const [sender, recipients, text] = found!;
  assert.deepEqual([sender, recipients], ["double-bounce@mx.test", ["postmaster@mx.test"]]);
  assert.match(text, /^Received: by mx\.test \(Postern\)\n\tid \w+; [^\n]*\nDate: [^\n]*\nFrom: /);
  const stable = text.slice(text.indexOf("From: ")).replace(/^Message-Id: .*\n/m, "");
  assert.equal(stable, POSTFIX_TEXT);
});

const CASES: readonly {
  readonly what: string;
  readonly classes: string;
  readonly lines: readonly string[];
  readonly count: number;
}[] = [
  { what: "a session without errors", classes: ALL, lines: ["EHLO x", "NOOP", "QUIT"], count: 0 },
  {
    what: "a class that is not asked for",
    classes: '["policy"]',
    lines: ["EHLO x", "FOO", "QUIT"],
    count: 0,
  },
  {
    what: "a refused recipient",
    classes: '["policy"]',
    lines: ["EHLO x", "MAIL FROM:<a@ext.test>", "RCPT TO:<victim@evil.test>", "QUIT"],
    count: 1,
  },
  {
    what: "errors before a message that was accepted are forgiven",
    classes: ALL,
    lines: [
      "EHLO x",
      "FOO",
      "MAIL FROM:<a@ext.test>",
      "RCPT TO:<alice@local.test>",
      "DATA",
      "x\r\n.",
      "QUIT",
    ],
    count: 1, // the message itself
  },
  {
    what: "errors behind a message that was accepted are not",
    classes: ALL,
    lines: [
      "EHLO x",
      "MAIL FROM:<a@ext.test>",
      "RCPT TO:<alice@local.test>",
      "DATA",
      "x\r\n.",
      "FOO",
      "QUIT",
    ],
    count: 2,
  },
];

for (const { what, classes, lines, count } of CASES) {
  Deno.test(`transcript: ${what}`, async () => {
    assert.equal((await transcripts({ notify_classes: classes }, lines, count)).length, count);
  });
}

Deno.test("transcript: passwords, control characters and message text are not in it", async () => {
  const lines = ["EHLO x", "auth plain c2VjcmV0", "VRFY a\u0001b", "QUIT"];
  const [found] = await transcripts({ notify_classes: ALL }, lines, 1);
  assert.ok(!found![2].includes("c2VjcmV0") && found![2].includes(" In:  AUTH [secret]\n"));
  assert.ok(found![2].includes(" In:  VRFY a?b\n"));
});

Deno.test("transcript: a long history is dropped at RSET, and the end of a session says why it was aborted", async () => {
  const noops = Array.from({ length: 20 }, () => "NOOP");
  const lines = ["EHLO x", ...noops, "RSET", ...Array.from({ length: 4 }, () => "FOO")];
  const settings = {
    notify_classes: ALL,
    smtpd_history_flush_threshold: "10",
    smtpd_hard_error_limit: "4",
    smtpd_soft_error_limit: "10",
  };
  const [found] = await transcripts(settings, lines, 1);
  assert.ok(!found![2].includes("NOOP"));
  assert.match(
    found![2],
    / Out: 421 4\.7\.0 mx\.test Error: too many errors\n\nSession aborted, reason: too many errors\n\nFor other/,
  );
});

const CLASSES: readonly (readonly [reply: string, kind: ReturnType<typeof classOf>])[] = [
  ["500 5.5.2 Error: command not recognized", "protocol"],
  ["503 5.5.1 Error: need MAIL command", "protocol"],
  ["555 5.5.4 Unsupported option: X", "protocol"],
  ["554 5.5.1 Error: no valid recipients", "protocol"],
  ["554 5.7.1 <x>: Relay access denied", "policy"],
  ["450 4.1.2 <x>: Recipient address rejected: Domain not found", "policy"],
  ["451 4.3.0 Error: queue file write error", "resource"],
  ["451 4.3.0 <x>: Temporary lookup failure", "resource"],
  ["451 4.3.0 Error: internal error 1", "software"],
  ["552 5.3.4 Error: message file too big", "data"],
  ["552 5.3.4 Message size exceeds fixed limit", "policy"],
  ["554 5.4.0 Error: too many hops", "data"],
];

for (const [reply, kind] of CLASSES) {
  Deno.test(`"${reply}" is an error of class ${kind}`, () => assert.equal(classOf(reply), kind));
}

Deno.test("there are transcripts only where a class of them is asked for", () => {
  assert.ok(wantsTranscripts(["resource", "software"]));
  assert.ok(!wantsTranscripts(["bounce", "2bounce", "delay"]));
  assert.ok(!wantsTranscripts([]));
});

/** Sessions that both servers have; the last line of each has no answer waited for. */
const SESSIONS: readonly (readonly string[])[] = [
  ["EHLO me.test", "FOO", "QUIT"],
  ["HELO me.test", "MAIL FROM:<a@b.test>", "RCPT TO:<>", "RSET", `FOO ${"x".repeat(100)}${" y".repeat(50)}`],
  ["HELO me.test", "MAIL FROM:<a@b.test", "MAIL FROM:<a@b.test> FOO=bar", "DATA", "QUIT"],
];

async function hold(port: number, lines: readonly string[]): Promise<void> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const buffer = new Uint8Array(4096);
  const reply = async () => {
    for (let text = ""; !/^\d{3} .*\r\n$/m.test(text);) {
      const size = await connection.read(buffer);
      if (size === null) return;
      text += new TextDecoder().decode(buffer.subarray(0, size));
    }
  };
  await reply();
  for (const line of lines) {
    await connection.write(new TextEncoder().encode(`${line}\r\n`));
    await reply();
  }
  connection.close();
}

/** The transcripts without what differs from run to run. */
function stable(messages: readonly Uint8Array[]): string[] {
  return messages.map((message) => {
    const text = new TextDecoder().decode(message);
    return text.slice(text.indexOf("\nFrom: ")).replace(/\nMessage-Id: .*/, "").replaceAll(
      "Postern",
      "Postfix",
    )
      .replaceAll(/ (localhost|unknown)\[127/g, " CLIENT[127").replaceAll(
        / Out: 250-SIZE \d+/g,
        " Out: 250-SIZE N",
      );
  }).sort();
}

testNeeding(["root", "postfix"], "transcripts are those of Debian's Postfix", async () => {
  await using postfix = await Postfix.start({
    settings: {
      myhostname: "mx.test",
      myorigin: "example.test",
      notify_classes: "protocol, policy",
      smtpd_discard_ehlo_keywords: "chunking, smtputf8",
      virtual_mailbox_domains: "example.test",
      virtual_mailbox_base: "$root/mail",
      virtual_mailbox_maps: "inline:{ { @example.test = all/ } }",
      virtual_uid_maps: "static:65534",
      virtual_gid_maps: "static:65534",
    },
  });
  await using postern = await Postern.start({
    settings: {
      myhostname: '"mx.test"',
      myorigin: '"example.test"',
      notify_classes: '["protocol", "policy"]',
      smtpd_discard_ehlo_keywords: '["chunking", "smtputf8"]',
    },
  });
  for (const lines of SESSIONS) {
    await Promise.all([hold(postfix.port, lines), hold(postern.port, lines)]);
  }
  const [theirs, ours] = await Promise.all([
    postfix.mail("all", SESSIONS.length),
    postern.mail("postmaster", SESSIONS.length),
  ]);
  assert.deepEqual(stable(ours), stable(theirs));
});
