/** What local, pipe and their helpers are started with. @module */
import assert from "node:assert/strict";
import { COMMANDS, SERVICES } from "../../../daemons/services.ts";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import { type Plan, Planner } from "../../../lib/server/sandbox.ts";

const CODE = {
  runtime: "/usr/bin/deno",
  packages: "/code/deno.json",
  cache: "/cache",
  entry: (command: string) => `/code/daemons/${command}/main.ts`,
};
const FACTS = { hostName: "mx.test", resolver: "192.0.2.53:53", ipv6: false, bootId: "boot" };

const MASTER = ["local", "cleanup", "lmtp", "discard", "proxymap", "rewrite:trivial-rewrite"].map((one) => {
  const [name, command = name] = one.split(":");
  return `[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "${command}"\n`;
}).join("") + `[[service]]
name = "prog"
type = "unix"
command = "pipe"
arguments = ["user=nobody", "argv=/bin/cat \${recipient}"]
`;

function planner(main: string): { readonly made: Planner; plan(name: string): Plan } {
  const texts = new Map([["/c/main.toml", `queue_directory = "/q"\n${main}`], ["/c/master.toml", MASTER]]);
  const { configuration, problems } = loadConfiguration("/c", { hostName: "mx.test", addresses: [] }, {
    commands: COMMANDS,
    readText: (path) => texts.get(path) ?? "",
  });
  assert.deepEqual(problems, []);
  const made = new Planner(configuration!, SERVICES, CODE, FACTS);
  return { made, plan: (name) => made.plans().find(({ entry }) => entry.name === name)! };
}

function granted(args: readonly string[], flag: string): string[] {
  return args.filter((arg) => arg.startsWith(`${flag}=`)).flatMap((arg) =>
    arg.slice(flag.length + 1).split(",")
  );
}

Deno.test("local reaches other agents only where the configuration passes mail on to one", () => {
  const plain = planner("").plan("local");
  assert.deepEqual(Object.keys(plain.boot.sockets).sort(), ["cleanup", "rewrite"]);
  for (const name of ["mailbox_transport", "fallback_transport"]) {
    const { plan } = planner(`${name} = "lmtp:unix:/run/dovecot/lmtp"\n`);
    assert.ok(Object.keys(plan("local").boot.sockets).includes("lmtp"), name);
    // The client may connect to the socket that it names.
    assert.ok(granted(plan("lmtp").args, "--allow-net").includes("unix:/run/dovecot/lmtp"), name);
  }
});

Deno.test("neither local nor pipe may write a file or run a program, and pipe has no socket", () => {
  for (const name of ["local", "prog"]) {
    const { args, grants } = planner("").plan(name);
    assert.deepEqual(granted(args, "--allow-run"), [], name);
    const sockets = grants.filter(({ kind }) => kind === "net").map(({ object }) =>
      object.slice("unix:".length)
    );
    assert.deepEqual(granted(args, "--allow-write").filter((path) => !sockets.includes(path)), [], name);
  }
  const { args, boot } = planner("").plan("prog");
  assert.deepEqual(granted(args, "--allow-read"), ["/q/active"]);
  assert.deepEqual(granted(args, "--allow-net"), []);
  assert.deepEqual(boot.pipe?.argv, ["/bin/cat", "${recipient}"]);
});

Deno.test("a program's helper may run that program; one that reads may read those files; nothing else", () => {
  const { made, plan } = planner("");
  const { entry } = plan("prog");
  const ids = { uid: 1000, gid: 1000 };
  const program = made.helperPlan("program", entry, {
    kind: "program",
    program: "/bin/cat",
    args: [],
    environment: {},
    timeLimit: 1,
    ...ids,
  });
  assert.deepEqual(permissions(program), ["--allow-run=/bin/cat"]);
  const files = {
    kind: "files",
    files: ["/h/.forward+x", "/h/.forward"],
    owner: 1000,
    author: 1000,
    ...ids,
  } as const;
  const reader = made.helperPlan("mailbox", entry, { ...files, home: "" });
  assert.deepEqual(permissions(reader), ["--allow-read=/h/.forward+x,/h/.forward"]);
  const withHome = made.helperPlan("mailbox", entry, { ...files, home: "/h" });
  assert.deepEqual(granted(withHome.args, "--allow-read"), ["/h/.forward+x", "/h/.forward", "/h"]);
  const mailbox = { kind: "mailbox", path: "/h/Maildir", format: "maildir", user: "joe", ...ids } as const;
  const writer = made.helperPlan("mailbox", entry, { ...mailbox, files: ["/h/.forward"] });
  assert.deepEqual(permissions(writer), ["--allow-read=/h/Maildir,/h/.forward", "--allow-write=/h/Maildir"]);
  assert.throws(
    () => made.helperPlan("mailbox", entry, { ...mailbox, path: "/h/a,b" }),
    /cannot name a comma/,
  );
});

/** The flags that grant something. */
function permissions({ args }: Plan): string[] {
  return args.filter((arg) => /^--allow-(?!import)/.test(arg));
}
