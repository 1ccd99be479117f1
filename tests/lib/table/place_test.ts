/** Where the entry of a text file stands that a look-up finds. @module */
import assert from "node:assert/strict";
import { openTable } from "../../../lib/table/open.ts";
import { CHECK_INTERVAL } from "../../../lib/table/reload.ts";
import { MemoryFiles } from "./table_support.ts";

const CASES: readonly (readonly [spec: string, text: string, key: string, place: string | undefined])[] = [
  ["texthash:/t", "# c\n\na x\nB y\n", "b", "/t:4"],
  ["texthash:/t", "a x\na y\n", "a", "/t:1"],
  ["texthash:/t", "b\n a\nc\n d\n", "c", "/t:3"],
  ["texthash:/t", "a x\n", "z", undefined],
  ["debug:texthash:/t", "\na x\n", "a", "/t:2"],
  ["cidr:/t", "192.0.2.0/24 x\n198.51.100.0/24 y\n", "198.51.100.1", "/t:2"],
  ["cidr:/t", "if 192.0.2.0/24\n192.0.2.1 x\nendif\n0.0.0.0/0 y\n", "192.0.2.2", "/t:4"],
  ["regexp:/t", "/^a/ x\n\n/b(.)$/ $1\n", "ebc", "/t:3"],
  ["pcre:/t", "!/^a/ x\n/./ y\n", "a", "/t:2"],
  ["cidr:{{192.0.2.0/24 x}}", "", "192.0.2.1", undefined],
  ["inline:{a=x}", "", "a", undefined],
];

for (const [spec, text, key, place] of CASES) {
  Deno.test(`${spec} with ${JSON.stringify(text)} has ${key} at ${place}`, () => {
    const table = openTable(spec, { files: new MemoryFiles({ "/t": text }), warn: () => {} });
    assert.equal(table.placeOf?.(key), place);
  });
}

Deno.test("the place follows the file", () => {
  const files = new MemoryFiles({ "/t": "a x\n" });
  const table = openTable("texthash:/t", { files, warn: () => {} });
  assert.equal(table.placeOf?.("a"), "/t:1");
  files.write("/t", "# new\na x\n");
  files.time += CHECK_INTERVAL;
  table.lookup("a");
  assert.equal(table.placeOf?.("a"), "/t:2");
});
