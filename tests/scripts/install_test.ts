/** The installation as root: users, modes, the running system with its real uids, sockets from systemd, the unit. */
import assert from "node:assert/strict";
import { SERVICES } from "../../daemons/services.ts";
import {
  findTestUser,
  Installation,
  LocalUser,
  runInstaller,
  runTool,
  type TestUser,
  tree,
  VIRTUAL_ID,
  waitFor,
} from "./install_support.ts";

/** Why the tests of this file cannot run here; empty when they can. */
const REASON = Deno.uid() !== 0 ? "it makes users: needs root" : "";
/** Users that were there before belong to whoever made them. */
const PURGE = findTestUser("postern") === undefined && findTestUser("postern-net") === undefined;

/** Directories of the queue: mode and owner (postfix-map section 2.1, DESIGN section 1). */
const QUEUE: readonly [string, number, "root" | "postern"][] = [
  ["active", 0o700, "postern"],
  ["bounce", 0o700, "postern"],
  ["corrupt", 0o700, "postern"],
  ["data", 0o700, "postern"],
  ["defer", 0o700, "postern"],
  ["deferred", 0o700, "postern"],
  ["flush", 0o700, "postern"],
  ["hold", 0o700, "postern"],
  ["incoming", 0o700, "postern"],
  ["journal", 0o700, "postern"],
  ["maildrop", 0o1733, "postern"],
  ["pid", 0o755, "root"],
  ["policy", 0o700, "postern"],
  ["private", 0o711, "root"],
  ["public", 0o755, "root"],
  ["saved", 0o700, "postern"],
  ["sts", 0o700, "postern"],
  ["tlsrpt", 0o700, "postern"],
  ["trace", 0o700, "postern"],
  ["verify", 0o700, "postern"],
];

function permissions(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

/** The fields of /proc/PID/status. */
function processStatus(pid: number): ReadonlyMap<string, string> {
  const lines = Deno.readTextFileSync(`/proc/${pid}/status`).split("\n");
  return new Map(lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  }));
}

/** What stands behind the descriptors of a process. */
function descriptors(pid: number): string[] {
  const found: string[] = [];
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      found.push(Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      continue; // closed meanwhile
    }
  }
  return found;
}

function checkFiles(installation: Installation): void {
  for (const { path, info } of tree(installation.prefix)) {
    assert.equal(info.uid, 0, path);
    assert.equal(info.gid, 0, path);
    assert.equal(info.mode! & 0o022, 0, `${path} can be written by others`);
    assert.equal(info.mode! & 0o7000, 0, path);
    assert.ok((info.mode! & 0o444) === 0o444, `${path} cannot be read by the daemons`);
  }
  for (const command of ["master", "postern", "probe", ...SERVICES.keys()]) {
    assert.ok(Deno.lstatSync(`${installation.libexec}/${command}.js`).isFile);
  }
  for (const name of ["main.toml", "master.toml", "aliases"]) {
    assert.equal(permissions(`${installation.configuration}/${name}`), 0o644);
  }
}

function checkQueue(installation: Installation): void {
  assert.equal(permissions(installation.queue), 0o755);
  const found = [...Deno.readDirSync(installation.queue)].map(({ name }) => name).sort();
  assert.deepEqual(found, QUEUE.map(([name]) => name));
  for (const [name, mode, owner] of QUEUE) {
    const path = `${installation.queue}/${name}`;
    assert.equal(permissions(path).toString(8), mode.toString(8), name);
    assert.equal(Deno.lstatSync(path).uid, owner === "root" ? 0 : findTestUser(owner)!.uid, name);
  }
}

/** Each process has the uid and gid of its declaration, no further group and no capability. */
function checkIdentities(installation: Installation, recipients: readonly TestUser[]): Set<string> {
  const seen = new Set<string>();
  for (const { pid, daemon } of installation.processes()) {
    seen.add(daemon);
    if (daemon === "master") continue;
    const status = processStatus(pid);
    const { runAs } = SERVICES.get(daemon)!;
    const users = runAs === "recipient" ? recipients : [findTestUser(runAs)!];
    const wanted = users.map(({ uid, gid }) =>
      `${[uid, uid, uid, uid].join("\t")} ${[gid, gid, gid, gid].join("\t")}`
    );
    assert.ok(
      wanted.includes(`${status.get("Uid")} ${status.get("Gid")}`),
      `${daemon}: ${status.get("Uid")}`,
    );
    assert.equal(status.get("Groups"), "", daemon);
    assert.equal(status.get("CapEff"), "0000000000000000", daemon);
  }
  return seen;
}

