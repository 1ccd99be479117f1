import assert from "node:assert/strict";
import { BounceLogs, LogError } from "../../../daemons/bounce/bounce_logs.ts";
import type { Logger } from "../../../lib/log/log.ts";
import { BounceLogReader, type BounceRecord } from "../../../lib/mail/bounce_log.ts";
import { QueueDirectory } from "../../../lib/mail/queue_directory.ts";
import { toQueueId } from "../../../lib/mail/queue_id.ts";
import { TemporaryDirectory, TinyFileSystem } from "../../support/temporary.ts";

const ID = toQueueId("4F2A012345")!;

function record(recipient: string, reason = "no"): BounceRecord {
  return {
    recipient,
    originalRecipient: "",
    dsnOriginalRecipient: "",
    offset: 1,
    notify: 0,
    status: "5.1.1",
    action: "failed",
    diagnosticType: "",
    diagnosticText: "",
    remoteMtaType: "",
    remoteMta: "",
    reason,
  };
}

const SILENT: Logger = { info() {}, warning() {}, error() {}, debug() {}, flush() {} };

function logs(root: string, queue: "bounce" | "defer" = "defer"): BounceLogs {
  for (const name of ["bounce", "defer"]) Deno.mkdirSync(`${root}/${name}`, { recursive: true });
  return new BounceLogs(new QueueDirectory(root, ["deferred", "defer"], 1), queue, true, SILENT);
}

function recipients(path: string): { names: string[]; damaged: boolean } {
  const bytes = Deno.readFileSync(path);
  const reader = new BounceLogReader((buffer, offset) => {
    const piece = bytes.subarray(offset, offset + buffer.length);
    buffer.set(piece);
    return piece.length;
  }, { status: "", action: "" });
  const names: string[] = [];
  for (let next = reader.next(); next !== undefined; next = reader.next()) names.push(next.recipient);
  return { names, damaged: reader.damaged };
}

Deno.test("the first record makes the log, mode 0600, in the hash directory; others are appended", async () => {
  using directory = new TemporaryDirectory();
  const made = logs(directory.path);
  await made.append(ID, record("a@x"));
  await made.append(ID, record("b@x"));
  const path = directory.at("defer/4/4F2A012345");
  assert.equal(Deno.lstatSync(path).mode! & 0o7777, 0o600);
  assert.deepEqual(recipients(path), { names: ["a@x", "b@x"], damaged: false });
});

Deno.test("a thousand appends at once are all in the log, each once", async () => {
  using directory = new TemporaryDirectory();
  const made = logs(directory.path);
  const names = Array.from({ length: 1000 }, (_, i) => `r${i}@x`);
  await Promise.all(names.map((name) => made.append(ID, record(name, "y".repeat(3000)))));
  assert.deepEqual(recipients(directory.at("defer/4/4F2A012345")), { names, damaged: false });
});

Deno.test("two writers of one log do not mix their records", async () => {
  using directory = new TemporaryDirectory();
  const [one, two] = [logs(directory.path), logs(directory.path)];
  const work: Promise<void>[] = [];
  for (let i = 0; i < 100; i++) {
    work.push(one.append(ID, record(`a${i}@x`)), two.append(ID, record(`b${i}@x`)));
  }
  await Promise.all(work);
  const { names, damaged } = recipients(directory.at("defer/4/4F2A012345"));
  assert.equal(damaged, false);
  assert.equal(new Set(names).size, 200);
});

Deno.test("a full disk: the append fails and nothing of it stays; with room again the next one is taken", async () => {
  using disk = TinyFileSystem.mount(64);
  if (disk === undefined) return; // no right to mount here
  const made = logs(disk.path, "bounce");
  const path = `${disk.path}/bounce/${ID}`;
  await made.append(ID, record("first@x"));
  const before = Deno.readFileSync(path);
  Deno.writeFileSync(`${disk.path}/filler`, new Uint8Array(40_000));
  // Longer than what is left on the last page of the disk, so that a part of it is written.
  let failures = 0;
  for (let i = 0; i < 40; i++) {
    await made.append(ID, record(`big${i}@x`, "z".repeat(4000))).catch(() => failures++);
  }
  assert.ok(failures > 0);
  const kept = recipients(path);
  assert.equal(kept.damaged, false);
  assert.equal(kept.names.length, 1 + 40 - failures);
  assert.deepEqual(Deno.readFileSync(path).subarray(0, before.length), before);
  Deno.removeSync(`${disk.path}/filler`);
  await made.append(ID, record("last@x"));
  assert.equal(recipients(path).names.at(-1), "last@x");
});

