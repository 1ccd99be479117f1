import assert from "node:assert/strict";
import { InFlow } from "../../../daemons/qmgr/qmgr_flow.ts";
import { QueueScanner } from "../../../daemons/qmgr/qmgr_scan.ts";
import type { ServerExchange } from "../../../lib/ipc/server.ts";
import type { QMGR } from "../../../lib/proto/protocols.ts";
import { until } from "../../commands/mail_system.ts";
import { QmgrBench } from "./qmgr_support.ts";

/** A cleanup that notes what it is told. */
class Watcher {
  readonly told: string[] = [];
  onCancel: (() => void) | undefined;
  reply: ServerExchange<typeof QMGR>["reply"] = (type, fields) =>
    void this.told.push(type === "pace" ? `held ${(fields as { held: boolean }).held}` : type);
}

Deno.test("cleanup is held from the limit on and let go at half of it, each told once", () => {
  const flow = new InFlow(100);
  const watcher = new Watcher();
  flow.watch(watcher);
  const steps = [
    [100, []],
    [101, ["held true"]],
    [500, []],
    [51, []],
    [50, ["held false"]],
    [100, []],
    [101, ["held true"]],
  ] as const;
  for (const [backlog, told] of steps) {
    flow.set(backlog);
    assert.deepEqual(watcher.told.splice(0), told, `${backlog}`);
  }
});

Deno.test("one that comes while others are held is held; one that has gone is not spoken to; at the end all are free", () => {
  const flow = new InFlow(10);
  const [first, second, gone] = [new Watcher(), new Watcher(), new Watcher()];
  flow.watch(gone);
  gone.onCancel!();
  flow.watch(first);
  flow.set(11);
  flow.watch(second);
  flow.end();
  flow.set(0);
  assert.deepEqual([first.told, second.told, gone.told], [["held true", "over"], ["held true", "over"], []]);
});

Deno.test("hints that find the active queue full hold cleanup until enough of them were taken", async () => {
  using bench = new QmgrBench();
  bench.agent().act = undefined;
  const flow = new InFlow(4);
  const watcher = new Watcher();
  flow.watch(watcher);
  const scanner = new QueueScanner(bench.queue, bench.manager, 1, bench.log, Infinity, flow);
  bench.roomMade = () => scanner.pump();
  for (let i = 0; i < 6; i++) {
    bench.put(`A${i}`);
    scanner.hint(`A${i}`);
  }
  assert.deepEqual(watcher.told, ["held true"]);
  assert.ok(await until(() => bench.agent().inHand.length === 1));
  for (let done = 0; done < 6; done++) {
    assert.ok(await until(() => bench.agent().inHand.length > done));
    // Five wait behind the first one.
    assert.deepEqual(watcher.told, done < 3 ? ["held true"] : ["held true", "held false"], `${done}`);
    bench.agent().inHand[done]!.tell("to@example.test", "sent");
    bench.agent().inHand[done]!.finish();
  }
  await bench.settle();
});

Deno.test("a message asked for by its id: taken at once, or put where it is next when the active queue is full", async () => {
  for (const unthrottle of [true, false]) {
    using bench = new QmgrBench();
    const agent = bench.agent();
    agent.act = undefined;
    const scanner = new QueueScanner(bench.queue, bench.manager, 1, bench.log);
    bench.roomMade = () => scanner.pump();
    for (const id of ["A1", "A2"]) bench.put(id, {}, "deferred");
    const later = Date.now() + 3_600_000;
    for (const id of ["A1", "A2"]) {
      Deno.utimeSync(bench.queue.path("deferred", id as never), later / 1000, later / 1000);
    }
    assert.equal(scanner.deliver("A1", unthrottle), true);
    assert.equal(scanner.deliver("A2", unthrottle), true);
    assert.equal(scanner.deliver("A3", unthrottle), false);
    assert.equal(scanner.deliver("../x", unthrottle), false);
    assert.deepEqual([bench.where("A1" as never), bench.where("A2" as never)], [["active"], ["incoming"]]);
    const { mode, mtime } = Deno.statSync(bench.queue.path("incoming", "A2" as never));
    assert.equal(mode! & 0o777, unthrottle ? 0o740 : 0o700);
    assert.ok(mtime!.getTime() < later - 1_000_000);
    assert.ok(await until(() => agent.inHand.length === 1));
    agent.inHand[0]!.tell("to@example.test", "sent");
    agent.inHand[0]!.finish();
    assert.ok(await until(() => agent.inHand.length === 2), "the second follows without another scan");
    agent.inHand[1]!.tell("to@example.test", "sent");
    agent.inHand[1]!.finish();
    await bench.settle();
  }
});
