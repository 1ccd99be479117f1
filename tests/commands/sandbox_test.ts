import assert from "node:assert/strict";
import { covers, forbiddenFlags, isAsExpected, type ProbeWorld } from "../../lib/server/probe.ts";
import { type ProbeReport, runProbes } from "../../lib/server/probe_runner.ts";
import { type Plan, Planner } from "../../lib/server/sandbox.ts";
import { locateCode } from "../../lib/server/code_location.ts";
import { systemFacts } from "../../lib/server/system_facts.ts";
import { loadConfiguration } from "../../lib/config/configuration.ts";
import { bindUnix } from "../../lib/safe/process.ts";
import type { Description } from "../../commands/sandbox_text.ts";
import { SERVICES } from "../../daemons/services.ts";
import { MailSystem, MAIN } from "./mail_system.ts";

const FLAGS: readonly (readonly [args: readonly string[], forbidden: readonly string[]])[] = [
  [
    ["run", "--allow-read=/a", "--allow-net=unix:/b", "--deny-net=10.0.0.0/8", "--allow-import=deny.invalid"],
    [],
  ],
  [["run", "-A"], ["-A"]],
  [["--allow-all"], ["--allow-all"]],
  [["--allow-read"], ["--allow-read"]],
  [["--allow-write="], ["--allow-write="]],
  [["--allow-net", "--allow-run"], ["--allow-net", "--allow-run"]],
  [["--allow-sys"], ["--allow-sys"]],
  [["--allow-ffi=/lib/x"], ["--allow-ffi=/lib/x"]],
  [["--allow-env=HOME"], ["--allow-env=HOME"]],
  [["--allow-scripts=npm:x"], ["--allow-scripts=npm:x"]],
  [["--unsafely-ignore-certificate-errors=x"], ["--unsafely-ignore-certificate-errors=x"]],
];

for (const [args, forbidden] of FLAGS) {
  Deno.test(`DEN-28: flags ${args.join(" ")}`, () => assert.deepEqual(forbiddenFlags(args), forbidden));
}

Deno.test("a grant covers its path and what is below, not its namesakes", () => {
  const grants = [{ kind: "read", object: "/q/active", because: "" }] as const;
  assert.ok(covers(grants, "read", "/q/active"));
  assert.ok(covers(grants, "read", "/q/active/A1"));
  assert.ok(!covers(grants, "read", "/q/active2"));
  assert.ok(!covers(grants, "write", "/q/active"));
});

Deno.test("an attempt that the flags cannot stop is right only if the address policy stops it", () => {
  const passed = { result: "passed", why: "" } as const;
  const to = (target: string) =>
    ({ attempt: { op: "connect", target, port: 25 }, expect: "policy" }) as const;
  assert.ok(isAsExpected(to("::ffff:127.0.0.1"), passed));
  assert.ok(!isAsExpected(to("8.8.8.8"), passed));
});

/** The sandboxes of a configuration, as the tests need them. */
async function withPlans(
  work: (plans: readonly Plan[], planner: Planner, world: ProbeWorld) => Promise<void>,
) {
  const system = await MailSystem.make();
  const scratch = Deno.makeTempDirSync();
  const scratchSocket = `${scratch}/socket`;
  const socket = bindUnix(scratchSocket, 0o600);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const { configuration } = loadConfiguration(system.paths.configuration, systemFacts(), {
      readText: (path) => Deno.readTextFileSync(path),
      commands: [...SERVICES.keys()],
    });
    const planner = new Planner(configuration!, SERVICES, locateCode(Deno.execPath()), systemFacts());
    const plans = planner.plans();
    await work(plans, planner, {
      runtime: Deno.execPath(),
      queueDirectory: system.paths.queue,
      configDirectory: system.paths.configuration,
      scratch,
      scratchSocket,
      loopbackPort: (listener.addr as Deno.NetAddr).port,
      plans,
    });
  } finally {
    socket.close();
    listener.close();
    Deno.removeSync(scratch, { recursive: true });
    await system.remove();
  }
}

