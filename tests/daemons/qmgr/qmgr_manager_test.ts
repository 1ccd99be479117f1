import assert from "node:assert/strict";
import { SWEEPS } from "../../../daemons/qmgr/qmgr_hand.ts";
import { IpcError } from "../../../lib/ipc/client.ts";
import { appendBounceRecord } from "../../../lib/mail/bounce_log.ts";
import { NOTIFY } from "../../../lib/mail/notify.ts";
import type { QueueId } from "../../../lib/mail/queue_id.ts";
import { ByteBuilder } from "../../../lib/vstring/byte_builder.ts";
import { until } from "../../commands/mail_system.ts";
import { FailingDisk } from "../../support/failing_disk.ts";
import { type InHand, makeFile, QmgrBench } from "./qmgr_support.ts";

/** Does with each recipient what its local part says: sent, bounced or deferred. */
function byName(delivery: InHand): void {
  for (const { address } of delivery.request.recipients) {
    delivery.tell(address, address.split(/[@0-9]/)[0] as "sent" | "bounced" | "deferred");
  }
  delivery.finish();
}

/** Delivers all. */
function deliverAll(delivery: InHand): void {
  for (const { address } of delivery.request.recipients) delivery.tell(address, "sent");
  delivery.finish();
}

Deno.test("a message whose recipients are all delivered is removed, without a word to the logs", async () => {
  using bench = new QmgrBench();
  const id = bench.start({ recipients: ["a@example.test", "b@example.test"] });
  await bench.settle();
  assert.deepEqual(bench.where(id), []);
  assert.deepEqual(bench.lines, [
    `${id}: from=<from@example.test>, size=14, nrcpt=2 (queue active)`,
    `${id}: removed`,
  ]);
  assert.deepEqual(
    [bench.bounce, bench.defer, bench.trace].flatMap((
      log,
    ) => [...log.appended, ...log.flushed, ...log.dropped]),
    [],
  );
});

Deno.test("sent and bounced are marked in the file, deferred is not; the bounce goes out, the rest waits", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const id = bench.start({
    recipients: ["sent1@x.test", "bounced2@x.test", "deferred3@y.test", "sent4@y.test"],
  });
  await bench.settle();
  assert.deepEqual(bench.where(id), ["deferred"]);
  assert.deepEqual(bench.marks(id, "deferred"), [
    "D sent1@x.test",
    "D bounced2@x.test",
    "R deferred3@y.test",
    "D sent4@y.test",
  ]);
  assert.deepEqual(bench.bounce.appended.map(({ recipient }) => recipient), ["bounced2@x.test"]);
  assert.deepEqual(bench.bounce.flushed.map(({ report, queueName }) => [report, queueName]), [[
    "failure",
    "active",
  ]]);
  assert.deepEqual(bench.defer.appended.map(({ recipient }) => recipient), ["deferred3@y.test"]);
  assert.deepEqual(bench.defer.flushed, []);
});

