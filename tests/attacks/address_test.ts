/** Class ADR of the security cases: addresses that two parsers could read in two ways. @module */
import assert from "node:assert/strict";
import { attackHost, play } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

const OK = "250 2.1.5 Ok";
const BAD = "501 5.1.3 Bad recipient address syntax";
const BAD_SENDER = "501 5.1.7 Bad sender address syntax";
const UTF8 = "553 5.6.7 Must declare SMTPUTF8 to send unicode address";

const unknown = (address: string) =>
  `550 5.1.1 <${address}>: Recipient address rejected: User unknown in local recipient table`;
const relay = (address: string) => `554 5.7.1 <${address}>: Relay access denied`;

interface Expected {
  readonly replies: readonly (string | RegExp)[];
  /** Whom the message would go to, where one is accepted. */
  readonly recipient?: string;
}

const CHECKS: Readonly<Record<string, Expected>> = {
  "ADR-01": { replies: [OK], recipient: "alice@local.test" },
  "ADR-02": { replies: [BAD] },
  "ADR-04": { replies: [BAD] },
  "ADR-05": { replies: [OK], recipient: "alice@local.test" },
  "ADR-07": { replies: [relay("bob@evil.test")] },
  "ADR-08": { replies: [BAD] },
  "ADR-10": { replies: [BAD] },
  "ADR-11": { replies: [unknown("=?utf-8?q?bob=40evil.test=3e=20?=@local.test")] },
  "ADR-13": { replies: [unknown("bob\u0140evil.test@local.test")] },
  "ADR-14": { replies: [BAD] },
  "ADR-16": { replies: [OK], recipient: "alice@local.test" },
  "ADR-17": { replies: [BAD] },
  "ADR-19": { replies: [BAD] },
  "ADR-20": { replies: [BAD] },
  "ADR-22": { replies: [OK], recipient: "postmaster@mx.test" },
  "ADR-23": { replies: [OK], recipient: "alice@local.test" },
  "ADR-25": { replies: [BAD] },
  "ADR-26": { replies: [BAD] },
  "ADR-28": { replies: [unknown(`${"a".repeat(65)}@local.test`)] },
  "ADR-29": { replies: [BAD] },
  "ADR-31": { replies: [BAD] },
  "ADR-32": { replies: [/^500 5\.5\.2 Error: command line too long$/] },
  "ADR-34": { replies: [relay("a@xn--0049.com")] },
  "ADR-35": { replies: ["250 2.1.0 Ok", BAD] },
  "ADR-37": { replies: [OK], recipient: "alice+../../x@local.test" },
  "ADR-38": { replies: [unknown("/etc/passwd@local.test")] },
  "ADR-40": { replies: [BAD_SENDER] },
  "ADR-41": { replies: [BAD_SENDER] },
};

testEveryCase("ADR", CHECKS, {});

for (const [id, { replies, recipient }] of Object.entries(CHECKS)) {
  Deno.test(`${id}: one reading of the address`, async () => {
    await using host = attackHost({ settings: { recipient_delimiter: '"+"' } });
    const end = recipient === undefined ? "" : "DATA\r\n{|}{H}x{EOD}";
    const played = await play(host, `${caseInput(id)}{|}${end}`);
    replies.forEach((one, i) =>
      typeof one === "string" ? assert.equal(played.replies[i], one) : assert.match(played.replies[i]!, one)
    );
    assert.deepEqual(
      played.queued.flatMap((message) => message.recipients),
      recipient === undefined ? [] : [recipient],
    );
    for (const line of [...played.replies, ...played.log]) {
      assert.ok(/^[^\p{Cc}]*$/u.test(line.replaceAll("\n", "")), line);
    }
    assert.ok(played.milliseconds < 2000);
  });
}

/** Further inputs that the cases name. */
const MORE: Readonly<Record<string, readonly (readonly [line: string, reply: string | RegExp])[]>> = {
  "ADR-22": [["RCPT TO:<POSTMASTER>", OK], ["RCPT TO:<PostMaster@local.test>", OK]],
  "ADR-25": [
    "[0x7f.1]",
    "[2130706433]",
    "[127.1]",
    "[IPv6:::1%lo]",
    "[IPv6:1::2::3]",
    "[]",
    "[[1.2.3.4]]",
    "[256.1.1.1]",
    "[1.2.3.4",
  ].map((domain) => [`RCPT TO:<alice@${domain}>`, BAD]),
  "ADR-28": [
    [`RCPT TO:<${"a".repeat(256)}@local.test>`, /^550 5\.1\.1 /],
    [`RCPT TO:<${"a".repeat(257)}@local.test>`, BAD],
    [`RCPT TO:<${"a".repeat(900)}@local.test>`, BAD],
    [`RCPT TO:<${"a".repeat(2000)}@local.test>`, BAD],
    [`RCPT TO:<alice@${"b".repeat(63)}.test>`, /^554 5\.7\.1 /],
    [`RCPT TO:<alice@${"b".repeat(64)}.test>`, BAD],
    [`RCPT TO:<alice@${"b.".repeat(130)}test>`, BAD],
  ],
  "ADR-29": ["-a.test", "a-.test", ".a.test", "", "a b", "a..b.test"].map((
    domain,
  ) => [`RCPT TO:<alice@${domain}>`, BAD]),
  "ADR-32": [[`RCPT TO:<${"(".repeat(1500)}@local.test>`, BAD]],
  "ADR-41": ["@@", "a@", "@a", "!", "%", "a!", "a%", ".."].map((
    address,
  ) => [`MAIL FROM:<${address}>`, address === ".." ? /^501 5\.1\.7/ : BAD_SENDER]),
};

for (const [id, talk] of Object.entries(MORE)) {
  Deno.test(`${id}: its further forms`, async () => {
    await using host = attackHost();
    const client = await host.greeted();
    if (id !== "ADR-41") await client.say("MAIL FROM:<a@ext.test>");
    for (const [line, reply] of talk) {
      const heard = await client.say(line);
      if (typeof reply === "string") assert.equal(heard, reply, line);
      else assert.match(heard, reply, line);
    }
  });
}

Deno.test("ADR-13: without SMTPUTF8 an address beyond ASCII is refused where that is asked for", async () => {
  await using host = attackHost({ settings: { strict_smtputf8: "true" } });
  assert.deepEqual((await play(host, caseInput("ADR-13"))).replies, [UTF8]);
});

Deno.test("ADR-16: without angle brackets an address is refused where the syntax is strict", async () => {
  await using host = attackHost({ settings: { strict_rfc821_envelopes: "true" } });
  const { replies } = await play(host, caseInput("ADR-16"));
  assert.deepEqual(replies, [BAD]);
});

Deno.test("ADR-40: an empty quoted local part never becomes the null sender", async () => {
  await using host = attackHost();
  const client = await host.greeted();
  assert.equal(await client.say('MAIL FROM:<""@mx.test>'), BAD_SENDER);
  assert.equal(await client.say('MAIL FROM:<"">'), BAD_SENDER);
});
