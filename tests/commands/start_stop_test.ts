import assert from "node:assert/strict";
import { formatStatus } from "../../commands/status.ts";
import { MailSystem, MAIN, until } from "./mail_system.ts";

/** The number in Postfix's line about a running system. */
function pidOf(errors: string): number {
  return Number(/is running: PID: ([0-9]+)/.exec(errors)?.[1]);
}

Deno.test("start, status, flush, reload, stop: words and statuses are Postfix's", async (t) => {
  const system = await MailSystem.make();
  try {
    await t.step("nothing runs: status, stop, abort, reload and flush say so", async () => {
      const status = await system.run("status");
      assert.equal(status.status, 1);
      assert.equal(status.errors, "postfix/postfix-script: the Postern mail system is not running\n");
      for (const program of ["stop", "abort", "reload"]) {
        const done = await system.run(program);
        assert.equal(done.status, 1, program);
        assert.equal(done.errors, `${program}: fatal: the Postern mail system is not running\n`);
      }
      const flush = await system.run("flush");
      assert.equal(flush.status, 69);
      assert.match(flush.errors, /mail system is down/);
    });

    await t.step("start returns when every socket is bound", async () => {
      const started = await system.run("start");
      assert.equal(started.errors, "postfix/postfix-script: starting the Postern mail system\n");
      assert.equal(started.status, 0);
      Deno.connect({ hostname: "127.0.0.1", port: system.port }).then((connection) => connection.close());
    });

    await t.step("a second start is refused", async () => {
      const again = await system.run("start");
      assert.equal(again.status, 1);
      assert.equal(again.errors, "start: fatal: the Postern mail system is already running\n");
      const foreground = await system.run("start-fg");
      assert.equal(foreground.status, 1);
    });

    await t.step("status shows the number and the processes", async () => {
      const status = await system.run("status");
      assert.equal(status.status, 0);
      assert.ok(pidOf(status.errors) > 1);
      assert.match(status.output, /^SERVICE +PID +AGE +BUSY +USED\n/);
      assert.match(status.output, /Security events: none\n$/);
    });

    await t.step("flush reaches the queue manager", async () => {
      assert.deepEqual(await system.run("flush"), { status: 0, output: "", errors: "" });
    });

    await t.step("reload refuses a wrong configuration and leaves the system alone", async () => {
      const path = `${system.paths.configuration}/main.toml`;
      const text = Deno.readTextFileSync(path);
      Deno.writeTextFileSync(path, `message_size_limt = 1\n${text}`);
      const refused = await system.run("reload");
      assert.equal(refused.status, 1);
      assert.match(refused.errors, /main\.toml:1: unknown parameter "message_size_limt"/);
      Deno.writeTextFileSync(path, text);
      assert.equal((await system.run("status")).status, 0);
      assert.ok(!system.log().includes("reload --"));
    });

    await t.step("reload tells master", async () => {
      const reloaded = await system.run("reload");
      assert.equal(reloaded.status, 0);
      assert.equal(reloaded.errors, "postfix/postfix-script: refreshing the Postern mail system\n");
      assert.ok(await until(() => system.log().includes("reload -- configuration")));
    });

    await t.step("stop leaves no process", async () => {
      const stopped = await system.run("stop");
      assert.equal(stopped.status, 0);
      assert.match(stopped.errors, /^postfix\/postfix-script: stopping the Postern mail system\n/);
      assert.deepEqual(system.processes(), []);
      assert.equal((await system.run("status")).status, 1);
    });

    await t.step("it starts again, and abort ends it", async () => {
      assert.equal((await system.run("start")).status, 0);
      assert.equal((await system.run("abort")).status, 0);
      assert.ok(await until(() => system.processes().length === 0));
    });
  } finally {
    await system.remove();
  }
});

Deno.test("start reports a port that is in use, and nothing runs", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const system = await MailSystem.make((listener.addr as Deno.NetAddr).port);
  try {
    const done = await system.run("start");
    assert.equal(done.status, 1);
    assert.match(done.errors, /Cannot listen on "127\.0\.0\.1:[0-9]+": Address already in use/);
    assert.match(done.errors, /start: fatal: mail system startup failed\n$/);
    assert.deepEqual(system.processes(), []);
  } finally {
    listener.close();
    await system.remove();
  }
});

Deno.test("stop kills a master that does not end by itself, and its daemons", async () => {
  const system = await MailSystem.make();
  try {
    assert.equal((await system.run("start")).status, 0);
    const pid = pidOf((await system.run("status")).errors);
    Deno.kill(pid, "SIGSTOP");
    const stopped = await system.run("stop");
    assert.match(stopped.errors, /waiting for the Postern mail system to terminate/);
    assert.match(stopped.errors, /with force/);
    assert.equal(stopped.status, 0);
    assert.ok(await until(() => system.processes().length === 0));
  } finally {
    await system.remove();
  }
});

for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
  Deno.test(`start-fg on ${signal}: no process is left`, async () => {
    const system = await MailSystem.make();
    try {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", MAIN, "-c", system.paths.configuration, "start-fg"],
        stdout: "null",
        stderr: "null",
      }).spawn();
      const status = `${system.paths.queue}/pid/master.status`;
      assert.ok(await until(() => exists(status)), "master is ready");
      child.kill(signal);
      const ended = await child.status;
      if (signal !== "SIGKILL") assert.equal(ended.code, 0);
      assert.ok(await until(() => system.processes().length === 0), "every process ends");
    } finally {
      await system.remove();
    }
  });
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

Deno.test("status lists security events by daemon", () => {
  const text = formatStatus({
    pid: 1,
    processes: [{ service: "qmgr", pid: 12, started: 1000, busy: 2, used: 30 }],
    securityEvents: { smtpd: 3 },
  }, 61_000);
  const lines = text.split("\n");
  assert.match(lines[1]!, /^qmgr +12 +60 +2 +30$/);
  assert.deepEqual(lines.slice(2), ["Security events:", "  smtpd                3", ""]);
});
