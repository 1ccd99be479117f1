import assert from "node:assert/strict";
import { JournalKeeper } from "../../../daemons/qmgr/qmgr_journal.ts";
import { QueueDirectory, type QueueName } from "../../../lib/mail/queue_directory.ts";
import { toQueueId } from "../../../lib/mail/queue_id.ts";
import { JournalWriter } from "../../../lib/mail/queue_journal.ts";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { SystemError } from "../../../lib/safe/error.ts";
import { SafeDirectory, SafeFile } from "../../../lib/safe/file.ts";
import { queueFile } from "../../support/messages.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const QUEUES: readonly QueueName[] = ["incoming", "active", "deferred", "hold", "corrupt", "journal"];
const BEFORE = "boot-before";
const NOW = "boot-now";
const id = (text: string) => toQueueId(text)!;
const message = (name: string) =>
  queueFile({ lines: [`Subject: ${name}`, "", "text"], recipients: ["a@x.test", "b@x.test"] });

/** A queue with a journal. */
class Bench implements Disposable {
  readonly directory = new TemporaryDirectory();
  readonly lines: string[] = [];
  readonly queue: QueueDirectory;

  constructor(hashed = false) {
    for (const name of QUEUES) Deno.mkdirSync(this.directory.at(name));
    this.queue = new QueueDirectory(this.directory.path, hashed ? ["incoming", "deferred"] : [], 1);
  }

  keeper(boot = NOW): JournalKeeper {
    const say = (text: string) => void this.lines.push(text);
    return new JournalKeeper(this.queue, boot, {
      info: say,
      warning: say,
      error: say,
      debug: say,
      flush: () => {},
    });
  }

  /** A journal of an earlier boot, or of this one, with these messages. */
  async journal(names: readonly string[], boot = BEFORE): Promise<JournalWriter> {
    const writer = new JournalWriter(this.directory.at("journal"), boot);
    await Promise.all(
      names.map((name) => new Promise((resolve) => writer.add(id(name), message(name), resolve))),
    );
    return writer;
  }

  put(queue: QueueName, name: string, content = message(name)): string {
    this.queue.ensureHash(queue, id(name));
    const path = this.queue.path(queue, id(name));
    Deno.writeFileSync(path, content, { mode: 0o700 });
    return path;
  }

  /** Names of the messages in a queue. */
  names(queue: QueueName): string[] {
    return [...this.queue.ids(queue)].sort();
  }

  segments(): number {
    return [...Deno.readDirSync(this.directory.at("journal"))].length;
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]();
  }
}

for (const hashed of [false, true]) {
  Deno.test(`after the system went down, what is not in the queue is put back${hashed ? " into hash directories" : ""}`, async () => {
    using bench = new Bench(hashed);
    (await bench.journal(["AAAA1", "AAAA2"]))[Symbol.dispose]();
    bench.keeper().restore();
    assert.deepEqual(bench.names("incoming"), ["AAAA1", "AAAA2"]);
    const path = bench.queue.path("incoming", id("AAAA1"));
    assert.deepEqual(Deno.readFileSync(path), message("AAAA1"));
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o700);
    assert.equal(bench.segments(), 0);
    assert.deepEqual(bench.lines, ["AAAA1", "AAAA2"].map((name) => `${name}: restored from the journal`));
  });
}

Deno.test("a message that is whole stays where it is, marks of its delivery included", async () => {
  using bench = new Bench();
  const places = ["incoming", "active", "deferred", "hold", "corrupt"] as const;
  (await bench.journal(places.map((_, i) => `BBBB${i}`)))[Symbol.dispose]();
  const marked = message("BBBB2");
  const cursor = new RecordCursor(marked);
  while (cursor.next() && cursor.type !== RECORD.RECIPIENT);
  marked[cursor.offset] = RECORD.DONE;
  places.forEach((place, i) => bench.put(place, `BBBB${i}`, i === 2 ? marked : undefined));
  bench.keeper().restore();
  places.forEach((place, i) => assert.deepEqual(bench.names(place), [`BBBB${i}`]));
  assert.deepEqual(Deno.readFileSync(bench.queue.path("deferred", id("BBBB2"))), marked);
  assert.deepEqual(bench.lines, []);
  assert.equal(bench.segments(), 0);
});

Deno.test("a file that is torn anywhere is replaced by what the journal has", async () => {
  const whole = message("CCCC");
  const torn: Uint8Array[] = [new Uint8Array(0), whole.slice(0, -1), new Uint8Array(whole.length)];
  for (let at = 0; at < whole.length; at += 7) {
    const zeroed = whole.slice();
    zeroed.fill(0, at, at + 8);
    torn.push(zeroed);
  }
  for (const content of torn) {
    using bench = new Bench();
    (await bench.journal(["CCCC"]))[Symbol.dispose]();
    bench.put("deferred", "CCCC", content as Uint8Array<ArrayBuffer>);
    bench.keeper().restore();
    assert.deepEqual(bench.names("deferred"), []);
    assert.deepEqual(Deno.readFileSync(bench.queue.path("incoming", id("CCCC"))), whole);
    assert.deepEqual(bench.lines, ["CCCC: restored from the journal (its file was torn)"]);
  }
});

