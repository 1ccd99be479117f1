import assert from "node:assert/strict";
import { MailHost } from "./mail_host.ts";

Deno.test("a message goes through", async () => {
  await using host = new MailHost();
  const c = await host.greeted();
  console.log(c.output);
  console.log(await c.says("MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>", "DATA"));
  c.send("Subject: x\r\n\r\nhello\r\n.\r\n");
  console.log(await c.reply(), await c.say("QUIT"));
  console.log(host.messages(), host.log, host.hints);
});
