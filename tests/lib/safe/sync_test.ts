import assert from "node:assert/strict";
import { safeCreate, SafeDirectory, type SafeFile } from "../../../lib/safe/file.ts";
import { SyncGate, SyncGauge } from "../../../lib/safe/sync.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

/** Counts the directory's syncs and holds each until it is let go. */
class HeldSyncs implements Disposable {
  started = 0;
  readonly #original = SafeDirectory.prototype.sync;
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor() {
    SafeDirectory.prototype.sync = () => {
      this.started++;
      return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    };
  }

  async finish(error?: Error): Promise<void> {
    const one = this.#waiting.shift()!;
    if (error === undefined) one.resolve();
    else one.reject(error);
    await settle();
  }

  [Symbol.dispose](): void {
    SafeDirectory.prototype.sync = this.#original;
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function create(directory: TemporaryDirectory, name: string): SafeFile {
  const made = safeCreate(directory.at(name), 0o600);
  assert.ok(made.kind === "created");
  return made.file;
}

Deno.test("everybody who asks while a directory sync runs shares the next one, and nobody the running one", async () => {
  using directory = new TemporaryDirectory();
  using held = new HeldSyncs();
  using gate = new SyncGate(directory.path);
  const done: string[] = [];
  const ask = (name: string) => gate.sync().then(() => done.push(name));
  const all = [ask("first")];
  for (let i = 0; i < 100; i++) all.push(ask(`second ${i}`));
  assert.equal(held.started, 1);
  await held.finish();
  assert.deepEqual(
    done,
    ["first"],
    "those who came later are not served by a sync that began before they asked",
  );
  assert.equal(held.started, 2);
  all.push(ask("third"));
  await held.finish();
  assert.equal(done.length, 101);
  assert.equal(held.started, 3);
  await held.finish();
  await Promise.all(all);
  assert.equal(held.started, 3);
});

Deno.test("a directory sync that fails fails those who waited for it, and the next one is tried anew", async () => {
  using directory = new TemporaryDirectory();
  using held = new HeldSyncs();
  using gate = new SyncGate(directory.path);
  const first = assert.rejects(gate.sync(), /disk broke/);
  const second = gate.sync();
  await held.finish(new Error("disk broke"));
  await first;
  await held.finish();
  await second;
});

/** A file whose blocking sync takes this long, milliseconds. */
function slowly(file: SafeFile, milliseconds: number): SafeFile {
  file.syncNow = () => {
    const end = performance.now() + milliseconds;
    while (performance.now() < end);
  };
  return file;
}

/** Syncs until the gauge goes over to waiting. */
function untilItWaits(gauge: SyncGauge, file: SafeFile): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const pending = gauge.sync(file);
    if (pending !== undefined) return pending;
  }
  throw new Error("it goes on blocking");
}

Deno.test("a sync that is cheap blocks, one that is slow is waited for, and now and then it is tried again", async () => {
  using directory = new TemporaryDirectory();
  const gauge = new SyncGauge();
  using slow = slowly(create(directory, "x"), 10);
  assert.equal(gauge.sync(slow), undefined, "done already, though slowly");
  await untilItWaits(gauge, slow);
  using quick = create(directory, "y");
  quick.syncNow = () => {};
  quick.sync = () => Promise.resolve();
  let waited = 0;
  for (let done = 0; done < 50;) {
    const pending = gauge.sync(quick);
    if (pending === undefined) done++;
    else waited++;
    await pending;
    assert.ok(waited < 100_000, "it tries again");
  }
  assert.ok(waited > 10, "and not at once");
});

Deno.test("a sync that fails is told, waited for or not", async () => {
  using directory = new TemporaryDirectory();
  const gauge = new SyncGauge();
  using broken = create(directory, "x");
  broken.syncNow = () => {
    throw new Error("disk broke");
  };
  assert.throws(() => gauge.sync(broken), /disk broke/);
  using slow = slowly(create(directory, "y"), 10);
  await untilItWaits(gauge, slow);
  slow.sync = () => Promise.reject(new Error("disk broke"));
  await assert.rejects(gauge.sync(slow)!, /disk broke/);
});
