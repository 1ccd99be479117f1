/** From declarations and a configuration to exact flags. @module */
import assert from "node:assert/strict";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import type { CodeLocation } from "../../../lib/server/hardening.ts";
import { type Plan, Planner } from "../../../lib/server/sandbox.ts";
import type { Service } from "../../../lib/server/service.ts";
import { SERVICES } from "../../../daemons/services.ts";

const CODE: CodeLocation = {
  runtime: "/usr/bin/deno",
  packages: "/code/deno.json",
  cache: "/cache",
  entry: (command) => `/code/daemons/${command}/main.ts`,
};
const BUNDLED: CodeLocation = { ...CODE, packages: undefined, entry: (command) => `/lib/${command}.js` };
const FACTS = { hostName: "mx.test", resolver: "192.0.2.53:53", ipv6: false, bootId: "boot" };

const MASTER = `
[[service]]
name = "25"
type = "inet"
command = "smtpd"
[[service]]
name = "127.0.0.1:2525"
type = "inet"
command = "smtpd"
[[service]]
name = "cleanup"
type = "unix"
private = false
command = "cleanup"
[[service]]
name = "qmgr"
type = "unix"
private = false
command = "qmgr"
[[service]]
name = "smtp"
type = "unix"
command = "smtp"
[[service]]
name = "relay"
type = "unix"
command = "smtp"
[[service]]
name = "discard"
type = "unix"
command = "discard"
[[service]]
name = "proxymap"
type = "unix"
command = "proxymap"
[[service]]
name = "dns"
type = "unix"
command = "dns"
[[service]]
name = "rewrite"
type = "unix"
command = "trivial-rewrite"
`;

const MAIN = `queue_directory = "/q"
myhostname = "mx.test"
virtual_alias_maps = ["texthash:/etc/postern/virtual", "inline:{a=b}"]
`;

function planner(main = MAIN, code = CODE, facts = FACTS, master = MASTER): Planner {
  const texts = new Map([["/c/main.toml", main], ["/c/master.toml", master]]);
  const { configuration, problems } = loadConfiguration("/c", { hostName: "mx.test", addresses: [] }, {
    commands: [...SERVICES.keys()],
    readText: (path) => texts.get(path) ?? "",
  });
  assert.deepEqual(problems, []);
  return new Planner(configuration!, SERVICES, code, facts);
}

function plan(name: string, made = planner()): Plan {
  return made.plans().find(({ entry }) => entry.name === name)!;
}

/** The flags of a kind, as a list of objects. */
function granted(args: readonly string[], flag: string): string[] {
  const found = args.filter((arg) => arg.startsWith(`${flag}=`));
  assert.ok(found.length <= 1, `${flag} stands once`);
  return found.length === 0 ? [] : found[0]!.slice(flag.length + 1).split(",");
}

const COMMON = [
  "run",
  "--quiet",
  "--no-prompt",
  "--config=/code/deno.json",
  "--lock=/code/deno.lock",
  "--frozen",
  "--no-remote",
  "--cached-only",
  "--allow-import=deny.invalid",
];

Deno.test("smtpd's exact flags: unix sockets of the services that it declares, and nothing else at all", () => {
  const { args } = plan("25");
  const paths = ["/q/public/cleanup", "/q/private/proxymap", "/q/private/dns", "/q/private/rewrite"];
  const declared = SERVICES.get("smtpd")!.connects;
  const expected = paths.filter((path) => declared.includes(path.slice(path.lastIndexOf("/") + 1))).sort();
  assert.ok(expected.length >= 3);
  assert.deepEqual(granted(args, "--allow-net").sort(), expected.map((path) => `unix:${path}`));
  assert.deepEqual(granted(args, "--allow-read").sort(), expected);
  assert.deepEqual(granted(args, "--allow-write").sort(), expected);
  for (const flag of ["--allow-run", "--allow-sys", "--allow-env", "--allow-ffi", "--deny-net"]) {
    assert.deepEqual(args.filter((arg) => arg.startsWith(flag)), []);
  }
  assert.deepEqual(args.slice(0, COMMON.length), COMMON);
  assert.equal(args.at(-1), "/code/daemons/smtpd/main.ts");
});

