import assert from "node:assert/strict";
import { run } from "../../commands/import.ts";
import { importQueue } from "../../commands/import_queue.ts";
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { inodeOf, toQueueId } from "../../lib/mail/queue_id.ts";
import { queueFile } from "../support/messages.ts";
import { filesBelow } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";
import { QueueBench } from "./queue_support.ts";

const QUEUES = [
  "incoming",
  "active",
  "deferred",
  "hold",
  "maildrop",
  "corrupt",
  "defer",
  "bounce",
  "trace",
  "pid",
];
const ONE_USER = 'mail_owner = ""\n';
const text = (value: string) => new TextEncoder().encode(value);

/** The queue of another system. */
class Source implements Disposable {
  readonly #directory = new TemporaryDirectory();

  constructor() {
    for (const queue of QUEUES) Deno.mkdirSync(this.path(queue));
  }

  get root(): string {
    return this.#directory.path;
  }

  path(name: string): string {
    return this.#directory.at(name);
  }

  put(name: string, bytes: Uint8Array = queueFile({ sender: name }), mode = 0o700, time?: number): void {
    const path = this.path(name);
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(path, bytes);
    Deno.chmodSync(path, mode);
    if (time !== undefined) Deno.utimeSync(path, time, time);
  }

  /** Names of the files that are still where a mail system would find them. */
  left(): string[] {
    return QUEUES.filter((queue) => queue !== "pid").flatMap((queue) => filesBelow(this.path(queue)))
      .map((path) => path.slice(this.root.length + 1)).sort();
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

/** Our files below the queues: their folder, and the sender that they were made with or their text. */
function ours(bench: QueueBench, ...queues: string[]): Map<string, string> {
  return new Map(
    bench.files(...queues).map((name) => {
      const bytes = Deno.readTextFileSync(bench.path(name));
      return [/S[\s\S]([a-z]+\/[^\s]*?[0-9A-F]{6,})[RO]/.exec(bytes)?.[1] ?? bytes, name];
    }),
  );
}

const start = (bench: QueueBench, source: string) => bench.run("import", run, ["--queue", source]);

Deno.test("messages keep queue, time and mode, get an id of their own inode, and take their logs along", async () => {
  using source = new Source();
  using bench = new QueueBench(ONE_USER);
  source.put("deferred/4/2/42AAA100001", undefined, 0o710, 2_000_000_000);
  source.put("defer/4/2/42AAA100001", text("defer log"), 0o600);
  source.put("bounce/42AAA100001", text("bounce log"), 0o600);
  source.put("trace/42AAA100001", text("trace log"), 0o600);
  source.put("hold/42AAA200002");
  source.put("active/42AAA300003", undefined, 0o700, 1_000_000_000);
  source.put("incoming/42AAA400004", undefined, 0o700, 1_000_000_000);
  source.put("maildrop/42AAA500005", undefined, 0o744);
  const done = await start(bench, source.root);
  assert.equal(done.status, 0, done.err);
  const files = ours(bench, "incoming", "active", "deferred", "hold", "maildrop", "corrupt");
  const folder = (name: string) => files.get(name)?.replace(/[^/]*$/, "");
  assert.equal(folder("deferred/4/2/42AAA100001"), "deferred/4/");
  assert.equal(folder("hold/42AAA200002"), "hold/");
  assert.equal(folder("active/42AAA300003"), "incoming/");
  assert.equal(folder("incoming/42AAA400004"), "incoming/");
  assert.equal(folder("maildrop/42AAA500005"), "maildrop/");
  for (const [before, name] of files) {
    const id = toQueueId(name.slice(name.lastIndexOf("/") + 1))!;
    assert.equal(inodeOf(id), Deno.lstatSync(bench.path(name)).ino);
    assert.ok(done.err.includes(`import: ${id}: imported from ${before.replace("4/2/", "")}\n`), done.err);
  }
  const deferred = files.get("deferred/4/2/42AAA100001")!;
  const { mode, mtime } = Deno.lstatSync(bench.path(deferred));
  assert.deepEqual([mode! & 0o7777, mtime!.getTime()], [0o710, 2_000_000_000_000]);
  assert.ok(
    Deno.lstatSync(bench.path(files.get("active/42AAA300003")!)).mtime!.getTime() > 1_700_000_000_000,
  );
  const id = deferred.slice(deferred.lastIndexOf("/") + 1);
  assert.equal(Deno.readTextFileSync(bench.path(`defer/4/${id}`)), "defer log");
  assert.equal(Deno.readTextFileSync(bench.path(`bounce/${id}`)), "bounce log");
  assert.equal(Deno.readTextFileSync(bench.path(`trace/${id}`)), "trace log");
  assert.deepEqual(source.left(), []);
  assert.equal(filesBelow(source.path("imported")).length, 8);
  assert.throws(() => Deno.lstatSync(bench.path("import")), Deno.errors.NotFound);
});

for (const long of [false, true]) {
  Deno.test(`a long id ${long ? "stays where long ids are in use" : "becomes a short one where they are not"}`, async () => {
    using source = new Source();
    using bench = new QueueBench(`${ONE_USER}enable_long_queue_ids = ${long}\n`);
    source.put("hold/4jXwD359PfzJ9Qy");
    await start(bench, source.root);
    const [name] = bench.files("hold");
    if (long) assert.equal(name, "hold/4jXwD359PfzJ9Qy");
    else assert.match(name!, /^hold\/[0-9A-F]+$/);
    assert.equal(
      (await bench.run("postsuper", (await import("../../commands/postsuper.ts")).run, ["-s"])).err,
      "",
    );
  });
}

Deno.test("an id that is taken here is not taken twice", async () => {
  using source = new Source();
  using bench = new QueueBench(`${ONE_USER}enable_long_queue_ids = true\n`);
  bench.put("deferred/1/4jXwD359PfzJ9Qy", text("ours"));
  bench.put("hold/4jXwD359PfzJ9Qy", text("ours"));
  source.put("hold/4jXwD359PfzJ9Qy", queueFile());
  await start(bench, source.root);
  assert.equal(bench.files("hold").length, 2);
  assert.equal(Deno.readTextFileSync(bench.path("hold/4jXwD359PfzJ9Qy")), "ours");
});

Deno.test("damaged messages are saved in corrupt/ and listed, whatever their queue", async () => {
  using source = new Source();
  using bench = new QueueBench(ONE_USER);
  const whole = queueFile({ lines: ["Subject: x", "", "body"] });
  source.put("incoming/42AAA100001", whole.slice(0, -2));
  source.put("deferred/4/42AAA200002", whole.slice(0, -20));
  source.put("active/42AAA300003", whole, 0o400);
  source.put("hold/42AAA400004", text("garbage"));
  source.put("hold/42AAA500005", whole);
  const done = await start(bench, source.root);
  assert.equal(done.status, 0);
  assert.equal(bench.files("corrupt").length, 4);
  assert.equal(bench.files("hold").length, 1);
  assert.deepEqual(bench.files("incoming", "deferred", "active"), []);
  assert.equal(done.err.match(/saved in corrupt queue/g)?.length, 4);
  assert.match(done.err, /import: warning: 4 messages saved in the corrupt queue\n/);
  assert.deepEqual(source.left(), []);
});

Deno.test("damage from a seed loses no file: each is in a queue or in corrupt/, with all its bytes", async () => {
  using source = new Source();
  using bench = new QueueBench(ONE_USER);
  const random = new Random(11);
  const made = Array.from({ length: 150 }, (_, i) => {
    const bytes = random.damage(queueFile({ recipients: ["a@x", `b${i}@x`] }));
    source.put(
      `${random.pick(["incoming", "active", "deferred/4", "hold"])}/42AA${
        i.toString(16).padStart(6, "0").toUpperCase()
      }`,
      bytes,
    );
    return bytes.toHex();
  });
  assert.equal((await start(bench, source.root)).status, 0);
  const there = bench.files("incoming", "deferred", "hold", "corrupt").map((name) =>
    Deno.readFileSync(bench.path(name)).toHex()
  );
  assert.deepEqual(there.sort(), made.sort());
});

Deno.test("what is incomplete, in use or no regular file is left and listed", async () => {
  using source = new Source();
  using bench = new QueueBench(ONE_USER);
  source.put("incoming/42AAA100001", undefined, 0o600);
  source.put("incoming/123.456", undefined, 0o600);
  source.put("active/42AAA200002");
  Deno.writeTextFileSync(source.path("victim"), "precious");
  Deno.symlinkSync(source.path("victim"), source.path("hold/42AAA300003"));
  Deno.linkSync(source.path("victim"), source.path("hold/42AAA400004"));
  using agent = Deno.openSync(source.path("active/42AAA200002"), { read: true });
  await agent.lock(false);
  const before = source.left();
  const done = await start(bench, source.root);
  assert.equal(done.status, 1);
  assert.deepEqual(source.left(), before);
  assert.deepEqual(bench.files("incoming", "active", "hold", "corrupt"), []);
  for (
    const line of [
      "incoming/42AAA100001: is incomplete: it was never acknowledged: left",
      "incoming/123.456: is no queue file: left",
      "active/42AAA200002: is being delivered: left",
      "hold/42AAA300003: is a symbolic link: left",
      "hold/42AAA400004: has 2 hard links: left",
      "5 files left in ",
    ]
  ) assert.ok(done.err.includes(line), `${line}\n${done.err}`);
});

Deno.test("two files with the same id are taken one after the other", async () => {
  using source = new Source();
  using bench = new QueueBench(ONE_USER);
  source.put("deferred/4/42AAA100001");
  source.put("deferred/42AAA100001");
  const done = await start(bench, source.root);
  assert.equal(done.status, 1);
  assert.match(done.err, /another file has the same id: left in /);
  assert.equal((await start(bench, source.root)).status, 0);
  assert.equal(ours(bench, "deferred").size, 2);
  assert.equal(filesBelow(source.path("imported")).length, 2);
});

Deno.test("nothing is done while either mail system runs", async () => {
  for (const which of ["theirs", "ours"]) {
    using source = new Source();
    using bench = new QueueBench(ONE_USER);
    source.put("hold/42AAA100001");
    const pid = which === "theirs" ? source.path("pid/master.pid") : bench.path("pid/master.pid");
    using master = Deno.openSync(pid, { create: true, write: true });
    await master.lock(true);
    const done = await start(bench, source.root);
    assert.equal(done.status, 1);
    assert.match(done.err, /import: fatal: .* running: stop it first\n$/);
    assert.deepEqual(source.left(), ["hold/42AAA100001"]);
    assert.deepEqual(bench.files("hold"), []);
  }
});

Deno.test("a folder that is no queue, our own queue and a wrong command line are refused", async () => {
  using bench = new QueueBench(ONE_USER);
  for (
    const [args, why] of [
      [["--queue", "/nonexistent"], /there is no queue in/],
      [["--queue", bench.path("etc")], /there is no queue in/],
      [["--queue", bench.system.queue.root], /is Postern's own queue/],
      [["--queue"], /usage: /],
      [["-q", "/x"], /usage: /],
      [["--queue", "/x", "/y"], /usage: /],
    ] as const
  ) {
    const done = await bench.run("import", run, args);
    assert.equal(done.status, 1);
    assert.match(done.err, why);
  }
});

/** Ends the import at its n-th line of report or its n-th rename, as a crash would. */
class Crash extends Error {}

Deno.test("an import that is cut off anywhere is finished by the next one: nothing lost, nothing twice", async () => {
  for (let after = 0; after < 12; after++) {
    using source = new Source();
    using bench = new QueueBench(ONE_USER);
    for (let i = 0; i < 5; i++) {
      source.put(`deferred/4/42AA${i}10000${i}`);
      source.put(`defer/4/42AA${i}10000${i}`, text(`log ${i}`), 0o600);
    }
    const target = new QueueDirectory(bench.system.queue.root, ["deferred", "defer"], 1);
    const { renameSync } = Deno;
    let renames = 0;
    Deno.renameSync = (from, to) => {
      if (renames++ === after) throw new Crash();
      renameSync(from, to);
    };
    const given = {
      source: source.root,
      target,
      longIds: false,
      owner: undefined,
      run: "first",
      report: { info: () => {}, warning: () => {} },
    };
    try {
      await assert.rejects(() => importQueue(given));
    } finally {
      Deno.renameSync = renameSync;
    }
    const again = await importQueue({ ...given, run: "second" });
    assert.equal(again.left, 0);
    assert.deepEqual([source.left(), bench.files("corrupt")], [[], []], String(after));
    const senders = [...ours(bench, "deferred").keys()].sort();
    assert.deepEqual(
      senders,
      Array.from({ length: 5 }, (_, i) => `deferred/4/42AA${i}10000${i}`),
      String(after),
    );
    assert.equal(bench.files("deferred").length, 5);
    for (const name of bench.files("deferred")) {
      const log = bench.path(name.replace("deferred", "defer"));
      const sender = [...ours(bench, "deferred")].find(([, one]) => one === name)![0];
      assert.equal(Deno.readTextFileSync(log), `log ${sender.slice(15, 16)}`);
    }
  }
});

Deno.test("an import from elsewhere that was cut off is not thrown away by the next one", async () => {
  using source = new Source();
  using bench = new QueueBench(ONE_USER);
  source.put("hold/42AAA100001");
  Deno.mkdirSync(bench.path("import"));
  Deno.writeTextFileSync(bench.path("import/source"), "/elsewhere\nrun\n");
  Deno.writeTextFileSync(bench.path("import/hold.42AAA900009"), "precious");
  await assert.rejects(() => start(bench, source.root), /an import from "\/elsewhere" was cut off/);
  assert.equal(Deno.readTextFileSync(bench.path("import/hold.42AAA900009")), "precious");
  assert.deepEqual(source.left(), ["hold/42AAA100001"]);
});

testNeeding(["root"], "files are given to the queue's owner, a posted one stays its sender's", async () => {
  using source = new Source();
  using bench = new QueueBench('mail_owner = "nobody"\nnet_owner = "daemon"\n');
  for (const queue of QUEUES) Deno.chownSync(source.path(queue), 4001, 4001);
  source.put("deferred/4/42AAA100001");
  source.put("defer/4/42AAA100001", text("log"), 0o600);
  source.put("maildrop/42AAA200002", undefined, 0o700);
  source.put("maildrop/42AAA300003", undefined, 0o744);
  source.put("maildrop/42AAA400004", undefined, 0o700);
  for (const name of ["deferred/4/42AAA100001", "defer/4/42AAA100001", "maildrop/42AAA200002"]) {
    Deno.chownSync(source.path(name), 4001, 4001);
  }
  for (const name of ["maildrop/42AAA300003", "maildrop/42AAA400004"]) {
    Deno.chownSync(source.path(name), 4003, 4003);
  }
  const done = await start(bench, source.root);
  assert.equal(done.status, 0, done.err);
  const files = ours(bench, "deferred", "maildrop");
  const uid = (name: string) => Deno.lstatSync(bench.path(files.get(name)!)).uid;
  assert.equal(uid("deferred/4/42AAA100001"), 65534);
  assert.equal(uid("maildrop/42AAA200002"), 65534);
  assert.equal(uid("maildrop/42AAA300003"), 4003);
  assert.equal(uid("maildrop/42AAA400004"), 4003);
  const [log] = bench.files("defer");
  assert.deepEqual([log!, "defer/4", "deferred/4"].map((name) => Deno.lstatSync(bench.path(name)).uid), [
    65534,
    65534,
    65534,
  ]);
});
