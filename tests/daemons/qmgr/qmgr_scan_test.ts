import assert from "node:assert/strict";
import { QueueScanner } from "../../../daemons/qmgr/qmgr_scan.ts";
import { until } from "../../commands/mail_system.ts";
import { QmgrBench } from "./qmgr_support.ts";

function scannerOf(bench: QmgrBench, activeLimit = 20_000): QueueScanner {
  const scanner = new QueueScanner(bench.queue, bench.manager, activeLimit, bench.log);
  bench.roomMade = () => scanner.pump();
  return scanner;
}

/** Queue ids that the agent was given, in order. */
function delivered(bench: QmgrBench): string[] {
  return bench.agent().requests.map(({ queueId }) => queueId);
}

async function untilDelivered(bench: QmgrBench, count: number): Promise<void> {
  assert.ok(await until(() => delivered(bench).length >= count), `${delivered(bench).length} of ${count}`);
  await bench.settle();
  await new Promise((resolve) => setTimeout(resolve, 10));
}

const ids = (count: number, prefix = "A") => Array.from({ length: count }, (_, i) => `${prefix}${i + 10}`);

Deno.test("hints, a scan of the same files and a second scan: each message is delivered once", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench);
  const all = ids(200);
  for (const id of all) bench.put(id);
  for (const id of all.slice(0, 100)) scanner.hint(id);
  scanner.scanIncoming();
  for (const id of all.slice(50)) scanner.hint(id);
  scanner.scanIncoming();
  await untilDelivered(bench, 200);
  assert.deepEqual(delivered(bench).toSorted(), all.toSorted());
});

Deno.test("a scan while another runs finds what came behind it", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench, 1);
  for (const id of ids(20)) bench.put(id);
  scanner.scanIncoming();
  for (const id of ids(20, "B")) bench.put(id);
  scanner.scanIncoming();
  await untilDelivered(bench, 40);
  assert.equal(new Set(delivered(bench)).size, 40);
});

Deno.test("hints beyond what is remembered are made up for by a scan", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench, 1);
  bench.agent().act = undefined;
  bench.start({}, "BUSY");
  for (let i = 0; i < 100_000; i++) scanner.hint(`NONE${i}`);
  bench.put("LAST");
  scanner.hint("LAST");
  assert.ok(await until(() => bench.agent().inHand.length === 1));
  bench.agent().act = (delivery) => (delivery.tell("to@example.test", "sent"), delivery.finish());
  bench.agent().inHand[0]!.tell("to@example.test", "sent");
  bench.agent().inHand[0]!.finish();
  await untilDelivered(bench, 2);
  assert.deepEqual(delivered(bench), ["BUSY", "LAST"]);
});

Deno.test("hints that are no queue ids touch nothing", () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench);
  Deno.writeTextFileSync(`${bench.queue.root}/secret`, "x", { mode: 0o700 });
  for (const text of ["", "../secret", "a/b", ".", "..", "A\0", "A\n", "ä", "A".repeat(256)]) {
    scanner.hint(text);
  }
  assert.equal(bench.manager.size, 0);
  assert.ok(Deno.statSync(`${bench.queue.root}/secret`).isFile);
});

Deno.test("names that are no ids, directories and links in a queue are passed over", async () => {
  for (const queue of ["incoming", "deferred"] as const) {
    using bench = new QmgrBench({ hashed: true });
    const scanner = scannerOf(bench);
    const directory = `${bench.queue.root}/${queue}`;
    Deno.mkdirSync(`${directory}/DIRECTORY`);
    Deno.writeTextFileSync(`${directory}/.hidden`, "");
    Deno.writeTextFileSync(`${directory}/not-an-id`, "");
    Deno.symlinkSync("/etc/passwd", `${directory}/LINK`);
    bench.put("A1", {}, queue);
    if (queue === "incoming") scanner.scanIncoming();
    else scanner.scanDeferred(true);
    await untilDelivered(bench, 1);
    assert.deepEqual(delivered(bench), ["A1"]);
    assert.deepEqual(bench.lines.filter((line) => line.startsWith("warning")), []);
  }
});

