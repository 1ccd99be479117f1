import assert from "node:assert/strict";
import { runProgram } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";

const BENCH = new URL("../../bench/bench.ts", import.meta.url).pathname;

Deno.test("the benchmark measures both systems with a small load, and leaves nothing behind", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "bench-" });
  try {
    Deno.chmodSync(directory, 0o755); // Postfix's daemons have a user of their own
    const args = ["run", "-A", BENCH, "--pairs", "1", "--messages", "40", "--json"];
    const places = ["--disk", directory, "--tmpfs", directory];
    const done = await runProgram(Deno.execPath(), [...args, ...places]);
    assert.equal(done.status, 0, done.errors);
    const { load, sections } = JSON.parse(done.output);
    assert.deepEqual(load, { messages: 40, sessions: 20, length: 1024 });
    assert.deepEqual(sections.map(({ name }: { name: string }) => name), ["disk", "tmpfs"]);
    for (const { postern, postfix, ratio } of sections) {
      assert.equal(postern.length, 1);
      assert.ok(postern[0].rate > 0 && postern[0].cpu > 0 && postern[0].memory > 1, done.output);
      assert.equal(postfix.length, Postfix.available() ? 1 : 0);
      assert.equal(ratio?.rate > 0, Postfix.available());
    }
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
