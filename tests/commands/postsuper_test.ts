import assert from "node:assert/strict";
import { run } from "../../commands/postsuper.ts";
import { QueueBench } from "./queue_support.ts";

const MESSAGES = ["active", "incoming", "deferred", "hold", "maildrop"];
const postsuper = (bench: QueueBench, args: readonly string[], input = "") =>
  bench.run("postsuper", run, args, input);

/** A queue with one message in each place, logs with two of them. */
function filled(main = ""): QueueBench {
  const bench = new QueueBench(main);
  bench.put("active/AAAAA1");
  bench.put("incoming/BBBBB1");
  bench.put("deferred/C/CCCCC1");
  bench.put("hold/DDDDD1");
  bench.put("maildrop/EEEEE1", undefined, 0o744);
  bench.put("defer/C/CCCCC1", new TextEncoder().encode("log"), 0o600);
  bench.put("bounce/CCCCC1", new TextEncoder().encode("log"), 0o600);
  bench.put("trace/CCCCC1", new TextEncoder().encode("log"), 0o600);
  bench.put("defer/A/AAAAA1", new TextEncoder().encode("log"), 0o600);
  return bench;
}

/** Options and input; lines on standard error; files that are gone; files that are new. */
const CASES: Readonly<
  Record<
    string,
    readonly [readonly string[], string, readonly string[], readonly string[], readonly string[]]
  >
> = {
  "-d removes a message and its logs": [
    ["-d", "CCCCC1"],
    "",
    ["CCCCC1: removed", "Deleted: 1 message"],
    ["bounce/CCCCC1", "defer/C/CCCCC1", "deferred/C/CCCCC1", "trace/CCCCC1"],
    [],
  ],
  "-d twice removes two": [
    ["-d", "BBBBB1", "-d", "DDDDD1"],
    "",
    ["BBBBB1: removed", "DDDDD1: removed", "Deleted: 2 messages"],
    ["hold/DDDDD1", "incoming/BBBBB1"],
    [],
  ],
  "-d of what is in maildrop": [["-d", "EEEEE1"], "", ["EEEEE1: removed", "Deleted: 1 message"], [
    "maildrop/EEEEE1",
  ], []],
  "-d of an id that no queue has": [["-d", "F00000"], "", ["Deleted: 0 messages"], [], []],
  "-d looks only in the queues that are named": [
    ["-d", "AAAAA1", "hold"],
    "",
    ["Deleted: 0 messages"],
    [],
    [],
  ],
  "-d of a malformed id": [
    ["-d", "../x"],
    "",
    ["warning: invalid mail queue id: ../x", "Deleted: 0 messages"],
    [],
    [],
  ],
  "-d ALL of a queue, without a line for each": [["-d", "ALL", "hold"], "", ["Deleted: 1 message"], [
    "hold/DDDDD1",
  ], []],
  "-d - takes ids from standard input": [
    ["-d", "-"],
    "DDDDD1\nBAD ID\nAAAAA1",
    [
      "DDDDD1: removed",
      "warning: invalid mail queue id: BAD ID",
      "AAAAA1: removed",
      "Deleted: 2 messages",
    ],
    ["active/AAAAA1", "defer/A/AAAAA1", "hold/DDDDD1"],
    [],
  ],
  "-h puts on hold": [
    ["-h", "AAAAA1"],
    "",
    ["AAAAA1: placed on hold", "Placed on hold: 1 message"],
    ["active/AAAAA1"],
    ["hold/AAAAA1"],
  ],
  "-h of what is on hold": [["-h", "DDDDD1"], "", ["Placed on hold: 0 messages"], [], []],
  "-h ALL": [
    ["-h", "ALL"],
    "",
    ["Placed on hold: 3 messages"],
    ["active/AAAAA1", "deferred/C/CCCCC1", "incoming/BBBBB1"],
    ["hold/AAAAA1", "hold/BBBBB1", "hold/CCCCC1"],
  ],
  "-H releases into the deferred queue's subdirectory": [
    ["-H", "DDDDD1"],
    "",
    ["DDDDD1: released from hold", "Released from hold: 1 message"],
    ["hold/DDDDD1"],
    ["deferred/D/DDDDD1"],
  ],
  "-r requeues by way of maildrop": [
    ["-r", "CCCCC1"],
    "",
    ["CCCCC1: requeued", "Requeued: 1 message"],
    ["deferred/C/CCCCC1"],
    ["maildrop/CCCCC1"],
  ],
  "-f expires and releases": [
    ["-f", "DDDDD1"],
    "",
    [
      "DDDDD1: expired",
      "DDDDD1: released from hold",
      "Force-expired: 1 message",
      "Released from hold: 1 message",
    ],
    ["hold/DDDDD1"],
    ["deferred/D/DDDDD1"],
  ],
};

