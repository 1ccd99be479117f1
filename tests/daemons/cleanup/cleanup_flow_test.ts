import assert from "node:assert/strict";
import { InFlowDelay } from "../../../daemons/cleanup/cleanup_flow.ts";
import { type IpcClient, IpcError } from "../../../lib/ipc/client.ts";
import type { Reply } from "../../../lib/ipc/protocol.ts";
import type { QMGR } from "../../../lib/proto/protocols.ts";

/** Seconds that a message is held: as little as still is some time. */
const DELAY = 0.02;

/** A queue manager that says what the test wants. */
class Qmgr implements Pick<IpcClient<typeof QMGR>, "open"> {
  readonly asked: string[] = [];
  say: (reply: Reply<typeof QMGR>) => void = () => {};
  fail: (error: IpcError) => void = () => {};

  open: IpcClient<typeof QMGR>["open"] = (onReply, onError) => {
    this.say = onReply;
    this.fail = onError;
    return {
      send: (type) => void this.asked.push(type),
      ready: () => true,
      drained: () => Promise.resolve(),
      cancel: () => {},
    };
  };
}

/** Runs without the timer that asks the next queue manager being left behind. */
const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test("a message is held for in_flow_delay while qmgr says so, and asked for nothing", async () => {
  const qmgr = new Qmgr();
  const delay = new InFlowDelay(qmgr, DELAY);
  assert.equal(delay.wait(), undefined);
  qmgr.say({ is: "pace", held: true });
  const before = performance.now();
  await delay.wait();
  assert.ok(performance.now() - before >= DELAY * 1000 - 2);
  assert.ok(delay.wait() !== undefined, "each one is");
  qmgr.say({ is: "pace", held: false });
  assert.equal(delay.wait(), undefined);
  assert.deepEqual(qmgr.asked, ["watch"]);
  await new Promise((resolve) => setTimeout(resolve, 30));
});

for (const name of ["that ends", "that is lost"]) {
  Deno.test({
    name: `a queue manager ${name} holds nobody up`,
    ...options,
    fn: () => {
      const qmgr = new Qmgr();
      const delay = new InFlowDelay(qmgr, DELAY);
      qmgr.say({ is: "pace", held: true });
      if (name === "that ends") qmgr.say({ is: "over" });
      else qmgr.fail(new IpcError("lost", "it is gone"));
      assert.equal(delay.wait(), undefined);
    },
  });
}

Deno.test("with in_flow_delay = 0 qmgr is not asked", () => {
  const qmgr = new Qmgr();
  const delay = new InFlowDelay(qmgr, 0);
  assert.deepEqual(qmgr.asked, []);
  assert.equal(delay.wait(), undefined);
});