/** What smtpd may reach by settings of SASL beyond what it may anyway. */
function saslGrants(...lines: string[]): { net: string[]; read: string[]; path: unknown } {
  const { args, boot } = plan("25", planner(`${MAIN}smtpd_sasl_auth_enable = true\n${lines.join("\n")}\n`));
  const before = new Set([
    ...granted(plan("25").args, "--allow-net"),
    ...granted(plan("25").args, "--allow-read"),
  ]);
  const added = (flag: string) => granted(args, flag).filter((one) => !before.has(one));
  return {
    net: added("--allow-net"),
    read: added("--allow-read"),
    path: boot.settings["smtpd_sasl_path"],
  };
}

Deno.test("smtpd may reach the one SASL backend that is configured: that socket, or that address and port", () => {
  assert.deepEqual(saslGrants('smtpd_sasl_type = "dovecot"', 'smtpd_sasl_path = "private/auth"'), {
    net: ["unix:/q/private/auth"],
    read: ["/q/private/auth"],
    path: "unix:/q/private/auth",
  });
  assert.deepEqual(saslGrants('smtpd_sasl_type = "dovecot"', 'smtpd_sasl_path = "inet:[::1]:12345"'), {
    net: ["[::1]:12345"],
    read: [],
    path: "inet:[::1]:12345",
  });
  assert.deepEqual(saslGrants().net, ["unix:/run/saslauthd/mux"]);
  assert.deepEqual(saslGrants('smtpd_sasl_type = "passwords"').net, []);
  const { args } = plan("25", planner(`${MAIN}smtpd_sasl_type = "dovecot"\nsmtpd_sasl_path = "/run/x"\n`));
  assert.deepEqual(args, plan("25").args, "without smtpd_sasl_auth_enable there is nobody to ask");
});

Deno.test("keys and certificates are read for processes that are started, and for those that terminate TLS alone", () => {
  const main = `${MAIN}smtpd_tls_security_level = "may"\nsmtpd_tls_chain_files = ["/nowhere/at/all"]\n`;
  // Nothing is started with this planner: it has no key, and reads none.
  assert.equal(plan("25", planner(main)).boot.tls, undefined);
  assert.deepEqual(plan("25", planner(main)).args, plan("25").args, "smtpd gets no grant for them");
  const terminating = [...SERVICES.values()].filter((one) => one.terminatesTls).map(({ command }) => command);
  assert.ok(terminating.includes("smtpd") && !terminating.includes("cleanup"));
});

Deno.test("discard gets no grant of any kind", () => {
  const { grants, args } = plan("discard");
  assert.deepEqual(grants, []);
  assert.deepEqual(args.filter((arg) => /^--(allow|deny)-(?!import=)/.test(arg)), []);
});

Deno.test("cleanup writes incoming/, hold/ and journal/ and no other part of the queue", () => {
  const { args } = plan("cleanup");
  const writes = granted(args, "--allow-write").filter((path) =>
    !path.startsWith("/q/private/") && !path.startsWith("/q/public/")
  );
  assert.deepEqual(new Set(writes), new Set(["/q/incoming", "/q/hold", "/q/journal"]));
  assert.deepEqual(granted(args, "--allow-read").filter((path) => path === "/q" || path === "/"), []);
});

Deno.test("proxymap reads the files of the tables that the configuration names, with the line that names them", () => {
  const { grants } = plan("proxymap");
  const table = grants.filter(({ object }) => object.startsWith("/etc/postern"));
  assert.deepEqual(
    new Set(table.map(({ kind, object }) => `${kind} ${object}`)),
    new Set(["read /etc/postern/virtual"]),
  );
  assert.ok(table.some(({ because }) => because === "virtual_alias_maps (/c/main.toml:3)"));
});

