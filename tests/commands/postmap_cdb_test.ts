/** postmap and postalias that make and change cdb: files, as Postfix's do; tinycdb and Debian's postmap read them. */
import assert from "node:assert/strict";
import { run as postalias } from "../../commands/postalias.ts";
import { run as postmap } from "../../commands/postmap.ts";
import { mustRun } from "../support/databases.ts";
import { testNeeding } from "../support/tools.ts";
import { runPeer } from "../lib/table/postmap_peer.ts";
import { ScratchSystem } from "./command_support.ts";
import { runCommand } from "./table_run.ts";

/** A scratch system with a source file, and postmap's runs in it. */
class Tables implements Disposable {
  readonly system = new ScratchSystem();
  readonly directory = `${this.system.queue.root}/tables`;

  constructor() {
    Deno.mkdirSync(this.directory);
    this.write("map", "Key one\nother two words\nkey three\nbad\n");
  }

  write(name: string, content: string, mode = 0o644): string {
    const path = `${this.directory}/${name}`;
    Deno.writeTextFileSync(path, content);
    Deno.chmodSync(path, mode);
    return path;
  }

  get spec(): string {
    return `cdb:${this.directory}/map`;
  }

  mode(name: string): number {
    return Deno.statSync(`${this.directory}/${name}`).mode! & 0o777;
  }

  async run(program: "postmap" | "postalias", args: readonly string[], input = "") {
    return await runCommand(program === "postmap" ? postmap : postalias, args, { input, program });
  }

  /** The entries as postmap lists them, sorted. */
  async list(
    program: "postmap" | "postalias" = "postmap",
    options: readonly string[] = [],
    name = "map",
  ): Promise<string[]> {
    const { out } = await this.run(program, ["-s", ...options, `cdb:${this.directory}/${name}`]);
    return out.split("\n").filter((line) => line !== "").sort();
  }

  [Symbol.dispose](): void {
    this.system[Symbol.dispose]();
  }
}

Deno.test("postmap makes a cdb file, warns of doubtful lines, and takes the source's mode over", async () => {
  using tables = new Tables();
  tables.write("map", "Key one\nother two words\nkey three\nbad\n", 0o640);
  const made = await tables.run("postmap", [tables.spec]);
  assert.equal(made.status, 0, made.err);
  assert.match(
    made.err,
    /map, line 3: duplicate entry: "key"\n.*map, line 4: expected format: key whitespace value/,
  );
  assert.equal(tables.mode("map.cdb"), 0o640);
  assert.deepEqual(await tables.list(), ["key\tone", "other\ttwo words"]);
  assert.equal((await tables.run("postmap", ["-p", tables.spec])).status, 0);
  assert.equal(tables.mode("map.cdb"), 0o644);
  const quiet = await tables.run("postmap", ["-w", tables.spec]);
  assert.ok(!quiet.err.includes("duplicate"));
  assert.deepEqual(await tables.list(), ["key\tone", "other\ttwo words"]);
  const last = await tables.run("postmap", ["-r", tables.spec]);
  assert.ok(!last.err.includes("duplicate"));
  assert.deepEqual(await tables.list(), ["key\tthree", "other\ttwo words"]);
  await tables.run("postmap", ["-f", tables.spec]);
  assert.deepEqual(await tables.list("postmap", ["-f"]), ["Key\tone", "key\tthree", "other\ttwo words"]);
});

