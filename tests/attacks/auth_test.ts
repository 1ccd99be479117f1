/** Class AUT of the security cases: logins, on the real daemons. @module */
import assert from "node:assert/strict";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { Postern } from "../support/postern.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testEveryCase } from "./cases.ts";

const b64 = (text: string) => new TextEncoder().encode(text).toBase64();
/** doveadm's for "secret". */
const LINE = "user@example.test:{SCRAM-SHA-256}4096,c2FsdHNhbHRzYWx0c2FsdA==," +
  "q08mHeDF6yTLUhJzbpJxr7IlQ3JqPSnI3dPBvJfdTNs=,Y4rkgbfQ/vIAfMnwrn+FGSSr6CJpFjN5OXaMzOWnDTM=\n";

const FAILED = /^535 5\.7\.8 Error: authentication failed: /;
const START = "AUTH PLAIN ";

/** Each case: what is said, and what its last reply is. All on one connection, one after the other. */
const CASES: Readonly<Record<string, readonly (readonly [lines: readonly string[], reply: RegExp])[]>> = {
  "AUT-01": [[[START + b64("nonuls")], FAILED]],
  "AUT-02": [[[START + b64("\0u\0p\0extra")], FAILED]],
  "AUT-04": ["====", "A", "AA", "AAA", "AA-_", "AA==A", "\u00e9", "AAAA=", `${b64("\0a\0b")}=`].map((text) =>
    [[START + text], FAILED] as const
  ),
  "AUT-05": [[
    ["MAIL FROM:<a@ext.test>", "AUTH PLAIN x"],
    /^503 5\.5\.1 Error: MAIL transaction in progress$/,
  ]],
  "AUT-07": [[["AUTH LOGIN", "*"], /^501 5\.7\.0 Authentication aborted$/], [["AUTH PLAIN", "*"], /^501 /]],
  "AUT-11": [[[START + b64("\0a)\r\nX-Inj: 1\0p")], FAILED]],
  "AUT-13": [[[START + b64("\0a\tservice=imap\0p")], FAILED]],
  "AUT-16": ["constructor", "__proto__", "toString"].map((name) =>
    [[START + b64(`\0${name}\0x`)], FAILED] as const
  ),
  "AUT-17": [[["AUTH EXTERNAL ="], FAILED], [["AUTH ANONYMOUS"], FAILED]],
};

testEveryCase("AUT", CASES, {
  "AUT-08": "tests/daemons/smtpd/smtpd_auth_test.ts: AUTH is offered in TLS only where that is asked for",
  "AUT-10": "own test: a failure leaves nothing to the next attempt",
  "AUT-14": "tests/lib/sasl/dovecot_backend_test.ts",
});

/** A system that checks logins against a file with one user. */
function start(directory: TemporaryDirectory): Promise<Postern> {
  return Postern.start({
    settings: {
      notify_classes: "[]",
      mynetworks: "[]",
      smtpd_sasl_auth_enable: "true",
      smtpd_sasl_type: '"passwords"',
      smtpd_sasl_password_file: `"${directory.write("passwords", LINE)}"`,
      smtpd_error_sleep_time: '"0s"',
      smtpd_hard_error_limit: "1000",
    },
  });
}

Deno.test("AUT: every login that is none is refused, and the log holds nothing that a client may write there", async () => {
  using directory = new TemporaryDirectory();
  await using system = await start(directory);
  const all = Object.entries(CASES).flatMap(([id, cases]) => cases.map((one) => [id, ...one] as const));
  // Refusals take two seconds each: the cases run side by side.
  await Promise.all(all.map(async ([id, lines, expected]) => {
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    let reply = "";
    for (const line of lines) reply = await client.say(line);
    assert.match(reply, expected, `${id}: ${lines.join()}`);
    await client.say("RSET");
    await client.say("MAIL FROM:<a@ext.test>");
    assert.match(await client.say("RCPT TO:<x@elsewhere.test>"), /^554 5\.7\.1 /, id);
  }));
  for (const line of system.log().split("\n")) assert.ok(/^[\x20-\x7e]*$/.test(line), JSON.stringify(line));
  assert.ok(!system.log().includes("\nX-Inj"));
});

Deno.test("AUT-10, UNI-11: a failure leaves nothing to the next attempt, and no other character passes for a letter", async () => {
  using directory = new TemporaryDirectory();
  await using system = await start(directory);
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.say("EHLO x");
  // The first half of an exchange as one user, then another mechanism as nobody.
  assert.match(await client.say(`AUTH SCRAM-SHA-256 ${b64("n,,n=user@example.test,r=abc")}`), /^334 /);
  assert.match(await client.say(b64("c=biws,r=abc,p=AAAA")), FAILED);
  assert.match(await client.say("AUTH LOGIN"), /^334 VXNlcm5hbWU6$/);
  assert.match(await client.say("*"), /^501 /);
  assert.match(await client.say(START + b64("\0\0x")), FAILED);
  // UNI-11: a dotless i is none.
  assert.match(await client.say(`AUTH PLA\u0131N ${b64("\0user@example.test\0secret")}`), /^5(04|35) /);
  await client.say("MAIL FROM:<a@ext.test>");
  assert.match(await client.say("RCPT TO:<x@elsewhere.test>"), /^554 5\.7\.1 /);
});
