/** What refusals become before they are said, and which extensions which client is offered. @module */
import assert from "node:assert/strict";
import { MailHost } from "./mail_host.ts";

const HELO = "EHLO client.test";
const RELAY = "RCPT TO:<x@far.test>";
const DENIED = "554 5.7.1 <x@far.test>: Relay access denied";

/** What a client hears to RCPT for a domain that is not ours, and the log. */
async function refused(settings: Readonly<Record<string, string>>): Promise<[string, readonly string[]]> {
  await using host = new MailHost({
    settings: { smtpd_relay_restrictions: '["reject_unauth_destination"]', ...settings },
  });
  const client = await host.greeted();
  await client.say("MAIL FROM:<a@ext.test>");
  return [
    await client.say(RELAY),
    host.log.filter((line) => line.includes("reject filter") || line.includes("_maps")),
  ];
}

Deno.test("smtpd_reject_filter_maps: a refusal is said in other words, and the log has both", async () => {
  assert.deepEqual(
    await refused({ smtpd_reject_filter_maps: '["regexp:{{/^554 5(.*)denied$$/ 450 4$${1}refused}}"]' }),
    [
      "450 4.7.1 <x@far.test>: Relay access refused",
      [
        `NOQUEUE: reject filter in: ${DENIED}`,
        "NOQUEUE: reject filter out: 450 4.7.1 <x@far.test>: Relay access refused",
      ],
    ],
  );
  assert.deepEqual(await refused({ smtpd_reject_filter_maps: '["inline:{x=y}"]' }), [DENIED, []]);
});

Deno.test("smtpd_reject_filter_maps: a refusal stays one, whatever the table has for it", async () => {
  for (const value of ["250 2.0.0 Ok", "go away", "5541 x", "3", "600 x"]) {
    const [reply, log] = await refused({ smtpd_reject_filter_maps: `["regexp:{{/^554/ ${value}}}"]` });
    assert.equal(reply, DENIED, value);
    assert.match(log.join(), /^warning: NOQUEUE: smtpd_reject_filter_maps: ".*" is no refusal: "554 /, value);
  }
  // Of a table that cannot be asked nobody knows what it would have said.
  const [reply, log] = await refused({ smtpd_reject_filter_maps: '["fail:x"]' });
  assert.equal(reply, "454 4.7.1 <x@far.test>: Relay access denied");
  assert.match(log.join(), /warning: NOQUEUE: smtpd_reject_filter_maps lookup error for "554 /);
});

Deno.test("smtpd_reject_filter_maps: footers are of what is said, and 521 ends the session", async () => {
  await using host = new MailHost({
    settings: {
      smtpd_delay_reject: "false",
      smtpd_client_restrictions: '["reject"]',
      smtpd_reject_filter_maps: '["regexp:{{/^554 5\\\\.7\\\\.1 .*/ 521 5.7.1 Go away}}"]',
      smtpd_reject_footer: '"other"',
      smtpd_reject_footer_maps: '["inline:{{521 5.7.1 Go away = See $$server_name}}"]',
    },
  });
  const client = await host.connect();
  assert.equal(await client.reply(), "521-5.7.1 Go away\n521 5.7.1 See mx.test");
  assert.equal(await client.reply(), "");
});

Deno.test("smtpd_reject_footer_maps: two clients with the same refusal at once both get its footer", async () => {
  await using host = new MailHost({
    settings: {
      smtpd_relay_restrictions: '["reject_unauth_destination"]',
      smtpd_reject_footer: '"other"',
      smtpd_reject_footer_maps: '["regexp:{{/^554/ mapped}}"]',
    },
  });
  const clients = await Promise.all([host.greeted(), host.greeted(), host.greeted()]);
  for (const client of clients) await client.say("MAIL FROM:<a@ext.test>");
  const replies = await Promise.all(clients.map((client) => client.say(RELAY)));
  const [first, ...others] = replies.map((reply) => reply.replaceAll("\r\n", "\n"));
  assert.equal(first, `${DENIED.replace("554 ", "554-")}\n554 5.7.1 mapped`);
  assert.ok(others.every((reply) => reply === first), replies.join("\n"));
});

Deno.test("smtpd_discard_ehlo_keyword_address_maps: by the client's address, in the place of the list for all", async () => {
  const settings = (tables: string) => ({
    smtpd_discard_ehlo_keywords: '["dsn"]',
    smtpd_discard_ehlo_keyword_address_maps: tables,
  });
  for (
    const [tables, hidden, told] of [
      ["[]", ["DSN"], "DSN"],
      ['["cidr:{{198.51.100.0/24 chunking,  8bitmime}}"]', ["CHUNKING", "8BITMIME"], "CHUNKING 8BITMIME"],
      ['["cidr:{{198.51.100.0/24 chunking, silent-discard}}"]', ["CHUNKING"], undefined],
      ['["cidr:{{192.0.2.0/24 chunking}}"]', ["DSN"], "DSN"],
      ['["fail:x"]', ["DSN"], "DSN"],
    ] as const
  ) {
    await using host = new MailHost({ settings: settings(tables) });
    const client = await host.arrive();
    await client.reply();
    const offered = (await client.say(HELO)).split(/\r?\n/).map((line) => line.slice(4).split(" ")[0]);
    for (const word of ["DSN", "CHUNKING", "8BITMIME"] as const) {
      assert.equal(
        offered.includes(word),
        !(hidden as readonly string[]).includes(word),
        `${tables} ${word}`,
      );
    }
    const log = host.log.filter((line) => line.startsWith("discarding EHLO keywords: "));
    assert.deepEqual(log, told === undefined ? [] : [`discarding EHLO keywords: ${told}`]);
    const chunk = await client.say("BDAT 0");
    assert.equal(chunk.startsWith("521 5.5.1"), (hidden as readonly string[]).includes("CHUNKING"), chunk);
  }
});
