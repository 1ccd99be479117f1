import assert from "node:assert/strict";
import { CommandError } from "../../commands/command.ts";
import { readTrialOptions, type TrialOptions } from "../../commands/trial.ts";
import { masterToml, trialPaths, writeTrialConfiguration } from "../../commands/trial_configuration.ts";
import { StageDisplay } from "../../commands/trial_display.ts";
import { parseLogLine, TrialLog } from "../../commands/trial_log.ts";
import { loadConfiguration } from "../../lib/config/configuration.ts";
import { systemFacts } from "../../lib/server/system_facts.ts";
import { SERVICES } from "../../daemons/services.ts";

const OPTIONS: readonly (readonly [args: readonly string[], expect: TrialOptions])[] = [
  [[], { root: "/home/me/.trial", port: 2525, once: false }],
  [["--once"], { root: "/home/me/.trial", port: 2525, once: true }],
  [["--", "--once"], { root: "/home/me/.trial", port: 2525, once: true }],
  [["--root", "/srv/t", "--smtp-port", "1"], { root: "/srv/t", port: 1, once: false }],
  [["--root=x", "--smtp-port=65535"], { root: "/home/me/x", port: 65535, once: false }],
];

for (const [args, expect] of OPTIONS) {
  Deno.test(`trial options: ${args.join(" ") || "none"}`, () => {
    assert.deepEqual(readTrialOptions(args, "/home/me"), expect);
  });
}

const WRONG: readonly (readonly [args: readonly string[], why: RegExp])[] = [
  [["--twice"], /unknown option "--twice"/],
  [["--once=yes"], /unknown option "--once=yes"/],
  [["extra"], /unknown option "extra"/],
  [["--root"], /option --root needs a value/],
  [["--smtp-port", ""], /option --smtp-port needs a value/],
  [["--smtp-port", "0"], /"0" is not a port number/],
  [["--smtp-port", "65536"], /"65536" is not a port number/],
  [["--smtp-port", "25x"], /"25x" is not a port number/],
  [["--root", "/a b"], /has a " " in its name/],
  [["--root", "/a$b"], /has a "\$" in its name/],
  [["--root", `/${"a".repeat(70)}`], /is longer than 70 bytes/],
];

for (const [args, why] of WRONG) {
  Deno.test(`trial refuses ${args.join(" ").slice(0, 30)}`, () => {
    assert.throws(() => readTrialOptions(args, "/home/me"), (error: unknown) => {
      assert.ok(error instanceof CommandError);
      assert.equal(error.status, 64);
      assert.match(error.message, why);
      return true;
    });
  });
}

Deno.test("the trial's configuration has nothing wrong with it, and every service of the sample on its port", async () => {
  const root = Deno.makeTempDirSync();
  try {
    const paths = trialPaths(root);
    Deno.mkdirSync(paths.configuration);
    await writeTrialConfiguration(paths, 2599);
    const { configuration, problems } = loadConfiguration(paths.configuration, systemFacts(), {
      readText: (path) => Deno.readTextFileSync(path),
      commands: [...SERVICES.keys()],
    });
    assert.deepEqual(problems, []);
    assert.ok(configuration !== undefined);
    const inet = configuration.services.filter((service) => service.type === "inet");
    assert.deepEqual(inet.map((service) => service.name), ["127.0.0.1:2599"]);
    const sample = Deno.readTextFileSync(new URL("../../conf/master.toml", import.meta.url));
    const services = sample.split("\n").filter((line) => line === "[[service]]").length;
    assert.equal(configuration.services.length, services);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("the sample's SMTP service is the only one that moves", () => {
  const moved = masterToml(2599).split("\n");
  const sample = Deno.readTextFileSync(new URL("../../conf/master.toml", import.meta.url)).split("\n");
  const changed = moved.filter((line, i) => line !== sample[i]);
  assert.deepEqual(changed, ['name = "127.0.0.1:2599"']);
});

const LINES: readonly (readonly [line: string, program: string, text: string])[] = [
  ["Nov  3 05:06:02 host postfix/qmgr[7]: A1: removed", "qmgr", "A1: removed"],
  ["Nov  3 05:06:02 host postfix/relay/smtp[7]: A1: to=<a@b>", "relay/smtp", "A1: to=<a@b>"],
  ["Nov  3 05:06:02 host postfix/qmgr[7]: x]: y[1]: z", "qmgr", "x]: y[1]: z"],
  ["error: Uncaught in a runtime", "", "error: Uncaught in a runtime"],
  ["", "", ""],
];

for (const [line, program, text] of LINES) {
  Deno.test(`log line "${line.slice(0, 50)}"`, () => assert.deepEqual(parseLogLine(line), { program, text }));
}

Deno.test("the log is followed from where it was, lines in pieces are put together", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const path = `${directory}/log`;
    const line = (text: string) => `Nov  3 05:06:02 host postfix/qmgr[7]: ${text}\n`;
    Deno.writeTextFileSync(path, line("A1: old"));
    const log = new TrialLog(path);
    assert.equal(await log.find((one) => one.text.startsWith("A1"), 0), undefined);
    const whole = line("A1: new");
    Deno.writeTextFileSync(path, whole.slice(0, 20), { append: true });
    assert.equal(await log.find((one) => one.text.startsWith("A1"), 0), undefined);
    Deno.writeTextFileSync(path, whole.slice(20), { append: true });
    assert.deepEqual(await log.find((one) => one.text.startsWith("A1"), 1000), {
      program: "qmgr",
      text: "A1: new",
    });
    assert.equal(log.tail(), "  qmgr: A1: new\n");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

/** Times are the machine's: taken out. */
function withoutTime(text: string): string {
  return text.replaceAll(/[ \d]{5} ms/g, "");
}

Deno.test("stages are plain lines where there is no terminal", async () => {
  let out = "";
  const display = new StageDisplay(2, false, (text) => out += text);
  await display.stage("one", "doing", () => "done\x1b[2J");
  await assert.rejects(display.stage("two", "doing", () => Promise.reject(new Error("no"))));
  display.failed();
  assert.equal(withoutTime(out), "[1/2] one             done?[2J\n[1/2] two             FAILED\n");
});

Deno.test("on a terminal the line of a running stage is rewritten, with a bar", async () => {
  let out = "";
  const display = new StageDisplay(2, true, (text) => out += text);
  await display.stage("one", "doing", () => "done");
  assert.equal(withoutTime(out), "\r\x1b[2K[..] one: doing ...\r\x1b[2K[#.] one             done\n");
  display.failed();
});
