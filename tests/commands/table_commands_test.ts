import assert from "node:assert/strict";
import { run as newaliases } from "../../commands/newaliases.ts";
import { run as postalias } from "../../commands/postalias.ts";
import { run as postmap } from "../../commands/postmap.ts";
import { runCommand as run } from "./table_run.ts";
import { peerMissing, runPeer } from "../lib/table/postmap_peer.ts";

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${directory}/map`, "Key one\nother two words\nbad\n");
    Deno.writeTextFileSync(`${directory}/aliases`, "root: joe,  jane\nbad line\n");
    Deno.writeTextFileSync(`${directory}/rules`, "/^a(.)/ $1\n");
    Deno.writeTextFileSync(`${directory}/broken`, "/^a(/ $1\n");
    await work(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("postmap -q prints the value and tells by its exit status", () =>
  inDirectory(async (directory) => {
    const spec = `texthash:${directory}/map`;
    assert.deepEqual((await run(postmap, ["-q", "KEY", spec])).out, "one\n");
    const none = await run(postmap, ["-q", "none", spec]);
    assert.deepEqual([none.status, none.out], [1, ""]);
    assert.equal((await run(postmap, ["-q", "x", spec, "static:y"])).out, "y\n");
    assert.equal((await run(postmap, ["-f", "-q", "key", spec])).status, 1);
    assert.equal((await run(postmap, ["-q", "other", `${directory}/map`])).out, "two words\n");
    assert.match(
      (await run(postmap, ["-q", "x", "fail:x"])).err,
      /^postmap: fatal: table fail:x: query error: /,
    );
    assert.match((await run(postmap, ["-q", "x", "hash:/x"])).err, /^postmap: fatal: .*use "texthash:\/x"/);
  }));

Deno.test("postmap -q - asks for each line, however the input is cut", () =>
  inDirectory(async (directory) => {
    for (const chunk of [1, 2, 5, 100]) {
      const asked = await run(postmap, ["-q", "-", `texthash:${directory}/map`], {
        input: "key\nnone\nother",
        chunk,
      });
      assert.deepEqual([asked.status, asked.out], [0, "key\tone\nother\ttwo words\n"]);
    }
    const long = await run(postmap, ["-q", "-", "static:x"], { input: "k".repeat(65537), chunk: 1000 });
    assert.match(long.err, /longer than 65536 bytes/);
    assert.equal((await run(postmap, ["-q", "-", "inline:{a=b}"], { input: "x\ny\n" })).status, 1);
    assert.equal(
      (await run(postmap, ["-q", "-", "static:x"], { input: "k".repeat(65536), chunk: 1000 })).status,
      0,
    );
  }));

Deno.test("postmap -s lists entries, where the type has some", () =>
  inDirectory(async (directory) => {
    assert.equal(
      (await run(postmap, ["-s", `texthash:${directory}/map`])).out,
      "key\tone\nother\ttwo words\n",
    );
    assert.match((await run(postmap, ["-s", `regexp:${directory}/rules`])).err, /cannot list its entries/);
  }));

Deno.test("postmap without options says what is wrong, and that no index is needed", () =>
  inDirectory(async (directory) => {
    const fine = await run(postmap, [`texthash:${directory}/map`, `regexp:${directory}/rules`]);
    assert.equal(fine.status, 0);
    assert.deepEqual(fine.err.split("\n"), [
      `postmap: warning: ${directory}/map, line 3: expected format: key whitespace value -- ignoring this line`,
      `postmap: texthash:${directory}/map: 2 entries; a table of type texthash is read as it stands and needs no index file`,
      `postmap: regexp:${directory}/rules: a table of type regexp is read as it stands and needs no index file`,
      "",
    ]);
    const broken = await run(postmap, [`regexp:${directory}/broken`, `texthash:${directory}/none`]);
    assert.equal(broken.status, 1);
    assert.match(broken.err, /error: .*\/broken, line 1: Unmatched \(/);
    assert.match(broken.err, /error: .*\/none: .*No such file/);
  }));

Deno.test("postalias reads alias files and prints names with a colon", () =>
  inDirectory(async (directory) => {
    const spec = `${directory}/aliases`;
    assert.equal((await run(postalias, ["-q", "Root", spec])).out, "joe, jane\n");
    assert.equal((await run(postalias, ["-s", spec])).out, "root:\tjoe, jane\n");
    const checked = await run(postalias, [spec], { program: "postalias" });
    assert.equal(checked.status, 0);
    assert.match(checked.err, /^postalias: warning: .*\/aliases, line 2: need name:value pair/);
  }));

Deno.test("newaliases checks alias_database and is quiet when all is well", () =>
  inDirectory(async (directory) => {
    Deno.writeTextFileSync(`${directory}/good`, "a: b\n");
    const good = await run(newaliases, [], {
      aliases: [`texthash:${directory}/good`],
      program: "newaliases",
    });
    assert.deepEqual(good, { status: 0, out: "", err: "" });
    const bad = await run(newaliases, [], { aliases: [`texthash:${directory}/none`], program: "newaliases" });
    assert.equal(bad.status, 1);
    assert.match(bad.err, /^newaliases: error: .*No such file/);
    assert.equal((await run(newaliases, ["file"])).status, 1);
  }));

Deno.test("command lines that make no sense are refused", async () => {
  for (const args of [[], ["-q"], ["-q", "x"], ["-q", "x", "-s", "static:x"], ["-z", "static:x"]]) {
    assert.equal((await run(postmap, args)).status, 1, args.join(" "));
  }
});

Deno.test({
  name: "output and exit status are those of Debian's postmap and postalias",
  ignore: peerMissing(),
  fn: () =>
    inDirectory(async (directory) => {
      const map = `texthash:${directory}/map`;
      const cases: string[][] = [
        ["-q", "KEY", map],
        ["-q", "none", map],
        ["-fq", "key", map],
        ["-s", map],
        ["-q", "x", "static:y"],
        ["-q", "ab", `regexp:${directory}/rules`],
        ["-q", "x", "inline:{a=b}", "static:z"],
        ["-q", "x", "fail:x"],
        ["-q", "-", map],
      ];
      for (const args of cases) {
        const input = "key\nnone\nother\n";
        const peer = runPeer("postmap", directory, args, input);
        const ours = await run(postmap, args, { input });
        const sort = (text: string) => text.split("\n").sort();
        assert.deepEqual([ours.status, sort(ours.out)], [peer.status, sort(peer.out)], args.join(" "));
      }
    }),
});
