import assert from "node:assert/strict";
import { FILE_LIMIT } from "../../../lib/server/target_files.ts";
import { type FilesTask } from "../../../lib/server/boot.ts";
import { type HelperFile, MailboxHelperPool } from "../../../lib/server/mailbox_helper.ts";
import { until } from "../../commands/mail_system.ts";
import { testNeeding } from "../../support/tools.ts";
import { Processes } from "./helper_processes.ts";

/** What a helper reads of a user's files, and what it does not. */

/** Files in a directory, and a helper process that may read some of them. */
class Bench implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly processes = new Processes();

  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  write(name: string, text: string, mode = 0o644): string {
    Deno.writeTextFileSync(this.path(name), text);
    Deno.chmodSync(this.path(name), mode);
    return this.path(name);
  }

  /** What comes of reading the files with a fresh helper. */
  async read(names: readonly string[], more: Partial<FilesTask> = {}): Promise<HelperFile> {
    const [uid, gid] = [Deno.uid()!, Deno.gid()!];
    const files = names.map((name) => this.path(name));
    const task: FilesTask = { kind: "files", files, owner: uid, home: "", author: uid, uid, gid, ...more };
    const pool = new MailboxHelperPool({ start: () => this.processes.run(task), limit: 1, idle: 10 });
    return await pool.read({ kind: "forward", recipient: "x" });
  }

  async text(names: readonly string[], more: Partial<FilesTask> = {}): Promise<string> {
    const found = await this.read(names, more);
    return found.kind === "read"
      ? `${found.index} ${new TextDecoder().decode(found.content)}`
      : found.kind === "missing"
      ? "missing"
      : `${found.kind} ${found.why.replaceAll(this.directory, "DIR")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.processes[Symbol.asyncDispose]();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("The first file that exists is read, whatever its size, and master hears what it names before", async () => {
  await using bench = new Bench();
  bench.write("second", 'a, "|cmd x"\n#"|not"\n/f, ~/g\n:Include:/l\n');
  bench.write("third", "no");
  assert.equal(
    await bench.text(["first", "second", "third"]),
    '1 a, "|cmd x"\n#"|not"\n/f, ~/g\n:Include:/l\n',
  );
  await until(() => bench.processes.output.includes("names"));
  const names = bench.processes.output.split("\n").map((line) => line === "" ? {} : JSON.parse(line))
    .find(({ word }) => word === "names");
  assert.deepEqual(names.items, ["|cmd x", "/f", "~/g", ":include:/l"]);
  const long = "x@y.test\n".repeat(100_000);
  bench.write("long", long);
  assert.equal(await bench.text(["long"]), `0 ${long}`);
});

Deno.test("No file is missing, an empty file is one", async () => {
  await using bench = new Bench();
  assert.equal(await bench.text(["first", "second"]), "missing");
  bench.write("first", "");
  assert.equal(await bench.text(["first"]), "0 ");
});

Deno.test("A .forward that is a link, a directory, a FIFO, shared or too long is refused, and nothing hangs", async () => {
  await using bench = new Bench();
  bench.write("target", "x");
  Deno.symlinkSync(bench.path("target"), bench.path("link"));
  Deno.symlinkSync("/etc/shadow", bench.path("secret"));
  Deno.symlinkSync(bench.path("nowhere"), bench.path("dangling"));
  Deno.mkdirSync(bench.path("directory"));
  assert.ok(new Deno.Command("mkfifo", { args: [bench.path("fifo")] }).outputSync().success);
  bench.write("open", "x", 0o666);
  bench.write("shared", "x");
  Deno.linkSync(bench.path("shared"), bench.path("shared2"));
  Deno.truncateSync(bench.write("huge", ""), FILE_LIMIT + 1);
  assert.match(await bench.text(["link"]), /^refused file is a symbolic link/);
  assert.match(await bench.text(["secret"]), /^refused /);
  assert.doesNotMatch(await bench.text(["secret"]), /root:/);
  assert.match(await bench.text(["dangling"]), /^refused file is a symbolic link/);
  assert.equal(await bench.text(["directory"]), "refused file is not a regular file");
  assert.equal(await bench.text(["fifo"]), "refused file is not a regular file");
  assert.equal(await bench.text(["open"]), "refused file is world writable");
  assert.equal(await bench.text(["shared"]), "refused file has 2 hard links");
  assert.equal(await bench.text(["huge"]), `refused file is longer than ${FILE_LIMIT} bytes`);
});

testNeeding(
  ["root"],
  "A .forward that belongs to somebody else is refused, one of root's is not",
  async () => {
    await using bench = new Bench();
    Deno.chownSync(bench.write("mine", "a"), 1234, 1234);
    assert.equal(await bench.text(["mine"], { owner: 4321 }), "refused file has bad owner uid 1234");
    assert.equal(await bench.text(["mine"], { owner: 1234 }), "0 a");
    bench.write("roots", "a");
    assert.equal(await bench.text(["roots"], { owner: 4321 }), "0 a");
  },
);

Deno.test("A list may belong to anybody, and is no FIFO, no directory and not for the world to write", async () => {
  await using bench = new Bench();
  bench.write("list", "a\n");
  assert.equal(await bench.text(["list"], { owner: -1 }), "0 a\n");
  bench.write("open", "a\n", 0o666);
  assert.equal(await bench.text(["open"], { owner: -1 }), "refused file is world writable");
  assert.ok(new Deno.Command("mkfifo", { args: [bench.path("fifo")] }).outputSync().success);
  assert.equal(await bench.text(["fifo"], { owner: -1 }), "refused file is not a regular file");
});

Deno.test("A home that must be there and is not is trouble that may pass", async () => {
  await using bench = new Bench();
  assert.match(await bench.text(["x"], { home: bench.path("home") }), /^retry /);
  Deno.mkdirSync(bench.path("home"));
  assert.equal(await bench.text(["x"], { home: bench.path("home") }), "missing");
});