Deno.test("proxymap reaches the servers that its tables name, and who may not reach them gets no grant of theirs", () => {
  const main = `${MAIN.replace('"inline:{a=b}"', '"tcp:db.test:99", "socketmap:unix:/run/map:users"')}` +
    'virtual_mailbox_maps = ["tcp:db.test:98"]\nvirtual_uid_maps = ["texthash:/etc/uids", "tcp:db.test:97"]\n';
  const { args, grants } = plan("proxymap", planner(main));
  const net = ["db.test:97", "db.test:98", "db.test:99", "unix:/run/map"];
  assert.deepEqual([...granted(args, "--allow-net")].sort(), net);
  assert.ok(args.includes("--ignore-env"));
  // The table of user ids in a file is for the daemon that uses it alone.
  assert.ok(!granted(args, "--allow-read").includes("/etc/uids"));
  assert.deepEqual(granted(args, "--allow-write"), ["/run/map"]);
  const because = grants.filter(({ object }) => object === "db.test:99").map((one) => one.because).join("\n");
  assert.match(because, /^virtual_alias_maps tcp:db\.test:99 \(\/c\/main\.toml/m);
  for (const other of planner(main).plans().filter(({ entry }) => entry.name !== "proxymap")) {
    assert.ok(
      !other.args.some((arg) => arg.includes("db.test") || arg.includes("/run/map")),
      other.entry.name,
    );
    assert.ok(!other.args.includes("--ignore-env"));
  }
});

Deno.test("dns reaches the resolver's address and port, from the parameter or the system", () => {
  const remote = (made: Planner) =>
    granted(plan("dns", made).args, "--allow-net").filter((one) => !one.startsWith("unix:"));
  assert.ok(remote(planner()).includes("192.0.2.53:53"));
  assert.ok(!remote(planner(`${MAIN}resolver = "127.0.0.1:5353"\n`)).includes("192.0.2.53:53"));
  assert.ok(remote(planner(`${MAIN}resolver = "127.0.0.1:5353"\n`)).includes("127.0.0.1:5353"));
});

Deno.test("smtp reaches its port on public addresses only, and a routed port where the configuration says", () => {
  const { args } = plan("smtp");
  assert.deepEqual(granted(args, "--allow-net").filter((one) => !one.startsWith("unix:")), ["0.0.0.0/0:25"]);
  const denied = granted(args, "--deny-net");
  for (const network of ["127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16", "0.0.0.0/8"]) {
    assert.ok(denied.includes(network), network);
  }
  const routed = plan("smtp", planner(`${MAIN}relayhost = "[127.0.0.1]:2601"\n`)).args;
  assert.ok(granted(routed, "--allow-net").includes("0.0.0.0/0:2601"));
  assert.ok(!granted(routed, "--deny-net").includes("127.0.0.0/8"));
  assert.ok(granted(routed, "--deny-net").includes("10.0.0.0/8"));
});

Deno.test("no plan of any service has an unscoped permission, an environment, a foreign library or a shell", () => {
  for (const { args, entry } of planner().plans()) {
    for (const arg of args) {
      assert.ok(
        !["-A", "--allow-all", "--allow-ffi", "--allow-env", "--unstable"].some((flag) =>
          arg === flag || arg.startsWith(`${flag}=`)
        ),
        `${entry.name} ${arg}`,
      );
      assert.ok(!/^--allow-(read|write|net|run|sys)(=\*?)?$/.test(arg), `${entry.name} ${arg}`);
      assert.ok(!/^--allow-(read|write)=(.*,)?\/(,|$)/.test(arg), `${entry.name} ${arg}`);
    }
    assert.equal(args.filter((arg) => !arg.startsWith("--")).length, 2, "run and the entry point");
  }
});

Deno.test("a path with a comma is refused: no flag can name it, and a part of it must not be granted", () => {
  const made = planner(MAIN.replace('"/q"', '"/q,/etc"'));
  assert.throws(() => made.plans(), {
    message: /^Cannot grant "\/q,\/etc\/[^"]+": the runtime's flags cannot name a comma$/,
  });
});

Deno.test("bundled code needs no configuration file and no npm package", () => {
  for (const { args } of planner(MAIN, BUNDLED).plans()) {
    assert.ok(args.includes("--no-config"));
    assert.ok(args.includes("--no-npm"));
    assert.match(args.at(-1)!, /^\/lib\/[a-z-]+\.js$/);
  }
});

