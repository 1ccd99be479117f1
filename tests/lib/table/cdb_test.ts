/** cdb: tables: Bernstein's format, beside tinycdb and Debian's postmap. */
import assert from "node:assert/strict";
import {
  CDB_HEADER_SIZE,
  CdbError,
  cdbHash,
  cdbPieces,
  CdbReader,
  type ReadAt,
} from "../../../lib/table/cdb.ts";
import { writeCdb } from "../../../lib/table/cdb_file.ts";
import { SYSTEM_FILES } from "../../../lib/table/file_table.ts";
import { CHECK_INTERVAL } from "../../../lib/table/reload.ts";
import { openTable } from "../../../lib/table/open.ts";
import { mustRun } from "../../support/databases.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { runPeer } from "./postmap_peer.ts";
import { MemoryLog, seeded } from "./table_support.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) =>
  value === undefined ? undefined : new TextDecoder().decode(value);

/** A data base of these entries, in memory. */
function made(entries: readonly (readonly [string, string])[]): Uint8Array {
  const pieces = cdbPieces(entries.map(([key, value]) => [bytes(key), bytes(value)] as const));
  const parts: Uint8Array[] = [];
  let next = pieces.next();
  for (; !next.done; next = pieces.next()) parts.push(next.value);
  return new Uint8Array([...next.value, ...parts.flatMap((part) => [...part])]);
}

/** Reads from memory and counts. */
function counting(content: Uint8Array): { read: ReadAt; reads: () => number } {
  let count = 0;
  return {
    read: (offset, length) => {
      count++;
      return content.subarray(offset, offset + length);
    },
    reads: () => count,
  };
}

const ENTRIES: readonly (readonly [string, string])[] = [
  ["one", "1"],
  ["two", "zwei"],
  ["", "the empty key"],
  ["empty value", ""],
  ["one", "a second value"],
  ["ü\n\0", "any bytes\0"],
];

/** Random entries with different keys. */
function randomEntries(count: number): [string, string][] {
  const random = seeded(21);
  return Array.from({ length: count }, (_, i) => [`key${i}-${random(1000)}`, "v".repeat(random(50))]);
}

Deno.test("the hash of a key is Bernstein's", () => {
  assert.equal(cdbHash(bytes("")), 5381);
  assert.equal(cdbHash(bytes("a")), (5381 * 33) ^ 0x61);
  // It stays within 32 bits, without a sign.
  for (let length = 1; length < 40; length++) {
    const hash = cdbHash(new Uint8Array(length).fill(0xff));
    assert.ok(hash >= 0 && hash <= 0xffff_ffff && Number.isInteger(hash));
  }
});

Deno.test("a data base gives back what was put in, the first of several values", () => {
  const reader = new CdbReader(counting(made(ENTRIES)).read);
  assert.equal(text(reader.find(bytes("one"))), "1");
  assert.equal(text(reader.find(bytes(""))), "the empty key");
  assert.equal(text(reader.find(bytes("empty value"))), "");
  assert.equal(text(reader.find(bytes("ü\n\0"))), "any bytes\0");
  assert.equal(reader.find(bytes("three")), undefined);
  assert.deepEqual(Array.from(reader.entries(), ([key, value]) => [text(key), text(value)]), ENTRIES);
  assert.equal(made([]).length, CDB_HEADER_SIZE);
  assert.equal(new CdbReader(counting(made([])).read).find(bytes("x")), undefined);
});

Deno.test("a file that is cut anywhere gives an error or what it holds, and never runs on", () => {
  const whole = made(ENTRIES);
  for (let length = 0; length < whole.length; length++) {
    const reader = new CdbReader(counting(whole.subarray(0, length)).read);
    for (const [key, value] of ENTRIES) {
      try {
        const found = text(reader.find(bytes(key)));
        assert.ok(found === undefined || found === value || found === "1", `${length} ${key} ${found}`);
      } catch (error) {
        assert.ok(error instanceof CdbError, String(error));
      }
    }
  }
});

Deno.test("random bytes are searched in no more reads than they have slots", () => {
  const random = seeded(9);
  for (let round = 0; round < 200; round++) {
    const content = Uint8Array.from({ length: CDB_HEADER_SIZE + 400 }, () => random(256));
    const { read, reads } = counting(content);
    try {
      new CdbReader(read).find(bytes(`key${round}`));
    } catch (error) {
      assert.ok(error instanceof CdbError);
    }
    assert.ok(reads() < 200, String(reads()));
  }
  // A table whose slots are all taken, by hashes that are not the key's.
  const full = made([["a", "b"]]);
  const view = new DataView(full.buffer);
  for (let i = 0; i < 256; i++) {
    view.setUint32(i * 8, full.length - 16, true);
    view.setUint32(i * 8 + 4, 2, true);
  }
  view.setUint32(full.length - 12, CDB_HEADER_SIZE, true);
  view.setUint32(full.length - 4, CDB_HEADER_SIZE, true);
  const { read, reads } = counting(full);
  assert.equal(new CdbReader(read).find(bytes("c")), undefined);
  assert.ok(reads() <= 4);
});

Deno.test("a look-up takes as many reads in a large data base as in a small one", () => {
  const cost = (count: number) => {
    const entries = randomEntries(count);
    const { read, reads } = counting(made(entries));
    const reader = new CdbReader(read);
    for (const [key, value] of entries) assert.equal(text(reader.find(bytes(key))), value);
    return reads() / count;
  };
  const [small, large] = [cost(100), cost(10_000)];
  assert.ok(large < 8 && large < small * 2, `${small} ${large}`);
});

