import assert from "node:assert/strict";
import { prepareQueue, purgeIncomplete } from "../../../daemons/master/master_queue.ts";
import { MasterLock } from "../../../daemons/master/master_lock.ts";
import type { Configuration } from "../../../lib/config/configuration.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";

function mode(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

const MODES = { active: 0o700, incoming: 0o700, maildrop: 0o1733, pid: 0o755, private: 0o711, public: 0o755 };

Deno.test("the queue's directories are made with their modes, without a word", () => {
  using directory = new TemporaryDirectory();
  const lines: string[] = [];
  const root = directory.at("queue");
  prepareQueue(root, undefined, { info: (text) => void lines.push(text) });
  for (const [name, wanted] of Object.entries(MODES)) assert.equal(mode(`${root}/${name}`), wanted, name);
  assert.deepEqual(lines, []);
});

Deno.test("wrong modes are mended, with one line each, once", () => {
  using directory = new TemporaryDirectory();
  const lines: string[] = [];
  const log = { info: (text: string) => void lines.push(text) };
  prepareQueue(directory.path, undefined, log);
  Deno.chmodSync(directory.at("active"), 0o755);
  Deno.chmodSync(directory.at("maildrop"), 0o777);
  prepareQueue(directory.path, undefined, log);
  assert.deepEqual(lines, [
    `mode of ${directory.at("active")} was 755, is now 700`,
    `mode of ${directory.at("maildrop")} was 777, is now 1733`,
  ]);
  prepareQueue(directory.path, undefined, log);
  assert.equal(lines.length, 2);
});

testNeeding(["root"], "wrong owners are mended; sockets stay in root's directories", () => {
  using directory = new TemporaryDirectory();
  const lines: string[] = [];
  prepareQueue(directory.path, undefined, { info: () => {} });
  prepareQueue(directory.path, { uid: 65534, gid: 65534 }, { info: (text) => void lines.push(text) });
  assert.equal(Deno.statSync(directory.at("incoming")).uid, 65534);
  assert.equal(mode(directory.at("maildrop")), 0o1733);
  for (const name of ["private", "public", "pid"]) assert.equal(Deno.statSync(directory.at(name)).uid, 0);
  assert.ok(lines.includes(`owner of ${directory.at("incoming")} was uid 0, is now uid 65534`));
});

Deno.test("a link or a file in the place of a queue directory stops the start, and what it points to is left alone", () => {
  for (const kind of ["link", "file"]) {
    using directory = new TemporaryDirectory();
    Deno.mkdirSync(directory.at("target"), { mode: 0o755 });
    if (kind === "file") Deno.writeTextFileSync(directory.at("active"), "");
    else Deno.symlinkSync(directory.at("target"), directory.at("active"));
    assert.throws(
      () => prepareQueue(directory.path, undefined, { info: () => {} }),
      /Cannot use queue directory/,
    );
    assert.equal(mode(directory.at("target")), 0o755);
  }
});

for (const hashed of [false, true]) {
  Deno.test(`incomplete files of incoming/ are removed, whole ones stay${hashed ? ", in hash directories too" : ""}`, () => {
    using directory = new TemporaryDirectory();
    const base = directory.at(hashed ? "incoming/A" : "incoming");
    Deno.mkdirSync(base, { recursive: true });
    for (const [name, bits] of [["A1", 0o600], ["A2", 0o700], ["A3", 0o400], ["A4", 0o740]] as const) {
      Deno.writeTextFileSync(`${base}/${name}`, "");
      Deno.chmodSync(`${base}/${name}`, bits);
    }
    Deno.symlinkSync("/etc/passwd", `${base}/LINK`);
    const lines: string[] = [];
    const settings = {
      queue_directory: directory.path,
      hash_queue_names: hashed ? ["incoming"] : [],
      hash_queue_depth: 1,
    };
    purgeIncomplete({ settings } as unknown as Configuration, { info: (text) => void lines.push(text) });
    assert.deepEqual(Array.from(Deno.readDirSync(base), ({ name }) => name).toSorted(), ["A2", "A4", "LINK"]);
    assert.deepEqual(
      lines.toSorted(),
      ["A1", "A3"].map((name) => `${name}: removed (incomplete message of an earlier run)`),
    );
  });
}

Deno.test("the lock is one master's: a second is told the first one's number; afterwards it is free again", () => {
  using directory = new TemporaryDirectory();
  const first = MasterLock.take(directory.path, 1234);
  assert.throws(() => MasterLock.take(directory.path, 5678), /already running: PID: 1234$/);
  first.release();
  assert.equal(Deno.readTextFileSync(directory.at("pid/master.pid")), "");
  MasterLock.take(directory.path, 5678).release();
});
