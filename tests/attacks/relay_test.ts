/** Class REL of the security cases: ways to have mail sent on to a third party. Nothing may leave for evil.test. @module */
import assert from "node:assert/strict";
import { attackHost, play } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

const BAD = "501 5.1.3 Bad recipient address syntax";
const denied = (address: string) => `554 5.7.1 <${address}>: Relay access denied`;
const DENIED = denied("victim@evil.test");
const unknown = (address: string) =>
  `550 5.1.1 <${address}>: Recipient address rejected: User unknown in local recipient table`;

/** The reply to RCPT. */
const CHECKS: Readonly<Record<string, string>> = {
  "REL-01": DENIED,
  "REL-02": DENIED,
  "REL-04": DENIED,
  "REL-05": DENIED,
  "REL-07": DENIED,
  "REL-08": DENIED,
  "REL-10": denied("victim%evil.test@[192.0.2.1]"),
  "REL-11": denied("victim%evil.test"),
  "REL-13": denied("victim%evil.test"),
  "REL-14": denied('"victim@evil.test"@mx.test'),
  "REL-16": BAD,
  "REL-17": BAD,
  "REL-19": DENIED,
  "REL-20": DENIED,
  "REL-22": denied("evil.test!victim@mx.test"),
  "REL-23": denied("evil.test!victim@[192.0.2.1]"),
  "REL-25": denied("victim%evil.test%mx.test@mx.test"),
  "REL-26": denied("mx.test!victim%evil.test"),
  "REL-28": BAD,
  "REL-29": DENIED,
  "REL-31": BAD,
  "REL-32": BAD,
  "REL-34": denied("victim%evil.test@relay.test"),
  "REL-35": DENIED,
  "REL-37": DENIED,
  "REL-38": DENIED,
  "REL-40": DENIED,
};

testEveryCase("REL", CHECKS, { "REL-41": "own test: a table has to fail" });

for (const [id, reply] of Object.entries(CHECKS)) {
  Deno.test(`${id}: is refused at RCPT, and DATA behind it`, async () => {
    await using host = attackHost({ settings: { myhostname: '"mx.test"' } });
    // Each command waits for its reply: what may not stand in a group is refused for that alone.
    const input = caseInput(id).replace(/\{\|\}DATA[^]*$/, "").replaceAll("\r\n", "\r\n{|}");
    const played = await play(host, `${input}{|}DATA\r\n{|}{H}relayed{EOD}`);
    assert.ok(played.replies.includes(reply), played.replies.join(" | "));
    assert.ok(!played.replies.some((one) => one.startsWith("354")), played.replies.join(" | "));
    assert.deepEqual(played.queued, []);
  });
}

Deno.test("REL-01 to REL-40: a stranger is refused too where relaying is deferred", async () => {
  await using host = attackHost({
    settings: { smtpd_relay_restrictions: '["permit_mynetworks", "defer_unauth_destination"]' },
  });
  for (const id of Object.keys(CHECKS)) {
    const { replies, queued } = await play(host, caseInput(id).replace(/\{\|\}DATA[^]*$/, ""));
    assert.match(replies.at(-1)!, /^[45]/, id);
    assert.deepEqual(queued, []);
  }
});

Deno.test("relaying for this host's own users by their claim alone is refused", async () => {
  await using host = attackHost();
  for (const sender of ["alice@local.test", "postmaster@mx.test", "", "root@localhost", "alice"]) {
    const { replies } = await play(host, `{E}MAIL FROM:<${sender}>\r\nRCPT TO:<victim@evil.test>\r\n`);
    assert.equal(replies.at(-1), DENIED, sender);
  }
});

Deno.test("a client in mynetworks is told by its true address, and IPv6 forms of IPv4 are not strangers", async () => {
  await using host = attackHost({
    settings: { mynetworks: '["127.0.0.0/8", "203.0.113.0/24", "[2001:db8:1::]/48"]' },
  });
  for (
    const [address, trusted] of [
      ["203.0.113.255", true],
      ["203.0.114.0", false],
      ["2001:db8:1::25", true],
      ["2001:db8:2::25", false],
      ["127.0.0.9", true],
      ["::1", false],
    ] as const
  ) {
    const { replies } = await play(host, caseInput("REL-40"), undefined, address);
    assert.equal(replies.at(-1), trusted ? "250 2.1.5 Ok" : DENIED, address);
  }
});

Deno.test("REL-41: a table that cannot say what is ours refuses softly", async () => {
  for (
    const settings of [
      { relay_domains: '["unix:group.nosuch"]' },
      { mydestination: '["mx.test", "unix:group.nosuch"]' },
      { virtual_mailbox_domains: '["unix:group.nosuch"]' },
      { transport_maps: '["unix:group.nosuch"]' },
      {
        smtpd_relay_restrictions:
          '["check_recipient_access", "unix:group.nosuch", "reject_unauth_destination"]',
      },
    ]
  ) {
    await using host = attackHost({ settings });
    const { replies, queued } = await play(host, caseInput("REL-41"));
    assert.match(replies.at(-1)!, /^451 4\.3\.[05] <victim@evil\.test>: /, JSON.stringify(settings));
    assert.deepEqual(queued, []);
  }
});

Deno.test("a user that does not exist is refused, whatever routing its local part names", async () => {
  await using host = attackHost();
  const { replies } = await play(host, "{E}{M}RCPT TO:<nobody@local.test>\r\n");
  assert.equal(replies.at(-1), unknown("nobody@local.test"));
});