Deno.test("postmap -i adds, -d removes, and the exit status says whether a key was there", async () => {
  using tables = new Tables();
  const made = await tables.run("postmap", ["-i", tables.spec], "New entry\nkey first\n");
  assert.equal(made.status, 0, made.err);
  const added = await tables.run("postmap", ["-i", tables.spec], "key second\nmore lines\n");
  assert.match(added.err, /map\.cdb: duplicate entry: "key"/);
  assert.deepEqual(await tables.list(), ["key\tfirst", "more\tlines", "new\tentry"]);
  assert.equal((await tables.run("postmap", ["-ir", tables.spec], "key third\n")).err, "");
  assert.equal((await tables.run("postmap", ["-iw", tables.spec], "key fourth\n")).err, "");
  assert.deepEqual(await tables.list(), ["key\tthird", "more\tlines", "new\tentry"]);
  assert.equal((await tables.run("postmap", ["-d", "KEY", tables.spec])).status, 0);
  assert.equal((await tables.run("postmap", ["-d", "KEY", tables.spec])).status, 1);
  assert.equal((await tables.run("postmap", ["-d", "-", tables.spec], "nothing\nmore\n")).status, 0);
  assert.deepEqual(await tables.list(), ["new\tentry"]);
  const missing = await tables.run("postmap", ["-d", "key", `cdb:${tables.directory}/none`]);
  assert.deepEqual([missing.status, /No such file/.test(missing.err)], [1, true]);
  const other = await tables.run("postmap", ["-d", "key", `texthash:${tables.directory}/map`]);
  assert.deepEqual([other.status, /has no index file/.test(other.err)], [1, true]);
});

Deno.test("postmap -F stores files and gives their content back", async () => {
  using tables = new Tables();
  const first = tables.write("first", "one\u0000\n");
  const second = tables.write("second", "two\n");
  tables.write("map", `pair ${first}, ${second}\n`);
  assert.equal((await tables.run("postmap", ["-F", tables.spec])).status, 0);
  assert.equal((await tables.run("postmap", ["-q", "pair", tables.spec])).out, btoa("one\0\n\ntwo\n") + "\n");
  assert.equal((await tables.run("postmap", ["-F", "-q", "pair", tables.spec])).out, "one\0\n\ntwo\n\n");
  await tables.run("postmap", ["-i", tables.spec], "plain no-base64!\n");
  const bad = await tables.run("postmap", ["-F", "-q", "plain", tables.spec]);
  assert.deepEqual([bad.status, /malformed BASE64 value/.test(bad.err)], [1, true]);
  tables.write("map", "pair /no/such/file\n");
  const gone = await tables.run("postmap", ["-F", tables.spec]);
  assert.deepEqual([gone.status, /no\/such\/file/.test(gone.err)], [1, true]);
});

Deno.test("a table that could not be made leaves the old one as it was", async () => {
  using tables = new Tables();
  await tables.run("postmap", [tables.spec]);
  Deno.removeSync(`${tables.directory}/map`);
  assert.equal((await tables.run("postmap", [tables.spec])).status, 1);
  assert.deepEqual(await tables.list(), ["key\tone", "other\ttwo words"]);
});

testNeeding(
  ["cdb", "postfix-cdb"],
  "what postmap and postalias make, tinycdb and Debian's programs read",
  async () => {
    using tables = new Tables();
    const etc = `${tables.directory}/etc`;
    Deno.mkdirSync(etc);
    for (const option of ["-n", "-N"]) {
      await tables.run("postmap", [option, tables.spec]);
      const nul = option === "-N" ? "\0" : "";
      const listed = await mustRun("cdb", ["-d", `${tables.directory}/map.cdb`]);
      assert.ok(listed.includes(`:key${nul}->one${nul}\n`), listed);
      assert.equal(runPeer("postmap", etc, ["-q", "KEY", tables.spec]).out, "one\n");
      assert.equal((await tables.run("postmap", ["-q", "KEY", tables.spec])).out, "one\n");
      assert.deepEqual(await tables.list(), ["key\tone", "other\ttwo words"]);
    }
    tables.write("aliases", 'root: joe,  jane\n"two words": x\n');
    const spec = `cdb:${tables.directory}/aliases`;
    assert.equal((await tables.run("postalias", [spec])).status, 0);
    assert.equal(runPeer("postalias", etc, ["-q", "two words", spec]).out, "x\n");
    assert.equal((await tables.run("postalias", ["-q", "root", spec])).out, "joe, jane\n");
  },
);

