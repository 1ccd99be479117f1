import assert from "node:assert/strict";
import { formatMailDate } from "../../../lib/mail/date.ts";
import { CLEANUP_FLAG, CLEANUP_INTERNAL, CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { FailingDisk } from "../../support/failing_disk.ts";
import { BounceBench, ID } from "./bounce_support.ts";

const ARRIVAL = 1_795_412_017_000;
const ORIGINAL = [
  "Received: from client.test",
  "From: sender@box.test",
  "Message-ID: <m1@box.test>",
  "",
  "Hello",
  ".dot",
];

/** The report with its times and the id that cleanup gave replaced. */
function stable(lines: readonly string[]): string {
  const text = lines.join("\n");
  const boundary = /boundary="([^"]*)"/.exec(text)![1]!;
  return text.replaceAll(boundary, "BOUNDARY").replaceAll(/^(Date: |\tid NEW1; ).*$/gm, "$1NOW");
}

/** What Debian's Postfix made of the same message and outcomes, host names and ids being equal. */
const FAILURE_REPORT = `Received: by oracle.example.test (Postfix)
	id NEW1; NOW
Date: NOW
From: Mail Delivery System <MAILER-DAEMON@oracle.example.test>
Subject: Undelivered Mail Returned to Sender
To: sender@box.test
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="BOUNDARY"
Content-Transfer-Encoding: 8bit

This is a MIME-encapsulated message.

--BOUNDARY
Content-Description: Notification
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

This is the mail system at host oracle.example.test.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system

<x@bounce.test>: host 127.0.0.24[127.0.0.24] said: 550-5.1.1 user unknown line
    one 550 5.1.1 line two (in reply to RCPT TO command)

<x@bounce.test> (expanded from <bad@alias.test>): host 127.0.0.24[127.0.0.24]
    said: 550-5.1.1 user unknown line one 550 5.1.1 line two (in reply to RCPT
    TO command)

--BOUNDARY
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; oracle.example.test
Original-Envelope-Id: env+1
X-Postfix-Queue-ID: 4352820C1AA
X-Postfix-Sender: rfc822; sender@box.test
Arrival-Date: ${formatMailDate(ARRIVAL)}

Final-Recipient: rfc822; x@bounce.test
Original-Recipient: rfc822;orig x@elsewhere.test
Action: failed
Status: 5.1.1
Remote-MTA: dns; 127.0.0.24
Diagnostic-Code: smtp; 550-5.1.1 user unknown line one 550 5.1.1 line two

Final-Recipient: rfc822; x@bounce.test
Original-Recipient: rfc822;bad@alias.test
Action: failed
Status: 5.1.1
Remote-MTA: dns; 127.0.0.24
Diagnostic-Code: smtp; 550-5.1.1 user unknown line one 550 5.1.1 line two

--BOUNDARY
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Return-Path: <sender@box.test>
Received: from client.test
From: sender@box.test
Message-ID: <m1@box.test>

Hello
.dot

--BOUNDARY--`;

async function failedTwice(bench: BounceBench): Promise<void> {
  bench.message({ lines: ORIGINAL, time: ARRIVAL });
  const outcome = {
    reason: "host 127.0.0.24[127.0.0.24] said: 550-5.1.1 user unknown line one 550 5.1.1 line two " +
      "(in reply to RCPT TO command)",
    diagnosticType: "smtp",
    diagnosticText: "550-5.1.1 user unknown line one 550 5.1.1 line two",
    remoteMta: "127.0.0.24",
  };
  assert.equal(await bench.append({ ...outcome, dsnOriginalRecipient: "rfc822;orig x@elsewhere.test" }), "");
  const alias = { originalRecipient: "bad@alias.test", dsnOriginalRecipient: "rfc822;bad@alias.test" };
  assert.equal(await bench.append({ ...outcome, ...alias }), "");
}

Deno.test("a failure report is Postfix's, line by line; it goes out as <>, and then the log is removed", async () => {
  await using bench = await BounceBench.start();
  await failedTwice(bench);
  assert.equal(await bench.flush({ envelopeId: "env+1", ret: 1 }), "");
  assert.equal(stable(bench.sent.lines), FAILURE_REPORT);
  assert.equal(bench.sent.sender, "");
  assert.deepEqual(bench.sent.recipients, ["sender@box.test"]);
  assert.equal(bench.sent.order, "TAAASRMXE");
  assert.deepEqual(bench.sent.attributes, [
    "log_message_origin=local",
    "rewrite_context=local",
    "encoding=8bit",
  ]);
  assert.equal(bench.sent.flags, CLEANUP_INTERNAL);
  assert.deepEqual(bench.log.lines, [`${ID}: sender non-delivery notification: NEW1`]);
  assert.equal(bench.exists(`bounce/${ID}`), false);
});

