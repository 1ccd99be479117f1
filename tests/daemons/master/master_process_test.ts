import assert from "node:assert/strict";
import { masterLaunch } from "../../../commands/master_control.ts";
import { until } from "../../commands/mail_system.ts";
import { filesBelow, killProcess, Postern, runProgram } from "../../support/postern.ts";
import { freePort } from "../../support/ports.ts";

/** A client that can wait in the middle of a message. */
class Session {
  readonly #socket: Deno.TcpConn;
  #text = "";

  private constructor(socket: Deno.TcpConn) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<{ session: Session; greeting: string }> {
    const session = new Session(await Deno.connect({ hostname: "127.0.0.1", port }));
    return { session, greeting: await session.reply() };
  }

  async reply(): Promise<string> {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const end = /^\d{3}(?: .*)?\r\n/m.exec(this.#text);
      if (end !== null) {
        this.#text = this.#text.slice(end.index + end[0].length);
        return end[0].trimEnd();
      }
      const count = await this.#socket.read(buffer);
      if (count === null) throw new Error("the server closed the connection");
      this.#text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  }

  async ask(command: string, code: string): Promise<void> {
    await this.#socket.write(new TextEncoder().encode(`${command}\r\n`));
    const reply = await this.reply();
    assert.ok(reply.startsWith(code), `${command}: ${reply}`);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

function masterOf(postern: Postern): number {
  const master = postern.processes().find(({ args }) =>
    args.some((arg) => arg.endsWith("/daemons/master/main.ts"))
  );
  assert.ok(master !== undefined, "master is there");
  return master.pid;
}

async function connects(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}

/** A process that was told to retire closes the port in its own time. */
async function refuses(port: number): Promise<boolean> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
    if (!await connects(port)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Sends SIGHUP and waits for what master then says. */
async function reload(postern: Postern, said: string): Promise<void> {
  const before = postern.log().split(said).length;
  Deno.kill(masterOf(postern), "SIGHUP");
  assert.ok(
    await until(() => postern.log().split(said).length > before),
    String(postern.failure(said)),
  );
}

const RELOADED = "reload -- configuration";
const REFUSED = "the new configuration is not used: the old one stays";

Deno.test("reload: what changed takes effect, what did not goes on undisturbed", async (t) => {
  await using postern = await Postern.start();
  const main = `${postern.paths.configuration}/main.toml`;
  const services = `${postern.paths.configuration}/master.toml`;
  const original = { main: Deno.readTextFileSync(main), services: Deno.readTextFileSync(services) };

  await t.step(
    "an open session survives and finishes its message; new sessions see the new settings",
    async () => {
      const { session } = await Session.open(postern.port);
      using open = session;
      await open.ask("EHLO client.test", "250");
      await open.ask("MAIL FROM:<a@example.test>", "250");
      await open.ask("RCPT TO:<survivor@example.test>", "250");
      const [qmgr, smtpd] = [postern.pids("qmgr"), postern.pids("smtpd")];
      postern.set({ smtpd_banner: '"$myhostname second banner"' });
      await reload(postern, RELOADED);
      let greeting = "";
      for (let i = 0; i < 100 && !greeting.includes("second banner"); i++) {
        const made = await Session.open(postern.port);
        made.session[Symbol.dispose]();
        greeting = made.greeting;
      }
      assert.match(greeting, /second banner/);
      assert.deepEqual(postern.pids("qmgr"), qmgr, "an unchanged daemon keeps its process");
      assert.ok(
        postern.pids("smtpd").some((pid) => smtpd.includes(pid)),
        "the old process finishes its session",
      );
      await open.ask("DATA", "354");
      await open.ask("Subject: survived\r\n\r\nbody\r\n.", "250");
      await open.ask("QUIT", "221");
      await postern.mail("survivor");
      assert.ok(await until(() => !postern.pids("smtpd").some((pid) => smtpd.includes(pid))), "then it ends");
    },
  );

  for (
    const [name, damage, why] of [
      [
        "an unknown parameter",
        () => Deno.writeTextFileSync(main, `message_size_limt = 1\n${original.main}`),
        'unknown parameter "message_size_limt"',
      ],
      ["no main.toml", () => Deno.removeSync(main), "main.toml"],
      ["an unknown command", () =>
        Deno.writeTextFileSync(
          services,
          `${original.services}\n[[service]]\nname = "x"\ntype = "unix"\ncommand = "smptd"\n`,
        ), "smptd"],
      [
        "another queue directory",
        () => postern.set({ queue_directory: `"${postern.paths.root}/other"` }),
        "Cannot change queue_directory",
      ],
    ] as const
  ) {
    await t.step(`${name}: refused with the reason, the old configuration stays`, async () => {
      const before = postern.processes().map(({ pid }) => pid);
      damage();
      await reload(postern, REFUSED);
      assert.ok(postern.log().includes(why), String(postern.failure(why)));
      assert.ok(before.includes(masterOf(postern)));
      const { session } = await Session.open(postern.port);
      session[Symbol.dispose]();
      Deno.writeTextFileSync(main, original.main);
      Deno.writeTextFileSync(services, original.services);
    });
  }

  await t.step("services are added, moved and removed; a socket that nobody serves is gone", async () => {
    const [first, second] = [freePort(), freePort()];
    const extra = (port: number) =>
      `\n[[service]]\nname = "127.0.0.1:${port}"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n` +
      `\n[[service]]\nname = "other"\ntype = "unix"\ncommand = "discard"\n`;
    const socket = `${postern.paths.queue}/private/other`;
    Deno.writeTextFileSync(services, original.services + extra(first));
    await reload(postern, RELOADED);
    assert.ok(await connects(first));
    assert.ok(exists(socket));
    Deno.writeTextFileSync(services, original.services + extra(second));
    await reload(postern, RELOADED);
    assert.ok(await connects(second));
    assert.ok(await refuses(first));
    Deno.writeTextFileSync(services, original.services);
    await reload(postern, RELOADED);
    assert.ok(await refuses(second));
    assert.equal(exists(socket), false);
    assert.ok(await connects(postern.port));
  });

  await t.step("a new service on a port in use: nothing changes", async () => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = taken.addr as Deno.NetAddr;
    const added =
      `\n[[service]]\nname = "127.0.0.1:${port}"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n`;
    Deno.writeTextFileSync(services, original.services + added);
    await reload(postern, "the old configuration stays");
    assert.ok(await connects(postern.port));
    Deno.writeTextFileSync(services, original.services);
  });

  await t.step("a second master is refused and the first goes on", async () => {
    const launch = masterLaunch(postern.paths.configuration, []);
    const second = await runProgram(launch.program, launch.args);
    assert.equal(second.status, 1);
    assert.match(second.errors, /the mail system is already running: PID: [0-9]+/);
    assert.ok(await connects(postern.port));
  });

  await t.step("master is killed: no child is left", async () => {
    killProcess(masterOf(postern));
    assert.ok(await until(() => postern.processes().length === 0));
    await postern.cut();
  });
});

Deno.test("processes start on demand, end when idle, are replaced after use, and are killed when silent", async (t) => {
  const SHOWQ = 'name = "showq"';
  const SMTPD = 'command = "smtpd"';
  await using postern = await Postern.start({
    settings: { daemon_watchdog_timeout: '"2s"' },
    services: (text) =>
      text.replace(SHOWQ, `${SHOWQ}\nmax_idle = "1s"`).replace(
        SMTPD,
        `${SMTPD}\nmax_use = 3\nprocess_limit = 2`,
      ),
  });

  await t.step("the status file names the processes", async () => {
    const path = `${postern.paths.queue}/pid/master.status`;
    const listed = () =>
      (JSON.parse(Deno.readTextFileSync(path)) as { processes: { service: string }[] }).processes.map((
        { service },
      ) => service);
    assert.ok(await until(() => listed().includes("qmgr")));
  });

  await t.step("showq starts with its first client and ends when it is idle", async () => {
    assert.deepEqual(postern.pids("showq"), []);
    const done = await postern.run(["postqueue", "-p"]);
    assert.deepEqual([done.status, done.output], [0, "Mail queue is empty\n"]);
    assert.equal(postern.pids("showq").length, 1);
    assert.ok(await until(() => postern.pids("showq").length === 0));
    assert.equal((await postern.run(["postqueue", "-p"])).status, 0);
  });

  await t.step(
    "smtpd is replaced after max_use sessions, none of them lost, never more than its limit",
    async () => {
      const seen = new Set<number>();
      let most = 0;
      for (let i = 0; i < 40; i++) {
        const { session, greeting } = await Session.open(postern.port);
        assert.match(greeting, /^220 /);
        const pids = postern.pids("smtpd");
        most = Math.max(most, pids.length);
        for (const pid of pids) seen.add(pid);
        await session.ask("QUIT", "221");
        session[Symbol.dispose]();
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
      assert.ok(seen.size > 1, "it was replaced");
      assert.ok(most <= 2, `${most} at once`);
    },
  );

  await t.step("a daemon that is silent is killed and replaced; the others are left alone", async () => {
    const [pid] = postern.pids("qmgr");
    Deno.kill(pid!, "SIGSTOP");
    await postern.untilLogged(`killing process qmgr pid ${pid}: it was silent for`);
    assert.ok(await until(() => postern.pids("qmgr").some((one) => one !== pid)));
    assert.equal(postern.log().split("it was silent").length, 2);
  });

  await t.step("a daemon that dies young again and again is throttled, and comes back", async () => {
    for (let i = 0; i < 2; i++) {
      const said = postern.log().split("smtpd: bad command startup -- throttling").length;
      const old = new Set<number>();
      const deadline = Date.now() + 30_000;
      while (
        postern.log().split("smtpd: bad command startup -- throttling").length === said &&
        Date.now() < deadline
      ) {
        for (const pid of postern.pids("smtpd")) {
          if (!old.has(pid)) killProcess(pid);
          old.add(pid);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.ok(Date.now() < deadline);
    }
    const { session } = await Session.open(postern.port);
    session[Symbol.dispose]();
  });
});

Deno.test("a port in use: nothing is started and no socket stays", async () => {
  await using postern = await Postern.make();
  using _taken = Deno.listen({ hostname: "127.0.0.1", port: postern.port });
  const launch = masterLaunch(postern.paths.configuration, []);
  const done = await runProgram(launch.program, launch.args);
  assert.equal(done.status, 1);
  assert.match(done.errors, /Address already in use/);
  assert.deepEqual(postern.processes(), []);
  const sockets = [
    ...filesBelow(`${postern.paths.queue}/private`),
    ...filesBelow(`${postern.paths.queue}/public`),
  ];
  assert.deepEqual(sockets, []);
});
