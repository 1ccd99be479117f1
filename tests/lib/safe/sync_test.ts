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

/** A file whose blocking sync is slow, so that the gate goes over to waiting. */
function slowly(file: SafeFile): SafeFile {
  file.syncNow = () => {
    const end = performance.now() + 2;
    while (performance.now() < end);
  };
  return file;
}

Deno.test("commit waits for the file's sync and for one of the directory that began after it", async () => {
  using directory = new TemporaryDirectory();
  using held = new HeldSyncs();
  using gate = new SyncGate(directory.path);
  using file = slowly(create(directory, "x"));
  await gate.commit(file);
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

Deno.test("a file whose sync fails is not committed, waited for or not", async () => {
  using directory = new TemporaryDirectory();
  using gate = new SyncGate(directory.path);
  using broken = create(directory, "x");
  broken.syncNow = () => {
    throw new Error("disk broke");
  };
  assert.throws(() => gate.commit(broken), /disk broke/);
  using file = slowly(create(directory, "y"));
  await gate.commit(file);
  file.sync = () => Promise.reject(new Error("disk broke"));
  await assert.rejects(gate.commit(file)!, /disk broke/);
});

Deno.test("many commits at once need far fewer directory syncs than commits", async () => {
  using directory = new TemporaryDirectory();
  using gate = new SyncGate(directory.path);
  const files = Array.from({ length: 200 }, (_, i) => slowly(create(directory, `f${i}`)));
  await gate.commit(files[0]!);
  let syncs = 0;
  const original = SafeDirectory.prototype.sync;
  SafeDirectory.prototype.sync = function (): Promise<void> {
    syncs++;
    return original.call(this);
  };
  try {
    await Promise.all(files.map((file) => gate.commit(file)));
    assert.ok(syncs > 0 && syncs < 150, `${syncs} syncs for 200 commits`);
  } finally {
    SafeDirectory.prototype.sync = original;
    for (const file of files) file.close();
  }
});

Deno.test("a slow sync makes the gate wait with others, and it tries now and then whether syncs are cheap again", async () => {
  using directory = new TemporaryDirectory();
  using gate = new SyncGate(directory.path);
  using slow = slowly(create(directory, "x"));
  assert.equal(gate.commit(slow), undefined, "done already, though slowly");
  using quick = create(directory, "y");
  quick.syncNow = () => {};
  quick.sync = () => Promise.resolve();
  let waited = 0;
  for (let pending = gate.commit(quick); pending !== undefined; pending = gate.commit(quick)) {
    await pending;
    waited++;
    assert.ok(waited < 100_000, "it tries again");
  }
  assert.ok(waited > 10, "and not at once");
});
