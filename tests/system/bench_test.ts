import assert from "node:assert/strict";
import { deferredMessage, writeDeferred } from "../../bench/deferred.ts";
import { drawChart } from "../../bench/chart.ts";
import { CASES } from "../../bench/cases.ts";
import type { Figures } from "../../bench/measure.ts";
import { formatSection, median, quantile, ratios, type Section, summarize } from "../../bench/report.ts";
import { EnvelopeReader } from "../../lib/mail/queue_file.ts";
import { inodeOf, toQueueId } from "../../lib/mail/queue_id.ts";
import { until } from "../commands/mail_system.ts";
import { filesBelow, Postern, runProgram } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { testNeeding } from "../support/tools.ts";

const BENCH = new URL("../../bench/bench.ts", import.meta.url).pathname;
const LETTERS = CASES.map(({ letter }) => letter);

/** A directory for a benchmark, which must have left it empty. */
class Below implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "bench-" });

  constructor() {
    Deno.chmodSync(this.path, 0o755); // Postfix's daemons have a user of their own
  }

  names(): string[] {
    return [...Deno.readDirSync(this.path)].map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("the benchmark measures every case on both systems with a small load, and leaves nothing behind", async () => {
  using out = new Below();
  using disk = new Below();
  const args = [
    "--pairs",
    "1",
    "--messages",
    "20",
    "--place",
    "disk",
    "--disk",
    disk.path,
    "--out",
    out.path,
  ];
  const done = await runProgram(Deno.execPath(), ["run", "-A", BENCH, ...args]);
  assert.equal(done.status, 0, done.errors);
  assert.deepEqual(disk.names(), []);
  assert.deepEqual(out.names().sort(), ["chart.svg", "figures.json", "table.txt"]);
  const { sections } = JSON.parse(Deno.readTextFileSync(`${out.path}/figures.json`));
  assert.deepEqual(sections.map(({ letter }: { letter: string }) => letter), LETTERS);
  for (const { letter, load, postern, postfix, ratio, clientAlone, deferred } of sections) {
    assert.equal(postfix !== undefined, Postfix.available(), letter);
    assert.ok(clientAlone > 0, letter);
    assert.equal(deferred > 0, letter === "h");
    for (const { runs, medians } of Postfix.available() ? [postern, postfix] : [postern]) {
      assert.equal(runs.length, 1, letter);
      const own = load.client === "smtp-source" ? load.messages : 0;
      assert.equal(runs[0].messages, own + runs[0].samples, letter);
      for (const metric of ["rate", "accepted", "rss", "pss", "finalP99", "transactionP99"]) {
        assert.ok(medians[metric] > 0, `${letter}: ${metric}`);
      }
      assert.ok(medians.pss < medians.rss, letter);
    }
    assert.equal(ratio?.rate > 0, Postfix.available(), letter);
    if (!["f", "g", "h"].includes(letter)) continue;
    assert.ok(postern.daemons.idle.qmgr > 0 && postern.daemons.peak.qmgr > 0, letter);
    assert.equal("smtp" in postern.daemons.peak, letter === "g");
  }
});

Deno.test("the benchmark that is interrupted stops its systems and removes what it made", async () => {
  using below = new Below();
  const places = ["--place", "disk", "--disk", below.path, "--out", `${below.path}/out`];
  const args = ["run", "-A", BENCH, "--case", "a", "--messages", "100000", ...places];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "piped" }).spawn();
  const errors = new Response(child.stderr).text();
  assert.ok(await until(() => below.names().some((name) => name.startsWith("postern-"))));
  child.kill("SIGINT");
  assert.equal((await child.status).code, 130);
  assert.match(await errors, /ended by SIGINT/);
  assert.deepEqual(below.names(), []);
});

Deno.test("the benchmark names the cases when it is asked for one that is not there", async () => {
  const done = await runProgram(Deno.execPath(), ["run", "-A", BENCH, "--case", "a,x"]);
  assert.equal(done.status, 1);
  assert.match(done.errors, /--case "x" is not known/);
  for (const letter of LETTERS) assert.match(done.errors, new RegExp(`^  ${letter}  `, "m"));
});

