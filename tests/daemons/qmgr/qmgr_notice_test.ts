/** What qmgr records for reports beside failures, and VERP senders. @module */
import assert from "node:assert/strict";
import { NOTIFY } from "../../../lib/mail/notify.ts";
import { TRACE_MTA_VERIFY, TRACE_RECORD, TRACE_USER_VERIFY } from "../../../lib/mail/queue_file.ts";
import { QmgrBench } from "./qmgr_support.ts";

const byName = (delivery: Parameters<NonNullable<ReturnType<QmgrBench["agent"]>["act"]>>[0]) => {
  for (const { address } of delivery.request.recipients) {
    const result = address.startsWith("bounced")
      ? "bounced"
      : address.startsWith("deferred")
      ? "deferred"
      : "sent";
    delivery.tell(address, result);
  }
  delivery.finish();
};

Deno.test("RFC 3461 section 5.2.2: what a server with DSN took over is not reported here", async () => {
  using bench = new QmgrBench();
  bench.agent().act = (delivery) => {
    delivery.tell("sent@x.test", "sent", "");
    delivery.finish();
  };
  const id = bench.start({ recipients: ["sent@x.test"], notify: NOTIFY.SUCCESS });
  await bench.settle();
  assert.deepEqual([bench.trace.appended, bench.trace.flushed], [[], []]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("sendmail -v: every outcome of the first attempt is traced beside its own log, and reported as asked for", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const recipients = ["sent@x.test", "bounced@x.test", "deferred@x.test"];
  const id = bench.start({ recipients, attributes: { trace_flags: String(TRACE_RECORD) } });
  await bench.settle();
  assert.deepEqual(bench.trace.appended.map(({ recipient }) => recipient).sort(), [...recipients].sort());
  assert.deepEqual(bench.trace.flushed.map(({ report }) => report), ["verify"]);
  assert.deepEqual(bench.bounce.flushed.map(({ report }) => report), ["failure"]);
  assert.deepEqual(bench.where(id), ["deferred"]);
  // Only the first attempt is.
  assert.ok(bench.take(id, "deferred", {}));
  await bench.settle();
  assert.equal(bench.trace.flushed.length, 1);
});

Deno.test("sendmail -bv: every outcome is only traced and reported, and the message is done", async () => {
  using bench = new QmgrBench({ flush: true });
  bench.agent().act = byName;
  bench.resolve = (address) => ({
    transport: address.startsWith("gone") ? "none" : "smtp",
    nexthop: "x.test",
  });
  const recipients = ["sent@x.test", "bounced@x.test", "deferred@x.test", "gone@x.test"];
  // A content filter is no destination of the recipients'.
  const attributes = { trace_flags: String(TRACE_USER_VERIFY) };
  const id = bench.start({ recipients, attributes, filter: "retry:filter" });
  await bench.settle();
  assert.ok(bench.agent().requests.every(({ probe }) => probe));
  assert.deepEqual(bench.agent("retry").requests, []);
  assert.deepEqual(
    bench.trace.appended.map(({ recipient, action, status }) => `${recipient} ${action} ${status}`).sort(),
    [
      "bounced@x.test undeliverable 5.1.1",
      "deferred@x.test undeliverable 4.0.0",
      "gone@x.test undeliverable 4.3.0",
      "sent@x.test deliverable 2.0.0",
    ],
  );
  assert.ok(bench.logged('status=undeliverable (mail transport "none" unavailable)'));
  assert.deepEqual(bench.trace.flushed.map(({ report }) => report), ["verify"]);
  assert.deepEqual([bench.bounce.appended, bench.defer.appended, bench.noted], [[], [], []]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("sendmail -bv: what the trace log does not take is tried again", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  bench.trace.trouble = "failed";
  const id = bench.start({
    recipients: ["sent@x.test"],
    attributes: { trace_flags: String(TRACE_USER_VERIFY) },
  });
  await bench.settle();
  assert.deepEqual(bench.where(id), ["deferred"]);
  bench.trace.trouble = "";
  assert.ok(bench.take(id, "deferred", {}));
  await bench.settle();
  assert.deepEqual(bench.trace.flushed.map(({ report }) => report), ["verify"]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("a probe of Postfix's verify daemon in a queue that was taken over: nothing is delivered, nobody is told", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const id = bench.start({
    recipients: ["sent@x.test", "bounced@x.test"],
    attributes: { trace_flags: String(TRACE_MTA_VERIFY) },
  });
  await bench.settle();
  assert.ok(bench.agent().requests.every(({ probe }) => probe));
  const logs = [bench.bounce, bench.defer, bench.trace];
  assert.deepEqual(logs.flatMap(({ appended, flushed }) => [...appended, ...flushed]), []);
  assert.deepEqual(bench.where(id), []);
});

for (const confirmDelayCleared of [true, false]) {
  for (const [notify, told] of [[undefined, true], [NOTIFY.DELAY, true], [NOTIFY.FAILURE, false]] as const) {
    const expected = confirmDelayCleared && told;
    Deno.test(`confirm_delay_cleared ${confirmDelayCleared}, NOTIFY ${notify ?? "not given"}: the end of a delay is ${expected ? "" : "not "}reported`, async () => {
      using bench = new QmgrBench({ notices: { confirmDelayCleared } });
      bench.agent().act = byName;
      bench.start({
        recipients: ["sent@x.test"],
        warnTime: -1,
        ...(notify === undefined ? {} : { notify }),
      });
      await bench.settle();
      assert.equal(bench.trace.appended.length, expected ? 1 : 0);
      assert.deepEqual(bench.trace.flushed.map(({ report }) => report), expected ? ["success"] : []);
    });
  }
}

Deno.test("nobody is told that a delay is over of which he was not told", async () => {
  using bench = new QmgrBench({ notices: { confirmDelayCleared: true } });
  bench.start({ recipients: ["sent@x.test"], warnTime: Math.floor(Date.now() / 1000) + 3600 });
  await bench.settle();
  assert.equal(bench.trace.appended.length, 0);
});

Deno.test("an alias that cleanup expanded is reported though its members want no report", async () => {
  using bench = new QmgrBench();
  const id = bench.put("A1", { recipients: ["member@x.test"], notify: NOTIFY.NEVER }, "incoming");
  Deno.writeTextFileSync(bench.queue.path("trace", id), "recipient=alias@x.test\n");
  assert.ok(bench.take(id, "incoming", { fresh: true }));
  await bench.settle();
  assert.deepEqual(bench.trace.flushed.map(({ report }) => report), ["success"]);
});

Deno.test("VERP: each recipient is delivered by itself, from the address that names it", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  bench.start({ recipients: ["a@x.test", "bounced@x.test"], sender: "list@o.test", verp: "+=" });
  await bench.settle();
  assert.deepEqual(
    bench.agent().requests.map((
      { sender, recipients },
    ) => [sender, ...recipients.map(({ address }) => address)])
      .sort(),
    [["list+a=x.test@o.test", "a@x.test"], ["list+bounced=x.test@o.test", "bounced@x.test"]],
  );
  assert.deepEqual(bench.bounce.flushed.map(({ sender, verp }) => [sender, verp]), [["list@o.test", "+="]]);
});

Deno.test("VERP: disable_verp_bounces makes it one report for all", async () => {
  using bench = new QmgrBench({ notices: { disableVerpBounces: true } });
  bench.agent().act = byName;
  bench.start({ recipients: ["bounced@x.test"], sender: "list@o.test", verp: "+=" });
  await bench.settle();
  assert.deepEqual(bench.bounce.flushed.map(({ verp }) => verp), [""]);
});

for (
  const [what, sender, verp] of [["the null sender", "", "+="], [
    "delimiters that are none",
    "l@o.test",
    "+=+",
  ]] as const
) {
  Deno.test(`VERP: a file with ${what} is delivered as any other`, async () => {
    using bench = new QmgrBench();
    bench.agent().act = byName;
    bench.start({ recipients: ["a@x.test", "b@x.test"], sender, verp });
    await bench.settle();
    assert.deepEqual(bench.agent().requests.map((request) => request.sender), [sender]);
  });
}
