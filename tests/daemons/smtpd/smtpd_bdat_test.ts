import assert from "node:assert/strict";
import { Intake, mayBeSkipped, parseChunk } from "../../../daemons/smtpd/smtpd_bdat.ts";
import { DataReader } from "../../../daemons/smtpd/smtpd_data.ts";
import { InputBuffer } from "../../../lib/stream/input_buffer.ts";
import { RecordCursor } from "../../../lib/mail/record.ts";
import { MailHost } from "./mail_host.ts";

/** Messages in chunks: what a chunk is, and that it is text whatever it says. */

const bytes = (text: string) => new TextEncoder().encode(text);
const MAIL = ["EHLO c.test", "MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>"];

Deno.test("RFC 3030 section 2: BDAT has a size in decimal digits, and LAST in any case behind the last one", () => {
  const rows: readonly (readonly [string, { size: number; last: boolean } | undefined])[] = [
    ["0", { size: 0, last: false }],
    ["5", { size: 5, last: false }],
    ["5 LAST", { size: 5, last: true }],
    ["0 last", { size: 0, last: true }],
    ["9007199254740991", { size: 9_007_199_254_740_991, last: false }],
    ["9007199254740992", undefined],
    ["99999999999999999999 LAST", undefined],
    ...["", "LAST", "1e3", "0x10", "+5", "-1", "5.0", "5abc", "5 LASTX", "5 LAST 6", "５"].map((text) =>
      [text, undefined] as const
    ),
  ];
  for (const [text, want] of rows) assert.deepEqual(parseChunk(bytes(text)), want, text);
});

Deno.test("a chunk that is far over the limit is not read over", () => {
  const chunk = (size: number) => ({ size, last: true });
  assert.equal(mayBeSkipped(chunk(1500), 1000), true);
  assert.equal(mayBeSkipped(chunk(1501), 1000), false);
  assert.equal(mayBeSkipped(chunk(1e12), 0), true);
});

/** The lines that a text becomes when it comes in two chunks, and each of these in two pieces. */
function linesOf(text: Uint8Array, cut: number): string[] {
  const lines: string[] = [];
  const reader = new DataReader(2048, 0, (records) => {
    const cursor = new RecordCursor(records);
    for (let more = cursor.next(); more; more = cursor.next()) {
      lines.push(new TextDecoder().decode(cursor.data));
    }
  });
  reader.dots = false;
  for (const part of [text.subarray(0, cut), text.subarray(cut)]) {
    const intake = new Intake({ size: part.length, last: false }, undefined);
    const input = new InputBuffer();
    const half = part.length >> 1;
    input.push(part.subarray(0, half));
    intake.take(input, reader);
    input.push(part.subarray(half));
    assert.ok(intake.take(input, reader));
  }
  reader.end();
  reader.flush();
  return lines;
}

Deno.test("lines may go on in the next chunk, dots are text, and a last line without an end gets one", () => {
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["", []],
    ["a", ["a"]],
    ["a\r\n", ["a"]],
    [".\r\n", ["."]],
    ["a: b\r\n\r\n.\r\n..x\r\n.", ["a: b", "", ".", "..x", "."]],
    ["a\nb", ["a", "b"]],
    [`${"x".repeat(300)}\r\n.${"y".repeat(300)}\r\n`, ["x".repeat(300), `.${"y".repeat(300)}`]],
  ];
  for (const [text, want] of rows) {
    const input = bytes(text);
    for (let cut = 0; cut <= input.length; cut++) {
      assert.deepEqual(linesOf(input, cut), want, `${JSON.stringify(text)} cut at ${cut}`);
    }
  }
});

Deno.test("what comes behind a chunk is a command, and what is in it is none", async () => {
  await using host = new MailHost();
  const client = host.connect();
  await client.reply();
  await client.says(MAIL[0]!, MAIL[1]!, MAIL[2]!);
  client.send("BDAT 12\r\nQUIT\r\nRSET\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n");
  assert.equal(await client.reply(), "250 2.0.0 Ok: 12 bytes");
  assert.match(await client.reply(), /^250 2\.0\.0 Ok: 18 bytes queued as \w+$/);
  assert.equal(await client.reply(), "250 2.0.0 Ok");
  assert.match(host.messages()[0]!.text, /\nQUIT\nRSET\nNOOP\n$/);
});

Deno.test("RFC 6531 section 4.3: a message with SMTPUTF8 comes with UTF8SMTP, and addresses outside ASCII are kept", async () => {
  await using host = new MailHost({ settings: { local_recipient_maps: "[]" } });
  const client = host.connect();
  await client.reply();
  await client.says("EHLO c.test", "MAIL FROM:<ü@ext.test> SMTPUTF8", "RCPT TO:<ä@local.test>", "DATA");
  assert.match(await client.say("Subject: ö\r\n\r\nx\r\n."), /queued/);
  const [message] = host.messages();
  assert.match(message!.text, /with UTF8SMTP id/);
});

Deno.test("RFC 6531 section 3.7.4.2: VRFY may say SMTPUTF8", async () => {
  await using host = new MailHost({ settings: { local_recipient_maps: "[]", strict_smtputf8: "true" } });
  const client = host.connect();
  await client.reply();
  assert.match((await client.says("EHLO c.test", "VRFY ü@local.test")).at(-1)!, /^553 5\.6\.7/);
  assert.equal(await client.say("VRFY ü@local.test SMTPUTF8"), "252 2.0.0 ü@local.test");
});
