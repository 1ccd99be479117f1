import assert from "node:assert/strict";
import { safeCreate, SafeDirectory, type SafeFile } from "../../../lib/safe/file.ts";
import { SyncGate } from "../../../lib/safe/sync.ts";
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
  const ask = (name: string) => gate.directory().then(() => done.push(name));
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
  const first = assert.rejects(gate.directory(), /disk broke/);
  const second = gate.directory();
  await held.finish(new Error("disk broke"));
  await first;
  await held.finish();
  await second;
});

Deno.test("commit waits for the file's sync and for one of the directory that began after it", async () => {
  using directory = new TemporaryDirectory();
  using held = new HeldSyncs();
  using gate = new SyncGate(directory.path);
  using file = create(directory, "x");
  let syncFile: () => void = () => {};
  file.sync = () => new Promise((resolve) => syncFile = resolve);
  const early = gate.directory();
  let committed = false;
  const commit = gate.commit(file)!.then(() => committed = true);
  syncFile();
  await settle();
  await held.finish();
  await early;
  assert.equal(committed, false, "the sync that ran already does not count");
  await held.finish();
  await commit;
});

Deno.test("a file whose sync fails is not committed", async () => {
  using directory = new TemporaryDirectory();
  using gate = new SyncGate(directory.path);
  using file = create(directory, "x");
  file.sync = () => Promise.reject(new Error("disk broke"));
  await assert.rejects(gate.commit(file)!, /disk broke/);
});

Deno.test("many commits at once need far fewer directory syncs than commits", async () => {
  using directory = new TemporaryDirectory();
  let syncs = 0;
  const original = SafeDirectory.prototype.sync;
  SafeDirectory.prototype.sync = function (): Promise<void> {
    syncs++;
    return original.call(this);
  };
  try {
    using gate = new SyncGate(directory.path);
    const files = Array.from({ length: 200 }, (_, i) => create(directory, `f${i}`));
    await Promise.all(files.map((file) => gate.commit(file)));
    assert.ok(syncs < 150, `${syncs} syncs for 200 commits`);
    for (const file of files) file.close();
  } finally {
    SafeDirectory.prototype.sync = original;
  }
});

Deno.test("where syncs turn out cheap the gate commits without waiting, until one is slow", async () => {
  using directory = new TemporaryDirectory();
  using gate = new SyncGate(directory.path);
  using file = create(directory, "x");
  file.sync = () => Promise.resolve(); // as on a file system in memory
  let now = 0;
  file.syncNow = () => void (now += 1);
  let waited = 0;
  for (let pending = gate.commit(file); pending !== undefined; pending = gate.commit(file)) {
    await pending;
    waited++;
    assert.ok(waited < 100, "it learns");
  }
  assert.ok(waited >= 16, "and not from a few");
  assert.equal(now, 1);
  file.syncNow = () => {
    const end = performance.now() + 2;
    while (performance.now() < end);
  };
  assert.equal(gate.commit(file), undefined, "done already, though slowly");
  assert.notEqual(gate.commit(file), undefined, "the next one is awaited again");
});
