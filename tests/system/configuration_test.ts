import assert from "node:assert/strict";
import { filesBelow, Postern } from "../support/postern.ts";

/** A wrong configuration stops the start of the whole system, and nothing of it is there afterwards. */

/** What is wrong, where, and what is said about it. */
interface Case {
  readonly name: string;
  readonly file: "main.toml" | "master.toml" | "mailboxes";
  /** The wrong line, written at the end of the file. */
  readonly lines: string;
  /** Which of the lines it is, counted from 0. */
  readonly at?: number;
  /** What is said behind `FILE:LINE: `; ROOT is the system's folder. */
  readonly told: string;
}

const CASES: readonly Case[] = [
  {
    name: "an unknown parameter",
    file: "main.toml",
    lines: 'smtpd_bannr = "x"',
    told: 'unknown parameter "smtpd_bannr" (did you mean "smtpd_banner"?)',
  },
  {
    name: "a value of the wrong type",
    file: "main.toml",
    lines: 'message_size_limit = "10 MB"',
    told: '"message_size_limit": expected a whole number, got "10 MB"',
  },
  {
    name: "a duration without a unit",
    file: "main.toml",
    lines: "minimal_backoff_time = true",
    told: '"minimal_backoff_time": expected a duration',
  },
  {
    name: "a table whose file is missing",
    file: "main.toml",
    lines: 'transport_maps = ["texthash:$config_directory/transport"]',
    told: 'table "texthash:ROOT/conf/transport" of "transport_maps": ',
  },
  {
    name: "a table of an unknown type",
    file: "main.toml",
    lines: 'transport_maps = ["textash:$config_directory/transport"]',
    told: 'table "textash:ROOT/conf/transport" of "transport_maps": ',
  },
  {
    name: "a table with a faulty line",
    file: "mailboxes",
    lines: "/unbalanced(/ mailbox",
    told: "",
  },
  {
    name: "a relative path where an absolute one is needed",
    file: "main.toml",
    lines: 'mail_spool_directory = "var/mail"',
    told: '"mail_spool_directory": ',
  },
  {
    name: "an unknown restriction",
    file: "main.toml",
    lines: 'smtpd_recipient_restrictions = ["permit_mynetwork", "reject"]',
    told:
      '"smtpd_recipient_restrictions": unknown restriction "permit_mynetwork" (did you mean "permit_mynetworks"?)',
  },
  {
    name: "an unknown kind of client whose headers are completed",
    file: "main.toml",
    lines: 'local_header_rewrite_clients = ["permit_tls_clientcerts"]',
    told: '"local_header_rewrite_clients": "permit_tls_clientcerts" is not supported',
  },
  {
    name: "a list of clients without its table",
    file: "main.toml",
    lines: 'local_header_rewrite_clients = ["check_address_map"]',
    told: '"local_header_rewrite_clients": "check_address_map" needs a table behind it',
  },
  {
    name: "an unknown variable",
    file: "main.toml",
    lines: 'smtpd_banner = "$myhostnam ESMTP"',
    told: '"smtpd_banner": ',
  },
  {
    name: "an unknown command of a service",
    file: "master.toml",
    lines: '[[service]]\nname = "extra"\ntype = "unix"\ncommand = "smpt"',
    at: 3,
    told: 'unknown command "smpt" (did you mean "smtp"?)',
  },
  {
    name: "an unknown key of a service",
    file: "master.toml",
    lines: '[[service]]\nname = "extra"\ntype = "unix"\ncommand = "smtp"\nproces_limit = 2',
    at: 4,
    told: 'unknown key "proces_limit" of a service (did you mean "process_limit"?)',
  },
  {
    name: "a service without a command",
    file: "master.toml",
    lines: '[[service]]\nname = "extra"\ntype = "unix"',
    told: "",
  },
  {
    name: "an unknown parameter of one service",
    file: "master.toml",
    lines:
      '[[service]]\nname = "extra"\ntype = "unix"\ncommand = "smtp"\nparameters = { smtp_hello_name = "x" }',
    at: 4,
    told: 'unknown parameter "smtp_hello_name" (did you mean "smtp_helo_name"?)',
  },
  { name: "no TOML at all", file: "main.toml", lines: "smtpd_banner is x", told: "" },
];

