/** Several instances: their list, commands for each, how they come and go. */
import assert from "node:assert/strict";
import { CommandError, makeEnv } from "../../commands/command.ts";
import { runningMaster } from "../../commands/master_control.ts";
import { run } from "../../commands/postmulti.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { Postern } from "../support/postern.ts";
import { testNeeding } from "../support/tools.ts";

const MASTER = '[[service]]\nname = "25"\ntype = "inet"\ncommand = "smtpd"\n';

/** A primary instance in DIR/one, nothing else. */
function makePrimary(directory: string, more = ""): void {
  write(`${directory}/one`, `queue_directory = "${directory}/queue/one"\nalias_maps = []\n${more}`);
}

function write(directory: string, main: string): void {
  Deno.mkdirSync(directory, { recursive: true });
  Deno.writeTextFileSync(`${directory}/main.toml`, main);
  Deno.writeTextFileSync(`${directory}/master.toml`, MASTER);
}

interface Ran {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs postmulti on DIR/one. */
async function postmulti(directory: string, ...args: string[]): Promise<Ran> {
  let output = "";
  let errors = "";
  const env = {
    ...makeEnv("postmulti", `${directory}/one`),
    out: (text: string) => void (output += text),
    err: (text: string) => void (errors += text),
  };
  try {
    return { status: await run(args, env), output, errors };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { status: error.status, output, errors: `${errors}${error.message}\n` };
  }
}

async function good(directory: string, ...args: string[]): Promise<string> {
  const { status, output, errors } = await postmulti(directory, ...args);
  assert.deepEqual([status, errors], [0, ""], args.join(" "));
  return output;
}

/** The list, single spaces, DIR for the directory. */
async function list(directory: string, ...args: string[]): Promise<string[]> {
  const output = await good(directory, "-l", ...args);
  return output.replaceAll(directory, "DIR").split("\n").slice(0, -1).map((line) =>
    line.replaceAll(/ +/g, " ")
  );
}

Deno.test("the primary instance alone is listed while the others are not enabled", async () => {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  makePrimary(directory, `multi_instance_directories = ["${directory}/two"]\n`);
  assert.equal(await good(directory, "-l"), `-               -               y         ${directory}/one\n`);
  const { status, errors } = await postmulti(directory, "-e", "create", "-I", "postfix-two");
  assert.equal(status, 1);
  assert.match(errors, /not enabled: run postmulti -e init/);
});

testNeeding(["postfix"], "a list has Postfix's columns", async () => {
  using temporary = new TemporaryDirectory();
  makePrimary(temporary.path);
  const theirs = new Deno.Command("/usr/sbin/postmulti", { args: ["-l"] }).outputSync();
  const ours = await good(temporary.path, "-l");
  assert.equal(
    ours.replace(`${temporary.path}/one`, "/etc/postfix"),
    new TextDecoder().decode(theirs.stdout).split("\n")[0] + "\n",
  );
});

Deno.test("instances are made, named, switched, taken out and removed", async () => {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  makePrimary(directory, "# kept\n");
  await good(directory, "-e", "init");
  await good(directory, "-e", "create", "-I", "postfix-in", "-G", "edge");
  await good(directory, "-e", "create", "-I", "postfix-out", `queue_directory=${directory}/q/out`);
  write(`${directory}/old`, `queue_directory = "${directory}/queue/old"\nalias_maps = []\n`);
  await good(
    directory,
    "-e",
    "import",
    "-i",
    "postfix-out",
    "-I",
    "postfix-old",
    `config_directory=${directory}/old`,
  );
  assert.deepEqual(await list(directory), [
    "- - y DIR/one",
    "postfix-in edge n DIR/postfix-in",
    "postfix-old - n DIR/old",
    "postfix-out - n DIR/postfix-out",
  ]);
  const created = Deno.readTextFileSync(`${directory}/postfix-in/main.toml`);
  assert.ok(created.includes(`queue_directory = "${directory}/queue/postfix-in"\n`), created);
  assert.ok(created.includes('master_service_disable = ["inet"]\nauthorized_submit_users = []\n'), created);
  assert.equal(Deno.readTextFileSync(`${directory}/postfix-in/master.toml`), MASTER);
  assert.ok(Deno.readTextFileSync(`${directory}/one/main.toml`).includes("# kept\n"));

  await good(directory, "-e", "enable", "-i", "postfix-in");
  await good(directory, "-e", "assign", "-i", "postfix-old", "-I", "postfix-new", "-G", "edge");
  assert.deepEqual(await list(directory, "-g", "edge", "-R"), [
    "postfix-new edge n DIR/old",
    "postfix-in edge y DIR/postfix-in",
  ]);
  await good(directory, "-e", "deport", "-i", "postfix-new");
  assert.ok(Deno.statSync(`${directory}/old/main.toml`).isFile);
  await good(directory, "-e", "destroy", "-i", "postfix-out");
  assert.throws(() => Deno.statSync(`${directory}/postfix-out`), Deno.errors.NotFound);
  assert.deepEqual(await list(directory), ["- - y DIR/one", "postfix-in edge y DIR/postfix-in"]);
});

Deno.test("an instance is not removed while it is on, has mail, or is the primary one", async () => {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  makePrimary(directory);
  await good(directory, "-e", "init");
  await good(directory, "-e", "create", "-I", "postfix-two");
  const queue = `${directory}/queue/postfix-two`;
  Deno.mkdirSync(`${queue}/incoming`, { recursive: true });
  Deno.mkdirSync(`${queue}/pid`);
  Deno.writeTextFileSync(`${queue}/incoming/ABC123`, "");
  Deno.writeTextFileSync(`${queue}/notes`, "mine");
  await good(directory, "-e", "enable", "-i", "postfix-two");
  const refused = async (why: RegExp, name = "postfix-two") => {
    const { status, errors } = await postmulti(directory, "-e", "destroy", "-i", name);
    assert.equal(status, 1);
    assert.match(errors, why);
    assert.ok(Deno.statSync(`${directory}/postfix-two/main.toml`).isFile);
  };
  await refused(/is enabled: disable it first/);
  await good(directory, "-e", "disable", "-i", "postfix-two");
  await refused(/there is mail in .*incoming/);
  await refused(/the primary instance cannot be removed/, "-");
  Deno.removeSync(`${queue}/incoming/ABC123`);
  const { status, errors } = await postmulti(directory, "-e", "destroy", "-i", "postfix-two");
  assert.equal(status, 0);
  assert.match(errors, /warning: .*postfix-two is left: it has notes/);
  assert.deepEqual([...Deno.readDirSync(queue)].map(({ name }) => name), ["notes"]);
});

Deno.test("what postmulti cannot do it says", async () => {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  makePrimary(directory);
  await good(directory, "-e", "init");
  await good(directory, "-e", "create", "-I", "postfix-two");
  const table: readonly (readonly [args: string[], status: number, why: RegExp])[] = [
    [[], 64, /what is to be done/],
    [["-l", "-p", "start"], 64, /what is to be done/],
    [["-p"], 64, /command/],
    [["-l", "x"], 64, /command/],
    [["-R", "-p", "start"], 64, /-R goes with -l and -x/],
    [["-l", "-G", "x"], 64, /-G and -I go with -e/],
    [["-q"], 64, /invalid option -- 'q'/],
    [["-p", "fly"], 64, /no such command: fly/],
    [["-e", "fly"], 64, /no such action: fly/],
    [["-l", "-i", "postfix-none"], 1, /no such instance: postfix-none/],
    [["-l", "-g", "none"], 1, /no such instance group: none/],
    [["-e", "create", "-I", "other"], 1, /must begin with "postfix-"/],
    [["-e", "create", "-I", "postfix-a/b"], 1, /have no slash/],
    [["-e", "create", "-I", "postfix-two"], 1, /is managed already/],
    [["-e", "create"], 1, /give -I name/],
    [["-e", "create", "-I", "postfix-x", "config_directory=here"], 1, /no absolute path/],
    [["-e", "import", "-I", "postfix-x"], 1, /no main.toml and master.toml/],
    [["-e", "disable", "-i", "-"], 1, /primary instance cannot be disabled/],
    [["-e", "enable"], 1, /must be named with -i/],
  ];
  for (const [args, status, why] of table) {
    const ran = await postmulti(directory, ...args);
    assert.equal(ran.status, status, `${args.join(" ")}: ${ran.errors}`);
    assert.match(ran.errors, why);
  }
});

Deno.test("a program runs for each instance with its name and directories, and its status counts", async () => {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  makePrimary(directory);
  await good(directory, "-e", "init");
  await good(directory, "-e", "create", "-I", "postfix-two");
  const script =
    `echo "$MAIL_CONFIG $queue_directory $multi_instance_name $multi_instance_enable" >>${directory}/out`;
  await good(directory, "-R", "-x", "sh", "-c", script);
  assert.deepEqual(Deno.readTextFileSync(`${directory}/out`).replaceAll(directory, "DIR").split("\n"), [
    "DIR/postfix-two DIR/queue/postfix-two postfix-two no",
    "DIR/one DIR/queue/one  yes",
    "",
  ]);
  const { status } = await postmulti(
    directory,
    "-x",
    "sh",
    "-c",
    '[ -z "$multi_instance_name" ] && exit 0; exit 3',
  );
  assert.equal(status, 3);
});

Deno.test("the name of an instance is the name in its log", async () => {
  using temporary = new TemporaryDirectory();
  makePrimary(temporary.path, 'multi_instance_name = "postfix-one"\n');
  const { configuration } = makeEnv("postmulti", `${temporary.path}/one`).load();
  assert.equal(configuration?.settings.syslog_name, "postfix-one");
});

Deno.test("instances are started in their order and stopped in the opposite one; one that is off is checked", async () => {
  await using two = await Postern.make();
  two.set({ multi_instance_enable: "true", multi_instance_name: '"postfix-two"' });
  await using three = await Postern.make();
  await using one = await Postern.make();
  one.set({
    multi_instance_enable: "true",
    multi_instance_directories: `["${two.paths.configuration}", "${three.paths.configuration}"]`,
  });
  const running = () => [one, two, three].map(({ paths }) => runningMaster(paths.queue) !== undefined);
  const started = await one.run(["postmulti", "-p", "start"]);
  try {
    assert.equal(started.status, 0, started.errors + one.log() + two.log());
    assert.deepEqual(running(), [true, true, false]);
    assert.ok(two.log().includes("postfix-two/master["), two.log());
    assert.equal((await one.run(["postmulti", "-p", "reload"])).status, 0);
    assert.equal((await one.run(["postmulti", "-i", "postfix-two", "-p", "status"])).status, 0);
  } finally {
    const stopped = await one.run(["postmulti", "-p", "stop"]);
    assert.equal(stopped.status, 0, stopped.errors);
  }
  assert.deepEqual(running(), [false, false, false]);
});