Deno.test("a file with a name of one character in a hashed queue is passed over", async () => {
  using bench = new QmgrBench({ hashed: true });
  const scanner = scannerOf(bench);
  Deno.writeTextFileSync(`${bench.queue.root}/deferred/X`, "");
  bench.put("A1", {}, "deferred");
  scanner.scanDeferred(true);
  await untilDelivered(bench, 1);
  assert.deepEqual(delivered(bench), ["A1"]);
});

Deno.test("files that are not complete are passed over", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench);
  const waiting = bench.put("A1", { mode: 0o600 });
  const marked = bench.put("A2", { mode: 0o400 }, "deferred");
  bench.put("A3");
  scanner.scanIncoming();
  scanner.scanDeferred(true);
  await untilDelivered(bench, 1);
  assert.deepEqual(bench.where(waiting), ["incoming"]);
  assert.deepEqual(bench.where(marked), ["deferred"]);
});

Deno.test("deferred mail is taken when its time has come, and with A whatever its time", async () => {
  using bench = new QmgrBench({ hashed: true });
  const scanner = scannerOf(bench);
  bench.put("A1", { modified: Date.now() - 1000 }, "deferred");
  bench.put("B2", { modified: Date.now() + 100_000 }, "deferred");
  scanner.scanDeferred(false);
  await untilDelivered(bench, 1);
  assert.deepEqual(delivered(bench), ["A1"]);
  scanner.scanDeferred(true);
  await untilDelivered(bench, 2);
  // A counts for one scan.
  bench.put("C3", { modified: Date.now() + 100_000 }, "deferred");
  scanner.scanDeferred(false);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(delivered(bench), ["A1", "B2"]);
});

Deno.test("files marked for flush or expiry are taken before their time", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench);
  const modified = Date.now() + 100_000;
  bench.put("A1", { modified, mode: 0o740 }, "deferred");
  const expired = bench.put("B2", { modified, mode: 0o710 }, "deferred");
  scanner.scanDeferred(false);
  await untilDelivered(bench, 1);
  assert.deepEqual(delivered(bench), ["A1"]);
  assert.ok(await until(() => bench.where(expired).length === 0));
});

Deno.test("a file of incoming/ that is dated in the future is delivered, its time set right", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench);
  bench.put("A1", { modified: Date.now() + 100_000 });
  scanner.scanIncoming();
  await untilDelivered(bench, 1);
  assert.ok(bench.logged("A1: file time is in the future: reset"));
});

Deno.test("the active queue holds no more than its limit, and new and deferred mail take turns", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench, 4);
  for (const id of ids(10, "A")) bench.put(id);
  for (const id of ids(10, "B")) bench.put(id, { modified: 0 }, "deferred");
  let most = 0;
  bench.agent().act = (delivery) => {
    most = Math.max(most, bench.manager.size);
    delivery.tell("to@example.test", "sent");
    delivery.finish();
  };
  scanner.scanIncoming();
  scanner.scanDeferred(false);
  assert.equal(bench.manager.size, 4);
  await untilDelivered(bench, 20);
  assert.equal(most, 4);
  const kinds = bench.lines.filter((line) => line.includes("(queue active)")).map((line) => line[0]).join("");
  // The first scan had the room for itself; from then on they alternate as long as there are both.
  assert.equal(kinds.slice(5, 15), "BABABABABA");
});

Deno.test("after stop nothing more is taken", async () => {
  using bench = new QmgrBench();
  const scanner = scannerOf(bench);
  scanner.stop();
  const id = bench.put("A1");
  scanner.hint(id);
  scanner.scanIncoming();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(bench.where(id), ["incoming"]);
});

Deno.test("deferred mail whose time is later than any retry is tried now: the clock was set back", async () => {
  using bench = new QmgrBench();
  const scanner = new QueueScanner(bench.queue, bench.manager, 100, bench.log, 4_000_000);
  bench.put("A1", { modified: Date.now() + 86_400_000 }, "deferred");
  bench.put("B2", { modified: Date.now() + 3_900_000 }, "deferred");
  scanner.scanDeferred(false);
  await untilDelivered(bench, 1);
  assert.deepEqual(delivered(bench), ["A1"]);
  assert.ok(bench.logged("A1: file time is later than any retry: tried now"));
});
