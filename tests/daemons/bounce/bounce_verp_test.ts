/** Reports recipient by recipient, of traced deliveries, and with a site's own texts. @module */
import assert from "node:assert/strict";
import { BUILT_IN_TEMPLATES } from "../../../lib/config/bounce_templates.ts";
import { CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { BounceBench, ID } from "./bounce_support.ts";

const LIST = "list@box.test";

/** Three recipients, of whom one wants no report. */
async function failedThree(bench: BounceBench): Promise<void> {
  bench.message({ lines: ["Subject: x", "", "Hello"], sender: LIST });
  await bench.append({ recipient: "a@x.test" });
  await bench.append({ recipient: "never@x.test", notify: 1 });
  await bench.append({ recipient: "b@y.test", originalRecipient: "alias@x.test" });
}

function finals(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => line.startsWith("Final-Recipient"));
}

Deno.test("VERP: each recipient is reported by itself, to the address that names it as the list knew it", async () => {
  await using bench = await BounceBench.start();
  await failedThree(bench);
  assert.equal(await bench.flush({ sender: LIST, verp: "+=" }), "");
  const { messages } = bench.cleanup;
  assert.deepEqual(messages.map(({ sender, recipients }) => [sender, ...recipients]), [
    ["", "list+a=x.test@box.test"],
    ["", "list+alias=x.test@box.test"],
  ]);
  assert.deepEqual(messages.map(({ lines }) => finals(lines)), [
    ["Final-Recipient: rfc822; a@x.test"],
    ["Final-Recipient: rfc822; b@y.test"],
  ]);
  for (const { lines } of messages) {
    assert.ok(lines.includes("X-Postfix-Sender: rfc822; list@box.test"));
    assert.ok(lines.includes("Return-Path: <list@box.test>"));
  }
  assert.ok(messages[0]!.lines.includes("To: list+a=x.test@box.test"));
  assert.equal(bench.exists(`bounce/${ID}`), false);
});

Deno.test("VERP: the postmaster's copies are one for each recipient too", async () => {
  await using bench = await BounceBench.start("bounce", { notify_classes: ["bounce"] });
  await failedThree(bench);
  assert.equal(await bench.flush({ sender: LIST, verp: "-=" }), "");
  assert.deepEqual(bench.cleanup.messages.map(({ recipients }) => recipients), [
    ["list-a=x.test@box.test"],
    ["postmaster"],
    ["list-alias=x.test@box.test"],
    ["postmaster"],
  ]);
});

Deno.test("VERP: when a report cannot be queued the log stays", async () => {
  await using bench = await BounceBench.start();
  await failedThree(bench);
  bench.cleanup.status = CLEANUP_STATUS.WRITE;
  assert.match(await bench.flush({ sender: LIST, verp: "+=" }), /Cannot queue non-delivery notification/);
  assert.equal(bench.exists(`bounce/${ID}`), true);
});

Deno.test("VERP: a log that may hide recipients gives one report to the sender itself", async () => {
  await using bench = await BounceBench.start();
  await failedThree(bench);
  const path = bench.path(`bounce/${ID}`);
  Deno.writeTextFileSync(path, "\nrecipient=c@z.test\n", { append: true }); // a writer died in it
  assert.equal(await bench.flush({ sender: LIST, verp: "+=" }), "");
  assert.deepEqual(bench.sent.recipients, [LIST]);
  assert.equal(finals(bench.sent.lines).length, 3);
});

for (const sender of ["", "double-bounce@oracle.example.test"]) {
  Deno.test(`VERP: mail from <${sender}> is reported as it always is`, async () => {
    await using bench = await BounceBench.start("bounce", { notify_classes: ["2bounce"] });
    await failedThree(bench);
    assert.equal(await bench.flush({ sender, verp: "+=" }), "");
    const expected = sender === "" ? [["postmaster"]] : [];
    assert.deepEqual(bench.cleanup.messages.map(({ recipients }) => recipients), expected);
  });
}

Deno.test("a verify report tells of everybody, whatever became of them and whatever NOTIFY says", async () => {
  await using bench = await BounceBench.start("trace");
  bench.message({ lines: ["Subject: x", "", "Hello"] });
  await bench.append({ result: "sent", action: "delivered", status: "2.0.0", notify: 1, recipient: "a@x" });
  await bench.append({ result: "deferred", action: "delayed", status: "4.0.0", recipient: "b@x" });
  await bench.append({ recipient: "c@x" });
  assert.equal(await bench.flush({ report: "verify" }), "");
  const { lines } = bench.sent;
  assert.ok(lines.includes("Subject: Mail Delivery Status Report"));
  assert.ok(lines.includes("Enclosed is the mail delivery report that you requested."));
  assert.deepEqual(lines.filter((line) => line.startsWith("Action: ")), [
    "Action: delivered",
    "Action: delayed",
    "Action: failed",
  ]);
  assert.ok(!lines.includes("Hello"));
  assert.deepEqual(bench.log.lines, [`${ID}: sender delivery status notification: NEW1`]);
  assert.equal(bench.exists(`trace/${ID}`), false);
});

Deno.test("nobody is told what became of traced mail from the null sender, and the log says so", async () => {
  await using bench = await BounceBench.start("trace");
  bench.message({ sender: "" });
  await bench.append({ result: "sent", action: "delivered" });
  assert.equal(await bench.flush({ report: "verify", sender: "" }), "");
  assert.equal(bench.cleanup.messages.length, 0);
  assert.deepEqual(bench.log.lines, [
    `${ID}: not sending trace/success notification for single-bounce message`,
  ]);
});

Deno.test("a site's own texts, headers and character set are in the report", async () => {
  const own = {
    charset: "iso-8859-1",
    from: "Post <post@box.test>",
    subject: "Nope",
    postmasterSubject: "Copy",
    text: ["One line."],
  };
  await using bench = await BounceBench.start("bounce", {
    notify_classes: ["bounce"],
    bounce_template_file: { ...BUILT_IN_TEMPLATES, failure: own },
  });
  bench.message();
  await bench.append();
  assert.equal(await bench.flush(), "");
  const [sender, postmaster] = bench.cleanup.messages;
  for (const line of ["From: Post <post@box.test>", "Subject: Nope", "One line."]) {
    assert.ok(sender!.lines.includes(line), line);
  }
  assert.ok(sender!.lines.includes("Content-Type: text/plain; charset=iso-8859-1"));
  assert.ok(postmaster!.lines.includes("Subject: Copy") && !postmaster!.lines.includes("One line."));
});