Deno.test("a deferred message of the benchmark is a whole queue file", () => {
  const bytes = deferredMessage(Date.UTC(2026, 0, 1));
  const reader = new EnvelopeReader((into, offset) => {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  });
  assert.deepEqual(reader.recipients(10).map(({ address }) => address), ["later@far.test"]);
  assert.ok(reader.finished);
  assert.equal(reader.envelope().sender, "me@bench.test");
  assert.equal(reader.envelope().arrivalTime, Date.UTC(2026, 0, 1));
});

/** What the queue's listing must show: every id, and how many there are. */
const WAITING = 40;

Deno.test("Postern lists the benchmark's deferred messages, and does not try them before their time", async () => {
  await using postern = await Postern.start();
  await writeDeferred(postern.paths.queue, WAITING, new AbortController().signal);
  const files = postern.queued("deferred");
  assert.equal(files.length, WAITING);
  for (const path of files) {
    const id = toQueueId(path.slice(path.lastIndexOf("/") + 1))!;
    assert.equal(inodeOf(id), Deno.statSync(path).ino);
  }
  await postern.run(["postkick", "public", "qmgr", "D"]);
  const listed = await postern.run(["postqueue", "-j"]);
  assert.equal(listed.output.trim().split("\n").length, WAITING, listed.errors);
  assert.equal(postern.queued("deferred").length, WAITING);
});

testNeeding(
  ["root", "postfix"],
  "Postfix lists the benchmark's deferred messages and finds no fault",
  async () => {
    await using postfix = await Postfix.start();
    await writeDeferred(postfix.queue, WAITING, new AbortController().signal);
    assert.equal((await postfix.run("/usr/sbin/postsuper", ["-s"])).status, 0);
    const files = filesBelow(`${postfix.queue}/deferred`);
    assert.equal(files.length, WAITING);
    const listed = await postfix.run("/usr/sbin/postqueue", ["-j"]);
    assert.equal(listed.output.trim().split("\n").length, WAITING, listed.errors);
    const shown = await postfix.run("/usr/sbin/postcat", ["-e", files[0]!]);
    assert.match(shown.output, /recipient: later@far\.test/);
    assert.doesNotMatch(postfix.log(), /warning|corrupt/);
  },
);

function figures(rate: number, finals: number[]): Figures {
  const probe = { finals, transactions: finals.map((value) => value * 2) };
  return {
    messages: 1,
    rate,
    accepted: rate,
    cpu: 1 / rate,
    rss: 40,
    pss: 20,
    probe,
    reused: 0,
    daemons: { qmgr: rate },
  };
}

Deno.test("latencies count over all runs together, everything else as the median of the runs", () => {
  const summary = summarize([figures(10, [1, 2, 3]), figures(30, [100]), figures(20, [4])]);
  assert.equal(summary.rate, 20);
  assert.equal(summary.finalP50, 3);
  assert.equal(summary.finalP99, 100);
  assert.equal(summary.transactionP99, 200);
  assert.equal(ratios(summary, summarize([figures(5, [6])])).rate, 4);
});

Deno.test("medians and quantiles of few values", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(quantile([5], 0.99), 5);
  assert.equal(quantile(Array.from({ length: 200 }, (_, i) => 199 - i), 0.99), 198);
});

Deno.test("table and chart show both systems' medians and their ratio, or Postern alone", () => {
  const load = CASES[0]!.load(10);
  const both: Section = {
    letter: "a",
    title: "a <case>",
    name: "disk",
    place: "/tmp",
    load,
    deferred: 0,
    clientAlone: 5000,
    postern: { figures: [figures(400, [1])], idle: { qmgr: 200 } },
    postfix: { figures: [figures(100, [2])], idle: {} },
  };
  const { postfix: _, ...alone } = both;
  assert.match(
    formatSection(both),
    /Postfix median +100 .*\n.*Postern median +400 .*\n.*Postern\/Postfix +4\.00x/,
  );
  assert.match(formatSection(both), /Postern, one process idle to peak, MiB: qmgr 200 to 400 \(2\.00x\)/);
  assert.doesNotMatch(formatSection(alone), /Postfix/);
  const chart = drawChart([both, alone], "here");
  assert.match(chart, /^<svg .*<\/svg>\n$/s);
  assert.match(chart, />4\.00</);
  assert.match(chart, /a &lt;case>/);
});