/** Probes a plan of which the runtime's arguments were changed behind the planner's back. */
async function probeBroken(
  command: string,
  change: (args: string[]) => string[],
): Promise<readonly ProbeReport[]> {
  let reports: readonly ProbeReport[] = [];
  await withPlans(async (plans, planner, world) => {
    const plan = plans.find((one) => one.service.command === command)!;
    const broken = {
      args: (...given: Parameters<Planner["args"]>) => change(planner.args(...given)),
    } as Planner;
    const code = locateCode(Deno.execPath());
    reports = await runProbes(plan, { planner: broken, code, world, identity: () => undefined });
  });
  return reports;
}

/** Puts a flag before the entry point, and takes those away that begin with `without`. */
function withFlag(flag: string, without?: string): (args: string[]) => string[] {
  return (args) => {
    const kept = args.slice(0, -1).filter((arg) => without === undefined || !arg.startsWith(without));
    return [...kept, flag, args.at(-1)!];
  };
}

const BROKEN: readonly {
  readonly name: string;
  readonly change: (args: string[]) => string[];
  readonly fails: readonly string[];
}[] = [
  { name: "nothing is changed", change: (args) => args, fails: [] },
  {
    name: "reads everywhere",
    change: withFlag("--allow-read", "--allow-read="),
    fails: ["DEN-01", "DEN-28"],
  },
  { name: "reads /etc", change: withFlag("--allow-read=/etc"), fails: ["DEN-01"] },
  { name: "writes /tmp", change: withFlag("--allow-write=/tmp"), fails: ["DEN-01", "DEN-11"] },
  { name: "runs a shell", change: withFlag("--allow-run=/bin/sh"), fails: ["DEN-05"] },
  { name: "sees its environment", change: withFlag("--allow-env"), fails: ["DEN-07", "DEN-28"] },
  { name: "uses loopback", change: withFlag("--allow-net=127.0.0.1"), fails: ["DEN-08", "DEN-10"] },
  {
    name: "may make code from text",
    change: (args) => args.filter((arg) => !arg.startsWith("--v8-flags")),
    fails: ["DEN-16", "DEN-17"],
  },
  {
    name: "looks for package maps",
    change: (args) => args.filter((arg) => !arg.startsWith("--config=")),
    fails: ["DEN-20"],
  },
];

for (const { name, change, fails } of BROKEN) {
  Deno.test(`--verify finds a daemon that ${name}: ${fails.join(", ") || "no failure"}`, async () => {
    // The probing program itself needs the package map: without it only the planted program can be started.
    const onlyPlanted = fails.includes("DEN-20");
    const reports = await probeBroken("showq", onlyPlanted ? plantedOnly(change) : change);
    const failed = reports.filter((report) => !report.ok).map((report) => report.id).sort();
    for (const id of fails) assert.ok(failed.includes(id), `${id} is not among ${failed.join(" ")}`);
    if (fails.length === 0) assert.deepEqual(failed, []);
  });
}

function plantedOnly(change: (args: string[]) => string[]): (args: string[]) => string[] {
  return (args) => args.at(-1)!.includes("planted") ? change(args) : args;
}

Deno.test("sandbox prints every grant with its cause, as text and as JSON", async () => {
  const system = await MailSystem.make();
  try {
    const text = await system.run("sandbox", "smtpd");
    assert.equal(text.status, 0);
    assert.match(text.output, new RegExp(`^127\\.0\\.0\\.1:${system.port} {2}\\(smtpd: `));
    assert.match(text.output, /network +none\n/);
    assert.match(text.output, /programs +none\n/);
    const all = JSON.parse((await system.run("sandbox", "--json")).output) as Description[];
    for (const one of all) {
      assert.deepEqual(forbiddenFlags(one.args), [], one.service);
      for (const grant of one.grants) assert.notEqual(grant.because, "", `${one.service} ${grant.object}`);
    }
    const smtpd = all.find((one) => one.command === "smtpd")!;
    for (const grant of smtpd.grants) {
      if (grant.kind === "net") assert.ok(grant.object.startsWith("unix:"), `smtpd may use ${grant.object}`);
    }
    assert.ok(all.some((one) => one.service === "mailbox (for virtual)"));
    const qmgr = all.find((one) => one.service === "qmgr")!;
    const active = qmgr.grants.find((grant) => grant.object === `${system.paths.queue}/active`)!;
    assert.equal(active.because, `queue_directory (${system.paths.configuration}/main.toml:2)`);
  } finally {
    await system.remove();
  }
});