for (const [name, [args, input, lines, gone, made]] of Object.entries(CASES)) {
  Deno.test(name, async () => {
    using bench = filled();
    const queues = [...MESSAGES, "bounce", "defer", "trace"];
    const before = bench.files(...queues);
    const done = await postsuper(bench, args, input);
    assert.equal(done.status, 0);
    assert.equal(done.out, "");
    assert.deepEqual(done.err.split("\n").slice(0, -1), lines.map((line) => `postsuper: ${line}`));
    const after = bench.files(...queues);
    assert.deepEqual(before.filter((file) => !after.includes(file)), gone);
    assert.deepEqual(after.filter((file) => !before.includes(file)), made);
  });
}

Deno.test("-e sets the bit that qmgr looks for, and nothing else", async () => {
  using bench = filled();
  await postsuper(bench, ["-e", "CCCCC1"]);
  assert.equal(Deno.lstatSync(bench.path("deferred/C/CCCCC1")).mode! & 0o7777, 0o710);
});

Deno.test("a requeued file is not left with the time of its next attempt", async () => {
  using bench = filled();
  Deno.utimeSync(bench.path("deferred/C/CCCCC1"), 4_000_000_000, 4_000_000_000);
  await postsuper(bench, ["-r", "CCCCC1"]);
  assert.ok(Deno.lstatSync(bench.path("maildrop/CCCCC1")).mtime!.getTime() < 3_000_000_000_000);
});

Deno.test("a message that is being written is not touched", async () => {
  using bench = new QueueBench();
  bench.put("incoming/4F2A01", undefined, 0o600);
  for (const option of ["-d", "-h", "-r", "-e"]) await postsuper(bench, [option, "4F2A01"]);
  assert.deepEqual(bench.files(...MESSAGES), ["incoming/4F2A01"]);
});

for (const option of ["-d", "-h", "-r", "-e", "-f"]) {
  Deno.test(`${option} leaves links and what they point to alone`, async () => {
    using bench = new QueueBench();
    Deno.writeTextFileSync(bench.path("victim"), "precious");
    Deno.chmodSync(bench.path("victim"), 0o700);
    Deno.symlinkSync(bench.path("victim"), bench.path("deferred/4F2A01"));
    Deno.mkdirSync(bench.path("deferred/4"));
    Deno.symlinkSync(bench.path("victim"), bench.path("deferred/4/4F2A01"));
    Deno.linkSync(bench.path("victim"), bench.path("active/4F2A02"));
    for (const id of ["4F2A01", "4F2A02", "ALL"]) await postsuper(bench, [option, id]);
    assert.equal(Deno.readTextFileSync(bench.path("victim")), "precious");
    assert.equal(Deno.lstatSync(bench.path("victim")).mode! & 0o7777, 0o700);
    assert.deepEqual(bench.files("active", "deferred", "hold", "maildrop"), [
      "active/4F2A02",
      "deferred/4/4F2A01",
      "deferred/4F2A01",
    ]);
  });
}

Deno.test("holding a message never replaces one that is on hold under the same id", async () => {
  using bench = new QueueBench();
  bench.put("active/4F2A01");
  bench.put("hold/4F2A01", new TextEncoder().encode("other"));
  const { err } = await postsuper(bench, ["-h", "4F2A01"]);
  assert.match(err, /hold\/4F2A01 exists already/);
  assert.deepEqual(bench.files("active", "hold"), ["active/4F2A01", "hold/4F2A01"]);
});

Deno.test("-s names files after their inode, their logs with them, and moves files home", async () => {
  using bench = new QueueBench();
  const hex = (inode: number) => inode.toString(16).toUpperCase();
  const wrong = bench.put("deferred/4/4F2A0FFFFF");
  bench.put("defer/4/4F2A0FFFFF", new TextEncoder().encode("defer log"), 0o600);
  bench.put("bounce/4F2A0FFFFF", new TextEncoder().encode("bounce log"), 0o600);
  const lost = bench.put("deferred/lost");
  const misplaced = bench.put("deferred/misplaced");
  Deno.renameSync(bench.path("deferred/misplaced"), bench.path(`deferred/7${"0000"}${hex(misplaced)}`));
  bench.put("incoming/99999.1234", undefined, 0o600);
  Deno.mkdirSync(bench.path("active/empty"));
  Deno.mkdirSync(bench.path("active/full"));
  bench.put("active/full/x");
  const done = await postsuper(bench, ["-s"]);
  const right = `4F2A0${hex(wrong)}`;
  assert.deepEqual(bench.files("active", "deferred", "defer", "bounce", "incoming"), [
    "active/full/x",
    `bounce/${right}`,
    `defer/4/${right}`,
    `deferred/4/${right}`,
    `deferred/7/70000${hex(misplaced)}`,
    "deferred/lost",
    "incoming/99999.1234",
  ]);
  assert.equal(Deno.readTextFileSync(bench.path(`bounce/${right}`)), "bounce log");
  assert.equal(Deno.lstatSync(bench.path("deferred/lost")).ino, lost);
  assert.throws(() => Deno.lstatSync(bench.path("active/empty")), Deno.errors.NotFound);
  for (
    const line of [
      "postsuper: warning: bogus file name: incoming/99999.1234",
      "postsuper: warning: bogus file name: deferred/lost",
      "postsuper: Renamed to match inode number: 1 message",
      "postsuper: warning: QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS",
    ]
  ) assert.ok(done.err.split("\n").includes(line), line);
  assert.equal((await postsuper(bench, ["-s"])).err.includes("Renamed"), false);
});