for (const { name, file, lines, at = 0, told } of CASES) {
  Deno.test(`${name} stops the start, with file and line`, async () => {
    await using postern = await Postern.make();
    const path = `${postern.paths.configuration}/${file}`;
    const before = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, `${before}\n${lines}\n`);
    const line = before.split("\n").length + 1 + at;
    const expected = `${path}:${line}: ${told.replace("ROOT", postern.paths.root)}`;

    const started = await postern.run(["start"]);
    assert.equal(started.status, 1);
    assert.ok(started.errors.includes(expected), `${expected}\nis not in\n${started.errors}`);
    assertNothing(postern);

    // Master does not rely on whoever started it.
    await assert.rejects(postern.start(), (error: Error) => {
      assert.ok(error.message.includes(expected), error.message);
      return true;
    });
    assertNothing(postern);
    const checked = await postern.run(["check"]);
    assert.equal(checked.status, 1);
    assert.ok(checked.errors.includes(expected), checked.errors);
  });
}

Deno.test("a file of the configuration that is missing stops the start", async () => {
  for (const file of ["main.toml", "master.toml"]) {
    await using postern = await Postern.make();
    Deno.removeSync(`${postern.paths.configuration}/${file}`);
    await assert.rejects(postern.start(), (error: Error) => {
      assert.ok(error.message.includes(`${postern.paths.configuration}/${file}`), error.message);
      return true;
    });
    assertNothing(postern);
  }
});

Deno.test("every fault is told at once", async () => {
  await using postern = await Postern.make();
  postern.set({ smtpd_bannr: '"x"', message_size_limt: "1", relayhst: '"[127.0.0.1]"' });
  const started = await postern.run(["start"]);
  assert.equal(started.status, 1);
  for (const name of ["smtpd_bannr", "message_size_limt", "relayhst"]) {
    assert.ok(started.errors.includes(`unknown parameter "${name}"`), started.errors);
  }
});

Deno.test("a port in use stops the start, and no other socket stays bound", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const { port } = listener.addr;
    const second =
      `\n[[service]]\nname = "127.0.0.1:${port}"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n`;
    await using postern = await Postern.make({ services: (text) => text + second });
    const started = await postern.run(["start"]);
    assert.equal(started.status, 1);
    assert.match(
      started.errors,
      new RegExp(`Cannot listen on "127\\.0\\.0\\.1:${port}": Address already in use`),
    );
    assertNothing(postern);
    listener.close();
    const again = await postern.run(["start"]);
    assert.equal(again.status, 0, again.errors);
    assert.equal((await postern.run(["stop"])).status, 0);
    assertNothing(postern);
  } finally {
    try {
      listener.close();
    } catch {
      // the test went on to its end
    }
  }
});

Deno.test("a second master on the same queue is refused and does the first no harm", async () => {
  await using postern = await Postern.start();
  const again = await postern.run(["start"]);
  assert.equal(again.status, 1);
  assert.match(again.errors, /the Postern mail system is already running/);
  assert.equal((await postern.run(["status"])).status, 0);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: postern.port });
  connection.close();
});

/** No process, no socket in the file system, nobody at the port. */
function assertNothing(postern: Postern): void {
  assert.deepEqual(postern.processes().map(({ args }) => args.join(" ")), []);
  assert.deepEqual(boundPaths().filter((path) => path.startsWith(postern.paths.root)), []);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: postern.port });
  listener.close();
  const sockets = ["public", "private"].flatMap((name) => filesBelow(`${postern.paths.queue}/${name}`));
  assert.deepEqual(sockets, []);
}

/** Paths of the unix sockets that some process has. */
function boundPaths(): string[] {
  return Deno.readTextFileSync("/proc/net/unix").split("\n").map((line) => line.slice(line.indexOf("/")));
}