testNeeding(["cdb"], "tinycdb reads what we write and we read what tinycdb writes", async () => {
  using directory = new TemporaryDirectory();
  const entries = [...randomEntries(2000), ["dup", "one"], ["dup", "two"]] as [string, string][];
  const ours = directory.at("ours.cdb");
  await writeCdb(ours, entries, { mode: 0o644, nul: false });
  const plain = entries.map(([key, value]) => `+${key.length},${value.length}:${key}->${value}\n`).join("") +
    "\n";
  assert.equal(await mustRun("cdb", ["-d", ours]), plain);
  assert.equal(await mustRun("cdb", ["-q", "-n", "1", ours, "dup"]), "one");
  assert.match(await mustRun("cdb", ["-s", ours]), /number of records: 2002/);
  const theirs = directory.at("theirs.cdb");
  await mustRun("cdb", ["-c", theirs], plain);
  const table = openTable(`cdb:${directory.at("theirs")}`);
  for (const [key, value] of entries.slice(0, -1)) {
    assert.deepEqual(table.lookup(key), { kind: "found", value }, key);
  }
  assert.deepEqual([...table.entries!()], entries);
  table.close!();
  // The same entries make the same file, byte for byte.
  assert.deepEqual(Deno.readFileSync(ours), Deno.readFileSync(theirs));
});

testNeeding(["postfix-cdb"], "cdb: gives what Debian's cdb gives of either's file", async () => {
  using directory = new TemporaryDirectory();
  const configuration = directory.at("etc");
  Deno.mkdirSync(configuration);
  const source = directory.write("map", 'Key one\nother two words\nsp@example.com x\n"quo ted" y\n', 0o644);
  const past = new Date(Date.now() - 60_000);
  Deno.utimeSync(source, past, past);
  for (const options of [[], ["-N"], ["-f"]]) {
    assert.equal(runPeer("postmap", configuration, [...options, `cdb:${source}`]).status, 0);
    const table = openTable(`cdb:${source}`, { foldKeys: !options.includes("-f") });
    for (
      const key of ["key", "Key", "KEY", "other", "sp@example.com", "SP@example.com", '"quo ted"', "none"]
    ) {
      const peer = runPeer("postmap", configuration, [
        ...options.filter((one) => one === "-f"),
        "-q",
        key,
        `cdb:${source}`,
      ]);
      const outcome = table.lookup(key) as { kind: string; value?: string };
      assert.equal(outcome.value ?? "", peer.out.trimEnd(), `${options} ${key}`);
    }
    table.close!();
  }
});

Deno.test("a new file is taken over, a bad one is not, and a missing one heals", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("map");
  const log = new MemoryLog();
  let time = 0;
  const files = { ...SYSTEM_FILES, now: () => time };
  assert.throws(() => openTable(`cdb:${path}`, { files }), /map\.cdb/);
  const table = openTable(`cdb:${path}`, { files, log, soft: true });
  const ask = () => {
    time += CHECK_INTERVAL;
    return table.lookup("KEY");
  };
  assert.equal((ask() as { kind: string }).kind, "retry");
  await writeCdb(`${path}.cdb`, [["key", "one"]], { mode: 0o640, nul: false });
  assert.equal(Deno.statSync(`${path}.cdb`).mode! & 0o777, 0o640);
  assert.deepEqual(ask(), { kind: "found", value: "one" });
  await writeCdb(`${path}.cdb`, [["key", "two"]], { mode: 0o640, nul: false });
  assert.deepEqual(ask(), { kind: "found", value: "two" });
  assert.match(log.lines.at(-1)!, /has changed -- using its new content/);
  Deno.writeTextFileSync(`${path}.new`, "no data base");
  Deno.renameSync(`${path}.new`, `${path}.cdb`);
  assert.deepEqual(ask(), { kind: "found", value: "two" });
  assert.match(log.lines.at(-1)!, /^error: .*going on with the file that was open before/);
  table.close!();
});

Deno.test("programs that make the same table at once leave a whole one of one of them", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("map.cdb");
  // What a crash left behind is no obstacle.
  Deno.writeTextFileSync(`${path}.tmp`, "x".repeat(100_000));
  const entries = Array.from({ length: 8 }, (_, writer) => {
    return Array.from({ length: 500 }, (_, i): [string, string] => [`key${i}`, String(writer)]);
  });
  await Promise.all(entries.map((one) => writeCdb(path, one, { mode: 0o644, nul: false })));
  const table = openTable(`cdb:${directory.at("map")}`);
  const values = new Set(Array.from(table.entries!(), ([, value]) => value));
  assert.equal(values.size, 1);
  assert.equal(Array.from(table.entries!()).length, 500);
  assert.ok(!Array.from(Deno.readDirSync(directory.path), ({ name }) => name).includes("map.cdb.tmp"));
  table.close!();
});

Deno.test("a link in the place of the temporary file is not followed", async () => {
  using directory = new TemporaryDirectory();
  const victim = directory.write("victim", "keep");
  Deno.symlinkSync(victim, directory.at("map.cdb.tmp"));
  await assert.rejects(
    writeCdb(directory.at("map.cdb"), [["a", "b"]], { mode: 0o644, nul: false }),
    /symbolic link/,
  );
  assert.equal(Deno.readTextFileSync(victim), "keep");
});
