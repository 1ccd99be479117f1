import assert from "node:assert/strict";
import { withLock } from "../../commands/postlock.ts";
import { ScratchSystem } from "./command_support.ts";

const POLICY = { attempts: 2, delay: 0.01, stale: 500, dotlock: true, flock: true };

Deno.test("the mailbox is locked while the command runs and free afterwards", async () => {
  const root = Deno.makeTempDirSync();
  try {
    const path = `${root}/box`;
    const status = await withLock(path, POLICY, async () => {
      assert.ok(Deno.statSync(`${path}.lock`).isFile);
      await assert.rejects(
        withLock(path, POLICY, () => Promise.resolve(0)),
        /another process holds the lock/,
      );
      await assert.rejects(
        withLock(path, { ...POLICY, dotlock: false }, () => Promise.resolve(0)),
        /another process holds the lock/,
      );
      return 7;
    });
    assert.equal(status, 7);
    assert.deepEqual(Array.from(Deno.readDirSync(root), (entry) => entry.name), ["box"]);
    assert.equal(await withLock(path, POLICY, () => Promise.resolve(3)), 3);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("a link in the place of the mailbox is refused, status 75, and the lock is given up", async () => {
  using system = new ScratchSystem();
  const { root } = system.queue;
  Deno.writeTextFileSync(`${root}/victim`, "x");
  Deno.symlinkSync(`${root}/victim`, `${root}/box`);
  const ran = await system.run("postlock", [`${root}/box`, "/bin/true"]);
  assert.equal(ran.status, 75);
  assert.match(ran.err, /symbolic link/);
  assert.throws(() => Deno.lstatSync(`${root}/box.lock`), Deno.errors.NotFound);
});

Deno.test("the status is that of the command, which has our standard streams; 75 when there is no such command", async () => {
  using system = new ScratchSystem();
  const { root } = system.queue;
  const ran = await system.run("postlock", [
    `${root}/box`,
    "/bin/sh",
    "-c",
    `cat; ls ${root}/box.lock; exit 3`,
  ], "input ");
  assert.deepEqual(ran, { status: 3, out: `input ${root}/box.lock\n`, err: "" });
  assert.equal((await system.run("postlock", [`${root}/box`, "/nonexistent"])).status, 75);
  assert.equal((await system.run("postlock", [`${root}/box`])).status, 75);
  assert.equal((await system.run("postlock", ["-l", "magic", `${root}/box`, "/bin/true"])).status, 75);
});
