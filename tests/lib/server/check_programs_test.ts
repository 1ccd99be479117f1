import assert from "node:assert/strict";
import { formatProblem } from "../../../lib/config/problem.ts";
import { findProgramProblems } from "../../../lib/server/check_programs.ts";
import { testNeeding } from "../../support/tools.ts";
import { loadGood, MASTER } from "../config/fixture.ts";

/** A configuration with a service that runs a program. */
function problemsWith(command: "pipe" | "spawn", main: string, items: readonly string[]): string[] {
  const service = items.length === 0
    ? ""
    : `\n[[service]]\nname = "prog"\ntype = "unix"\ncommand = "${command}"\narguments = ${
      JSON.stringify(items)
    }\n`;
  return findProgramProblems(loadGood(main, MASTER + service)).map(formatProblem);
}

function problemsOf(main: string, ...items: readonly string[]): string[] {
  return problemsWith("pipe", main, items);
}

Deno.test("a program that is there has no problem, one that is missing a warning", () => {
  assert.deepEqual(problemsOf('mail_owner = ""', "user=none-such", "argv=/bin/cat"), []);
  const [missing = "", ...more] = problemsOf('mail_owner = ""', "user=nobody", "argv=/no/such/program x");
  assert.match(
    missing,
    /^warning: .*master\.toml:\d+: "arguments": program "\/no\/such\/program" is missing/,
  );
  assert.deepEqual(more, []);
});

const OWNERS = 'mail_owner = "daemon"\nnet_owner = "bin"\n';

for (
  const [user, why] of [
    ["none-such", /there is no user "none-such"/],
    ["nobody:none-such", /there is no group "none-such"/],
    ["root", /would run it as root/],
    ["nobody:root", /would run it as root/],
    ["daemon", /with the rights of the mail system/],
    ["bin", /with the rights of the mail system/],
    ["nobody:daemon", /with the rights of the mail system/],
  ] as const
) {
  for (const command of ["pipe", "spawn"] as const) {
    testNeeding(["root"], `a ${command} service with user=${user} is an error`, () => {
      const [problem = ""] = problemsWith(command, OWNERS, [`user=${user}`, "argv=/bin/cat"]);
      assert.match(problem, /^error: /);
      assert.match(problem, why);
    });
  }
}

testNeeding(["root"], "default_privs must be a user, and not root, where commands or files may stand", () => {
  assert.deepEqual(problemsOf(OWNERS), []);
  assert.match(problemsOf(`${OWNERS}default_privs = "root"`)[0] ?? "", /"default_privs": "root" is root/);
  assert.match(problemsOf(`${OWNERS}default_privs = "none-such"`)[0] ?? "", /is no user/);
  const off = "allow_mail_to_commands = []\nallow_mail_to_files = []\n";
  assert.deepEqual(problemsOf(`${OWNERS}${off}default_privs = "root"`), []);
});