Deno.test("only a daemon that declares npm may load npm code", () => {
  for (const { args, service } of planner().plans()) {
    assert.equal(args.includes("--no-npm"), service.npm !== true, service.command);
  }
});

Deno.test("every process has its engine's flags", () => {
  for (const { args } of planner().plans()) {
    const flags = granted(args, "--v8-flags");
    assert.ok(flags.includes("--disallow-code-generation-from-strings"));
    assert.ok(flags.includes("--enable-experimental-regexp-engine-on-excessive-backtracks"));
    assert.ok(flags.some((flag) => /^--max-old-space-size=[0-9]+$/.test(flag)));
  }
});

Deno.test("endpoints: private and public sockets with their modes, ports on the interfaces", () => {
  const endpoints = new Map(planner().plans().map(({ entry, endpoint }) => [entry.name, endpoint]));
  assert.deepEqual(endpoints.get("smtp"), {
    kind: "unix",
    path: "/q/private/smtp",
    mode: 0o600,
    forNet: false,
  });
  assert.deepEqual(endpoints.get("qmgr"), {
    kind: "unix",
    path: "/q/public/qmgr",
    mode: 0o666,
    forNet: false,
  });
  assert.deepEqual(endpoints.get("proxymap"), {
    kind: "unix",
    path: "/q/private/proxymap",
    mode: 0o600,
    forNet: true,
  });
  assert.deepEqual(endpoints.get("25"), { kind: "inet", hosts: ["0.0.0.0"], port: 25 });
  assert.deepEqual(endpoints.get("127.0.0.1:2525"), { kind: "inet", hosts: ["127.0.0.1"], port: 2525 });
  const six = planner(MAIN, CODE, { ...FACTS, ipv6: true });
  assert.deepEqual(plan("25", six).endpoint, { kind: "inet", hosts: ["::"], port: 25 });
  const loopback = planner(`${MAIN}inet_interfaces = ["loopback-only"]\n`, CODE, { ...FACTS, ipv6: true });
  const { endpoint, boot } = plan("25", loopback);
  assert.deepEqual(endpoint, { kind: "inet", hosts: ["127.0.0.1", "::1"], port: 25 });
  assert.equal(boot.listeners, 2);
});

Deno.test("a process is told its own parameters and no other, and the sockets that it may use", () => {
  for (const { boot, service, entry } of planner().plans()) {
    const declared = new Set<string>(service.parameters);
    const told = Object.keys(boot.settings).filter((name) =>
      !declared.has(name) && !/_(destination|transport|recipient|delivery)/.test(name)
    );
    // `resolver` is filled in for the one daemon that reaches it.
    assert.deepEqual(
      told.filter((name) => !(name === "resolver" && service.inet === "resolver")),
      [],
      entry.name,
    );
    for (const name of Object.keys(boot.sockets)) {
      assert.ok(
        service.connects.includes(name) || service.connects.includes("$transports"),
        `${entry.name} ${name}`,
      );
    }
  }
});

Deno.test("qmgr reaches every service that delivers, and only it", () => {
  const { boot, args } = plan("qmgr");
  for (const name of ["smtp", "relay", "discard"]) {
    assert.equal(boot.sockets[name], `/q/private/${name}`);
    assert.ok(granted(args, "--allow-net").includes(`unix:/q/private/${name}`));
  }
  assert.deepEqual([...boot.transports].sort(), ["discard", "relay", "smtp"]);
  for (const name of ["25", "dns"]) assert.equal(boot.sockets[name], undefined);
});

Deno.test("a helper's plan: the one mailbox of its task, and for mbox its lock", () => {
  const made = planner();
  const entry = plan("smtp", made).entry;
  const task = { kind: "mailbox", user: "joe", uid: 1000, gid: 1000 } as const;
  const maildir = made.helperPlan("mailbox", entry, {
    ...task,
    path: "/home/joe/Maildir",
    format: "maildir",
  });
  assert.deepEqual(granted(maildir.args, "--allow-read"), ["/home/joe/Maildir"]);
  assert.deepEqual(granted(maildir.args, "--allow-write"), ["/home/joe/Maildir"]);
  assert.deepEqual(granted(maildir.args, "--allow-net"), []);
  const mbox = made.helperPlan("mailbox", entry, { ...task, path: "/var/mail/joe", format: "mbox" });
  assert.deepEqual(granted(mbox.args, "--allow-write"), ["/var/mail/joe", "/var/mail/joe.lock"]);
  assert.deepEqual(mbox.boot.sockets, {});
  assert.equal(mbox.boot.helper?.kind === "mailbox" && mbox.boot.helper.path, "/var/mail/joe");
});