Deno.test("a journal of this boot is not read back: what is not in the queue was delivered", async () => {
  using bench = new Bench();
  (await bench.journal(["DDDD"], NOW))[Symbol.dispose]();
  bench.keeper().restore();
  assert.deepEqual(bench.names("incoming"), []);
  assert.equal(bench.segments(), 1);
});

Deno.test("restoring is finished by the next start when it was cut off", async () => {
  using bench = new Bench();
  (await bench.journal(["EEEE1", "EEEE2", "EEEE3"]))[Symbol.dispose]();
  const { syncNow } = SafeFile.prototype;
  let left = 2;
  try {
    SafeFile.prototype.syncNow = function () {
      if (left-- === 0) throw new Error("killed");
      return syncNow.call(this);
    };
    assert.throws(() => bench.keeper().restore(), /killed/);
  } finally {
    SafeFile.prototype.syncNow = syncNow;
  }
  assert.equal(bench.segments(), 1);
  bench.keeper().restore();
  assert.deepEqual(bench.names("incoming"), ["EEEE1", "EEEE2", "EEEE3"]);
  assert.equal(bench.segments(), 0);
});

/** The paths that are synced while `work` runs. */
async function synced(work: () => Promise<void>): Promise<string[]> {
  const { sync } = SafeFile.prototype;
  const paths: string[] = [];
  try {
    SafeFile.prototype.sync = function () {
      paths.push(this.path);
      return sync.call(this);
    };
    await work();
  } finally {
    SafeFile.prototype.sync = sync;
  }
  return paths;
}

Deno.test("a segment is dropped when what is left of its messages is synced, and what is gone is not looked for", async () => {
  using bench = new Bench();
  (await bench.journal(["FFFF1", "FFFF2", "FFFF3"], NOW))[Symbol.dispose]();
  const path = bench.put("deferred", "FFFF2");
  const keeper = bench.keeper();
  keeper.gone(id("FFFF1"));
  assert.deepEqual(await synced(() => keeper.retire()), [path]);
  assert.equal(bench.segments(), 0);
});

Deno.test("that messages are gone is on the disk before their segment is dropped", async () => {
  using bench = new Bench();
  (await bench.journal(["KKKK"], NOW))[Symbol.dispose]();
  const keeper = bench.keeper();
  keeper.gone(id("KKKK"));
  const { sync } = SafeDirectory.prototype;
  const seen: string[] = [];
  try {
    SafeDirectory.prototype.sync = function () {
      seen.push(`${this.path.slice(bench.directory.path.length + 1)} ${bench.segments()}`);
      return sync.call(this);
    };
    await keeper.retire();
  } finally {
    SafeDirectory.prototype.sync = sync;
  }
  assert.deepEqual(seen.sort(), ["active 1", "corrupt 1", "deferred 1", "hold 1", "incoming 1"]);
  assert.equal(bench.segments(), 0);
});

Deno.test("what a queue manager has not seen go is found in any queue", async () => {
  using bench = new Bench();
  const places = ["incoming", "active", "deferred", "hold"] as const;
  (await bench.journal(places.map((_, i) => `GGGG${i}`), NOW))[Symbol.dispose]();
  const paths = places.map((place, i) => bench.put(place, `GGGG${i}`));
  assert.deepEqual((await synced(() => bench.keeper().retire())).sort(), paths.sort());
});

Deno.test("a segment that is still written stays", async () => {
  using bench = new Bench();
  const writer = await bench.journal(["HHHH"], NOW);
  const keeper = bench.keeper();
  await keeper.retire();
  assert.equal(bench.segments(), 1);
  writer[Symbol.dispose]();
  await keeper.retire();
  assert.equal(bench.segments(), 0);
});

Deno.test("a message whose sync fails keeps its segment", async () => {
  using bench = new Bench();
  (await bench.journal(["JJJJ"], NOW))[Symbol.dispose]();
  bench.put("deferred", "JJJJ");
  const { sync } = SafeFile.prototype;
  try {
    SafeFile.prototype.sync = () => Promise.reject(new SystemError("sync", "JJJJ", new Error("disk broke")));
    await bench.keeper().retire();
  } finally {
    SafeFile.prototype.sync = sync;
  }
  assert.equal(bench.segments(), 1);
  assert.match(bench.lines.join(), /^journal segment .* is kept: .*disk broke/);
  await bench.keeper().retire();
  assert.equal(bench.segments(), 0);
});
