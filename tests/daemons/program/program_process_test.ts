import assert from "node:assert/strict";
import { type ProgramTask } from "../../../lib/server/boot.ts";
import { MailboxHelperPool, type ProgramEnd } from "../../../lib/server/mailbox_helper.ts";
import { utf8 } from "../../support/bytes.ts";
import { until } from "../../commands/mail_system.ts";
import { decode } from "../../support/postern.ts";
import { Processes } from "../mailbox/helper_processes.ts";

/** A helper process that runs one program, under the flags that master gives it. */
class Bench implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly processes = new Processes();
  readonly #pools: MailboxHelperPool[] = [];

  /** Runs a shell command on a text, as the helper of a command of local does. */
  async run(
    command: string,
    text: string | readonly Uint8Array[] = "text\n",
    more: Partial<ProgramTask> = {},
  ) {
    const pool = this.pool({ args: ["-c", command], ...more });
    return await this.feed(pool, text);
  }

  pool(more: Partial<ProgramTask>): MailboxHelperPool {
    const task: ProgramTask = {
      kind: "program",
      program: "/bin/sh",
      args: [],
      environment: { PATH: "/usr/bin:/bin" },
      timeLimit: 60,
      uid: Deno.uid()!,
      gid: Deno.gid()!,
      ...more,
    };
    const pool = new MailboxHelperPool({ start: () => this.processes.run(task), limit: 5, idle: 10 });
    this.#pools.push(pool);
    return pool;
  }

  async feed(
    pool: MailboxHelperPool,
    text: string | readonly Uint8Array[],
    more: object = {},
  ): Promise<ProgramEnd> {
    return await pool.run({ kind: "pipe" }, {
      queueId: "ID",
      sender: "",
      text: () => {
        const left = typeof text === "string" ? [utf8(text)] : [...text];
        return { next: () => left.shift() };
      },
      directory: this.directory,
      args: [],
      environment: [],
      ...more,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.processes[Symbol.asyncDispose]();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

function shown(end: ProgramEnd): string {
  return end.how === "unknown" ? end.how : `${end.how} ${end.code} ${decode(end.output)}`;
}

/** Numbers of the processes whose command line has the words. */
function processesWith(words: string): string[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => {
    try {
      return /^[0-9]+$/.test(name) &&
        Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ").includes(words);
    } catch {
      return false; // it has ended
    }
  });
}

Deno.test("A program gets the text, its directory and its environment, and nothing else", async () => {
  await using bench = new Bench();
  const end = await bench.feed(
    bench.pool({ args: ["-c", "cat; pwd; env | grep -v -e ^PWD= -e ^_= | sort"] }),
    "one\ntwo\n",
    { environment: [{ name: "SENDER", value: "a b;c" }] },
  );
  assert.equal(shown(end), `exit 0 one\ntwo\n${bench.directory}\nPATH=/usr/bin:/bin\nSENDER=a b;c\n`);
});

Deno.test("A program's exit status and signal are told", async () => {
  await using bench = new Bench();
  assert.equal(shown(await bench.run("exit 75")), "exit 75 ");
  assert.equal(shown(await bench.run("echo a; echo b >&2; exit 255")).slice(0, 9), "exit 255 ");
  assert.equal(shown(await bench.run("kill -9 $$")), "signal 9 ");
});

Deno.test("A program that does not read its input is no failure, however long that is", async () => {
  await using bench = new Bench();
  const long = Array.from({ length: 100 }, () => new Uint8Array(60_000));
  assert.equal(shown(await bench.run("exit 0", long)), "exit 0 ");
  assert.equal(shown(await bench.run("exec 0<&-; sleep 0.2; exit 3", long)), "exit 3 ");
});

Deno.test("A long text arrives whole, also in a program that is slow to read", async () => {
  await using bench = new Bench();
  const piece = utf8("0123456789abcde\n".repeat(2000));
  const pieces = Array.from({ length: 60 }, () => piece);
  assert.equal(shown(await bench.run("sleep 0.3; wc -c", pieces)).trim(), `exit 0 ${piece.length * 60}`);
});

Deno.test("The first 4096 bytes of output are kept; more is the program's loss", async () => {
  await using bench = new Bench();
  const end = await bench.run("cat >/dev/null; head -c 100000 /dev/zero | tr '\\0' x; echo end >&2; exit 4");
  assert.ok(end.how === "exit");
  assert.equal(end.output.length, 4096);
});

Deno.test("A program that takes too long is killed, and its group is named to master", async () => {
  await using bench = new Bench();
  const mark = "300.0625";
  const end = await bench.run(`echo $$; exec sleep ${mark}`, "x", { timeLimit: 1 });
  assert.ok(end.how === "timeout");
  const leader = Number(decode(end.output));
  const told = bench.processes.output.split("\n").filter((line) => line.includes("killGroup")).map((line) =>
    JSON.parse(line)
  );
  assert.deepEqual(told, [{ word: "killGroup", leader }]);
  assert.ok(await until(() => processesWith(`sleep ${mark}`).length === 0));
});

Deno.test("An agent that goes away in mid-message has the program killed before it sees the end of its input", async () => {
  await using bench = new Bench();
  const pool = bench.pool({ args: ["-c", "cat > out; echo done >> out"] });
  // More than goes without an answer, so that the program has a part of it.
  const texts = Array.from({ length: 60 }, () => new Uint8Array(60_000));
  const next = () => {
    const piece = texts.pop();
    if (piece === undefined) throw new Error("queue file is gone");
    return piece;
  };
  await assert.rejects(bench.feed(pool, "", { text: () => ({ next }) }), /queue file is gone/);
  assert.ok(await until(() => bench.processes.output.includes("killGroup")));
  assert.ok(Deno.statSync(`${bench.directory}/out`).size > 0);
  assert.ok(await until(() => processesWith("cat > out; echo done").length === 0));
  assert.ok(!Deno.readTextFileSync(`${bench.directory}/out`).includes("done"));
});

Deno.test("A program that cannot be started is a failure that says why", async () => {
  await using bench = new Bench();
  assert.match(
    shown(await bench.run("x", "", { program: "/no/such/program" })),
    /^failed 0 Cannot run "\/no\/such\/program"/,
  );
  const away = await bench.feed(bench.pool({ args: ["-c", "exit 0"] }), "", {
    directory: "/no/such/directory",
  });
  assert.equal(away.how, "failed");
});

Deno.test("Of a program whose helper was killed nothing is known", async () => {
  await using bench = new Bench();
  const end = bench.run("cat > /dev/null; sleep 5");
  assert.ok(await until(() => processesWith("cat > /dev/null; sleep 5").length > 0));
  bench.processes.kill();
  assert.equal((await end).how, "unknown");
});

Deno.test("One helper runs many at once, each fed its own", async () => {
  await using bench = new Bench();
  const pool = bench.pool({ args: ["-c", "sleep 0.2; cat"] });
  const ends = await Promise.all(Array.from({ length: 10 }, (_, i) => bench.feed(pool, `text ${i}`)));
  assert.deepEqual(ends.map(shown), Array.from({ length: 10 }, (_, i) => `exit 0 text ${i}`));
  assert.equal(bench.processes.children.length, 1);
});

Deno.test("Arguments reach the program as they are; a variable that is not one of mail's ends the helper's connection", async () => {
  await using bench = new Bench();
  const pool = bench.pool({ args: ["-c", 'printf "<%s>" "$@"', "sh"] });
  const args = ["a b", "$(id)", "`id`", "", "-n", "é\n"];
  assert.equal(
    shown(await bench.feed(pool, "", { args })),
    `exit 0 ${args.map((one) => `<${one}>`).join("")}`,
  );
  const end = await bench.feed(pool, "", { environment: [{ name: "LD_PRELOAD", value: "/tmp/x.so" }] });
  assert.equal(end.how, "unknown");
});