Deno.test("a helper works on one thread; a daemon's collector and compiler have theirs beside it", () => {
  const made = planner();
  const task = { kind: "mailbox", user: "joe", uid: 1000, gid: 1000, path: "/m", format: "maildir" } as const;
  const helper = made.helperPlan("mailbox", plan("smtp", made).entry, task);
  const common = granted(plan("smtp", made).args, "--v8-flags");
  assert.ok(!common.includes("--single-threaded"));
  assert.deepEqual(granted(helper.args, "--v8-flags"), [...common, "--single-threaded"]);
});

Deno.test("the plan of a shared helper: the directory of the mailboxes, and the parameter that says so", () => {
  const made = planner();
  const shared = { kind: "mailboxes", path: "/srv/mail", uid: 1000, gid: 1000 } as const;
  const { args, boot, grants } = made.helperPlan("mailbox", plan("smtp", made).entry, shared);
  for (const flag of ["--allow-read", "--allow-write"]) assert.deepEqual(granted(args, flag), ["/srv/mail"]);
  assert.deepEqual(granted(args, "--allow-net"), []);
  assert.deepEqual([boot.helper, boot.sockets], [shared, {}]);
  for (const { because } of grants) assert.match(because, /uid 1000.*virtual_mailbox_shared_helper/);
});

Deno.test("every grant says which line or declaration caused it", () => {
  for (const { grants, denials } of planner().plans()) {
    for (const { because } of [...grants, ...denials]) assert.match(because, /\S/);
  }
});

Deno.test("sts and tlsrpt wait for their first client unless a parameter makes smtp ask them; verify waits", () => {
  const names = ["sts", "tlsrpt", "verify"];
  const services = names.map((name) => `[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "${name}"\n`);
  const made = (main: string) => planner(`${MAIN}${main}`, CODE, FACTS, `${MASTER}${services.join("")}`);
  const waits = (main: string) =>
    [...names, "qmgr"].filter((name) => plan(name, made(main)).kept !== undefined);
  assert.deepEqual(waits(""), ["sts", "tlsrpt", "verify"]);
  assert.deepEqual(waits("smtp_tls_sts = true\n"), ["tlsrpt", "verify"]);
  assert.deepEqual(waits("smtp_tlsrpt_enable = true\n"), ["sts", "verify"]);
  assert.deepEqual(plan("verify", made("")).kept, ["/q/verify"]);
});

Deno.test("a declaration grants nothing that it does not write down", () => {
  const bare: Service = {
    command: "discard",
    purpose: "",
    skeleton: "ipc",
    connects: [],
    reads: [],
    writes: [],
    inet: "none",
    runs: [],
    runAs: "postern",
    processLimit: 1,
    endsWhenIdle: true,
    parameters: [],
  };
  const made = planner();
  assert.deepEqual(
    made.args(made.plans()[0]!.entry, bare, [], []).filter((arg) => /^--(allow|deny)-(?!import)/.test(arg)),
    [],
  );
  const flags = made.args(made.plans()[0]!.entry, bare, [
    { kind: "run", object: "/usr/bin/x", because: "" },
    { kind: "read", object: "/a", because: "" },
    { kind: "read", object: "/a", because: "twice" },
    { kind: "sys", object: "statfs", because: "" },
  ], [{ kind: "net", object: "10.0.0.0/8", because: "" }]);
  assert.deepEqual(flags.filter((arg) => /^--(allow|deny)-(?!import)/.test(arg)), [
    "--allow-read=/a",
    "--allow-run=/usr/bin/x",
    "--allow-sys=statfs",
    "--deny-net=10.0.0.0/8",
  ]);
});