function checkSockets(installation: Installation): void {
  const mail = findTestUser("postern")!;
  const net = findTestUser("postern-net")!;
  const reached = new Set(
    [...SERVICES.values()].filter(({ runAs }) => runAs === "postern-net")
      .flatMap(({ connects, connectsFor }) => [...connects, ...Object.keys(connectsFor ?? {})]),
  );
  for (const { name } of Deno.readDirSync(`${installation.queue}/private`)) {
    const info = Deno.lstatSync(`${installation.queue}/private/${name}`);
    const shared = reached.has(name);
    assert.equal((info.mode! & 0o777).toString(8), shared ? "660" : "600", name);
    assert.equal(info.uid, mail.uid, name);
    assert.equal(info.gid, shared ? net.gid : mail.gid, name);
  }
}

async function stop(installation: Installation): Promise<void> {
  const done = await installation.program("sbin/postern", ["stop"]);
  assert.equal(done.status, 0, done.errors);
  await waitFor(() => installation.processes().length === 0, 5000);
}

/** Runs the installed system, and what is true of it while it runs. */
async function runSystem(t: Deno.TestContext, installation: Installation, user: TestUser): Promise<void> {
  const started = await installation.program("sbin/postern", ["start"]);
  assert.equal(started.status, 0, started.errors);
  const virtual: TestUser = { name: "", uid: VIRTUAL_ID, gid: VIRTUAL_ID, home: "" };

  await t.step("mail reaches a virtual mailbox and a local user, and is theirs", async () => {
    const [first, second] = await installation.deliver(user);
    for (const [path, owner] of [[first!, virtual], [second!, user]] as const) {
      const { uid, gid, mode } = Deno.lstatSync(path);
      assert.deepEqual([uid, gid, mode! & 0o777], [owner.uid, owner.gid, 0o600]);
    }
  });

  await t.step("every daemon runs as its own user, in no other group, without capabilities", () => {
    const seen = checkIdentities(installation, [user, virtual]);
    for (const daemon of ["master", "smtpd", "cleanup", "qmgr", "local", "virtual", "mailbox"]) {
      assert.ok(seen.has(daemon), `${daemon} was not seen`);
    }
  });

  await t.step("a private socket is for the mail system's users alone", async () => {
    checkSockets(installation);
    const code =
      `import socket; socket.socket(socket.AF_UNIX).connect("${installation.queue}/private/proxymap")`;
    const tried = await runTool("/usr/bin/python3", ["-c", code], { user });
    assert.ok(tried.errors.includes("Permission denied"), tried.errors);
  });

  await t.step("a local user posts with sendmail, and is the sender", async () => {
    const before = installation.readLog().length;
    const text = "Subject: posted\n\nHello\n";
    const posted = await installation.program("sbin/sendmail", [user.name], { user, input: text });
    assert.equal(posted.status, 0, posted.errors);
    const line = new RegExp(`postfix/pickup\\[[0-9]+\\]: [0-9A-Za-z]+: uid=${user.uid} from=<${user.name}>`);
    await waitFor(() => line.test(installation.readLog().slice(before)));
    const sent = new RegExp(`to=<${user.name}@installed.test>.* status=sent`);
    await waitFor(() => sent.test(installation.readLog().slice(before)));
  });

  await t.step("nothing that the sandbox refused is in the log", () => {
    assert.doesNotMatch(installation.readLog(), /security event|panic|fatal/);
  });

  await t.step("the installer does not uninstall a running system", async () => {
    const done = await runInstaller([...installation.options, "--uninstall"]);
    assert.equal(done.status, 1);
    assert.match(done.errors, /Cannot uninstall: the mail system is running/);
    assert.ok(Deno.lstatSync(`${installation.prefix}/sbin/postern`).isFile);
  });

  await stop(installation);
}

/** Words of ExecStart. */
function unitCommand(installation: Installation): string[] {
  const line = Deno.readTextFileSync(installation.unit).split("\n").find((one) =>
    one.startsWith("ExecStart=")
  )!;
  return [...line.slice("ExecStart=".length).matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted ?? plain!
  );
}

/** Values of a setting of the unit. */
function unitValues(installation: Installation, name: string): string[] {
  return Deno.readTextFileSync(installation.unit).split("\n").filter((line) => line.startsWith(`${name}=`))
    .map((line) => line.slice(name.length + 1));
}

