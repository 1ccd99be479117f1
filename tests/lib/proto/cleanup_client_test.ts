import assert from "node:assert/strict";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { type RecordSink, SubmissionOverError, submitMessage } from "../../../lib/proto/cleanup_client.ts";
import { CLEANUP, CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { KeepingCleanup } from "../../support/messages.ts";
import { Served } from "../../support/served.ts";

async function produce(sink: RecordSink, lines: Iterable<string | Uint8Array>): Promise<void> {
  await sink.record(RECORD.FROM, "from@x");
  await sink.record(RECORD.RECIPIENT, "to@x");
  await sink.record(RECORD.MESSAGE, "");
  for (const line of lines) await sink.line(line);
  await sink.record(RECORD.EXTRACTED, "");
  await sink.record(RECORD.END, "");
}

Deno.test("a message arrives record by record and its id comes back", async () => {
  const cleanup = new KeepingCleanup();
  await using served = await Served.start(CLEANUP, cleanup.handler);
  const done = await submitMessage(served.client, 32, (sink) => {
    assert.equal(sink.queueId, "NEW1");
    return produce(sink, ["Subject: x", "", "body"]);
  });
  assert.deepEqual(done, { status: 0, reason: "", queueId: "NEW1" });
  const [message] = cleanup.messages;
  assert.equal(message!.flags, 32);
  assert.equal(message!.order, "SRMXE");
  assert.deepEqual(message!.lines, ["Subject: x", "", "body"]);
});

Deno.test("a line over the limit goes out in pieces of the limit, one at the limit whole", async () => {
  const cleanup = new KeepingCleanup();
  await using served = await Served.start(CLEANUP, cleanup.handler);
  const lines = ["a".repeat(100), "b".repeat(101), "c".repeat(250), ""];
  await submitMessage(served.client, 0, (sink) => produce(sink, lines), { lineLimit: 100 });
  const [message] = cleanup.messages;
  assert.deepEqual(message!.lines, lines);
  const pieces: number[] = [];
  const cursor = new RecordCursor(message!.bytes);
  while (cursor.next()) if (cursor.type === RECORD.CONTINUED) pieces.push(cursor.data.length);
  assert.deepEqual(pieces, [100, 100, 100]);
});

Deno.test("a message of 20 MB passes in chunks, with no more than the window under way", async () => {
  const cleanup = new KeepingCleanup();
  await using served = await Served.start(CLEANUP, cleanup.handler);
  const line = new Uint8Array(2000).fill(0x41);
  let most = 0;
  const done = await submitMessage(served.client, 0, async (sink) => {
    let sent = 0;
    await sink.record(RECORD.FROM, "");
    for (let i = 0; i < 10_000; i++) {
      const wait = sink.line(line);
      sent += line.length;
      if (wait === undefined) continue;
      await wait;
      most = Math.max(most, sent);
      sent = 0;
    }
    await sink.record(RECORD.END, "");
  });
  assert.equal(done.status, 0);
  assert.equal(cleanup.messages[0]!.lines.length, 10_000);
  assert.ok(most > 0 && most < 1_000_000, `${most} bytes were sent without a wait`);
});

Deno.test("cleanup's answer before the end stops the producer and is the result", async () => {
  const cleanup = new KeepingCleanup();
  cleanup.status = CLEANUP_STATUS.SIZE;
  cleanup.reason = "too big";
  cleanup.answerAfter = 1000;
  await using served = await Served.start(CLEANUP, cleanup.handler);
  let stopped = false;
  const done = await submitMessage(served.client, 0, async (sink) => {
    try {
      for (;;) {
        await sink.line("x".repeat(2000));
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    } catch (error) {
      stopped = error instanceof SubmissionOverError;
      throw error;
    }
  });
  assert.ok(stopped);
  assert.deepEqual(done, { status: CLEANUP_STATUS.SIZE, reason: "too big", queueId: "NEW1" });
});

Deno.test("an error of the producer breaks the message off and comes through", async () => {
  const cleanup = new KeepingCleanup();
  await using served = await Served.start(CLEANUP, cleanup.handler);
  const failed = submitMessage(served.client, 0, async (sink) => {
    await sink.line("x");
    throw new TypeError("mine");
  });
  await assert.rejects(failed, { name: "TypeError", message: "mine" });
  // What is sent after it on the same connection is handled after the cancellation.
  await submitMessage(served.client, 0, (sink) => produce(sink, ["y"]));
  assert.equal(cleanup.cancelled, 1);
  assert.equal(cleanup.messages.length, 1);
});

Deno.test("a cleanup that dies in the middle is a write error, so that the message is tried again", async () => {
  const served = await Served.start(CLEANUP, (exchange, message) => {
    if (message.is === "begin") exchange.reply("queueId", { queueId: "A1B2C3" });
    else throw new Error("dead");
  });
  const done = await submitMessage(served.client, 0, (sink) => produce(sink, ["x"]));
  await served[Symbol.asyncDispose]();
  assert.equal(done.status, CLEANUP_STATUS.WRITE);
  assert.notEqual(done.reason, "");
});

Deno.test("a message that cleanup refuses to open is not produced", async () => {
  await using served = await Served.start(CLEANUP, (exchange, message) => {
    if (message.is === "begin") {
      exchange.reply("status", { status: CLEANUP_STATUS.DEFER, reason: "no space" });
    }
  });
  const done = await submitMessage(served.client, 0, () => assert.fail("it was produced"));
  assert.deepEqual(done, { status: CLEANUP_STATUS.DEFER, reason: "no space", queueId: "" });
});
