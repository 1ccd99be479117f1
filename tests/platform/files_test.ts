/** What Deno does with files and permissions: the ground that lib/safe and the sandbox stand on (PLATFORM.md). @module */
import assert from "node:assert/strict";
import { runProgram } from "./platform_support.ts";
import { TemporaryDirectory } from "../support/temporary.ts";

Deno.test("a symbolic link inside an allowed folder is followed out of it: lib/safe must refuse links itself", async () => {
  using outside = new TemporaryDirectory();
  using jail = new TemporaryDirectory();
  const secret = outside.write("secret", "secret text");
  Deno.symlinkSync(secret, jail.at("link"));
  Deno.symlinkSync(outside.path, jail.at("folder"));
  const { output } = await runProgram(
    `await tell(() => Deno.readTextFileSync("${jail.path}/link"));
     await tell(() => Deno.readTextFileSync("${jail.path}/folder/secret"));
     await tell(() => Deno.readTextFileSync("${secret}"));
     await tell(() => Deno.readTextFileSync("${jail.path}/../${outside.path.split("/").at(-1)}/secret"));`,
    [`--allow-read=${jail.path}`],
  );
  assert.deepEqual(output.split("\n"), ["secret text", "secret text", "NotCapable", "NotCapable"]);
});

Deno.test("O_NOFOLLOW is void under scoped permissions and works under -A", async () => {
  using jail = new TemporaryDirectory();
  jail.write("target", "text");
  Deno.symlinkSync(jail.at("target"), jail.at("link"));
  const program = `import fs from "node:fs";
    await tell(() => { fs.closeSync(fs.openSync("${jail.path}/link", fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)); return "opened"; });`;
  assert.equal((await runProgram(program, [`--allow-read=${jail.path}`])).output, "opened");
  assert.match((await runProgram(program, ["-A"], { flags: ["--no-config"] })).output, /ELOOP/);
});

Deno.test("lstat tells a link from a file under scoped permissions", async () => {
  using jail = new TemporaryDirectory();
  Deno.symlinkSync(jail.write("target", "text"), jail.at("link"));
  const { output } = await runProgram(
    `await tell(() => Deno.lstatSync("${jail.path}/link").isSymlink);
     await tell(() => Deno.lstatSync("${jail.path}/target").isFile);`,
    [`--allow-read=${jail.path}`],
  );
  assert.deepEqual(output.split("\n"), ["true", "true"]);
});

Deno.test("new links need more than scoped permissions: symbolic ones, hard ones to outside, renames out", async () => {
  using outside = new TemporaryDirectory();
  using jail = new TemporaryDirectory();
  const secret = outside.write("secret", "text");
  jail.write("mine", "text");
  const { output } = await runProgram(
    `await tell(() => Deno.symlinkSync("${secret}", "${jail.path}/a"));
     await tell(() => Deno.linkSync("${secret}", "${jail.path}/b"));
     await tell(() => Deno.renameSync("${jail.path}/mine", "${outside.path}/c"));
     await tell(() => Deno.linkSync("${jail.path}/mine", "${jail.path}/d"));`,
    [`--allow-read=${jail.path}`, `--allow-write=${jail.path}`],
  );
  assert.deepEqual(output.split("\n"), ["NotCapable", "NotCapable", "NotCapable", "undefined"]);
});

Deno.test("createNew refuses a dangling link", async () => {
  using jail = new TemporaryDirectory();
  Deno.symlinkSync(jail.at("nowhere"), jail.at("link"));
  const { output } = await runProgram(
    `await tell(() => Deno.openSync("${jail.path}/link", { createNew: true, write: true }));`,
    [`--allow-read=${jail.path}`, `--allow-write=${jail.path}`],
  );
  assert.equal(output, "AlreadyExists");
});

Deno.test("paths below /dev, /proc and /sys are refused to scoped permissions, though they are granted", async () => {
  const paths = [
    "/dev/shm",
    "/proc/1/cmdline",
    "/proc/version",
    "/proc/self/environ",
    "/sys/kernel/hostname",
  ];
  const reads = paths.map((path) =>
    `await tell(() => { Deno.openSync("${path}").close(); return "opened"; });`
  );
  const { output } = await runProgram(reads.join("\n"), [`--allow-read=${paths.join(",")}`]);
  assert.deepEqual(output.split("\n"), paths.map(() => "NotCapable"));
});

Deno.test("no flag can name a path with a comma: lib/server/sandbox.ts refuses one", async () => {
  using directory = new TemporaryDirectory();
  Deno.mkdirSync(directory.at("a,b"));
  directory.write("a,b/x", "text");
  const program = `await tell(() => Deno.readTextFileSync("${directory.path}/a,b/x"));`;
  assert.match(
    (await runProgram(program, [`--allow-read=${directory.path}/a,,b`])).errors,
    /Empty path is not allowed/,
  );
  for (const written of ["a,b", "a\\,b", "a%2Cb"]) {
    assert.equal(
      (await runProgram(program, [`--allow-read=${directory.path}/${written}`])).output,
      "NotCapable",
      written,
    );
  }
});

Deno.test("a directory can be opened and synced, and a lock of one open file excludes another's", async () => {
  using jail = new TemporaryDirectory();
  jail.write("x", "text");
  const { output } = await runProgram(
    `await tell(async () => { using d = Deno.openSync("${jail.path}", { read: true }); await d.sync(); return "synced"; });
     await tell(() => { const a = Deno.openSync("${jail.path}/x"), b = Deno.openSync("${jail.path}/x");
       return [a.tryLockSync(true), b.tryLockSync(true)].join(); });`,
    [`--allow-read=${jail.path}`],
  );
  assert.deepEqual(output.split("\n"), ["synced", "true,false"]);
});

Deno.test("the module cache is written without permission, unless it cannot be: daemons get one that they cannot write", async () => {
  const { output } = await runProgram(
    `await tell(async () => { await caches.open("x"); return "opened"; });`,
  );
  assert.equal(output, "opened");
});