Deno.test("sandbox names the nearest service for one that is not there", async () => {
  const system = await MailSystem.make();
  try {
    const done = await system.run("sandbox", "qmrg");
    assert.equal(done.status, 1);
    assert.equal(done.errors, 'sandbox: fatal: there is no service "qmrg": did you mean "qmgr"?\n');
  } finally {
    await system.remove();
  }
});

Deno.test("sandbox --verify passes for every service and helper", async () => {
  const system = await MailSystem.make();
  try {
    const done = await system.run("sandbox", "--verify");
    assert.equal(done.status, 0, done.output + done.errors);
    assert.match(done.output, /\nDEN-25 +runtime broken/);
    assert.ok(!done.output.includes("FAIL"));
  } finally {
    await system.remove();
  }
});

Deno.test("sandbox shows and verifies the helper that virtual_mailbox_shared_helper asks for", async () => {
  const system = await MailSystem.make();
  try {
    const main = `${system.paths.configuration}/main.toml`;
    Deno.writeTextFileSync(main, "virtual_mailbox_shared_helper = true\n" + Deno.readTextFileSync(main));
    const shown = await system.run("sandbox", "--json", "mailbox");
    const helpers = JSON.parse(shown.output) as Pick<Description, "service" | "grants">[];
    for (const { service, grants } of helpers) {
      const isShared = service === "mailbox (for virtual)";
      assert.equal(grants.some(({ object }) => object === system.paths.mail), isShared, service);
      if (!isShared) continue;
      assert.deepEqual(grants.map(({ kind }) => kind), ["read", "write"]);
      for (const { because } of grants) assert.match(because, /virtual_mailbox_shared_helper \(.*main\.toml/);
    }
    assert.ok(helpers.some(({ service }) => service === "mailbox (for virtual)"));
    const done = await system.run("sandbox", "--verify", "mailbox");
    assert.equal(done.status, 0, done.output + done.errors);
    assert.ok(!done.output.includes("FAIL"));
  } finally {
    await system.remove();
  }
});

Deno.test("DEN-02, DEN-04: code from elsewhere is refused before a packet leaves (strace)", async () => {
  const system = await MailSystem.make();
  const trace = `${system.paths.root}/trace`;
  try {
    const args = [
      "-f",
      "-e",
      "trace=connect,sendto,sendmsg,sendmmsg",
      "-o",
      trace,
      Deno.execPath(),
      "run",
      "-A",
      MAIN,
    ];
    const command = [...args, "-c", system.paths.configuration, "sandbox", "--verify", "smtpd", "--json"];
    // The runtime that a person starts asks for its own newer version; ours does not.
    const env = { DENO_NO_UPDATE_CHECK: "1" };
    const done = await new Deno.Command("strace", { args: command, env }).output();
    assert.equal(done.code, 0, new TextDecoder().decode(done.stderr));
    const output = new TextDecoder().decode(done.stdout);
    assert.ok(output.includes("https://esm.sh/x?leak=1") && output.includes("https://esm.sh/w.js"));
    const network = Deno.readTextFileSync(trace).split("\n")
      .filter((line) => line.includes("AF_INET") || line.includes("sendmmsg("));
    assert.deepEqual(network, []);
  } finally {
    await system.remove();
  }
});