Deno.test("python's email module reads the report: three parts, fields and returned message", async () => {
  await using bench = await BounceBench.start();
  await failedTwice(bench);
  await bench.flush({ envelopeId: "env+1" });
  const script = `
import sys, json, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(m.iter_parts())
status = [dict(block.items()) for block in parts[1].get_payload()]
returned = parts[2].get_payload()[0]
print(json.dumps(dict(type=m.get_content_type(), report=m.get_param("report-type"), defects=len(m.defects),
  types=[p.get_content_type() for p in parts], status=status, id=returned["Message-ID"],
  body=returned.get_content(), human=parts[0].get_content()[:40])))`;
  const child = new Deno.Command("python3", { args: ["-c", script], stdin: "piped", stdout: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(bench.sent.lines.join("\r\n") + "\r\n"));
  await writer.close();
  const parsed = JSON.parse(new TextDecoder().decode((await child.output()).stdout));
  assert.equal(parsed.type, "multipart/report");
  assert.equal(parsed.report, "delivery-status");
  assert.equal(parsed.defects, 0);
  assert.deepEqual(parsed.types, ["text/plain", "message/delivery-status", "message/rfc822"]);
  assert.equal(parsed.status.length, 3);
  assert.equal(parsed.status[0]["Original-Envelope-Id"], "env+1");
  assert.equal(parsed.status[2]["Final-Recipient"], "rfc822; x@bounce.test");
  assert.equal(parsed.status[2]["Status"], "5.1.1");
  assert.equal(parsed.id, "<m1@box.test>");
  assert.equal(parsed.body.trim(), "Hello\r\n.dot");
  assert.equal(parsed.human, "This is the mail system at host oracle.e");
});

const HEADERS_ONLY: Readonly<
  Record<string, { readonly ret?: number; readonly limit?: number; readonly claim?: number }>
> = {
  "RET=HDRS": { ret: 2 },
  "RFC 3461 section 6.2: RET=FULL of a message over bounce_size_limit": { ret: 1, limit: 50 },
  "a message of unknown size": { claim: 0 },
};

for (const [what, { ret = 0, limit = 50_000, claim }] of Object.entries(HEADERS_ONLY)) {
  Deno.test(`${what}: only headers are returned`, async () => {
    await using bench = await BounceBench.start("bounce", { bounce_size_limit: limit });
    bench.message({ lines: ORIGINAL, ...(claim === undefined ? {} : { claimedLength: claim }) });
    await bench.append();
    assert.equal(await bench.flush({ ret }), "");
    const { lines } = bench.sent;
    const part = lines.slice(lines.indexOf("Content-Description: Undelivered Message Headers"));
    assert.equal(part[1], "Content-Type: text/rfc822-headers");
    assert.ok(part.includes("From: sender@box.test"));
    assert.ok(!lines.includes("Hello"));
  });
}

Deno.test("headers longer than bounce_size_limit are cut at a line", async () => {
  await using bench = await BounceBench.start("bounce", { bounce_size_limit: 1000 });
  bench.message({ lines: [...Array.from({ length: 500 }, (_, i) => `X-Line: ${i}`), "", "body"] });
  await bench.append();
  assert.equal(await bench.flush(), "");
  const returned = bench.sent.lines.filter((line) => line.startsWith("X-Line: "));
  assert.ok(returned.length > 50 && returned.length < 120, `${returned.length} lines`);
});

Deno.test("long lines and bytes of any value come back as they were", async () => {
  await using bench = await BounceBench.start();
  const odd = new Uint8Array([0x47, 0xfc, 0, 0xff, 0x20]);
  bench.message({ lines: ["Subject: x", "", "y".repeat(5000), odd, "--not-a-boundary--"] });
  await bench.append();
  await bench.flush({ encoding: "8bit" });
  assert.ok(bench.sent.lines.includes("y".repeat(5000)));
  assert.ok(bench.sent.lines.includes("G\udcfc\0\udcff "));
});

const NOTIFY_CASES: readonly (readonly [string, readonly number[], readonly string[]])[] = [
  ["NEVER alone sends nothing", [1], []],
  ["NEVER of one recipient leaves it out", [1, 0], ["r1@x"]],
  ["SUCCESS does not ask for failures", [2, 4], ["r1@x"]],
  ["DELAY does not ask for failures", [8], []],
];

for (const [what, notify, told] of NOTIFY_CASES) {
  Deno.test(`RFC 3461 section 4.1: NOTIFY=${what}`, async () => {
    await using bench = await BounceBench.start();
    bench.message();
    for (const [i, bits] of notify.entries()) await bench.append({ recipient: `r${i}@x`, notify: bits });
    assert.equal(await bench.flush(), "");
    assert.equal(bench.cleanup.messages.length, told.length === 0 ? 0 : 1);
    assert.equal(bench.exists(`bounce/${ID}`), false);
    if (told.length === 0) return;
    const finals = bench.sent.lines.filter((line) => line.startsWith("Final-Recipient"));
    assert.deepEqual(finals, told.map((name) => `Final-Recipient: rfc822; ${name}`));
  });
}

Deno.test("LOP-01: a bounce that bounces is dropped, unless notify_classes has 2bounce: then postmaster gets it, and no more", async () => {
  for (const notify_classes of [["resource"], ["2bounce"]]) {
    await using bench = await BounceBench.start("bounce", { notify_classes });
    bench.message({ lines: ORIGINAL, sender: "" });
    await bench.append({ notify: 1 });
    assert.equal(await bench.flush({ sender: "", ret: 2 }), "");
    assert.equal(bench.exists(`bounce/${ID}`), false);
    if (notify_classes[0] !== "2bounce") {
      assert.equal(bench.cleanup.messages.length, 0);
      continue;
    }
    assert.equal(bench.sent.sender, "double-bounce@oracle.example.test");
    assert.deepEqual(bench.sent.recipients, ["postmaster"]);
    assert.ok(bench.sent.lines.includes("Subject: Postmaster Copy: Undelivered Mail"));
    // The whole message, whatever RET said, and every recipient, whatever NOTIFY said.
    assert.ok(bench.sent.lines.includes("Hello"));
    assert.deepEqual(bench.log.lines, [`${ID}: postmaster non-delivery notification: NEW1`]);
    // That notification bounces in its turn.
    await bench.append();
    assert.equal(await bench.flush({ sender: bench.sent.sender }), "");
    assert.equal(bench.cleanup.messages.length, 1);
    assert.equal(bench.log.lines.at(-1), `warning: ${ID}: undeliverable postmaster notification discarded`);
    assert.equal(bench.exists(`bounce/${ID}`), false);
  }
});

Deno.test("with notify_classes bounce the postmaster gets the headers too; when that fails the sender was told all the same", async () => {
  await using bench = await BounceBench.start("bounce", { notify_classes: ["bounce"] });
  bench.message({ lines: ORIGINAL });
  await bench.append();
  assert.equal(await bench.flush(), "");
  const [first, second] = bench.cleanup.messages;
  assert.deepEqual([first!.sender, second!.sender], ["", "double-bounce@oracle.example.test"]);
  assert.ok(first!.lines.includes("Hello") && !second!.lines.includes("Hello"));
  assert.ok(second!.lines.includes("Auto-Submitted: auto-generated"));
});

Deno.test("one failure is reported to the owner of a list at once, beside the log of the others", async () => {
  await using bench = await BounceBench.start();
  bench.message({ lines: ORIGINAL, sender: "sender@box.test" });
  await bench.append({ recipient: "other@bounce.test" });
  assert.equal(await bench.returnOne("owner-list@box.test", { recipient: "list@box.test" }), "");
  assert.equal(bench.sent.sender, "");
  assert.deepEqual(bench.sent.recipients, ["owner-list@box.test"]);
  assert.deepEqual(bench.sent.lines.filter((line) => line.startsWith("Final-Recipient")), [
    "Final-Recipient: rfc822; list@box.test",
  ]);
  assert.ok(bench.sent.lines.includes("Hello"));
  assert.equal(bench.exists(`bounce/${ID}`), true);
  // As any other failure, one of which nobody wants to hear is reported to nobody.
  assert.equal(await bench.returnOne("owner-list@box.test", { notify: 1 }), "");
  assert.equal(bench.cleanup.messages.length, 1);
});

Deno.test("a failure whose report cannot be queued is answered as failed", async () => {
  await using bench = await BounceBench.start();
  bench.message();
  bench.cleanup.status = CLEANUP_STATUS.WRITE;
  assert.match(await bench.returnOne("owner-list@box.test"), /^Cannot queue non-delivery notification/);
});

Deno.test("a delay report leaves the log where it is and returns headers only", async () => {
  await using bench = await BounceBench.start("defer");
  bench.message({ lines: ORIGINAL, time: ARRIVAL });
  const deferred = { result: "deferred", action: "delayed", status: "4.2.1" } as const;
  await bench.append({ ...deferred, notify: 8 });
  await bench.append({ ...deferred, recipient: "no@x", notify: 4 });
  assert.equal(await bench.flush({ report: "delay" }), "");
  const { lines } = bench.sent;
  assert.ok(lines.includes("Subject: Delayed Mail (still being retried)"));
  assert.ok(lines.includes("Action: delayed"));
  assert.ok(lines.includes(`Will-Retry-Until: ${formatMailDate(ARRIVAL + 5 * 86400_000)}`));
  assert.ok(!lines.includes("Hello") && !lines.some((line) => line.includes("no@x")));
  assert.equal(bench.exists(`defer/4/${ID}`), true);
  assert.deepEqual(bench.log.lines, [`${ID}: sender delay notification: NEW1`]);
});

Deno.test("an expired message: its deferred recipients have failed, and the defer log goes", async () => {
  await using bench = await BounceBench.start("defer");
  bench.message({ lines: ORIGINAL });
  await bench.append({ result: "deferred", action: "delayed", status: "4.4.1" });
  assert.equal(await bench.flush(), "");
  assert.ok(bench.sent.lines.includes("Action: failed") && bench.sent.lines.includes("Status: 4.4.1"));
  assert.equal(bench.exists(`defer/4/${ID}`), false);
});

Deno.test("a success report names what was delivered; mail without a trace log gets none", async () => {
  await using bench = await BounceBench.start("trace");
  bench.message({ lines: ORIGINAL });
  assert.equal(await bench.flush({ report: "success" }), "");
  assert.equal(bench.cleanup.messages.length, 0);
  await bench.append({
    result: "sent",
    action: "delivered",
    status: "2.0.0",
    notify: 2,
    reason: "delivered to maildir",
  });
  assert.equal(await bench.flush({ report: "success" }), "");
  assert.ok(bench.sent.lines.includes("Subject: Successful Mail Delivery Report"));
  assert.ok(bench.sent.lines.includes("Action: delivered"));
  assert.deepEqual(bench.log.lines, [`${ID}: sender delivery status notification: NEW1`]);
  await bench.append({ result: "sent", notify: 2 });
  assert.equal(await bench.flush({ report: "success", sender: "" }), "");
  assert.equal(bench.cleanup.messages.length, 1);
});

Deno.test("RFC 6533 section 3: a report on SMTPUTF8 mail is SMTPUTF8 mail", async () => {
  await using bench = await BounceBench.start();
  bench.message({ lines: ["Subject: é", "", "x"] });
  await bench.append({ recipient: "xé@smtp.test", dsnOriginalRecipient: "utf-8;zé@smtp.test" });
  await bench.flush({ smtputf8: true });
  assert.equal(bench.sent.flags, CLEANUP_INTERNAL | CLEANUP_FLAG.SMTPUTF8);
  for (const line of ["Final-Recipient: utf-8; xé@smtp.test", "Original-Recipient: utf-8;zé@smtp.test"]) {
    assert.ok(bench.sent.lines.includes(line));
  }
  assert.ok(bench.sent.lines.includes("Content-Type: message/global"));
});

const THREADS: readonly (readonly [string, readonly string[], string])[] = [
  ["is referred to", ["Subject: x", "Message-Id: <m1@box.test>", ""], "<m1@box.test>"],
  ["on a folded line is referred to", ["message-ID:", " <m2@box.test>", "From: x", ""], "<m2@box.test>"],
  ["with a blank in it is not", ["Message-ID: <m 1@box.test>", ""], ""],
  ["without brackets is not", ["Message-ID: m1@box.test", ""], ""],
  ["in the body is not", ["Subject: x", "", "Message-ID: <m1@box.test>"], ""],
  ["longer than a line is not", [`Message-ID: <${"m".repeat(998)}>`, ""], ""],
];

for (const [what, lines, id] of THREADS) {
  Deno.test(`with enable_threaded_bounces a Message-ID ${what}`, async () => {
    await using bench = await BounceBench.start("bounce", { enable_threaded_bounces: true });
    bench.message({ lines });
    await bench.append();
    assert.equal(await bench.flush(), "");
    const found = bench.sent.lines.find((line) => line.startsWith("In-Reply-To: "));
    assert.equal(found, id === "" ? undefined : `In-Reply-To: ${id}`);
  });
}

Deno.test("a log that is lost gives a report that says so", async () => {
  await using bench = await BounceBench.start();
  bench.message({ lines: ORIGINAL });
  assert.equal(await bench.flush(), "");
  assert.ok(bench.sent.lines.includes("\t--- Delivery report unavailable ---"));
  assert.ok(bench.sent.lines.includes("Hello"));
  assert.ok(bench.log.lines.includes(`warning: ${ID}: log is missing`));
});

Deno.test("a log that is torn gives a report on what is left of it, with a note, though nobody asked for failures", async () => {
  await using bench = await BounceBench.start();
  bench.message({ lines: ORIGINAL });
  await bench.append({ notify: 1 });
  const path = bench.path(`bounce/${ID}`);
  Deno.truncateSync(path, Deno.statSync(path).size - 30);
  assert.equal(await bench.flush(), "");
  assert.ok(bench.sent.lines.includes("\t--- Delivery report unavailable ---"));
});

Deno.test("an empty log calls for no report", async () => {
  await using bench = await BounceBench.start();
  bench.message();
  Deno.writeFileSync(bench.path(`bounce/${ID}`), new Uint8Array(0), { mode: 0o600 });
  assert.equal(await bench.flush(), "");
  assert.equal(bench.cleanup.messages.length, 0);
});

const UNREADABLE: Readonly<Record<string, (bench: BounceBench) => void>> = {
  "is gone": () => {},
  "is a link": (bench) => Deno.symlinkSync("/etc/passwd", bench.path(`active/${ID}`)),
  "is no queue file": (bench) => bench.file(new TextEncoder().encode("hello world")),
};

for (const [what, make] of Object.entries(UNREADABLE)) {
  Deno.test(`a message that ${what}: the report goes out without it`, async () => {
    await using bench = await BounceBench.start();
    make(bench);
    await bench.append();
    assert.equal(await bench.flush(), "");
    assert.ok(bench.sent.lines.includes("\t--- Undelivered message unavailable ---"));
    assert.ok(bench.sent.lines.includes("Final-Recipient: rfc822; x@bounce.test"));
    assert.ok(!bench.sent.lines.some((line) => line.startsWith("root:")));
  });
}

Deno.test("a message that is damaged in the middle is returned as far as it can be read", async () => {
  await using bench = await BounceBench.start();
  bench.message({ lines: [...ORIGINAL, "tail"] });
  const path = bench.path(`active/${ID}`);
  const bytes = Deno.readFileSync(path);
  const at = bytes.length - 12;
  bytes[at] = 0x5a; // a record type that no content has
  bench.file(bytes);
  await bench.append();
  assert.equal(await bench.flush(), "");
  assert.ok(bench.sent.lines.includes("Hello"));
  assert.match(bench.sent.lines.at(-1)!, /^--.*--$/);
});

Deno.test("a queue name that bounce does not read is not turned into a path", async () => {
  await using bench = await BounceBench.start();
  await bench.append();
  assert.equal(await bench.flush({ queueName: "../../etc" }), "");
  assert.ok(bench.sent.lines.includes("\t--- Undelivered message unavailable ---"));
});

for (const status of [CLEANUP_STATUS.WRITE, CLEANUP_STATUS.SIZE, CLEANUP_STATUS.DEFER]) {
  Deno.test(`cleanup's status ${status}: the answer is failed and the log stays for the next attempt`, async () => {
    await using bench = await BounceBench.start();
    bench.message();
    await bench.append();
    bench.cleanup.status = status;
    bench.cleanup.reason = "no space";
    assert.match(await bench.flush(), /no space/);
    assert.equal(bench.exists(`bounce/${ID}`), true);
    bench.cleanup.status = CLEANUP_STATUS.OK;
    assert.equal(await bench.flush(), "");
    assert.equal(bench.cleanup.messages.length, 1);
    assert.equal(bench.exists(`bounce/${ID}`), false);
  });
}

for (const queueId of ["../active/x", "a/b", "", "a b", "."]) {
  Deno.test(`the queue id "${queueId}" is refused and the service goes on`, async () => {
    await using bench = await BounceBench.start();
    assert.match(await bench.drop(queueId), /malformed/);
    assert.match(await bench.append({ queueId }), /malformed/);
    assert.match(await bench.flush({ queueId }), /malformed/);
    assert.equal(await bench.drop("A1B2C3"), "");
    assert.deepEqual(bench.troubles, []);
  });
}

Deno.test("a message that cannot be opened for want of descriptors is reported later, whole", async () => {
  await using bench = await BounceBench.start();
  bench.message();
  await bench.append();
  {
    using _ = new FailingDisk("open", `/active/${ID}`);
    assert.match(await bench.flush(), /Too many open files/);
  }
  assert.equal(bench.cleanup.messages.length, 0);
  assert.ok(bench.exists(`bounce/${ID}`));
  assert.equal(await bench.flush(), "");
  assert.ok(bench.sent.lines.includes("Subject: test"));
});