/** Starts master as systemd would, behind a wrapper; its log is the installation's. */
/** The unit's environment, the service manager's names in it spelled out. */
function unitEnvironment(installation: Installation): Record<string, string> {
  const bootId = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim().replaceAll("-", "");
  return Object.fromEntries(
    unitValues(installation, "Environment").map((line) => {
      const [name, value] = line.replaceAll('"', "").split("=");
      return [name, value!.replace("%b", bootId)];
    }),
  );
}

function startBehind(installation: Installation, wrapper: readonly string[]): Deno.ChildProcess {
  const [program, ...args] = [...wrapper, ...unitCommand(installation)];
  // A shell for the log's sake: the system's own spawn has no file for standard error.
  return new Deno.Command("/bin/sh", {
    args: ["-c", `exec "$@" 2>>"${installation.log}"`, "sh", program!, ...args],
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...unitEnvironment(installation) },
    stdin: "null",
    stdout: "null",
  }).spawn();
}

async function testActivation(installation: Installation, user: TestUser): Promise<void> {
  Deno.removeSync(installation.log);
  // In another order than the configuration has them, and one that it has not.
  const addresses = [
    `127.0.0.2:${installation.port}`,
    `127.0.0.3:${installation.port}`,
    `127.0.0.1:${installation.port}`,
  ];
  const child = startBehind(installation, [
    "systemd-socket-activate",
    ...addresses.flatMap((one) => ["-l", one]),
  ]);
  try {
    await waitFor(() => installation.readLog().includes(`Listening on ${addresses[2]}`));
    await installation.deliver(user, "127.0.0.1");
    await installation.deliver(user, "127.0.0.2");
    const line = `warning: inherited socket on 127.0.0.3 port ${installation.port}: no service`;
    assert.ok(installation.readLog().includes(line), installation.readLog());
    const all = installation.processes();
    const master = all.find(({ daemon }) => daemon === "master")!;
    const sockets = [3, 4, 5].map((number) => Deno.readLinkSync(`/proc/${master.pid}/fd/${number}`));
    for (const { pid, daemon } of all) {
      if (daemon === "master") continue;
      const held = sockets.filter((socket) => descriptors(pid).includes(socket));
      assert.deepEqual(held, daemon === "smtpd" ? [sockets[0], sockets[2]] : [], daemon);
    }
    const reloaded = await installation.program("sbin/postern", ["reload"]);
    assert.equal(reloaded.status, 0, reloaded.errors);
    await installation.deliver(user, "127.0.0.2");
    await stop(installation);
  } finally {
    await installation.kill();
    await child.status;
  }
}

/** The names of a system-call filter's sets, spelled out. */
async function systemCalls(words: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const word of words) {
    if (!word.startsWith("@")) found.add(word);
    else {
      const { output } = await runTool("systemd-analyze", ["syscall-filter", word]);
      const inside = output.split("\n").slice(1).map((line) => line.trim()).filter((line) =>
        line !== "" && line[0] !== "#"
      );
      for (const name of await systemCalls(inside)) found.add(name);
    }
  }
  return found;
}

/**
 * No service manager runs here, so what the unit asks of the kernel is asked of it by other means: capabilities, no
 * new privileges, umask and the view of /proc by setpriv and mount; the system calls that were made are compared with
 * the filter.
 */
async function testUnit(installation: Installation, user: TestUser): Promise<void> {
  const capabilities = unitValues(installation, "CapabilityBoundingSet")[0]!.split(" ")
    .map((name) => `+${name.slice("CAP_".length).toLowerCase()}`).join(",");
  const calls = `${installation.directory}/calls`;
  const setup =
    `mount --make-rprivate / && mount -t proc -o subset=pid,hidepid=invisible proc /proc && umask ` +
    `${unitValues(installation, "UMask")[0]} && exec "$@"`;
  Deno.removeSync(installation.log);
  const child = startBehind(installation, [
    ...["unshare", "--mount", "/bin/sh", "-c", setup, "sh"],
    ...["setpriv", "--no-new-privs", "--inh-caps=-all", `--bounding-set=-all,${capabilities}`],
    ...["strace", "-f", "-c", "-o", calls],
  ]);
  try {
    await waitFor(() => installation.readLog().includes("daemon started"));
    await installation.deliver(user);
    const [master] = installation.processes().filter(({ daemon }) => daemon === "master");
    assert.equal(processStatus(master!.pid).get("NoNewPrivs"), "1");
    await stop(installation);
  } finally {
    await installation.kill();
    await child.status;
  }
  const [allowed, refused] = unitValues(installation, "SystemCallFilter").map((line) =>
    line.replace("~", "").split(" ")
  );
  const usable = (await systemCalls(allowed!)).difference(await systemCalls(refused!));
  const used = Deno.readTextFileSync(calls).split("\n").slice(2).map((line) => line.split(" ").at(-1)!)
    .filter((name) => /^[a-z0-9_]+$/.test(name) && name !== "total");
  assert.ok(used.includes("accept4") && used.includes("execve"), used.join(" "));
  assert.deepEqual(used.filter((name) => !usable.has(name)), []);
}

