import assert from "node:assert/strict";
import { MAIN, type ProcessEntry, processTable, until } from "../commands/mail_system.ts";
import { forbiddenFlags } from "../../lib/server/probe.ts";

/** The trial as a stranger starts it, in a directory of its own. */
class Trial {
  readonly root: string = Deno.makeTempDirSync({ prefix: "postern-trial-" });
  readonly port: number = freePort();

  command(...options: string[]): Deno.Command {
    return new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", MAIN, "trial", "--root", this.root, "--smtp-port", String(this.port), ...options],
      stdout: "piped",
      stderr: "piped",
    });
  }

  async once(...options: string[]): Promise<{ status: number; output: string; errors: string }> {
    const { code, stdout, stderr } = await this.command("--once", ...options).output();
    return {
      status: code,
      output: new TextDecoder().decode(stdout),
      errors: new TextDecoder().decode(stderr),
    };
  }

  /** Processes of this trial: master and the daemons name its directory. */
  processes(): ProcessEntry[] {
    return processTable().filter(({ args }) => args.some((arg) => arg.includes(this.root)));
  }

  /** Contents of a mailbox. */
  mailbox(user: string): string[] {
    try {
      return [...Deno.readDirSync(`${this.root}/mail/${user}/new`)]
        .map(({ name }) =>
          new TextDecoder("latin1").decode(Deno.readFileSync(`${this.root}/mail/${user}/new/${name}`))
        );
    } catch {
      return []; // no mail has come yet
    }
  }

  async remove(): Promise<void> {
    for (const { pid } of this.processes()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        continue; // it ended meanwhile
      }
    }
    await until(() => this.processes().length === 0);
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** A trial that is up, and what it says. */
class RunningTrial {
  readonly child: Deno.ChildProcess;
  output = "";

  constructor(trial: Trial) {
    this.child = trial.command().spawn();
    this.#collect();
  }

  async #collect(): Promise<void> {
    for await (const text of this.child.stdout.pipeThrough(new TextDecoderStream())) this.output += text;
  }

  async up(): Promise<void> {
    assert.ok(await until(() => this.output.includes("Ctrl-C ends it.")), this.output);
  }

  /** The errors have to be read, or the pipe stays open. */
  async end(): Promise<number> {
    const [status] = await Promise.all([this.child.status, this.child.stderr.cancel()]);
    return status.code;
  }
}

Deno.test("trial --once delivers its message, ends with 0 and leaves no process", async () => {
  const trial = new Trial();
  try {
    const first = await trial.once("--");
    assert.equal(first.status, 0, first.output + first.errors);
    const names = first.output.split("\n").filter((line) => line.startsWith("["));
    assert.deepEqual(
      names.map((line) => line.slice(0, 5)),
      Array.from({ length: 9 }, (_, i) => `[${i + 1}/9]`),
    );
    for (const stage of ["greeting", "smtpd", "cleanup", "queue manager", "virtual", "maildir"]) {
      assert.ok(first.output.includes(`] ${stage} `), `stage ${stage}`);
    }
    assert.deepEqual(trial.processes(), []);
    const [message] = trial.mailbox("welcome");
    assert.match(message!, /^Return-Path: <trial@localhost>\n/);
    assert.match(message!, /\nDelivered-To: welcome@example\.test\n/);
    assert.match(message!, /\nReceived: from localhost /);
    const second = await trial.once();
    assert.equal(second.status, 0, "the folder is used again");
    assert.equal(trial.mailbox("welcome").length, 2);
  } finally {
    await trial.remove();
  }
});

Deno.test("trial --once fails with the end of the log when the message does not arrive", async () => {
  const trial = new Trial();
  try {
    Deno.mkdirSync(`${trial.root}/mail`);
    Deno.writeTextFileSync(`${trial.root}/mail/welcome`, "in the way of the Maildir");
    const done = await trial.once();
    assert.equal(done.status, 1);
    assert.match(done.output, /virtual +FAILED/);
    assert.match(
      done.errors,
      /virtual: [0-9A-Za-z]+: to=<welcome@example\.test>.* status=(deferred|bounced)/,
    );
    assert.match(done.errors, /\ntrial: fatal: Cannot deliver /);
    assert.deepEqual(trial.processes(), []);
  } finally {
    await trial.remove();
  }
});

Deno.test("trial says so when its port is in use, and starts nothing", async () => {
  const trial = new Trial();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: trial.port });
  try {
    const done = await trial.once();
    assert.equal(done.status, 1);
    assert.equal(
      done.errors,
      `trial: fatal: Cannot listen on "127.0.0.1:${trial.port}": Address already in use: choose another port with --smtp-port\n`,
    );
    assert.deepEqual([...Deno.readDirSync(trial.root)], []);
  } finally {
    listener.close();
    await trial.remove();
  }
});

Deno.test("a running trial: processes, real clients, Ctrl-C", async (t) => {
  const trial = new Trial();
  const running = new RunningTrial(trial);
  try {
    await running.up();
    await t.step(
      "every daemon is a `deno run` of its own in a sandbox of its own",
      () => checkProcesses(trial),
    );
    await t.step("a second trial in the same folder is refused", async () => {
      const done = await trial.once();
      assert.equal(done.status, 1);
      assert.match(done.errors, /a trial is running in ".*" already: PID [0-9]+/);
    });
    await t.step("Python's smtplib: 8-bit, dots, long lines, many recipients", () => sendWithPython(trial));
    await t.step("swaks", () => sendWithSwaks(trial));
    await t.step("swaks is refused an unknown mailbox and a relay", () => refuseSwaks(trial));
    await t.step("Ctrl-C leaves no process", async () => {
      running.child.kill("SIGINT");
      assert.equal(await running.end(), 0);
      assert.deepEqual(trial.processes(), []);
    });
  } finally {
    await trial.remove();
  }
});

