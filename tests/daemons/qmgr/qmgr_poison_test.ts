import assert from "node:assert/strict";
import { IpcError } from "../../../lib/ipc/client.ts";
import type { QueueId } from "../../../lib/mail/queue_id.ts";
import { until } from "../../commands/mail_system.ts";
import { type FakeAgent, QmgrBench } from "./qmgr_support.ts";

/** An agent that a message to "poison" ends a moment after it comes in hand, with all others that are in hand. */
function fragile(agent: FakeAgent): { deaths: number } {
  const count = { deaths: 0 };
  agent.act = (delivery) => {
    const poison = delivery.request.recipients.some(({ address }) => address.startsWith("poison"));
    setTimeout(() => {
      if (!agent.inHand.includes(delivery)) return; // it ended with another one
      if (poison) {
        count.deaths++;
        const death = new IpcError("lost", "Service delivery closed the connection");
        for (const one of agent.inHand.splice(0)) one.die(death);
        return;
      }
      agent.inHand.splice(agent.inHand.indexOf(delivery), 1);
      for (const { address } of delivery.request.recipients) delivery.tell(address, "sent");
      delivery.finish();
    }, poison ? 5 : 20);
  };
  return count;
}

for (const innocent of [1, 30]) {
  Deno.test(`a message that ends its agent goes to hold, and ${innocent} that were in hand with it are delivered`, async () => {
    using bench = new QmgrBench();
    const agent = bench.agent();
    const count = fragile(agent);
    for (let i = 0; i < innocent; i++) {
      bench.start(
        { recipients: [`good${i}@x${i}.test`] },
        `AA${i.toString(16).toUpperCase().padStart(4, "0")}`,
      );
    }
    const poison = bench.start({ recipients: ["poison@p.test"] }, "BAD0");
    await bench.settle();
    assert.equal(count.deaths, 3);
    assert.deepEqual(bench.where(poison), ["hold"]);
    for (let i = 0; i < innocent; i++) {
      assert.deepEqual(bench.where(`AA${i.toString(16).toUpperCase().padStart(4, "0")}` as QueueId), []);
    }
    assert.equal(bench.lines.filter((line) => line.includes("placed on hold")).length, 1);
  });
}

Deno.test("what waits to be delivered alone is put off when the agent cannot be reached", async () => {
  using bench = new QmgrBench();
  const agent = bench.agent();
  let deaths = 0;
  agent.act = (delivery) => {
    // Both are in hand at the first two deaths; then no process of the agent comes.
    const reached = deaths++ < 4;
    delivery.die(new IpcError("lost", "Service delivery closed the connection", reached));
  };
  bench.agent("retry").act = (delivery) => {
    for (const { address } of delivery.request.recipients) delivery.tell(address, "deferred");
    delivery.finish();
  };
  const ids = [
    bench.start({ recipients: ["a@x.test"] }, "A1"),
    bench.start({ recipients: ["b@y.test"] }, "A2"),
  ];
  assert.ok(await until(() => deaths >= 5));
  await bench.settle();
  for (const id of ids) assert.deepEqual(bench.where(id), ["deferred"]);
});
