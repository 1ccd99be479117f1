/** Rules of RFCs that cleanup keeps, as its queue files show. @module */
import assert from "node:assert/strict";
import { MailHost } from "../smtpd/mail_host.ts";

/** What a client sends, and what follows the Received header in the queue file. */
const MESSAGES: readonly (readonly [sent: string, kept: string])[] = [
  ["Subject: x\r\n\r\nbody", "Subject: x\n\nbody\n"],
  ["Subject: x\r\nno header", "Subject: x\n\nno header\n"],
  ["no header", "\nno header\n"],
  ["Subject: x\r\n folded\r\n: no name", "Subject: x\n folded\n\n: no name\n"],
  ["\r\nSubject: x", "\nSubject: x\n"],
  ["Subject: x\r\n\r\n\r\nbody", "Subject: x\n\n\nbody\n"],
];

Deno.test("RFC 5322 section 2.1: one empty line ends the header: its own, or one that is put in", async () => {
  await using host = new MailHost();
  for (const [sent, kept] of MESSAGES) {
    const client = await host.sending();
    assert.match(await client.say(`${sent}\r\n.`), /^250 /, JSON.stringify(sent));
    const { text } = host.messages()[0]!;
    assert.equal(text.replace(/^Received: .*\n(\t.*\n)*/, ""), kept, JSON.stringify(sent));
    host.clear();
  }
});
