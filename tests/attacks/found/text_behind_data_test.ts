/** Found by the fuzzer (target smtp, 28 November 2026): text that came in the very turn of the event loop in which DATA began. @module */
import assert from "node:assert/strict";
import { MailHost } from "../../daemons/smtpd/mail_host.ts";

/** So many steps of the event loop after DATA the text is sent, each once. */
const STEPS = 120;

for (
  const [name, opening, text, replies] of [
    ["DATA", "DATA\r\n", ".\r\nNOOP\r\n", [/^354 /, /^250 2\.0\.0 Ok: queued as/, /^250 2\.0\.0 Ok$/]],
    ["BDAT", "BDAT 1 LAST\r\n", "xNOOP\r\n", [/^250 2\.0\.0 Ok: 3 bytes queued as/, /^250 2\.0\.0 Ok$/]],
    ["BDAT of several chunks", "BDAT 1\r\n", "xBDAT 0 LAST\r\nNOOP\r\n", [
      /^250 2\.0\.0 Ok: 1 bytes$/,
      /^250 2\.0\.0 Ok: 3 bytes queued as/,
      /^250 2\.0\.0 Ok$/,
    ]],
  ] as const
) {
  Deno.test(`the end of a message is answered before the next command, whenever its text comes (${name})`, async () => {
    await using host = new MailHost({
      settings: { smtpd_forbid_unauth_pipelining: "false", smtpd_client_connection_count_limit: "0" },
    });
    for (let steps = 0; steps < STEPS; steps++) {
      const client = host.connect();
      await client.reply();
      client.send(`EHLO x\r\nMAIL FROM:<a@ext.test>\r\nRCPT TO:<alice@local.test>\r\n`);
      for (let i = 0; i < 3; i++) await client.reply();
      client.send(opening);
      for (let i = 0; i < steps; i++) await Promise.resolve();
      client.send(text);
      for (const expected of replies) assert.match(await client.reply(), expected, `${steps} steps`);
      client.leave();
    }
    assert.equal(host.messages().length, STEPS);
  });
}