Deno.test("a log that cannot be begun on a full disk is not left behind empty", async () => {
  using disk = TinyFileSystem.mount(64);
  if (disk === undefined) return; // no right to mount here
  const made = logs(disk.path, "bounce");
  try {
    for (let i = 0;; i++) Deno.writeFileSync(`${disk.path}/filler${i}`, new Uint8Array(4096));
  } catch {
    // full
  }
  await assert.rejects(made.append(ID, record("a@x")));
  assert.throws(() => Deno.lstatSync(`${disk.path}/bounce/${ID}`), Deno.errors.NotFound);
});

Deno.test("a record after one that a crash has torn is read whole, and the torn one still names its recipient", async () => {
  using directory = new TemporaryDirectory();
  const made = logs(directory.path);
  await made.append(ID, record("torn@x"));
  const path = directory.at("defer/4/4F2A012345");
  Deno.truncateSync(path, Deno.statSync(path).size - 5);
  await made.append(ID, record("next@x"));
  assert.deepEqual(recipients(path), { names: ["torn@x", "next@x"], damaged: true });
});

const FOREIGN: Readonly<Record<string, (path: string, victim: string) => void>> = {
  "a symbolic link": (path, victim) => Deno.symlinkSync(victim, path),
  "a hard link": (path, victim) => Deno.linkSync(victim, path),
  "a dangling link": (path, victim) => Deno.symlinkSync(`${victim}-gone`, path),
  "a directory": (path) => Deno.mkdirSync(path),
};

for (const [what, plant] of Object.entries(FOREIGN)) {
  Deno.test(`${what} in the place of a log is not written to`, async () => {
    using directory = new TemporaryDirectory();
    const made = logs(directory.path, "bounce");
    const victim = directory.write("victim", "precious");
    plant(directory.at(`bounce/${ID}`), victim);
    await assert.rejects(made.append(ID, record("a@x")), LogError);
    await assert.rejects(made.withLog(ID, () => Promise.resolve("remove")), LogError);
    assert.equal(Deno.readTextFileSync(victim), "precious");
    assert.throws(() => Deno.lstatSync(`${victim}-gone`), Deno.errors.NotFound);
  });
}

Deno.test("an append that comes while the log is being read waits, and goes into a new log when it was removed", async () => {
  using directory = new TemporaryDirectory();
  const [reader, writer] = [logs(directory.path), logs(directory.path)];
  await reader.append(ID, record("old@x"));
  let appended: Promise<void> | undefined;
  await reader.withLog(ID, async (file) => {
    assert.notEqual(file, undefined);
    // Another process: it does not know of our turns and has only the lock on the file.
    appended = writer.append(ID, record("new@x"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    return "remove";
  });
  await appended;
  assert.deepEqual(recipients(directory.at("defer/4/4F2A012345")).names, ["new@x"]);
});

Deno.test("a log that work wants to keep stays; one that it fails on stays too", async () => {
  using directory = new TemporaryDirectory();
  const made = logs(directory.path);
  await made.append(ID, record("a@x"));
  await made.withLog(ID, () => Promise.resolve("keep"));
  await assert.rejects(made.withLog(ID, () => Promise.reject(new Error("mine"))), /mine/);
  assert.deepEqual(recipients(directory.at("defer/4/4F2A012345")).names, ["a@x"]);
});

Deno.test("dropping a log removes it, and one that is not there is no error", async () => {
  using directory = new TemporaryDirectory();
  const made = logs(directory.path);
  await made.append(ID, record("a@x"));
  await made.drop(ID);
  assert.throws(() => Deno.lstatSync(directory.at("defer/4/4F2A012345")), Deno.errors.NotFound);
  await made.drop(ID);
  await made.withLog(ID, (file) => {
    assert.equal(file, undefined);
    return Promise.resolve("remove");
  });
});
