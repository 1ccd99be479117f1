import assert from "node:assert/strict";
import { type CommandEnd, commandOutcome, deliveredTo } from "../../../lib/mail/command_outcome.ts";

const ENDS: readonly (readonly [how: CommandEnd["how"], code: number, output: string, expected: string])[] = [
  ["exit", 0, "", "sent 2.0.0 "],
  ["exit", 0, "5.1.1 no", "sent 2.0.0 5.1.1 no"],
  ["exit", 75, "", "deferred 4.3.0 temporary failure"],
  ["exit", 71, "x", "deferred 4.3.0 system resource problem. Command output: x"],
  ["exit", 67, "a\tb\nc\x01", "bounced 5.1.1 user unknown. Command output: a b c_"],
  ["exit", 1, "", 'bounced 5.3.0 Command died with status 1: "cmd"'],
  ["exit", 79, "why", 'bounced 5.3.0 Command died with status 79: "cmd". Command output: why'],
  ["exit", 75, "5.7.1 never", "bounced 5.7.1 never"],
  ["exit", 67, "4.7.1 later\n", "deferred 4.7.1 later "],
  ["exit", 67, "2.0.0 well", "bounced 5.1.1 user unknown. Command output: 2.0.0 well"],
  ["exit", 67, "5.7 no", "bounced 5.1.1 user unknown. Command output: 5.7 no"],
  ["signal", 9, "", 'deferred 4.3.0 Command died with signal 9: "cmd"'],
  ["timeout", 0, "", 'bounced 5.3.0 Command time limit exceeded: "cmd"'],
  ["failed", 0, "no such file", "deferred 4.3.0 temporary failure. Command output: no such file"],
];

for (const [how, code, output, expected] of ENDS) {
  Deno.test(`A command with ${how} ${code} and output ${JSON.stringify(output)} is ${expected}`, () => {
    const { result, status, reason } = commandOutcome(
      { how, code, output: new TextEncoder().encode(output) },
      "cmd",
    );
    assert.equal(`${result} ${status} ${reason}`, expected);
  });
}

Deno.test("A success is put in words, with a hundred characters of what the command said; a failure stays", () => {
  const end = { how: "exit", code: 0, output: new TextEncoder().encode("x".repeat(300)) } as const;
  assert.equal(deliveredTo(commandOutcome(end, "c"), "done").reason, `done (${"x".repeat(100)})`);
  assert.equal(
    deliveredTo(commandOutcome({ ...end, output: new Uint8Array(0) }, "c"), "done").reason,
    "done",
  );
  assert.equal(deliveredTo(commandOutcome({ ...end, code: 67 }, "c"), "done").status, "5.1.1");
});