Deno.test({
  name: "An installed mail system takes and delivers mail with the users of DESIGN section 1",
  ignore: REASON !== "",
  async fn(t) {
    const installation = new Installation();
    try {
      await using local = await LocalUser.make();
      await t.step("installing makes users, programs, the queue and a configuration", async () => {
        const done = await installation.install();
        assert.match(done.output, /launchers \(not compiled: --no-compile\)/);
        for (const name of ["postern", "postern-net"]) assert.notEqual(findTestUser(name)?.uid ?? 0, 0);
        assert.notEqual(findTestUser("postern")!.gid, findTestUser("postern-net")!.gid);
        checkFiles(installation);
        checkQueue(installation);
      });
      installation.configure();
      await t.step("a second installation leaves the configuration alone", async () => {
        const before = tree(installation.configuration).map((
          { path },
        ) => [path, Deno.readTextFileSync(path)]);
        Deno.writeTextFileSync(`${installation.libexec}/smtpd.js`, "damaged");
        const done = await installation.install();
        assert.doesNotMatch(done.output, /sample|user/);
        assert.deepEqual(
          tree(installation.configuration).map(({ path }) => [path, Deno.readTextFileSync(path)]),
          before,
        );
        checkFiles(installation);
        checkQueue(installation);
        assert.notEqual(Deno.readTextFileSync(`${installation.libexec}/smtpd.js`), "damaged");
      });
      await t.step("an installed program takes nothing of the environment but what it reads", async () => {
        const hostile = {
          DENO_DIR: "/nonexistent",
          DENO_V8_FLAGS: "--no-such-flag",
          DENO_PERMISSION_BROKER_PATH: "/nonexistent",
          HOME: "/nonexistent",
          POSTERN_LIBEXEC: "/nonexistent",
        };
        const shown = await installation.program("sbin/postconf", ["-h", "queue_directory"], {
          environment: hostile,
        });
        assert.deepEqual(shown, { status: 0, output: `${installation.queue}\n`, errors: "" });
        const other = await installation.program("sbin/postconf", [], {
          environment: { MAIL_CONFIG: "/nonexistent" },
        });
        assert.match(other.errors, /\/nonexistent/);
      });
      await runSystem(t, installation, local.user);
      await t.step("the sandbox holds in the installed layout", async () => {
        const verified = await installation.program("sbin/postern", ["sandbox", "--verify"]);
        assert.equal(verified.status, 0, verified.output + verified.errors);
        assert.match(verified.output, /^smtpd? .* ok/m);
      });
      await t.step(
        "sockets that systemd passes are used, and reach only the daemons that serve them",
        async () => {
          await testActivation(installation, local.user);
        },
      );
      await t.step("systemd takes the units", async () => {
        const units = [installation.unit, installation.unit.replace(".service", ".socket")];
        const done = await runTool("systemd-analyze", ["verify", ...units]);
        assert.deepEqual([done.status, done.errors], [0, ""]);
      });
      await t.step("the system runs with the rights and system calls that the unit leaves it", async () => {
        await testUnit(installation, local.user);
      });
      await t.step("uninstalling leaves configuration, queue and mail", async () => {
        const left = () =>
          [installation.configuration, installation.queue, installation.mail].map((path) =>
            tree(path).length
          );
        const before = left();
        const done = await runInstaller([
          ...installation.options,
          "--uninstall",
          ...(PURGE ? ["--purge-users"] : []),
        ]);
        assert.equal(done.status, 0, done.errors);
        assert.deepEqual(left(), before);
        assert.throws(() => Deno.lstatSync(`${installation.directory}/opt/a b/sbin`), Deno.errors.NotFound);
        assert.equal(findTestUser("postern") === undefined, PURGE);
        const again = await runInstaller([...installation.options, "--uninstall"]);
        assert.match(again.errors, /Cannot uninstall: there is no/);
      });
    } finally {
      await installation.remove();
    }
  },
});

if (REASON !== "") console.log(`tests/scripts/install_test.ts: not run: ${REASON}`);
