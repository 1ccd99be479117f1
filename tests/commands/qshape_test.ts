import assert from "node:assert/strict";
import { run } from "../../commands/qshape.ts";
import { queueFile } from "../support/messages.ts";
import { runProgram } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { testNeeding } from "../support/tools.ts";
import { records } from "./maildrop_support.ts";
import { QueueBench } from "./queue_support.ts";

const DOMAINS = [
  "one.example.com",
  "two.example.com",
  "three.example.com",
  "four.example.com",
  "five.example.com",
  "a.b.c.example.org",
  "x.b.c.example.org",
  "Example.NET",
  "dotted..example.net.",
  ".front.example.net",
  "top",
  "a-very-long-name-that-does-not-fit-into-the-columns-of-any-terminal.example.com",
];

/** Messages of many ages and domains, in three queues. */
function fill(bench: QueueBench): void {
  const random = new Random(3);
  for (let i = 0; i < 120; i++) {
    const id = `42AAA${(0x100000 + i).toString(16).toUpperCase()}`;
    const queue = random.pick(["incoming", "active", "deferred/4"]);
    const recipients = Array.from({ length: 1 + random.below(4) }, (_, n) => ({
      address: `r${n}@${random.pick(DOMAINS)}`,
      original: "",
      ...(random.below(5) === 0 ? { done: true as const } : {}),
    }));
    const sender = random.pick(["", "a@one.example.com", "b@example.net", "plain", '"a@b"@x.example.net']);
    // In the middle of an interval: a second more or less must not matter.
    const minutes = random.pick([0, 3, 7, 15, 30, 70, 150, 300, 700, 3000, 20000]) + 0.5;
    const time = Date.now() - minutes * 60_000;
    bench.put(
      `${queue}/${id}`,
      queueFile({ sender, recipients, time }),
      random.below(10) === 0 ? 0o600 : 0o700,
    );
  }
  bench.put("incoming/short", queueFile());
  bench.put("incoming/42AAA.0001", queueFile());
  bench.put("incoming/42AAA900002", queueFile().slice(0, -3));
  bench.put("incoming/42AAA900003", queueFile(), 0o710);
}

/** Rows of the same count and length come in any order. */
function rows(table: string): string[] {
  const [head = "", ...rest] = table.split("\n");
  return [head, ...rest.toSorted()];
}

const OPTIONS: readonly (readonly string[])[] = [
  [],
  ["-s"],
  ["-p"],
  ["-p", "-m", "2"],
  ["-s", "-p", "-m", "1"],
  ["-l"],
  ["-l", "-b", "4", "-t", "100"],
  ["-b", "3"],
  ["-b", "20"],
  ["-b", "0", "-t", "0", "-m", "0"],
  ["-t", "1"],
  ["-t", "2.5"],
  ["-w", "120"],
  ["-w", "10"],
  ["-N", "1", "-n", "2"],
  ["deferred"],
  ["-s", "deferred", "incoming", "active"],
  ["nowhere"],
];

testNeeding(["postfix"], "the table is that of Debian's qshape, with every option", async () => {
  using bench = new QueueBench();
  fill(bench);
  const { root } = bench.system.queue;
  for (const options of OPTIONS) {
    // Debian's asks Postfix's configuration for the queue of a name: paths need none.
    const split = options.findIndex((word, i) =>
      !word.startsWith("-") && !/^-[bmtwNn]$/.test(options[i - 1] ?? "")
    );
    const flags = split < 0 ? options : options.slice(0, split);
    const queues = split < 0 ? ["incoming", "active"] : options.slice(split);
    const paths = queues.map((name) => `${root}/${name}`);
    const want = await runProgram("/usr/sbin/qshape", [...flags, ...paths]);
    const got = await bench.run("qshape", run, [...flags, ...paths]);
    assert.deepEqual(rows(got.out), rows(want.output), options.join(" "));
    assert.equal((await bench.run("qshape", run, options)).out, got.out, "names are those of our own queues");
    assert.equal(got.status, 0);
  }
});

Deno.test("the busiest domain comes first, of two the shorter", async () => {
  using bench = new QueueBench();
  const time = Date.now() - 1000;
  bench.put(
    "active/42AAA100001",
    queueFile({ recipients: ["a@long.test", "b@bb.test", "c@bb.test", "d@x.test"], time }),
  );
  const { out } = await bench.run("qshape", run, ["-b", "2"]);
  assert.deepEqual(out.split("\n").map((line) => line.trim().split(/ +/)), [
    ["T", "5", "5+"],
    ["TOTAL", "4", "4", "0"],
    ["bb.test", "2", "2", "0"],
    ["x.test", "1", "1", "0"],
    ["long.test", "1", "1", "0"],
    [""],
  ]);
});

Deno.test("what waits in maildrop counts with its own time, recipients behind the content too", async () => {
  using bench = new QueueBench();
  const now = Math.floor(Date.now() / 1000);
  const message = records(
    ["T", `${now - 400} 1`],
    ["S", "me@here.test"],
    ["R", "a@one.test"],
    ["M", ""],
    ["N", "Subject: x"],
    ["X", ""],
    ["R", "b@two.test"],
    ["E", ""],
  );
  bench.put("maildrop/42AAA100001", message, 0o744);
  bench.put("maildrop/42AAA100002", message.slice(0, -2), 0o744);
  const { out } = await bench.run("qshape", run, ["-b", "3", "maildrop"]);
  assert.deepEqual(out.split("\n").slice(1, -1).map((line) => line.trim().split(/ +/)), [
    ["TOTAL", "2", "0", "2", "0"],
    ["one.test", "1", "0", "1", "0"],
    ["two.test", "1", "0", "1", "0"],
  ]);
});

Deno.test("links are not followed, what is no queue file not counted, control characters not printed", async () => {
  using bench = new QueueBench();
  bench.put("hold/42AAA100001", queueFile({ recipients: ["a@x\u001b[2J.test"] }));
  Deno.symlinkSync(bench.path("hold/42AAA100001"), bench.path("hold/42AAA100002"));
  // Debian's counts such a file as a message of 1970 with -s.
  bench.put("hold/42AAA900001", new TextEncoder().encode("garbage"));
  const senders = await bench.run("qshape", run, ["-s", "hold"]);
  assert.match(senders.out, / TOTAL +1 /);
  const { out } = await bench.run("qshape", run, ["hold"]);
  assert.match(out, /x\?\[2j\.test +1 /);
  assert.ok(!out.includes("\u001b"));
});

Deno.test("a wrong option and -h print the usage", async () => {
  using bench = new QueueBench();
  for (const args of [["-x"], ["-h"], ["-b"]]) {
    const done = await bench.run("qshape", run, args);
    assert.equal(done.status, 255);
    assert.match(done.err, /Usage: qshape \[ -s \]/);
    assert.equal(done.out, "");
  }
});