testNeeding(["postfix"], "postmap -h, -b and -m take a message apart as Debian's postmap does", async () => {
  using tables = new Tables();
  const etc = `${tables.directory}/etc`;
  Deno.mkdirSync(etc);
  const rules = tables.write("rules", "/^(.*)$/ <$1>\n");
  Deno.utimeSync(rules, 1, 1);
  const inner = "Subject: inner\nTo: x\n\ninner body\n";
  const messages = [
    "Subject: hello\n world\nX-A: 1\n\nbody1\n\nbody2\n",
    "no header\nSubject: x\n\nb\n",
    `Content-Type: multipart/mixed; boundary="b"\n\nbody\n--b\nContent-Type: text/plain; x=y\n\npart\n--b\n` +
    `Content-Type: message/rfc822\n\n${inner}--b--\nepilogue\n`,
    `Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/mixed;\n boundary=in\n\n--in\nX: 1\n\n` +
    `a\n--in--\n--out\nY: 2\n\nb\n--out--\n`,
    "",
  ];
  for (const message of messages) {
    for (const option of ["-h", "-b", "-hb", "-hm", "-bm"]) {
      const args = [option, "-q", "-", `regexp:${rules}`];
      const peer = runPeer("postmap", etc, args, message);
      const ours = await tables.run("postmap", args, message);
      assert.deepEqual(
        [ours.status, ours.out],
        [peer.status, peer.out],
        `${option} ${JSON.stringify(message)}`,
      );
    }
  }
  const misused = await tables.run("postmap", ["-h", "-q", "x", `regexp:${rules}`]);
  assert.deepEqual([misused.status, /only with "-q -"/.test(misused.err)], [1, true]);
});

testNeeding(
  ["root"],
  "postmap as root follows no link that the owner of a source put beside it",
  async () => {
    using tables = new Tables();
    const victim = tables.write("victim", "keep", 0o600);
    const home = `${tables.directory}/home`;
    Deno.mkdirSync(home);
    Deno.writeTextFileSync(`${home}/map`, "a b\n");
    for (const path of [home, `${home}/map`]) Deno.chownSync(path, 65534, 65534);
    // Everybody must be able to come here.
    for (let path = home; path !== "/tmp" && path !== "/"; path = path.slice(0, path.lastIndexOf("/"))) {
      Deno.chmodSync(path, 0o755);
    }
    Deno.symlinkSync(victim, `${home}/map.cdb`);
    const made = await tables.system.run("postmap", [`cdb:${home}/map`]);
    assert.equal(made.status, 0, made.err);
    assert.equal(Deno.readTextFileSync(victim), "keep");
    const stat = Deno.lstatSync(`${home}/map.cdb`);
    assert.deepEqual([stat.isFile, stat.uid], [true, 65534]);
    // In a directory that only root may write the owner of the source makes nothing, unless -o keeps root's rights.
    Deno.writeTextFileSync(`${tables.directory}/theirs`, "a b\n");
    Deno.chownSync(`${tables.directory}/theirs`, 65534, 65534);
    assert.equal((await tables.system.run("postmap", [`cdb:${tables.directory}/theirs`])).status, 1);
    assert.equal((await tables.system.run("postmap", ["-o", `cdb:${tables.directory}/theirs`])).status, 0);
  },
);

Deno.test("newaliases makes the index of a cdb table and checks the others", async () => {
  using directory = new Tables();
  const path = directory.write("aliases", "root: joe\n");
  using system = new ScratchSystem(`alias_database = ["cdb:${path}"]\n`);
  const made = await system.run("newaliases", []);
  assert.deepEqual([made.status, made.err], [0, ""]);
  assert.equal((await directory.run("postalias", ["-q", "root", `cdb:${path}`])).out, "joe\n");
});

Deno.test("postmap -v tells of each look-up", async () => {
  using tables = new Tables();
  const told = await tables.run("postmap", ["-v", "-q", "key", `texthash:${tables.directory}/map`]);
  assert.equal(told.out, "one\n");
  assert.match(told.err, /lookup: "key" = found "one"/);
});
