/**
 * Classes MIM and JSX of the security cases, as far as a message in passing is concerned: content of hostile form is
 * taken or refused in time that grows with its size, and stored as it came.
 *
 * @module
 */
import assert from "node:assert/strict";
import { attackHost, play, type Played } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

type Check = (played: Played) => void;

/** The message is taken in, and stands in the queue with this text behind our header. */
const stored = (ending: string): Check => ({ replies, queued }) => {
  assert.match(replies[0]!, /^250 2\.0\.0 Ok: queued/, replies.join(" | "));
  assert.ok(queued[0]!.text.endsWith(ending), queued[0]!.text.slice(-500));
};

const HEADERS = "From: a@ext.test\nTo: alice@local.test\nSubject: test\n\n";

/** Nested multiparts. */
function nested(depth: number): string {
  let text = "";
  for (let i = 0; i < depth; i++) {
    const start = i === 0 ? "" : `--b${i - 1}\r\n`;
    text += `${start}Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n`;
  }
  return text;
}

const CHECKS: Readonly<Record<string, Check>> = {
  "MIM-01": stored(`${nested(101).replaceAll("\r\n", "\n")}\n`),
  "MIM-02": stored("\n"),
  "MIM-04": stored(`Content-Type: multipart/mixed; boundary=${"b".repeat(5000)}\n\n\n`),
  "MIM-05": stored(`--${"a".repeat(50_000)}!\n`),
  "MIM-07": ({ replies, queued }) => {
    assert.match(replies[0]!, /^250 /);
    // header_size_limit: the rest of the header is dropped.
    assert.ok(queued[0]!.text.endsWith(`\nX: ${"a".repeat(102_400 - 3)}\n\nb\n`));
  },
  "MIM-08": stored("To: a@b.test\n\nb\n"),
  "MIM-10": stored(`\n\n${"a".repeat(60_000)}\n\nb\n`),
  "MIM-11": stored("\n\n: v\n :\nX : y\n\nb\n"),
  "MIM-13": stored("Content-Type: text/plain; name*0*=u''%41; name*1=\"b\n\n\n"),
  "MIM-14": stored("Content-Type: multipart/mixed; boundary=a\nContent-Type: text/plain\n\n\n"),
  "MIM-16": stored(`From: ${"g".repeat(20_000)};\n\n\n`),
  "MIM-17": ({ queued }) => assert.ok(queued[0]!.text.endsWith(`\nFrom: ${"(".repeat(102_400 - 6)}\n\n\n`)),
  "MIM-22": stored(`Date: ${"9".repeat(5000)}\nMessage-Id: ${"<".repeat(5000)}\n\n\n`),
  "JSX-01": stored(`__proto__: x\n${HEADERS}\n`),
  "JSX-02": stored(`__defineGetter__: v\n${HEADERS}\n`),
  "JSX-05": ({ replies }) => {
    const names = ["__proto__", "constructor"];
    const texts = names.map((name) =>
      `550 5.1.1 <${name}@local.test>: Recipient address rejected: User unknown in local recipient table`
    );
    assert.deepEqual(replies, texts);
  },
  "JSX-11": ({ replies }) => assert.deepEqual(replies, ["500 5.5.2 Error: command line too long"]),
};

/** Inputs that the cases describe in words. */
const INPUTS: Readonly<Record<string, string>> = {
  "MIM-01": `{D}${nested(101)}{EOD}`,
  "MIM-02": `{D}${nested(30_000)}{EOD}`,
};

const MIM_ELSEWHERE: Readonly<Record<string, string>> = {
  "MIM-19": "tests/commands/sendmail_submit_test.ts: quoted local parts, literals, routes",
  "MIM-20": "tests/commands/sendmail_submit_test.ts: To, Cc and Bcc with groups, names and comments",
  "MIM-23":
    "tests/lib/smtp/mime_downgrade_test.ts: encoded lines are 76 characters at most, and decode to what they were; structures beyond reason are refused",
};
const JSX_ELSEWHERE: Readonly<Record<string, string>> = {
  "JSX-04":
    "tests/lib/smtp/client_delivery_test.ts: JSX-04: keywords named as properties of objects do nothing",
  "JSX-07":
    "tests/lib/config/values_test.ts: a parameter that is not there has no row; tests/lib/table/open_test.ts: hasOwnProperty",
  "JSX-08": "tests/lib/access/policy_server_test.ts: JSX-08: ",
  "JSX-10": "tests/daemons/cleanup/cleanup_message_test.ts: __proto__",
  "JSX-13":
    "tests/lib/smtp/reply_test.ts: a reply may be as long as the limit and no longer; a line is kept up to its limit and the rest is dropped",
  "JSX-14": "tests/lib/table/pattern_test.ts: hostile patterns on long subjects end",
  "JSX-16": "own test: names that everything inherits",
  "JSX-17": "tests/lib/ipc/frame_test.ts: the length of a frame has a limit at n and n+1, and a least value",
};

const of = (name: string) => Object.fromEntries(Object.entries(CHECKS).filter(([id]) => id.startsWith(name)));

testEveryCase("MIM", of("MIM"), MIM_ELSEWHERE);
testEveryCase("JSX", of("JSX"), JSX_ELSEWHERE);

/** The most that a case may take here, milliseconds, on a busy machine. */
const PATIENCE = 8000;

for (const [id, check] of Object.entries(CHECKS)) {
  Deno.test(`${id}: is read in time that grows with its size, from elsewhere and from here`, async () => {
    await using host = attackHost({ settings: { message_size_limit: "20000000" } });
    const input = INPUTS[id] ?? caseInput(id);
    const played = await play(host, input);
    check(played);
    assert.ok(played.milliseconds < PATIENCE, `${played.milliseconds} ms`);
    // Addresses in headers of mail from this host are rewritten: another reader.
    const local = await play(host, input, undefined, "127.0.0.1");
    assert.ok(local.milliseconds < PATIENCE, `${local.milliseconds} ms`);
    assert.equal(local.replies.length, played.replies.length);
  });
}

Deno.test("JSX-11: other long inputs get their answer at once", async () => {
  await using host = attackHost();
  for (
    const text of [
      "a".repeat(2000) + "!",
      " ".repeat(2000) + "x",
      "\\".repeat(2000),
      '"'.repeat(2000),
      "<".repeat(2000),
      "@".repeat(2000),
    ]
  ) {
    const { replies, milliseconds } = await play(host, `{E}MAIL FROM:<${text}>\r\n`);
    assert.match(replies[0]!, /^5/);
    assert.ok(milliseconds < 1000);
  }
});

Deno.test("JSX-16: names that everything inherits mean nothing in settings and tables", async () => {
  await using host = attackHost();
  const client = await host.greeted();
  await client.say("MAIL FROM:<a@ext.test>");
  for (const name of ["toString", "hasOwnProperty", "constructor", "valueOf"]) {
    assert.match(await client.say(`RCPT TO:<${name}@local.test>`), /^550 5\.1\.1 /);
    assert.equal(await client.say(name), "500 5.5.2 Error: command not recognized");
    assert.equal(
      await client.say(`RCPT TO:<alice@local.test> ${name}=1`),
      `555 5.5.4 Unsupported option: ${name.toUpperCase()}=1`,
    );
  }
});