Deno.test("two files with each other's name change names without loss, and a run that was cut off is finished", async () => {
  using bench = new QueueBench();
  const hex = (inode: number) => inode.toString(16).toUpperCase();
  const one = bench.put("hold/one", new TextEncoder().encode("one"));
  const two = bench.put("hold/two", new TextEncoder().encode("two"));
  Deno.renameSync(bench.path("hold/one"), bench.path(`hold/4F2A0${hex(two)}`));
  // The second one got its mark before the crash.
  Deno.renameSync(bench.path("hold/two"), bench.path(`hold/4F2A0${hex(two)}#FIX`));
  bench.put(`defer/4/4F2A0${hex(two)}#FIX`, new TextEncoder().encode("log of two"), 0o600);
  await postsuper(bench, ["-s"]);
  assert.deepEqual(
    bench.files("hold", "defer"),
    [`defer/4/4F2A0${hex(two)}`, `hold/4F2A0${hex(one)}`, `hold/4F2A0${hex(two)}`].sort(),
  );
  assert.equal(Deno.readTextFileSync(bench.path(`hold/4F2A0${hex(two)}`)), "two");
});

Deno.test("long ids become short ones where enable_long_queue_ids is off, and stay where it is on", async () => {
  for (const long of [false, true]) {
    using bench = new QueueBench(`enable_long_queue_ids = ${long}\n`);
    const inode = bench.put("hold/4jXwD359PfzJ9Qy");
    await postsuper(bench, ["-s"]);
    const [file] = bench.files("hold");
    if (long) assert.equal(file, "hold/4jXwD359PfzJ9Qy");
    else assert.match(file!, new RegExp(`^hold/[0-9A-F]{5}${inode.toString(16).toUpperCase()}$`));
    await postsuper(bench, ["-S"]);
    if (long) assert.match(bench.files("hold")[0]!, /^hold\/4jXwD359Pfz/);
  }
});

Deno.test("after names were changed nothing is done to the ids of the same command line", async () => {
  using bench = new QueueBench();
  bench.put("hold/4F2A0FFFFF");
  const done = await postsuper(bench, ["-s", "-d", "4F2A0FFFFF"]);
  assert.equal(done.status, 1);
  assert.match(done.err, /CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND/);
  assert.equal(bench.files("hold").length, 1);
});

Deno.test("-p removes unfinished files of more than seven days, and only those", async () => {
  using bench = new QueueBench();
  const day = 86400;
  const now = Date.now() / 1000;
  const make = (name: string, mode: number, age: number) => {
    bench.put(name, undefined, mode);
    Deno.utimeSync(bench.path(name), now - age, now - age);
  };
  make("incoming/99999.1", 0o600, 8 * day);
  make("incoming/99999.2", 0o600, 6 * day);
  make("incoming/4F2A01", 0o700, 30 * day);
  make("maildrop/4F2A02", 0o644, 8 * day);
  make("bounce/4F2A03", 0o600, 30 * day);
  await postsuper(bench, ["-p"]);
  assert.deepEqual(bench.files("incoming", "maildrop", "bounce"), [
    "bounce/4F2A03",
    "incoming/4F2A01",
    "incoming/99999.2",
  ]);
});

Deno.test("a directory that is no queue, and an option that does not exist, end the command before it does anything", async () => {
  using bench = filled();
  for (
    const args of [["-d", "ALL", "private"], ["-d", "ALL", "-x"], ["-d", "ALL", "../etc"], ["-c", "etc"]]
  ) {
    const done = await postsuper(bench, args);
    assert.equal(done.status, 1);
    assert.match(done.err, /^postsuper: /);
  }
  assert.equal(bench.files(...MESSAGES).length, 5);
});

Deno.test("a deletion is in the log too", async () => {
  using bench = filled();
  Deno.writeTextFileSync(bench.path("log/mail.log"), "");
  await postsuper(bench, ["-d", "DDDDD1"]);
  assert.match(
    Deno.readTextFileSync(bench.path("log/mail.log")),
    /postfix\/postsuper\[\d+\]: DDDDD1: removed\n/,
  );
});
