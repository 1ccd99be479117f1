import assert from "node:assert/strict";
import { run as postsuper } from "../../commands/postsuper.ts";
import { SystemError } from "../../lib/safe/error.ts";
import { QueueBench } from "../commands/queue_support.ts";
import { queueFile } from "../support/messages.ts";
import { type Call, type Fault, FaultDisk, FAULTS, type Plan, Stopped } from "./fault_disk.ts";

/** postsuper with a fault at each of its file operations: no message is lost, doubled or damaged. */

const QUEUES = ["active", "incoming", "deferred", "hold", "maildrop", "corrupt"];
const LOGS = ["bounce", "defer", "trace"];

/** Where each message stands; `-s` has something to do on those whose place or name is wrong. */
const PLACES: Readonly<Record<string, string>> = {
  one: "active/AAAAA1",
  two: "incoming/BBBBB1",
  three: "deferred/C/CCCCC1",
  four: "hold/DDDDD1",
  flat: "deferred/EEEEE1",
  deep: "hold/F/FFFFF1",
};

/** What the command does to read its configuration; a fault there ends it before it has touched anything. */
const HARMLESS: readonly Call[] = ["open", "read"];

const text = new TextEncoder();
/** A queue file that no other message has. */
const contentOf = (name: string) => queueFile({ lines: [`Subject: ${name}`, "", name] });

function filled(): QueueBench {
  const bench = new QueueBench();
  for (const [name, place] of Object.entries(PLACES)) bench.put(place, contentOf(name));
  for (const log of LOGS) bench.put(`${log}/C/CCCCC1`, text.encode("log"), 0o600);
  bench.put("incoming/1700000000.4711", text.encode("begun and never ended"), 0o600);
  Deno.utimeSync(bench.path("incoming/1700000000.4711"), 1_700_000_000, 1_700_000_000);
  return bench;
}

/** The messages by name, each with the queue that has it; what is damaged or there twice is told. */
function messages(bench: QueueBench): { readonly where: Map<string, string>; readonly broken: string[] } {
  const where = new Map<string, string>();
  const broken: string[] = [];
  const known = new Map(Object.keys(PLACES).map((name) => [contentOf(name).join(), name]));
  for (const file of bench.files(...QUEUES)) {
    const name = known.get(Deno.readFileSync(bench.path(file)).join());
    if (name === undefined) {
      if (!file.endsWith(".4711")) broken.push(`${file} is damaged`);
    } else if (where.has(name)) broken.push(`${name} is in ${where.get(name)} and in ${file}`);
    else where.set(name, file.slice(0, file.indexOf("/")));
  }
  return { where, broken };
}

/** Runs postsuper; with a plan, with that fault. The calls, and whether it came to its end. */
async function runOn(
  bench: QueueBench,
  args: readonly string[],
  plan?: Plan,
): Promise<{ readonly calls: readonly Call[]; readonly ended: boolean }> {
  using disk = new FaultDisk(bench.system.queue.root, plan);
  try {
    const { status } = await bench.run("postsuper", postsuper, args);
    return { calls: disk.calls, ended: status === 0 };
  } catch (error) {
    if (!(error instanceof Stopped || error instanceof SystemError)) throw error;
    return { calls: disk.calls, ended: false };
  }
}

interface Work {
  readonly args: readonly string[];
  /** Messages that the work removes. */
  readonly gone: readonly string[];
}

const WORKS: readonly Work[] = [
  { args: ["-h", "ALL"], gone: [] },
  { args: ["-H", "ALL"], gone: [] },
  { args: ["-r", "ALL"], gone: [] },
  { args: ["-e", "ALL"], gone: [] },
  { args: ["-s"], gone: [] },
  { args: ["-p"], gone: [] },
  { args: [], gone: [] },
  { args: ["-d", "CCCCC1", "-d", "DDDDD1"], gone: ["three", "four"] },
  { args: ["-d", "ALL"], gone: Object.keys(PLACES) },
];

for (const { args, gone } of WORKS) {
  Deno.test(`postsuper ${args.join(" ")} with a fault at each file operation loses nothing, and a second run ends the work`, async () => {
    using clean = filled();
    const { calls, ended } = await runOn(clean, args);
    assert.ok(ended);
    const wanted = messages(clean);
    assert.deepEqual(wanted.broken, []);
    const plans = calls.flatMap((call, at): Plan[] =>
      HARMLESS.includes(call) ? [] : FAULTS[call].map((fault: Fault) => ({ at, fault }))
    );
    assert.ok(plans.length > 0, "no file operation");
    for (const plan of plans) {
      const what = `${JSON.stringify(plan)} (${calls[plan.at]})`;
      using bench = filled();
      await runOn(bench, args, plan);
      const { where, broken } = messages(bench);
      assert.deepEqual(broken, [], what);
      const lost = Object.keys(PLACES).filter((name) => !where.has(name) && !gone.includes(name));
      assert.deepEqual(lost, [], what);
      const again = await runOn(bench, args);
      assert.ok(again.ended, what);
      const after = messages(bench);
      assert.deepEqual(after.broken, [], what);
      assert.deepEqual([...after.where].sort(), [...wanted.where].sort(), what);
    }
  });
}
