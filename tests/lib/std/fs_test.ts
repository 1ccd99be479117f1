import assert from "node:assert/strict";
import { emptyDir, emptyDirSync, ensureDir, ensureDirSync, exists, existsSync } from "@std/fs";

function inTempDir(work: (dir: string) => Promise<void> | void): () => Promise<void> {
  return async () => {
    const dir = Deno.makeTempDirSync();
    try {
      await work(dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  };
}

const ENSURE = { ensureDir, ensureDirSync: async (dir: string | URL) => ensureDirSync(dir) };
const EMPTY = { emptyDir, emptyDirSync: async (dir: string | URL) => emptyDirSync(dir) };
const EXISTS = {
  exists,
  existsSync: async (...args: Parameters<typeof existsSync>) => existsSync(...args),
};

for (const [name, ensure] of Object.entries(ENSURE)) {
  Deno.test(
    `${name} makes a directory and those above it, and does nothing the second time`,
    inTempDir(async (dir) => {
      await ensure(`${dir}/a/b`);
      await ensure(`${dir}/a/b`);
      assert.ok(Deno.statSync(`${dir}/a/b`).isDirectory);
    }),
  );
  Deno.test(
    `${name} takes a link to a directory for one and refuses a file`,
    inTempDir(async (dir) => {
      Deno.symlinkSync(dir, `${dir}/link`);
      await ensure(`${dir}/link`);
      Deno.writeTextFileSync(`${dir}/file`, "");
      await assert.rejects(ensure(`${dir}/file`), {
        message: "Failed to ensure directory exists: expected 'dir', got 'file'",
      });
    }),
  );
}

for (const [name, empty] of Object.entries(EMPTY)) {
  Deno.test(
    `${name} removes all that is in a directory but not what links in it point to`,
    inTempDir(async (dir) => {
      Deno.mkdirSync(`${dir}/keep`);
      Deno.writeTextFileSync(`${dir}/keep/file`, "x");
      Deno.mkdirSync(`${dir}/empty/deep/er`, { recursive: true });
      Deno.symlinkSync(`${dir}/keep`, `${dir}/empty/link`);
      await empty(`${dir}/empty`);
      assert.deepEqual([...Deno.readDirSync(`${dir}/empty`)], []);
      assert.equal(Deno.readTextFileSync(`${dir}/keep/file`), "x");
    }),
  );
  Deno.test(
    `${name} makes the directory if it is missing, by URL too`,
    inTempDir(async (dir) => {
      await empty(new URL(`file://${dir}/new%20one`));
      assert.ok(Deno.statSync(`${dir}/new one`).isDirectory);
    }),
  );
}

for (const [name, there] of Object.entries(EXISTS)) {
  Deno.test(
    `${name} tells files, directories and nothing apart, following links`,
    inTempDir(async (dir) => {
      Deno.writeTextFileSync(`${dir}/file`, "");
      Deno.symlinkSync(`${dir}/file`, `${dir}/link`);
      Deno.symlinkSync(`${dir}/nowhere`, `${dir}/dangling`);
      assert.equal(await there(dir), true);
      assert.equal(await there(dir, { isDirectory: true }), true);
      assert.equal(await there(dir, { isFile: true }), false);
      assert.equal(await there(`${dir}/link`, { isFile: true, isReadable: true }), true);
      assert.equal(await there(`${dir}/file`, { isDirectory: true }), false);
      assert.equal(await there(`${dir}/dangling`), false);
      assert.equal(await there(`${dir}/nothing`), false);
    }),
  );
  Deno.test(
    `${name} looks at the owner's mode bits for isReadable`,
    inTempDir(async (dir) => {
      Deno.writeTextFileSync(`${dir}/file`, "", { mode: 0o600 });
      Deno.chmodSync(`${dir}/file`, 0o200);
      assert.equal(await there(`${dir}/file`, { isReadable: true }), false);
      assert.equal(await there(`${dir}/file`), true);
    }),
  );
  Deno.test(
    `${name} refuses to be asked for a file and a directory at once`,
    inTempDir(async (dir) => {
      await assert.rejects(there(dir, { isFile: true, isDirectory: true }), TypeError);
    }),
  );
}
