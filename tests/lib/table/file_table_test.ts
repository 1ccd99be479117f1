import assert from "node:assert/strict";
import { SYSTEM_FILES } from "../../../lib/table/file_table.ts";
import { CHECK_INTERVAL } from "../../../lib/table/reload.ts";
import { openTable } from "../../../lib/table/open.ts";
import { MemoryFiles, MemoryLog } from "./table_support.ts";

function setUp() {
  const files = new MemoryFiles({ "/t": "a 1" });
  const log = new MemoryLog();
  return { files, log, table: openTable("texthash:/t", { files, log }) };
}

const found = (value: string) => ({ kind: "found", value });

Deno.test("look-ups do not touch the file before the interval is over", () => {
  const { files, table } = setUp();
  const looks = files.looks;
  files.write("/t", "a 2");
  files.time = CHECK_INTERVAL - 1;
  for (let i = 0; i < 1000; i++) assert.deepEqual(table.lookup("a"), found("1"));
  assert.equal(files.looks, looks);
  assert.equal(files.reads, 1);
});

Deno.test("a changed file is read again, once, and that is logged", () => {
  const { files, log, table } = setUp();
  files.write("/t", "a 2");
  files.time = CHECK_INTERVAL;
  for (let i = 0; i < 10; i++) assert.deepEqual(table.lookup("a"), found("2"));
  assert.equal(files.reads, 2);
  assert.deepEqual(log.lines, ["info: table texthash:/t has changed -- using its new content"]);
});

Deno.test("an unchanged file is looked at and not read", () => {
  const { files, log, table } = setUp();
  for (let i = 1; i <= 5; i++) {
    files.time = i * CHECK_INTERVAL;
    table.lookup("a");
  }
  assert.equal(files.reads, 1);
  assert.equal(files.looks, 6);
  assert.deepEqual(log.lines, []);
});

Deno.test("a file that vanishes or becomes bad leaves the old content, logged once", () => {
  const files = new MemoryFiles({ "/t": "/a/ 1" });
  const log = new MemoryLog();
  const table = openTable("regexp:/t", { files, log });
  files.write("/t", "/(/ 2");
  for (let i = 1; i <= 4; i++) {
    files.time = i * CHECK_INTERVAL;
    assert.deepEqual(table.lookup("a"), found("1"));
  }
  assert.equal(log.lines.length, 1);
  assert.match(
    log.lines[0]!,
    /^error: .*\/t, line 1: Unmatched.*going on with the content that was read before$/,
  );
  files.texts.delete("/t");
  files.time = 5 * CHECK_INTERVAL;
  assert.deepEqual(table.lookup("a"), found("1"));
  assert.equal(log.lines.length, 2);
  files.write("/t", "/a/ 3");
  files.time = 6 * CHECK_INTERVAL;
  assert.deepEqual(table.lookup("a"), found("3"));
});

Deno.test("real files: replaced, linked and freshly written ones are seen", () => {
  const directory = Deno.makeTempDirSync();
  try {
    let time = 0;
    const files = { ...SYSTEM_FILES, now: () => time };
    const path = `${directory}/map`;
    const past = new Date(Date.now() - 60_000);
    const write = (target: string, text: string) => {
      Deno.writeTextFileSync(`${directory}/new`, text);
      Deno.utimeSync(`${directory}/new`, past, past);
      Deno.renameSync(`${directory}/new`, target);
    };
    write(path, "a 1");
    Deno.symlinkSync(path, `${directory}/link`);
    const table = openTable(`texthash:${path}`, { files });
    const linked = openTable(`texthash:${directory}/link`, { files });
    // The same size and time, another inode.
    write(path, "a 2");
    time += CHECK_INTERVAL;
    assert.deepEqual(table.lookup("a"), found("2"));
    assert.deepEqual(linked.lookup("a"), found("2"));
    // Written in place within the clock's grain of the last look: never trusted until it is older.
    Deno.writeTextFileSync(path, "a 3");
    time += CHECK_INTERVAL;
    assert.deepEqual(table.lookup("a"), found("3"));
    Deno.writeTextFileSync(path, "a 4");
    time += CHECK_INTERVAL;
    assert.deepEqual(table.lookup("a"), found("4"));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
