import assert from "node:assert/strict";
import { temporaryName } from "../../../lib/mail/queue_directory.ts";
import { mendQueue, prepareQueue } from "../../../lib/server/prepare_queue.ts";
import { MasterLock } from "../../../daemons/master/master_lock.ts";
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
    `mode of ${directory.at("maildrop")} was 777, is now 1733`,
    `mode of ${directory.at("active")} was 755, is now 700`,
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

/** Parameters for a queue, and the lines that mending it says. */
function mend(root: string, hashed: readonly string[], owner?: { uid: number; gid: number }): string[] {
  const lines: string[] = [];
  const settings = {
    queue_directory: root,
    hash_queue_names: [...hashed],
    hash_queue_depth: 1,
    enable_long_queue_ids: false,
  };
  const say = (text: string) => void lines.push(text);
  mendQueue(settings, owner, { info: say, warning: say });
  return lines;
}

/** Makes a file whose id holds its inode number; `name` is its folder and the first five characters of the id. */
function put(root: string, name: string, mode: number): string {
  Deno.mkdirSync(`${root}/${name.slice(0, name.lastIndexOf("/"))}`, { recursive: true });
  Deno.writeTextFileSync(`${root}/${name}`, name);
  const id = `${name}${Deno.lstatSync(`${root}/${name}`).ino!.toString(16).toUpperCase()}`;
  Deno.renameSync(`${root}/${name}`, `${root}/${id}`);
  Deno.chmodSync(`${root}/${id}`, mode);
  return id;
}

function names(path: string): string[] {
  return Array.from(Deno.readDirSync(path), ({ name }) => name).toSorted();
}

for (const hashed of [false, true]) {
  const where = hashed ? ", in hash directories too" : "";
  Deno.test(`incomplete files of incoming/ are removed, whole ones stay, damaged ones are kept in corrupt/${where}`, () => {
    using directory = new TemporaryDirectory();
    prepareQueue(directory.path, undefined, { info: () => {} });
    const base = hashed ? "incoming/A" : "incoming";
    const files = [["AAAA1", 0o600], ["AAAA2", 0o700], ["AAAA3", 0o400], ["AAAA4", 0o740]] as const;
    const made = files.map(([name, bits]) =>
      put(directory.path, `${base}/${name}`, bits).slice(base.length + 1)
    );
    const temporary = temporaryName(1_700_000_000_123_456, 4711);
    Deno.writeTextFileSync(directory.at(`incoming/${temporary}`), "", { mode: 0o700 });
    assert.deepEqual(
      mend(directory.path, hashed ? ["incoming"] : []).toSorted(),
      [
        `${made[0]}: removed (incomplete message of an earlier run)`,
        `${temporary}: removed (incomplete message of an earlier run)`,
        `incoming/${made[2]}: marked as corrupt: saved in corrupt queue`,
      ].toSorted(),
    );
    assert.deepEqual(names(directory.at(base)), [made[1], made[3]].toSorted());
    assert.deepEqual(names(directory.at("corrupt")), [made[2]]);
    assert.deepEqual(mend(directory.path, hashed ? ["incoming"] : []), []);
  });
}

Deno.test("files that another hash depth put elsewhere are moved to where they are looked for", () => {
  using directory = new TemporaryDirectory();
  prepareQueue(directory.path, undefined, { info: () => {} });
  const id = put(directory.path, "deferred/1/2/12345", 0o700).slice("deferred/1/2/".length);
  put(directory.path, "defer/1/2/log", 0o600);
  mend(directory.path, ["deferred", "defer"]);
  assert.deepEqual(names(directory.at("deferred/1")), [id]);
});

testNeeding(
  ["root"],
  "the files of another owner's queue are given to ours, those of local users stay theirs",
  () => {
    using directory = new TemporaryDirectory();
    const root = directory.path;
    const before = { uid: 4001, gid: 4001 };
    const owner = { uid: 4002, gid: 4002 };
    prepareQueue(root, before, { info: () => {} });
    const files = [
      put(root, "deferred/1/12345", 0o700),
      put(root, "hold/22222", 0o700),
      put(root, "defer/1/12345", 0o600),
    ];
    const requeued = put(root, "maildrop/33333", 0o700);
    const posted = put(root, "maildrop/44444", 0o744);
    // A user's file without the mark of postdrop is no requeued one, whatever it holds.
    const forged = put(root, "maildrop/55555", 0o700);
    for (const name of ["deferred/1", "defer/1", ...files, requeued]) {
      Deno.chownSync(`${root}/${name}`, before.uid, before.gid);
    }
    for (const name of [posted, forged]) Deno.chownSync(`${root}/${name}`, 4003, 4003);
    prepareQueue(root, owner, { info: () => {} });
    const lines = mend(root, ["deferred", "defer"], owner);
    const uid = (name: string) => Deno.lstatSync(`${root}/${name}`).uid;
    for (const name of ["deferred/1", "defer/1", ...files, requeued]) {
      assert.equal(uid(name), owner.uid, name);
    }
    for (const name of [posted, forged]) assert.equal(uid(name), 4003, name);
    assert.deepEqual(lines, [`owner of 3 files below ${root} is now uid 4002`]);
  },
);

Deno.test("the lock is one master's: a second is told the first one's number; afterwards it is free again", () => {
  using directory = new TemporaryDirectory();
  const first = MasterLock.take(directory.path, 1234);
  assert.throws(() => MasterLock.take(directory.path, 5678), /already running: PID: 1234$/);
  first.release();
  assert.equal(Deno.readTextFileSync(directory.at("pid/master.pid")), "");
  MasterLock.take(directory.path, 5678).release();
});
