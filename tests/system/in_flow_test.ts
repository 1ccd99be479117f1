import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { Postern } from "../support/postern.ts";

/** Seconds. */
const DELAY = 2;

/** Posts one message over a session and returns how long the answer to DATA took, milliseconds. */
async function timeOfData(client: SmtpClient): Promise<number> {
  for (const line of ["MAIL FROM:<a@example.test>", "RCPT TO:<b@slow.test>"]) {
    await client.send(`${line}\r\n`);
    assert.match(await client.reply(), /^250 /);
  }
  const before = performance.now();
  await client.send("DATA\r\n");
  assert.match(await client.reply(), /^354 /);
  const time = performance.now() - before;
  await client.send("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  return time;
}

Deno.test("mail that comes in while the active queue is full is slowed down, and taken", async () => {
  // A server that never says anything holds its delivery, and the active queue with it.
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr as Deno.NetAddr;
  try {
    await using postern = await Postern.start({
      settings: {
        default_transport: `"smtp:"`,
        relayhost: `"[127.0.0.1]:${port}"`,
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
        smtpd_per_request_deadline: "false",
        qmgr_message_active_limit: "1",
        default_process_limit: "2",
        in_flow_delay: `"${DELAY}s"`,
      },
    });
    using client = await SmtpClient.connect(postern.port);
    await client.reply();
    await client.send("HELO c.test\r\n");
    await client.reply();
    await timeOfData(client);
    assert.ok(await until(() => postern.queued("active").length === 1), postern.log());
    // Two may wait behind it. The third brings the word that there are too many, some time after it.
    let held = 0;
    for (let i = 0; i < 50 && held < DELAY * 1000 - 10; i++) held = await timeOfData(client);
    assert.ok(held >= DELAY * 1000 - 10, "none was held");
    assert.ok(await timeOfData(client) >= DELAY * 1000 - 10, "the next one is held as well");
    assert.doesNotMatch(postern.log(), /panic|fatal:/);
  } finally {
    silent.close();
  }
});
