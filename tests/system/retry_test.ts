import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { utf8 } from "../support/bytes.ts";
import { readReport } from "../support/message.ts";
import { Postern } from "../support/postern.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { freePort } from "../support/ports.ts";

/** Mail that cannot go on: it waits, is listed with its reason, goes out when it can, or comes back. */

const HEADER = "From: me@example.test\r\nTo: you@far.test\r\nSubject: waiting\r\n\r\n";

/** Mail for other domains goes to a port of loopback where nobody listens yet. */
function settings(port: number, further: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    myhostname: '"postern.test"',
    default_transport: '"smtp:"',
    relayhost: `"[127.0.0.1]:${port}"`,
    smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
    ...further,
  };
}

async function post(postern: Postern, from: string, to: readonly string[]): Promise<void> {
  const [sent] = await sendWithPython(postern.port, [{ from, to, content: utf8(`${HEADER}text\r\n`) }]);
  assert.equal(sent!.code, 250, sent!.text);
}

Deno.test("mail for a dead port is deferred, listed with its reason, and sent on a flush when the peer is up", async (t) => {
  await using peer = await Postern.make();
  await using postern = await Postern.start({ settings: settings(peer.port) });
  const to = ["one@far.test", "two@far.test"];
  await post(postern, "me@example.test", to);
  assert.ok(await until(() => postern.queued("deferred").length === 1), postern.log());
  const id = postern.queued("deferred")[0]!.split("/").at(-1)!;

  await t.step("postqueue -p is Postfix's list", async () => {
    const listed = await postern.run(["postqueue", "-p"]);
    assert.equal(listed.status, 0, listed.errors);
    const [head, first, ...rest] = listed.output.split("\n");
    assert.equal(head, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------");
    assert.match(first!, new RegExp(`^${id} +[0-9]+ \\w{3} \\w{3} [ 0-9]{2} [0-9:]{8}  me@example\\.test$`));
    const reason = `(connect to 127.0.0.1[127.0.0.1]:${peer.port}: Connection refused)`;
    assert.deepEqual(rest.map((line) => line.trim()), [
      reason,
      "one@far.test",
      "two@far.test",
      "",
      "-- 0 Kbytes in 1 Request.",
      "",
    ]);
    assert.equal((await postern.run(["mailq"])).output, listed.output);
  });
  await t.step("postqueue -j says the same as JSON", async () => {
    const listed = await postern.run(["postqueue", "-j"]);
    const [entry] = listed.output.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
    assert.equal(entry.queue_name, "deferred");
    assert.equal(entry.queue_id, id);
    assert.equal(entry.sender, "me@example.test");
    assert.deepEqual(entry.recipients.map((one: { address: string }) => one.address), to);
    assert.match(entry.recipients[0].delay_reason, /^connect to 127\.0\.0\.1.*: Connection refused$/);
  });
  await t.step("a flush tries again, and the reason stays", async () => {
    const before = postern.log().match(/ status=deferred /g)!.length;
    assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
    assert.ok(
      await until(() => postern.log().match(/ status=deferred /g)!.length >= before + 2),
      postern.log(),
    );
    assert.ok(await until(() => postern.queued("deferred").length === 1), postern.log());
  });
  await t.step("it goes out with the next flush when the peer is up", async () => {
    peer.set({ virtual_mailbox_domains: '["far.test"]', virtual_mailbox_maps: '["static:box"]' });
    await peer.start();
    assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
    await postern.untilEmpty();
    await peer.mail("one");
    await peer.mail("two");
    const listed = await postern.run(["postqueue", "-p"]);
    assert.equal(listed.output, "Mail queue is empty\n");
    // The list of reasons goes with the message.
    assert.ok(await until(() => postern.deferLogs().length === 0));
  });
});

Deno.test("one message alone is tried with postqueue -i", async () => {
  await using postern = await Postern.start({ settings: settings(freePort()) });
  await post(postern, "me@example.test", ["one@far.test"]);
  await post(postern, "me@example.test", ["two@far.test"]);
  assert.ok(await until(() => postern.queued("deferred").length === 2), postern.log());
  const [id, other] = postern.queued("deferred").map((path) => path.split("/").at(-1)!);
  const count = (one: string) =>
    postern.log().split("\n").filter((line) => line.includes(`${one}: to=`)).length;
  const before = count(other!);
  assert.equal((await postern.run(["postqueue", "-i", id!])).status, 0);
  assert.ok(await until(() => count(id!) >= 2), postern.log());
  assert.equal(count(other!), before);
});

Deno.test("mail that is too old comes back with a report", async () => {
  const short = {
    maximal_queue_lifetime: '"1s"',
    queue_run_delay: '"1s"',
    minimal_backoff_time: '"1s"',
    maximal_backoff_time: '"1s"',
  };
  const port = freePort();
  await using postern = await Postern.start({ settings: settings(port, short) });
  await post(postern, "me@example.test", ["one@far.test", "two@far.test"]);
  const [message] = await postern.mail("me");
  assert.match(postern.log(), /: from=<me@example\.test>, status=expired, returned to sender\n/);
  const report = await readReport(message!);
  assert.equal(report.subject, "Undelivered Mail Returned to Sender");
  assert.deepEqual(
    report.recipients.map((fields) => [fields["final-recipient"], fields["action"], fields["status"]]),
    ["one", "two"].map((name) => [`rfc822; ${name}@far.test`, "failed", "4.4.1"]),
  );
  assert.match(
    report.text,
    new RegExp(`connect to 127\\.0\\.0\\.1\\[127\\.0\\.0\\.1\\]:${port}:\\s+Connection\\s+refused`),
  );
  assert.ok(new TextDecoder().decode(Uint8Array.fromBase64(report.returned)).endsWith("\n\ntext\n"));
  await postern.untilEmpty();
});

Deno.test("postsuper -e: the message comes back at the next attempt with the reason why it waited", async () => {
  const port = freePort();
  await using postern = await Postern.start({ settings: settings(port) });
  await post(postern, "me@example.test", ["one@far.test"]);
  assert.ok(await until(() => postern.queued("deferred").length === 1), postern.log());
  assert.equal((await postern.run(["postsuper", "-e", "ALL"])).status, 0);
  assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
  const report = await readReport((await postern.mail("me"))[0]!);
  assert.match(postern.log(), /: from=<me@example\.test>, status=force-expired, returned to sender\n/);
  assert.deepEqual(
    report.recipients.map((fields) => [fields["final-recipient"], fields["action"], fields["status"]]),
    [["rfc822; one@far.test", "failed", "4.4.1"]],
  );
  assert.match(report.text, new RegExp(`]:${port}:\\s+Connection\\s+refused`));
  assert.doesNotMatch(report.text, /administratively/);
  await postern.untilEmpty();
});

Deno.test("sendmail to an unknown mailbox: the report is in the sender's own", async () => {
  await using postern = await Postern.start({ settings: { myhostname: '"postern.test"' } });
  const mail = "From: Me <me@example.test>\nTo: unknown@example.test\nSubject: by sendmail\n\n.dot\ntext\n";
  const done = await postern.run(["sendmail", "-t", "-i", "-f", "me@example.test"], mail);
  assert.equal(done.status, 0, done.errors);
  const [message] = await postern.mail("me");
  const report = await readReport(message!);
  assert.deepEqual(report.defects, []);
  assert.equal(report.to, "me@example.test");
  assert.match(report.from, /MAILER-DAEMON@postern\.test/);
  assert.deepEqual(report.parts, ["text/plain", "message/delivery-status", "message/rfc822"]);
  assert.equal(report.message["reporting-mta"], "dns; postern.test");
  assert.match(report.message["arrival-date"]!, /^\w{3}, +[0-9]+ \w{3} [0-9]{4} [0-9:]{8} [+-][0-9]{4}/);
  assert.equal(report.recipients.length, 1);
  assert.equal(report.recipients[0]!["final-recipient"], "rfc822; unknown@example.test");
  assert.equal(report.recipients[0]!["action"], "failed");
  assert.equal(report.recipients[0]!["status"], "5.1.1");
  assert.match(report.text, /<unknown@example\.test>: unknown user: "unknown@example\.test"/);
  const returned = new TextDecoder().decode(Uint8Array.fromBase64(report.returned));
  assert.match(returned, /\nReceived: by postern\.test \(Postern, from userid [0-9]+\)\n/);
  assert.match(returned, /\nSubject: by sendmail\n[^]*\n\n\.dot\ntext\n$/);
  await postern.untilEmpty();
});