Deno.test("the next attempt is for those that were not done, and drops the old defer log first", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const id = bench.start({ recipients: ["sent1@x.test", "deferred2@x.test"] });
  await bench.settle();
  bench.agent().act = (delivery) => (delivery.tell("deferred2@x.test", "sent"), delivery.finish());
  assert.ok(bench.take(id, "deferred", {}));
  await bench.settle();
  assert.deepEqual(bench.agent().requests.map(({ recipients }) => recipients.length), [2, 1]);
  assert.deepEqual(bench.defer.dropped, [id]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("a failure to drop the old defer log does not stop the delivery", async () => {
  for (const trouble of ["failed", "away"] as const) {
    using bench = new QmgrBench();
    bench.defer.trouble = trouble;
    const id = bench.put("A1", {}, "deferred");
    bench.take(id, "deferred", {});
    await bench.settle();
    assert.deepEqual(bench.where(id), []);
  }
});

for (
  const [age, expected] of [[0, 300], [299, 300], [1000, 1000], [3999, 3999], [4001, 4000], [
    100_000,
    4000,
  ]] as const
) {
  Deno.test(`RFC 5321 section 4.5.4.1: a message ${age} seconds old is tried again after ${expected} seconds`, async () => {
    using bench = new QmgrBench();
    bench.agent().act = byName;
    const id = bench.start({ recipients: ["deferred@x.test"], age });
    await bench.settle();
    const delay = bench.delay(id);
    assert.ok(Math.abs(delay - expected) < 5, String(delay));
  });
}

for (
  const [name, sender, age, returned] of [
    ["older than maximal_queue_lifetime", "from@example.test", 5000, true],
    ["younger", "from@example.test", 1000, false],
    ["from <> and older than bounce_queue_lifetime", "", 2000, true],
    ["from <> and younger", "", 1000, false],
  ] as const
) {
  Deno.test(`a deferred message ${name} is ${returned ? "returned and removed" : "kept"}`, async () => {
    using bench = new QmgrBench({ times: { lifetime: 4000, bounceLifetime: 1500 } });
    bench.agent().act = byName;
    const id = bench.start({ recipients: ["deferred@x.test"], sender, age });
    await bench.settle();
    assert.deepEqual(bench.where(id), returned ? [] : ["deferred"]);
    assert.deepEqual(bench.defer.flushed.map(({ report }) => report), returned ? ["failure"] : []);
    assert.equal(bench.logged("status=expired, returned to sender"), returned);
  });
}

Deno.test("bounce_queue_lifetime counts no more than maximal_queue_lifetime", async () => {
  using bench = new QmgrBench({ times: { lifetime: 1000, bounceLifetime: 100_000 } });
  bench.agent().act = byName;
  const id = bench.start({ recipients: ["deferred@x.test"], sender: "", age: 2000 });
  await bench.settle();
  assert.deepEqual(bench.where(id), []);
});

Deno.test("an expired message whose return cannot be sent is kept", async () => {
  using bench = new QmgrBench({ times: { lifetime: 1 } });
  bench.agent().act = byName;
  bench.defer.trouble = "failed";
  const id = bench.start({ recipients: ["deferred@x.test"], age: 10 });
  await bench.settle();
  assert.deepEqual(bench.where(id), ["deferred"]);
  assert.ok(bench.logged("cannot return mail: disk is full"));
});

Deno.test("the sender is warned of a delay once", async () => {
  using bench = new QmgrBench({ times: { delayWarning: 60 } });
  bench.agent().act = byName;
  const warnTime = Math.floor(Date.now() / 1000) - 1;
  const id = bench.start({ recipients: ["deferred@x.test"], age: 100, warnTime });
  await bench.settle();
  assert.deepEqual(bench.defer.flushed.map(({ report }) => report), ["delay"]);
  const text = new TextDecoder("latin1").decode(Deno.readFileSync(bench.queue.path("deferred", id)));
  assert.ok(text.includes(`W\x0f${"-1".padStart(15)}S`), text);
  bench.take(id, "deferred", {});
  await bench.settle();
  assert.equal(bench.defer.flushed.length, 1);
});

for (
  const [name, times, warnTime] of [
    ["before the time is reached", { delayWarning: 60 }, Math.floor(Date.now() / 1000) + 1000],
    ["with delay_warning_time 0", { delayWarning: 0 }, 1],
  ] as const
) {
  Deno.test(`no warning ${name}`, async () => {
    using bench = new QmgrBench({ times });
    bench.agent().act = byName;
    bench.start({ recipients: ["deferred@x.test"], warnTime });
    await bench.settle();
    assert.deepEqual(bench.defer.flushed, []);
  });
}

Deno.test("a redirected message goes to the one address, once, whoever its recipients are", async () => {
  using bench = new QmgrBench();
  const recipients = Array.from({ length: 20 }, (_, i) => `r${i}@x.test`);
  const id = bench.start({ recipients, redirect: "all@y.test" });
  await bench.settle();
  assert.deepEqual(bench.agent().addresses, ["all@y.test"]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("a content filter takes the place of the transport, also for more recipients than one batch holds", async () => {
  using bench = new QmgrBench({ recipientLimit: 10 });
  bench.agent("error").act = (delivery) => {
    for (const { address } of delivery.request.recipients) delivery.tell(address, "bounced");
    delivery.finish();
  };
  const recipients = Array.from({ length: 35 }, (_, i) => `r${i}@x${i % 3}.test`);
  const id = bench.start({ recipients, filter: "error:5.3.4 message size exceeds limit" });
  await bench.settle();
  assert.deepEqual(bench.agent().requests, []);
  assert.deepEqual(
    new Set(bench.agent("error").requests.map(({ nexthop }) => nexthop)),
    new Set(["5.3.4 message size exceeds limit"]),
  );
  assert.deepEqual(bench.agent("error").addresses.toSorted(), recipients.toSorted());
  assert.deepEqual(bench.where(id), []);
});

for (
  const [filter, transport, nexthop] of [["smtp:", "smtp", "x.test"], ["retry", "retry", "x.test"], [
    "smtp:[h]:25",
    "smtp",
    "[h]:25",
  ]] as const
) {
  Deno.test(`filter "${filter}" leads to ${transport} and next hop ${nexthop}`, async () => {
    using bench = new QmgrBench();
    bench.start({ recipients: ["a@x.test"], filter });
    await bench.settle();
    assert.deepEqual(bench.agent(transport).requests.map((request) => request.nexthop), [nexthop]);
  });
}

const whole = makeFile({ recipients: ["a@x.test", "b@x.test"] });
for (
  const [name, bytes] of [
    ["cut in its envelope", whole.subarray(0, 120)],
    ["without its end record", whole.subarray(0, whole.length - 2)],
    ["empty", new Uint8Array(0)],
    ["not a queue file", new TextEncoder().encode("#!/bin/sh\necho hello\n")],
    ["with a recipient that is too long", makeFile({ recipients: [`${"x".repeat(1100)}@x.test`] })],
    ["with a sender that is too long", makeFile({ sender: "x".repeat(1100) })],
  ] as const
) {
  Deno.test(`a file ${name} goes to corrupt/ and stays whole`, () => {
    using bench = new QmgrBench();
    const id = bench.putBytes("A1", bytes);
    bench.take(id);
    assert.deepEqual(bench.where(id), ["corrupt"]);
    assert.deepEqual(Deno.readFileSync(bench.queue.path("corrupt", id)), Uint8Array.from(bytes));
    assert.ok(bench.logged("saved in corrupt queue"), bench.lines.join("\n"));
    assert.equal(bench.manager.size, 0);
    assert.deepEqual(bench.agent().requests, []);
  });
}

for (const refillLimit of [1, 1000]) {
  Deno.test(`a file that is damaged behind the first batch goes to corrupt/ when that is settled, refill limit ${refillLimit}`, async () => {
    using bench = new QmgrBench({ recipientLimit: 10, rules: { refillLimit, pool: 15, recipientLimit: 2 } });
    const bytes = makeFile({ recipients: Array.from({ length: 30 }, (_, i) => `r${i}@x.test`) });
    // Of the record in the middle only the type is wrong: what stands behind it could be read.
    const damage = new TextDecoder("latin1").decode(bytes).indexOf("r17@x.test") - 2;
    for (const damaged of [bytes.subarray(0, damage), bytes.with(damage + 1, 0xff)]) {
      const id = bench.putBytes("A1", damaged);
      bench.take(id);
      await bench.settle();
      assert.deepEqual(bench.where(id), ["corrupt"]);
      assert.ok(!bench.agent().addresses.includes("r18@x.test"));
      Deno.removeSync(bench.queue.path("corrupt", id));
    }
  });
}

Deno.test("recipients are read while others are in hand, when there is room for them", async () => {
  using bench = new QmgrBench({ recipientLimit: 10, rules: { refillLimit: 20, recipientLimit: 5 } });
  const recipients = Array.from({ length: 60 }, (_, i) => `sent${i}@${i === 0 ? "slow" : `x${i % 9}`}.test`);
  bench.agent().act = (delivery) => delivery.request.nexthop === "slow.test" ? undefined : byName(delivery);
  const id = bench.start({ recipients });
  await until(() => bench.agent().addresses.length === 60);
  assert.equal(bench.agent().addresses.length, 60);
  byName(bench.agent().inHand.find(({ request }) => request.nexthop === "slow.test")!);
  await bench.settle();
  assert.deepEqual(bench.where(id), []);
});

Deno.test("with one recipient to a delivery a user is a destination, whatever the extension", async () => {
  using bench = new QmgrBench({ rules: { initial: 1, limit: 1, recipientLimit: 1 } });
  const agent = bench.agent();
  agent.act = undefined;
  bench.start({ recipients: ["a+x@x.test", "a+y@x.test", "b@x.test"] });
  await until(() => agent.inHand.length === 2);
  assert.deepEqual(agent.addresses.toSorted(), ["a+x@x.test", "b@x.test"]);
  for (const delivery of agent.inHand.slice()) deliverAll(delivery);
  await until(() => agent.inHand.length === 3);
  deliverAll(agent.inHand[2]!);
  await bench.settle();
});

Deno.test("a file with two links goes to corrupt/", () => {
  using bench = new QmgrBench();
  const id = bench.put("A1");
  Deno.linkSync(bench.queue.path("incoming", id), bench.queue.path("hold", id));
  bench.take(id);
  assert.deepEqual(bench.where(id), ["hold", "corrupt"]);
});

Deno.test("a file that is not complete stays where it is, whoever hints at it", () => {
  using bench = new QmgrBench();
  for (const [how, name] of [[{ fresh: true }, "A1"], [{ flush: true }, "A2"], [{}, "A3"]] as const) {
    const id = bench.put(name, { mode: 0o600 });
    assert.equal(bench.take(id, "incoming", how), false);
    assert.deepEqual(bench.where(id), ["incoming"]);
  }
});

Deno.test("a hint at a file that is gone, a link or a directory does nothing", () => {
  using bench = new QmgrBench();
  assert.equal(bench.take("GONE" as never), false);
  Deno.symlinkSync("/etc/passwd", `${bench.queue.root}/incoming/LINK`);
  Deno.mkdirSync(`${bench.queue.root}/incoming/DIR`, { mode: 0o700 });
  assert.equal(bench.take("LINK" as never), false);
  assert.equal(bench.take("DIR" as never), false);
  assert.equal(bench.manager.size, 0);
});

Deno.test("a message is not taken twice", async () => {
  using bench = new QmgrBench();
  const id = bench.put("A1");
  assert.equal(bench.take(id), true);
  assert.equal(bench.take(id), false);
  await bench.settle();
  assert.equal(bench.agent().requests.length, 1);
});

Deno.test("recipients of an agent that died are given to the next one at once", async () => {
  using bench = new QmgrBench();
  let deaths = 0;
  bench.agent().act = (delivery) => {
    if (deaths++ > 0) return byName(delivery);
    delivery.tell("sent1@x.test", "sent");
    delivery.die(new IpcError("lost", "Service delivery closed the connection"));
  };
  const id = bench.start({ recipients: ["sent1@x.test", "sent2@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.agent().requests.map(({ recipients }) => recipients.map(({ address }) => address)), [
    ["sent1@x.test", "sent2@x.test"],
    ["sent2@x.test"],
  ]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("a message that was in hand at three deaths is put on hold, every recipient settled", async () => {
  using bench = new QmgrBench();
  bench.agent().act = (delivery) =>
    delivery.die(new IpcError("lost", "Service delivery closed the connection"));
  const id = bench.start({ recipients: ["a@x.test", "b@x.test"] });
  await bench.settle();
  assert.equal(bench.agent().requests.length, 3);
  assert.deepEqual(bench.where(id), ["hold"]);
  assert.deepEqual(bench.marks(id, "hold"), ["R a@x.test", "R b@x.test"]);
  assert.equal(bench.defer.appended.length, 2);
  assert.ok(bench.logged("placed on hold: its delivery ended 3 agents"));
});

Deno.test("one death counts once, however many deliveries of the message the agent had in hand", async () => {
  using bench = new QmgrBench();
  const agent = bench.agent();
  agent.act = undefined;
  const recipients = Array.from({ length: 10 }, (_, i) => `sent@x${i}.test`);
  const id = bench.start({ recipients });
  await until(() => agent.inHand.length === 10);
  agent.act = byName;
  const death = new IpcError("lost", "Service delivery closed the connection");
  for (const delivery of agent.inHand.slice()) delivery.die(death);
  await bench.settle();
  assert.equal(agent.requests.length, 20);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("an agent that cannot be reached puts mail off for transport_retry_time and holds no message", async () => {
  using bench = new QmgrBench();
  const smtp = bench.agent();
  smtp.act = (delivery) => delivery.die(new IpcError("lost", "Cannot reach service delivery", false));
  bench.agent("retry").act = (delivery) => {
    for (const { address } of delivery.request.recipients) delivery.tell(address, "deferred");
    delivery.finish();
  };
  const id = bench.start({ recipients: ["a@x.test", "b@y.test"] });
  await bench.settle();
  assert.deepEqual(bench.where(id), ["deferred"]);
  const asked = smtp.requests.length;
  bench.start({ recipients: ["c@z.test"] }, "A2");
  await bench.settle();
  assert.equal(smtp.requests.length, asked, "the transport is left alone");
  assert.deepEqual(
    new Set(bench.agent("retry").requests.map(({ nexthop }) => nexthop)),
    new Set(["4.3.0 mail transport unavailable"]),
  );
  smtp.act = byName;
  bench.manager.revive();
  bench.start({ recipients: ["sent@z.test"] }, "A3");
  await bench.settle();
  assert.equal(smtp.requests.length, asked + 1, "trigger F: it is asked again");
});

Deno.test("retry and the transport both away: deferred here, nothing lost", async () => {
  using bench = new QmgrBench();
  for (const name of ["smtp", "retry"]) {
    bench.agent(name).act = (delivery) => delivery.die(new IpcError("lost", "Cannot reach service", false));
  }
  const id = bench.start({ recipients: ["a@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.where(id), ["deferred"]);
  assert.deepEqual(bench.defer.appended.map(({ reason, status }) => [status, reason]), [[
    "4.3.0",
    "mail transport unavailable",
  ]]);
});

Deno.test("recipients of which a finished delivery said nothing are deferred", async () => {
  using bench = new QmgrBench();
  bench.agent().act = (delivery) => (delivery.tell("a@x.test", "sent"), delivery.finish());
  const id = bench.start({ recipients: ["a@x.test", "b@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.marks(id, "deferred"), ["D a@x.test", "R b@x.test"]);
  assert.equal(bench.defer.appended[0]!.reason, "unknown mail transport error");
});

Deno.test("an agent is believed once of each recipient, and not of those that it was not given", async () => {
  using bench = new QmgrBench();
  bench.agent().act = (delivery) => {
    delivery.tell("a@x.test", "sent");
    delivery.tell("a@x.test", "bounced");
    delivery.finish();
  };
  const id = bench.start({ recipients: ["a@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.bounce.appended, []);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("20,000 recipients: each once, in batches, never more in core than the limit", async () => {
  using bench = new QmgrBench({ recipientLimit: 1000, rules: { pool: 1000 } });
  const recipients = Array.from({ length: 20_000 }, (_, i) => `sent${i}@x${i % 7}.test`);
  bench.agent().act = byName;
  const id = bench.start({ recipients });
  assert.equal(bench.manager.recipients, 1000);
  await bench.settle();
  // The pool, and what a message may have beyond it.
  assert.ok(bench.mostRecipients <= 1010, String(bench.mostRecipients));
  assert.deepEqual(bench.agent().addresses.toSorted(), recipients.toSorted());
  assert.deepEqual(bench.where(id), []);
});

Deno.test("recipients of many deferred messages that are taken at once count before their first answer", async () => {
  using bench = new QmgrBench({ recipientLimit: 100 });
  const recipients = Array.from({ length: 60 }, (_, i) => `sent${i}@x.test`);
  for (let i = 0; i < 10; i++) {
    bench.put(`A${i}`, { recipients }, "deferred");
    bench.take(`A${i}` as never, "deferred", {});
  }
  // 60 and 40 fill the limit; the others get the minimum of 10, as in Postfix.
  assert.equal(bench.manager.recipients, 180);
  bench.agent().act = byName;
  await bench.settle();
  assert.equal(bench.agent().addresses.length, 600);
});

Deno.test("a message whose recipients are all done is removed", async () => {
  using bench = new QmgrBench();
  const id = bench.start({ recipients: ["a@x.test", "b@x.test"], done: [0, 1] });
  await bench.settle();
  assert.deepEqual(bench.where(id), []);
  assert.deepEqual(bench.agent().requests, []);
});

Deno.test("a bounce of which only the mark was made before a crash is sent by the next queue manager", async () => {
  for (const queue of ["incoming", "deferred"] as const) {
    using bench = new QmgrBench();
    const id = bench.put("A1", { recipients: ["a@x.test"], done: [0] }, queue);
    Deno.writeTextFileSync(bench.queue.path("bounce", id), "log\n");
    bench.take(id, queue, {});
    await bench.settle();
    assert.deepEqual(bench.bounce.flushed.map(({ report }) => report), ["failure"]);
    assert.deepEqual(bench.where(id), []);
  }
});

Deno.test("a bounce that could not be sent is sent at the next attempt; until then the message stays", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  bench.bounce.trouble = "failed";
  bench.bounce.troubledBy = "flush";
  const id = bench.start({ recipients: ["bounced@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.marks(id, "deferred"), ["D bounced@x.test"]);
  assert.ok(bench.logged("cannot return mail: disk is full"));
  bench.bounce.trouble = "";
  bench.take(id, "deferred", {});
  await bench.settle();
  assert.equal(bench.bounce.flushed.length, 1);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("with the bounce service away a failed recipient is deferred, unmarked, and nothing is lost", async () => {
  for (const trouble of ["failed", "away"] as const) {
    using bench = new QmgrBench();
    bench.agent().act = byName;
    bench.bounce.trouble = trouble;
    const id = bench.start({ recipients: ["bounced@x.test", "sent@x.test"] });
    await bench.settle();
    assert.deepEqual(bench.where(id), ["deferred"]);
    assert.deepEqual(bench.marks(id, "deferred"), ["R bounced@x.test", "D sent@x.test"]);
  }
});

Deno.test("a failure that the owner of a list is to hear of is reported to the owner at once, and the sender hears of the others", async () => {
  for (const others of ["sent", "bounced"] as const) {
    using bench = new QmgrBench();
    bench.agent().act = (delivery) => {
      delivery.tellOwned("list@x.test", "owner-list@x.test");
      delivery.tell("other@x.test", others);
      delivery.finish();
    };
    const id = bench.start({ recipients: ["list@x.test", "other@x.test"] });
    await bench.settle();
    assert.deepEqual(bench.where(id), []);
    assert.deepEqual(
      bench.bounce.returned.map(({ sender, recipient, ret, envelopeId, notify, reason }) => [
        sender,
        recipient,
        ret,
        envelopeId,
        notify,
        reason,
      ]),
      [["owner-list@x.test", "list@x.test", 0, "", 0, "it is bounced"]],
    );
    const told = others === "bounced" ? ["other@x.test"] : [];
    assert.deepEqual(bench.bounce.appended.map(({ recipient }) => recipient), told);
    assert.equal(bench.bounce.flushed.length, told.length);
  }
});

Deno.test("an owner who cannot be told now is told at the next attempt", async () => {
  using bench = new QmgrBench();
  bench.agent().act = (delivery) => {
    delivery.tellOwned("list@x.test", "owner-list@x.test");
    delivery.finish();
  };
  bench.bounce.trouble = "failed";
  const id = bench.start({ recipients: ["list@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.marks(id, "deferred"), ["R list@x.test"]);
  assert.deepEqual(bench.bounce.returned, []);
});

Deno.test("with the defer service away a deferred recipient stays in the file", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  bench.defer.trouble = "away";
  const id = bench.start({ recipients: ["deferred@x.test"] });
  await bench.settle();
  assert.deepEqual(bench.marks(id, "deferred"), ["R deferred@x.test"]);
});

Deno.test("RFC 3461 section 4.1: NOTIFY=SUCCESS is recorded and reported", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const id = bench.start({ recipients: ["sent@x.test"], notify: NOTIFY.SUCCESS });
  await bench.settle();
  assert.deepEqual(bench.trace.appended.map(({ recipient, result }) => [recipient, result]), [[
    "sent@x.test",
    "sent",
  ]]);
  assert.deepEqual(bench.trace.flushed.map(({ report }) => report), ["success"]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("a transport that master.toml does not have: deferred, with its name", async () => {
  using bench = new QmgrBench();
  bench.resolve = () => ({ transport: "uucp", nexthop: "x.test" });
  const id = bench.start();
  await bench.settle();
  assert.deepEqual(bench.where(id), ["deferred"]);
  assert.equal(bench.defer.appended[0]!.reason, 'mail transport "uucp" unavailable');
});

Deno.test("the resolver is away for some of a batch: those are deferred, the others delivered, none forgotten", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const usual = bench.resolve;
  bench.resolve = (address) => address.startsWith("sent") ? usual(address) : undefined;
  const recipients = ["lost1@x.test", "sent2@x.test", "lost3@x.test", "sent4@y.test"];
  const id = bench.start({ recipients });
  await bench.settle();
  assert.deepEqual(bench.marks(id, "deferred"), [
    "R lost1@x.test",
    "D sent2@x.test",
    "R lost3@x.test",
    "D sent4@y.test",
  ]);
  assert.equal(bench.defer.appended[0]!.reason, "address resolver failure");
});

Deno.test("resolver answers that are remembered: deferred recipients of a batch do not end it early", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  bench.resolve = (address) => ({ transport: address.startsWith("no") ? "uucp" : "smtp", nexthop: "x.test" });
  const recipients = ["no@x.test", "sent@x.test", "no2@x.test", "sent2@x.test"];
  for (const name of ["A1", "A2"]) {
    const asked = bench.resolved.length;
    const id = bench.start({ recipients }, name);
    await bench.settle();
    assert.equal(bench.resolved.length - asked, name === "A1" ? 4 : 0);
    assert.deepEqual(bench.marks(id, "deferred"), [
      "R no@x.test",
      "D sent@x.test",
      "R no2@x.test",
      "D sent2@x.test",
    ]);
  }
});

Deno.test("a malformed address goes to the error transport", async () => {
  using bench = new QmgrBench();
  bench.resolve = () => ({ transport: "smtp", nexthop: "x.test", bad: true });
  bench.start();
  await bench.settle();
  assert.deepEqual(bench.agent("error").requests.map(({ nexthop }) => nexthop), ["5.1.3 bad address syntax"]);
});

Deno.test("defer_transports: mail goes to retry, except a message that is flushed", async () => {
  using bench = new QmgrBench({ deferTransports: ["smtp"] });
  bench.start();
  await bench.settle();
  assert.deepEqual(bench.agent("retry").requests.map(({ nexthop }) => nexthop), ["4.3.2 deferred transport"]);
  bench.take(bench.put("A2"), "incoming", { flush: true });
  await bench.settle();
  assert.equal(bench.agent().requests.length, 1);
});

Deno.test("bit g=r: delivered whatever is known of the destination, and the bit is gone afterwards", async () => {
  using bench = new QmgrBench({ deferTransports: ["smtp"] });
  bench.agent().act = byName;
  const id = bench.put("A1", { recipients: ["deferred@x.test"], mode: 0o740 }, "deferred");
  bench.take(id, "deferred", {});
  await bench.settle();
  assert.equal(bench.agent().requests.length, 1);
  assert.equal(Deno.statSync(bench.queue.path("deferred", id)).mode! & 0o777, 0o700);
});

Deno.test("bit g=x: returned at once without an attempt, whatever its age", async () => {
  for (const queue of ["incoming", "deferred"] as const) {
    using bench = new QmgrBench();
    const id = bench.put("A1", { recipients: ["a@x.test"], mode: 0o710 }, queue);
    bench.take(id, queue, {});
    await bench.settle();
    assert.deepEqual(bench.agent().requests, []);
    assert.deepEqual(bench.defer.flushed.map(({ report }) => report), ["failure"]);
    assert.ok(bench.logged("status=force-expired, returned to sender"));
    assert.deepEqual(bench.where(id), []);
  }
});

Deno.test("flush is told of each destination that deferred mail waits for, where there is one", async () => {
  for (const flush of [undefined, true] as const) {
    using bench = new QmgrBench(flush === undefined ? {} : { flush });
    bench.agent().act = byName;
    const id = bench.start({
      recipients: ["deferred@x.test", "deferred1@x.test", "sent@y.test", "bounced@y.test", "deferred@z.test"],
    });
    await bench.settle();
    const sites = bench.noted.map(({ site, queueId }) => `${site} ${queueId}`);
    assert.deepEqual(sites, flush === undefined ? [] : [`x.test ${id}`, `z.test ${id}`]);
  }
});

Deno.test("bit g=x on a deferred message: the report has the reasons of its last attempt, and the others' is that it is expired", async () => {
  using bench = new QmgrBench();
  bench.agent().act = byName;
  const recipients = ["deferred@x.test", "deferred@y.test", "deferred@z.test"];
  const id = bench.start({ recipients });
  await bench.settle();
  // The attempt of which this is the log did not come to its end: it lacks one recipient.
  const log = new ByteBuilder(1 << 16);
  for (const values of bench.defer.appended.filter(({ recipient }) => recipient !== "deferred@y.test")) {
    appendBounceRecord(log, { ...values, remoteMtaType: "" }, true);
  }
  Deno.writeFileSync(bench.queue.path("defer", id), log.view());
  Deno.chmodSync(bench.queue.path("deferred", id), 0o710);
  const before = { dropped: bench.defer.dropped.length, appended: bench.defer.appended.length };
  bench.take(id, "deferred", {});
  await bench.settle();
  assert.equal(bench.defer.dropped.length, before.dropped);
  assert.deepEqual(
    bench.defer.appended.slice(before.appended).map((
      { recipient, status, reason },
    ) => [recipient, status, reason]),
    [["deferred@y.test", "4.7.0", "message is administratively expired"]],
  );
  assert.deepEqual(bench.defer.flushed.map(({ report }) => report), ["failure"]);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("both bits: a return that fails leaves g=x for the next attempt", async () => {
  using bench = new QmgrBench();
  bench.defer.trouble = "failed";
  const id = bench.put("A1", { mode: 0o750 }, "deferred");
  bench.take(id, "deferred", {});
  await bench.settle();
  assert.equal(Deno.statSync(bench.queue.path("deferred", id)).mode! & 0o777, 0o710);
});

/** Delivers to a destination that is in trouble until it counts as dead. */
async function kill(bench: QmgrBench, site = "connection refused"): Promise<void> {
  bench.agent().act = (delivery) => {
    for (const { address } of delivery.request.recipients) delivery.tell(address, "deferred");
    delivery.finish(site, "4.4.1");
  };
  for (let i = 0; i < 3; i++) bench.start({ recipients: ["a@x.test"] }, `K${i}`);
  await bench.settle();
}

Deno.test("a dead destination: its mail goes to retry with the reason; others are served; it lives again in time", async () => {
  using bench = new QmgrBench({ retry: { destination: 300, transport: 300 } });
  await kill(bench);
  bench.start({ recipients: ["b@x.test", "c@y.test"] });
  await bench.settle();
  assert.deepEqual(
    bench.agent("retry").requests.at(-1)!.nexthop,
    "4.4.1 delivery temporarily suspended: connection refused",
  );
  assert.ok(bench.agent().addresses.includes("c@y.test"));
  assert.ok(!bench.agent().addresses.includes("b@x.test"));
  await new Promise((resolve) => setTimeout(resolve, 320));
  bench.start({ recipients: ["d@x.test"] }, "A2");
  await bench.settle();
  assert.ok(bench.agent().addresses.includes("d@x.test"));
});

Deno.test("trigger F and a flushed message reach a dead destination", async () => {
  using bench = new QmgrBench();
  await kill(bench);
  bench.agent().act = byName;
  bench.take(bench.put("A1", { recipients: ["sent1@x.test"] }), "incoming", { flush: true });
  await bench.settle();
  assert.ok(bench.agent().addresses.includes("sent1@x.test"));
  await kill(bench);
  bench.manager.revive();
  bench.agent().act = byName;
  bench.start({ recipients: ["sent2@x.test"] }, "A2");
  await bench.settle();
  assert.ok(bench.agent().addresses.includes("sent2@x.test"));
});

Deno.test("what waited for a destination when it died is put off at once", async () => {
  using bench = new QmgrBench({ rules: { initial: 1, limit: 1 } });
  bench.agent().act = undefined;
  for (let i = 0; i < 5; i++) bench.start({ recipients: [`a${i}@x.test`] }, `K${i}`);
  await until(() => bench.agent().inHand.length === 1);
  const first = bench.agent().inHand[0]!;
  first.tell("a0@x.test", "deferred");
  first.finish("host is down", "4.4.1");
  await bench.settle();
  assert.equal(bench.agent().requests.length, 1);
  assert.equal(bench.agent("retry").addresses.length, 4);
});

Deno.test("the longest reply of a remote server, as the reason of a dead destination, does no harm", async () => {
  for (const transports of [["smtp", "retry", "error"], ["smtp"]]) {
    using bench = new QmgrBench({ transports });
    const site = "é".repeat(2048);
    await kill(bench, site);
    const id = bench.start({ recipients: ["b@x.test"] });
    await bench.settle();
    assert.deepEqual(bench.where(id), transports.length > 1 ? [] : ["deferred"]);
  }
});

Deno.test("queue files with texts beyond what the protocol carries are delivered, the texts cut", async () => {
  using bench = new QmgrBench();
  const attributes = {
    log_helo_name: "h".repeat(2000),
    log_client_name: "n".repeat(2000),
    sasl_username: "u".repeat(2000),
  };
  const id = bench.start({ attributes });
  await bench.settle();
  assert.equal(bench.agent().requests[0]!.heloName.length, 512);
  assert.deepEqual(bench.where(id), []);
});

Deno.test("one delivery holds up to the recipient limit of the transport, of one message and destination", async () => {
  using bench = new QmgrBench({ rules: { recipientLimit: 3 } });
  const recipients = ["a@x.test", "b@x.test", "c@y.test", "d@x.test", "e@x.test", "f@X.TEST"];
  bench.start({ recipients });
  await bench.settle();
  assert.deepEqual(
    bench.agent().requests.map((one) => one.recipients.map(({ address }) => address).join(" ")).toSorted(),
    ["a@x.test b@x.test d@x.test", "c@y.test", "e@x.test f@X.TEST"],
  );
});

Deno.test("no more deliveries go to a destination at once than its window allows", async () => {
  using bench = new QmgrBench({ rules: { initial: 2, limit: 3, recipientLimit: 1 } });
  const agent = bench.agent();
  agent.act = undefined;
  // With a recipient limit of 1 a destination is a recipient.
  for (let i = 0; i < 10; i++) bench.start({ recipients: ["a@x.test"] }, `A${i}`);
  await until(() => agent.inHand.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(agent.inHand.length, 2);
  for (let at = 0; at < 10; at++) {
    await until(() => agent.inHand.length > at);
    assert.ok(agent.inHand.length - at <= 3, `${agent.inHand.length - at} at once`);
    agent.inHand[at]!.tell("a@x.test", "sent");
    agent.inHand[at]!.finish();
  }
  await bench.settle();
});

Deno.test("a delivery that never ends is given up: what is left of it is deferred, and nothing else", async () => {
  using bench = new QmgrBench({ rules: { initial: 1, limit: 1 } });
  const agent = bench.agent();
  agent.act = undefined;
  const id = bench.start({ recipients: ["a@x.test", "b@x.test"] });
  await until(() => agent.inHand.length === 1);
  const stuck = agent.inHand[0]!;
  for (let i = 0; i < SWEEPS; i++) bench.manager.sweep();
  stuck.tell("a@x.test", "sent");
  agent.act = byName;
  const next = bench.start({ recipients: ["sent@x.test"] }, "A2");
  bench.manager.sweep();
  await bench.settle();
  assert.deepEqual(bench.marks(id, "deferred"), ["D a@x.test", "R b@x.test"]);
  assert.equal(bench.defer.appended[0]!.reason, "unknown mail transport error");
  assert.ok(bench.logged(`${id}: given up`));
  assert.equal(stuck.cancelled, true);
  assert.deepEqual(bench.where(next), [], "its place is free");
  assert.equal(bench.manager.busy, 0);
  for (let i = 0; i <= 2 * SWEEPS; i++) bench.manager.sweep();
});

Deno.test("after stop no delivery begins; what is in hand is finished", async () => {
  using bench = new QmgrBench({ rules: { initial: 1, limit: 1 } });
  const agent = bench.agent();
  agent.act = undefined;
  for (let i = 0; i < 3; i++) bench.start({ recipients: ["a@x.test"] }, `A${i}`);
  await until(() => agent.inHand.length === 1);
  bench.manager.stop();
  assert.equal(bench.manager.busy, 1);
  agent.inHand[0]!.tell("a@x.test", "sent");
  agent.inHand[0]!.finish();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(bench.manager.busy, 0);
  assert.equal(agent.requests.length, 1);
  assert.equal(bench.manager.size, 2);
});

Deno.test("a file that cannot be opened or read now is deferred, and the others go on", async () => {
  for (const failing of ["open", "read"] as const) {
    using bench = new QmgrBench();
    bench.put("A1", { recipients: ["a@x.test"] });
    bench.put("A2", { recipients: ["b@x.test"] });
    using _ = new FailingDisk(failing, "/active/A1");
    bench.take("A1" as QueueId, "incoming", {});
    bench.take("A2" as QueueId, "incoming", {});
    await bench.settle();
    assert.deepEqual(bench.agent().addresses, ["b@x.test"]);
    assert.deepEqual(bench.where("A1" as QueueId), ["deferred"]);
    assert.ok(bench.delay("A1" as QueueId) > 200, "it is due later");
    assert.ok(bench.logged(`warning: A1: Cannot ${failing} "`), bench.lines.join("\n"));
  }
});