Deno.test("no process survives a trial that is killed", async () => {
  const trial = new Trial();
  const running = new RunningTrial(trial);
  try {
    await running.up();
    running.child.kill("SIGKILL");
    await running.end();
    assert.ok(await until(() => trial.processes().length === 0));
  } finally {
    await trial.remove();
  }
});

/** DEN-28 over the process table. */
function checkProcesses(trial: Trial): void {
  const all = trial.processes();
  const master = all.find(({ args }) => args.some((arg) => arg.endsWith("/master/main.ts")))!;
  const daemons = all.filter(({ parent }) => parent === master.pid);
  const entries = daemons.map(({ args }) => args.find((arg) => arg.endsWith("/main.ts"))!.split("/").at(-2));
  for (const needed of ["smtpd", "cleanup", "qmgr", "trivial-rewrite", "proxymap", "virtual"]) {
    assert.ok(entries.includes(needed), `${needed} is not among ${entries.join(" ")}`);
  }
  for (const { args } of daemons) {
    assert.equal(args[1], "run");
    assert.deepEqual(forbiddenFlags(args), [], args.join(" "));
  }
  const smtpd = daemons.find(({ args }) => args.at(-1)!.endsWith("/smtpd/main.ts"))!;
  const network = smtpd.args.filter((arg) => arg.startsWith("--allow-net="))
    .flatMap((arg) => arg.slice("--allow-net=".length).split(","));
  assert.ok(network.length > 0 && network.every((object) => object.startsWith("unix:")), network.join(" "));
  // The others that name the folder: the trial itself, and master.
  const rest = all.filter(({ parent, pid }) => parent !== master.pid && pid !== master.pid);
  assert.deepEqual(rest.map(({ args }) => args.slice(1, 5)), [["run", "-A", MAIN, "trial"]]);
}

const PYTHON = `
import smtplib, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
body = b"".join([
    b"From: me@example.test\\r\\nTo: many@example.test\\r\\nSubject: python\\r\\n\\r\\n",
    b".\\r\\n..\\r\\n.dot first\\r\\n", bytes(range(0xa0, 0x100)), b"\\r\\n", b"x" * 990, b"\\r\\n", b"the end\\r\\n",
])
with smtplib.SMTP("127.0.0.1", port) as client:
    refused = client.sendmail("me@example.test", ["py%d@example.test" % i for i in range(count)], body,
                              mail_options=["BODY=8BITMIME"])
sys.exit(1 if refused else 0)
`;
import { freePort } from "../support/ports.ts";
const RECIPIENTS = 20;

async function sendWithPython(trial: Trial): Promise<void> {
  const args = ["-c", PYTHON, String(trial.port), String(RECIPIENTS)];
  const done = await new Deno.Command("python3", { args, stderr: "piped" }).output();
  assert.equal(done.code, 0, new TextDecoder().decode(done.stderr));
  const users = Array.from({ length: RECIPIENTS }, (_, i) => `py${i}`);
  assert.ok(await until(() => users.every((user) => trial.mailbox(user).length === 1)));
  const eightBit = String.fromCharCode(...Array.from({ length: 0x60 }, (_, i) => 0xa0 + i));
  const expected = `.\n..\n.dot first\n${eightBit}\n${"x".repeat(990)}\nthe end\n`;
  for (const user of users) {
    const [message] = trial.mailbox(user);
    // windows-1252 is what "latin1" means to a decoder: the bytes from 0xA0 on are the same.
    assert.equal(message!.slice(message!.indexOf("\n\n") + 2), expected, user);
  }
}

function swaks(trial: Trial, to: string): Promise<Deno.CommandOutput> {
  const args = [
    "--server",
    "127.0.0.1",
    "--port",
    String(trial.port),
    "--from",
    "me@example.test",
    "--to",
    to,
  ];
  return new Deno.Command("swaks", { args: [...args, "--header", "Subject: swaks"] }).output();
}

async function sendWithSwaks(trial: Trial): Promise<void> {
  const done = await swaks(trial, "Swaks+tag@localhost");
  assert.equal(done.code, 0, new TextDecoder().decode(done.stdout));
  const arrived = () => ["swaks", "swaks+tag"].flatMap((user) => trial.mailbox(user));
  assert.ok(await until(() => arrived().length === 1));
  assert.match(arrived()[0]!, /\nSubject: swaks\n/);
}

async function refuseSwaks(trial: Trial): Promise<void> {
  const cases = [
    ["unknown@example.test", "550 5.1.1 <unknown@example.test>: Recipient address rejected: User unknown"],
    ["unknown-too@localhost", "550 5.1.1 <unknown-too@localhost>: Recipient address rejected: User unknown"],
    ["someone@example.com", "554 5.7.1 <someone@example.com>: Relay access denied"],
  ] as const;
  for (const [to, reply] of cases) {
    const done = await swaks(trial, to);
    assert.notEqual(done.code, 0);
    assert.ok(new TextDecoder().decode(done.stdout).includes(reply), new TextDecoder().decode(done.stdout));
  }
}
