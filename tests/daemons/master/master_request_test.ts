import assert from "node:assert/strict";
import { NamedThings } from "../../../daemons/master/master_author.ts";
import { HelperRequests } from "../../../daemons/master/master_request.ts";
import { COMMANDS } from "../../../daemons/services.ts";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import { findUser } from "../../../lib/safe/process.ts";
import { systemFacts } from "../../../lib/server/system_facts.ts";
import { testNeeding } from "../../support/tools.ts";
import { SILENT } from "../../../lib/log/log.ts";

/** What local and pipe may ask master for, and what a daemon that was taken over does not get. */

/** A configuration with aliases, in a directory of its own. */
class World implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly named = new NamedThings();

  constructor(aliases = "", settings: Readonly<Record<string, string>> = {}) {
    this.write("aliases", aliases);
    const main = {
      mail_owner: '"daemon"',
      net_owner: '"bin"',
      queue_directory: `"${this.directory}"`,
      alias_maps: '["texthash:$config_directory/aliases"]',
      recipient_delimiter: '"+"',
      ...settings,
    };
    this.write("main.toml", Object.entries(main).map(([name, value]) => `${name} = ${value}\n`).join(""));
    const service = (name: string, command: string, more = "") =>
      `[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "${command}"\n${more}`;
    this.write(
      "master.toml",
      service("local", "local") +
        service("other", "local", 'parameters = { mailbox_command = "/bin/other" }\n') +
        service("filter", "pipe", 'arguments = ["user=games", "argv=/bin/cat x"]\n') +
        service("bad", "pipe", 'arguments = ["user=daemon", "argv=/bin/cat x"]\n') +
        service("grouped", "pipe", 'arguments = ["user=games:root", "argv=/bin/cat x"]\n'),
    );
  }

  write(name: string, text: string): string {
    Deno.writeTextFileSync(`${this.directory}/${name}`, text);
    return `${this.directory}/${name}`;
  }

  /** Asks as a service. */
  ask(request: unknown, name = "local") {
    const { configuration, problems } = loadConfiguration(this.directory, systemFacts(), {
      readText: (path) => Deno.readTextFileSync(path),
      commands: COMMANDS,
    });
    assert.ok(configuration !== undefined, JSON.stringify(problems));
    const entry = configuration.services.find((one) => one.name === name)!;
    return new HelperRequests(configuration, entry, this.named, SILENT).check(request);
  }

  /** The task that it gets. */
  async get(request: unknown, name = "local") {
    const checked = await this.ask(request, name);
    assert.equal(checked.kind, "allowed", checked.kind === "refused" ? checked.why : "");
    return checked.kind === "allowed" ? checked.task : assert.fail();
  }

  async refused(request: unknown, name = "local"): Promise<void> {
    const checked = await this.ask(request, name);
    assert.equal(checked.kind, "refused", JSON.stringify(checked));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

const NOBODY = findUser("nobody")!;
const GAMES = findUser("games")!;
const byAlias = (name: string) => ({ kind: "alias", name });

testNeeding(
  ["root"],
  "A command that an alias of root's names runs as default_privs, by the shell where it needs one",
  async () => {
    using world = new World('cmd: "|/bin/echo a b", "|x > y"\n');
    const plain = await world.get({ kind: "command", command: "/bin/echo a b", author: byAlias("cmd") });
    assert.ok(plain.kind === "program");
    assert.deepEqual(
      [plain.program, plain.args, plain.uid, plain.gid, plain.timeLimit],
      ["/bin/echo", ["a", "b"], NOBODY.uid, NOBODY.gid, 1000],
    );
    assert.equal(plain.environment["PATH"], "/usr/bin:/bin");
    assert.equal(plain.environment["HOME"], undefined);
    const shell = await world.get({ kind: "command", command: "x > y", author: byAlias("cmd") });
    assert.ok(shell.kind === "program");
    assert.deepEqual([shell.program, shell.args], ["/bin/sh", ["-c", "x > y"]]);
  },
);

testNeeding(["root"], "A command of an alias file that a user owns runs as that user", async () => {
  using world = new World('cmd: "|id"\n');
  Deno.chownSync(`${world.directory}/aliases`, GAMES.uid, GAMES.gid);
  const task = await world.get({ kind: "command", command: "id", author: byAlias("cmd") });
  assert.ok(task.kind === "program");
  assert.deepEqual([task.program, task.uid, task.environment["HOME"]], [
    "/usr/bin/id",
    GAMES.uid,
    GAMES.home,
  ]);
});

testNeeding(["root"], "What no alias and no file names is refused", async () => {
  using world = new World('cmd: "|id", /f, :include:/list\n');
  await world.refused({ kind: "command", command: "id; evil", author: byAlias("cmd") });
  await world.refused({ kind: "command", command: "id", author: byAlias("other") });
  await world.refused({ kind: "file", path: "/etc/shadow", format: "mbox", author: byAlias("cmd") });
  await world.refused({ kind: "file", path: "/f", format: "maildir", author: byAlias("cmd") });
  await world.refused({ kind: "include", path: "/etc/shadow", author: byAlias("cmd") });
  await world.refused({ kind: "command", command: "id", author: { kind: "forward", user: "games" } });
  await world.refused({
    kind: "command",
    command: "id",
    author: { kind: "list", path: "/list", author: byAlias("cmd") },
  });
});

testNeeding(["root"], "What a user's file named is for that user alone, and for no other", async () => {
  using world = new World();
  world.named.record(GAMES.uid, ["|id", "~/box", "/var/f/", ":include:/l", 7, null, "x".repeat(5000)]);
  const author = { kind: "forward", user: "games" };
  const command = await world.get({ kind: "command", command: "id", author });
  assert.equal(command.uid, GAMES.uid);
  const box = await world.get({ kind: "file", path: "~/box", format: "mbox", author });
  assert.ok(box.kind === "mailbox");
  assert.deepEqual([box.path, box.user, box.uid], [`${GAMES.home}/box`, "", GAMES.uid]);
  const directory = await world.get({ kind: "file", path: "/var/f/", format: "maildir", author });
  assert.equal(directory.kind === "mailbox" && directory.path, "/var/f");
  const list = await world.get({ kind: "include", path: "/l", author });
  assert.deepEqual(list, {
    kind: "files",
    files: ["/l"],
    owner: -1,
    home: "",
    author: GAMES.uid,
    uid: GAMES.uid,
    gid: GAMES.gid,
  });
  await world.refused({ kind: "command", command: "id", author: { kind: "forward", user: "nobody" } });
  await world.refused({ kind: "command", command: "id", author: { kind: "forward", user: "root" } });
});

testNeeding(["root"], "A word of a helper that is still on its way is waited for", async () => {
  using world = new World();
  setTimeout(() => world.named.record(GAMES.uid, ["|late"]), 200);
  await world.get({ kind: "command", command: "late", author: { kind: "forward", user: "games" } });
});

testNeeding(["root"], "A list of root's is read as its owner, and what it names is its owner's", async () => {
  using world = new World();
  const path = world.write("list", "x");
  world.write("aliases", `l: :include:${path}\n`);
  const author = { kind: "list", path, author: byAlias("l") };
  world.named.record(0, ["|of-root"]);
  world.named.record(GAMES.uid, ["|of-games"]);
  const roots = await world.get({ kind: "include", path, author: byAlias("l") });
  assert.deepEqual([roots.kind === "files" && roots.author, roots.uid], [0, NOBODY.uid]);
  assert.equal((await world.get({ kind: "command", command: "of-root", author })).uid, NOBODY.uid);
  await world.refused({ kind: "command", command: "of-games", author });
  Deno.chownSync(path, GAMES.uid, GAMES.gid);
  const users = await world.get({ kind: "include", path, author: byAlias("l") });
  assert.deepEqual([users.kind === "files" && users.author, users.uid], [GAMES.uid, GAMES.uid]);
  assert.equal((await world.get({ kind: "command", command: "of-games", author })).uid, GAMES.uid);
  await world.refused({ kind: "command", command: "of-root", author });
});

testNeeding(["root"], "The .forward files of an address are its user's, and root has none", async () => {
  using world = new World();
  const task = await world.get({ kind: "forward", recipient: "Games+a_b@x.test" });
  const { home, uid, gid } = GAMES;
  const files = [`${home}/.forward+a_b`, `${home}/.forward`];
  assert.deepEqual(task, { kind: "files", files, owner: uid, home: "", author: uid, uid, gid });
  for (const recipient of ["root@x.test", "none-such@x.test", "@x", ""]) {
    await world.refused({ kind: "forward", recipient });
  }
});

testNeeding(
  ["root"],
  "An extension brings no other directory and no other file into the path of a .forward",
  async () => {
    using world = new World("", { forward_path: '"$home/.f+$extension, $home/$local/.f"' });
    for (const extension of ["../../etc/passwd", "a/b", "a,b"]) {
      const task = await world.get({ kind: "forward", recipient: `games+${extension}@x.test` });
      assert.ok(task.kind === "files");
      for (const file of task.files) {
        assert.ok(file.startsWith(`${GAMES.home}/`) && !file.includes("..") && !file.includes(","), file);
      }
    }
  },
);

testNeeding(["root"], "require_home_directory lets the helper look at the home", async () => {
  using world = new World("", { require_home_directory: "true" });
  const task = await world.get({ kind: "forward", recipient: "games@x.test" });
  assert.equal(task.kind === "files" && task.home, GAMES.home);
});

testNeeding(["root"], "The helper of a mailbox reads its user's .forward as well", async () => {
  using world = new World("", { mail_spool_directory: '"/var/games"' });
  const request = {
    kind: "mailbox",
    path: "/var/games/games",
    format: "mbox",
    user: "games",
    uid: GAMES.uid,
    gid: GAMES.gid,
  };
  const task = await world.get(request);
  assert.deepEqual(task.kind === "mailbox" && task.files, [`${GAMES.home}/.forward`]);
});

testNeeding(["root"], "A user's mailbox command is the configuration's, as the service has it", async () => {
  using world = new World("", {
    mailbox_command_maps: '["inline:{ games=/bin/mine }"]',
    mailbox_command: '"/bin/all"',
  });
  const program = async (user: string, name?: string) => {
    const task = await world.get({ kind: "mailboxCommand", user }, name);
    return task.kind === "program" && [task.program, task.uid, task.environment["HOME"]];
  };
  assert.deepEqual(await program("games"), ["/bin/mine", GAMES.uid, GAMES.home]);
  assert.deepEqual(await program("nobody"), ["/bin/all", NOBODY.uid, NOBODY.home]);
  assert.deepEqual(await program("nobody", "other"), ["/bin/other", NOBODY.uid, NOBODY.home]);
  for (const user of ["root", "none-such", ""]) await world.refused({ kind: "mailboxCommand", user });
});

testNeeding(["root"], "pipe gets its own program as its user, and nothing else", async () => {
  using world = new World('cmd: "|id"\n', {
    filter_time_limit: '"7s"',
    export_environment: '["A=b", "NOT_THERE"]',
  });
  const task = await world.get({ kind: "pipe" }, "filter");
  assert.deepEqual(task, {
    kind: "program",
    program: "/bin/cat",
    args: [],
    environment: { PATH: "/usr/bin:/bin", A: "b" },
    timeLimit: 7,
    uid: GAMES.uid,
    gid: GAMES.gid,
  });
  await world.refused({ kind: "command", command: "id", author: byAlias("cmd") }, "filter");
  await world.refused({ kind: "mailboxCommand", user: "games" }, "filter");
  await world.refused({ kind: "pipe" }, "local");
});

testNeeding(["root"], "pipe runs nothing as the mail system, and nothing in root's group", async () => {
  using world = new World();
  await world.refused({ kind: "pipe" }, "bad");
  await world.refused({ kind: "pipe" }, "grouped");
});

testNeeding(["root"], "default_privs that is root runs nothing", async () => {
  using world = new World('cmd: "|id"\n', { default_privs: '"root"' });
  await world.refused({ kind: "command", command: "id", author: byAlias("cmd") });
});

testNeeding(["root"], "root has no mailbox", async () => {
  using world = new World("", { home_mailbox: '"Maildir/"' });
  const { home } = findUser("root")!;
  await world.refused({
    kind: "mailbox",
    path: `${home}/Maildir`,
    format: "maildir",
    user: "root",
    uid: 0,
    gid: 0,
  });
});

Deno.test("Requests of any form are refused, never an error", async () => {
  using world = new World("", { mail_owner: '""' });
  const deep = Array.from({ length: 200 }).reduce<unknown>(
    (author) => ({ kind: "list", path: "/x", author }),
    byAlias("x"),
  );
  for (
    const request of [
      undefined,
      null,
      7,
      "command",
      [],
      {},
      { kind: {} },
      { kind: "command" },
      { kind: "command", command: "x", author: null },
      { kind: "command", command: "x", author: { kind: "alias" } },
      { kind: "command", command: "x", author: { kind: "file", uid: 0 } },
      { kind: "command", command: "x\0", author: byAlias("x") },
      { kind: "command", command: "x".repeat(5000), author: byAlias("x") },
      { kind: "command", command: "x", author: deep },
      { kind: "file", path: "/x", author: byAlias("x") },
      { kind: "file", path: "/x", format: "exe", author: byAlias("x") },
      { kind: "include", path: 7, author: byAlias("x") },
      { kind: "forward", recipient: ["x"] },
      { kind: "program", program: "/bin/sh", args: [], environment: {}, timeLimit: 1, uid: 0, gid: 0 },
      { kind: "files", files: ["/etc/shadow"], owner: -1, home: "", author: 0, uid: 0, gid: 0 },
    ]
  ) {
    for (const name of ["local", "filter"]) await world.refused(request, name);
  }
});

Deno.test("What files name is remembered up to a limit, the oldest forgotten first", async () => {
  const named = new NamedThings();
  named.record(1, Array.from({ length: 10_000 }, (_, i) => `|${i}`));
  named.record(1, ["|new"]);
  assert.equal(await named.has(1, "|new"), true);
  assert.equal(await named.has(1, "|9999"), true);
  assert.equal(await named.has(1, "|0"), false);
  named.record(1, "no list");
});
