import assert from "node:assert/strict";
import { MAIN } from "../commands/mail_system.ts";
import { runProgram } from "../support/postern.ts";
import { testNeeding } from "../support/tools.ts";
import { freePort } from "../support/ports.ts";

testNeeding(
  ["root", "strace"],
  "crash-states: a run of the real daemons survives power cuts anywhere in it",
  async () => {
    const args = ["--states", "4", "--messages", "4", "--smtp-port", String(freePort())];
    const { status, output, errors } = await runProgram(Deno.execPath(), [
      "run",
      "-A",
      MAIN,
      "crash-states",
      ...args,
    ]);
    const [head, ...lines] = output.trimEnd().split("\n");
    assert.match(head!, /^\d+ operations, 4 messages$/, errors);
    assert.equal(lines.length, 4, output + errors);
    for (const line of lines) {
      assert.match(
        line,
        /^power cut after operation \d+, [1-4] messages acknowledged: all arrived$/,
      );
    }
    assert.equal(status, 0);
  },
);

Deno.test("crash-states: a wrong command line is 64", async () => {
  const { status, errors } = await runProgram(Deno.execPath(), [
    "run",
    "-A",
    MAIN,
    "crash-states",
    "--states",
    "x",
  ]);
  assert.equal(status, 64);
  assert.match(errors, /^crash-states: fatal: bad option "--states"\nusage: /);
});
