import assert from "node:assert/strict";
import {
  accessSearch,
  addressSearch,
  aliasSearch,
  clientSearch,
  domainSearch,
  keySearch,
  transportSearch,
} from "../../../lib/table/search.ts";
import { networkKeys, quoteLocalpart, splitExtension } from "../../../lib/table/search_keys.ts";
import type { Outcome } from "../../../lib/table/table.ts";
import { CountingTable, seeded } from "./table_support.ts";

const PLUS = { delimiters: "+", ownerRequestSpecial: true, doubleBounceSender: "double-bounce" };
const HOW = {
  extension: PLUS,
  isLocal: (domain: string): Outcome =>
    domain === "here" ? { kind: "found", value: "" } : { kind: "missing" },
};

Deno.test("an address is sought from the whole to its domain", async () => {
  const table = new CountingTable({});
  await addressSearch([table], "user+ext@there", HOW);
  assert.deepEqual(table.asked, ["user+ext@there", "user@there", "@there"]);
});

Deno.test("an address of a local domain is also sought by its user", async () => {
  const table = new CountingTable({});
  await addressSearch([table], "user+ext@here", HOW);
  assert.deepEqual(table.asked, ["user+ext@here", "user@here", "user+ext", "user", "@here"]);
});

Deno.test("an address without extension is asked for no key twice", async () => {
  const table = new CountingTable({});
  await addressSearch([table], "user@here", HOW);
  await addressSearch([table], "user", HOW);
  await addressSearch([table], "user+x", HOW);
  assert.deepEqual(table.asked, ["user@here", "user", "@here", "user", "user+x", "user"]);
});

Deno.test("all tables are asked for a key before the next key", async () => {
  const first = new CountingTable({ "user@there": "1" });
  const second = new CountingTable({ "user+ext@there": "2" });
  const outcome = await addressSearch([first, second], "user+ext@there", HOW);
  const hit = { table: second, key: "user+ext@there" };
  assert.deepEqual(outcome, { kind: "found", value: "2", extension: "", hit });
});

Deno.test("the extension that the key did not hold comes back with its delimiter", async () => {
  const cases: [key: string, extension: string][] = [
    ["user+a+b@here", ""],
    ["user@here", "+a+b"],
    ["user+a+b", ""],
    ["user", "+a+b"],
    ["@here", "+a+b"],
  ];
  for (const [key, extension] of cases) {
    const table = new CountingTable({ [key]: "x" });
    const outcome = await addressSearch([table], "user+a+b@here", HOW);
    assert.deepEqual(outcome, { kind: "found", value: "x", extension, hit: { table, key } }, key);
  }
});

Deno.test("tables of patterns get the full key only, and the star of transport_maps", async () => {
  const pattern = () => new CountingTable({}, false);
  const tables = Array.from({ length: 6 }, pattern);
  await addressSearch([tables[0]!], "user+ext@here", HOW);
  await accessSearch([tables[1]!], "user+ext@a.b", PLUS, "dotted");
  await transportSearch([tables[2]!], "user+ext@a.b", PLUS, "dotted");
  await domainSearch([tables[3]!], "a.b.c", "plain");
  await clientSearch([tables[4]!], "a.b.c", "1.2.3.4", "plain");
  await aliasSearch([tables[5]!], "user+ext", PLUS);
  assert.deepEqual(tables.map((table) => table.asked), [
    ["user+ext@here"],
    ["user+ext@a.b"],
    ["user+ext@a.b", "*"],
    ["a.b.c"],
    ["a.b.c", "1.2.3.4"],
    ["user+ext", "user"],
  ]);
});

Deno.test("a local part is sought quoted first, then as it is", async () => {
  const table = new CountingTable({});
  await addressSearch([table], "a b+c@here", HOW);
  assert.deepEqual(table.asked, [
    '"a b+c"@here',
    "a b+c@here",
    '"a b"@here',
    "a b@here",
    '"a b+c"',
    "a b+c",
    '"a b"',
    "a b",
    "@here",
  ]);
});

Deno.test("trouble in any table or in the question of locality ends a search", async () => {
  const broken = new CountingTable({ "user@there": { kind: "retry", why: "disk" }, "user@here": "" });
  const behind = new CountingTable({ "user@there": "x" });
  assert.deepEqual(await addressSearch([broken, behind], "user+e@there", HOW), {
    kind: "retry",
    why: "disk",
  });
  assert.deepEqual(behind.asked, ["user+e@there"]);
  const local = { extension: PLUS, isLocal: (): Outcome => ({ kind: "retry", why: "list" }) };
  assert.deepEqual(await addressSearch([behind], "other@here", local), { kind: "retry", why: "list" });
});

Deno.test("an empty value is trouble, not an answer", async () => {
  const outcome = await keySearch([new CountingTable({ a: "" })], "a");
  assert.equal(outcome.kind, "retry");
});

Deno.test("access tables are asked for the address, the domain and its parents, then the user", async () => {
  const dotted = new CountingTable({});
  await accessSearch([dotted], "u+e@a.b.c", PLUS, "dotted");
  assert.deepEqual(dotted.asked, ["u+e@a.b.c", "u@a.b.c", "a.b.c", ".b.c", ".c", "u+e@", "u@"]);
  const plain = new CountingTable({});
  await accessSearch([plain], "u@a.b", PLUS, "plain");
  assert.deepEqual(plain.asked, ["u@a.b", "a.b", "b", "u@"]);
});

Deno.test("transport_maps is asked for the address, the domain and its parents, then the star", async () => {
  const table = new CountingTable({});
  await transportSearch([table], "u+e@a.b.c", PLUS, "dotted");
  assert.deepEqual(table.asked, ["u+e@a.b.c", "u@a.b.c", "a.b.c", ".b.c", ".c", "*"]);
});

Deno.test("clients are sought by name, then by address and network", async () => {
  const table = new CountingTable({});
  await clientSearch([table], "h.a.b", "1.2.3.4", "plain");
  assert.deepEqual(table.asked, ["h.a.b", "a.b", "b", "1.2.3.4", "1.2.3", "1.2", "1"]);
  const mapped = new CountingTable({});
  await clientSearch([mapped], "", "::FFFF:1.2.3.4", "plain");
  assert.deepEqual(mapped.asked, ["1.2.3.4", "1.2.3", "1.2", "1"]);
  assert.deepEqual(networkKeys("2001:db8::1"), ["2001:db8::1", "2001:db8", "2001"]);
});

Deno.test("aliases are sought with extension, then without", async () => {
  const table = new CountingTable({ user: "x" });
  assert.deepEqual(await aliasSearch([table], "user+ext", PLUS), {
    kind: "found",
    value: "x",
    extension: "+ext",
    hit: { table, key: "user" },
  });
});

Deno.test("an extension begins at the first delimiter, but not for the system's own names", () => {
  const cases: [localpart: string, delimiters: string, user: string, extension: string][] = [
    ["user+a+b", "+", "user", "+a+b"],
    ["user-a+b", "+-", "user", "-a+b"],
    ["user", "+", "user", ""],
    ["user+a", "", "user+a", ""],
    ["+a", "+", "+a", ""],
    ["user+", "+", "user", "+"],
    ["Postmaster", "a", "Postmaster", ""],
    ["MAILER-DAEMON", "-", "MAILER-DAEMON", ""],
    ["double-bounce", "-", "double-bounce", ""],
    ["owner-list", "-", "owner-list", ""],
    ["list-request", "-", "list-request", ""],
    ["-request", "-", "-request", ""],
    ["owner-list+x", "+", "owner-list", "+x"],
    ["a-request-b", "-", "a", "-request-b"],
  ];
  for (const [localpart, delimiters, user, extension] of cases) {
    assert.deepEqual(splitExtension(localpart, { ...PLUS, delimiters }), { user, extension }, localpart);
  }
  const split = splitExtension("owner-list", { ...PLUS, delimiters: "-", ownerRequestSpecial: false });
  assert.deepEqual(split, { user: "owner", extension: "-list" });
});

Deno.test("RFC 5322 section 3.2.3: an atom has letters, digits, 19 other characters of ASCII, and all beyond it", () => {
  const others = "!#$%&'*+-/=?^_`{|}~";
  for (let code = 1; code < 0x80; code++) {
    const character = String.fromCharCode(code);
    const text = `a${character}b`;
    const isAtom = /[a-z0-9.]/i.test(character) || others.includes(character);
    assert.equal(quoteLocalpart(text) === text, isAtom, JSON.stringify(text));
  }
  assert.equal(quoteLocalpart("\u00e9\u4f60"), "\u00e9\u4f60");
});

Deno.test("RFC 5322 section 3.4.1: a local part that is no dot-atom is quoted", () => {
  const cases: [string, string][] = [
    ["user", "user"],
    ["a.b", "a.b"],
    ["a+b/c={d}", "a+b/c={d}"],
    ["é", "é"],
    ["a b", '"a b"'],
    ["a@b", '"a@b"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ["", '""'],
    [".a", '".a"'],
    ["a.", '"a."'],
    ["a..b", '"a..b"'],
    ["a\rb", '"a\\\rb"'],
  ];
  for (const [plain, quoted] of cases) assert.equal(quoteLocalpart(plain), quoted);
});

Deno.test("steps of a search grow with the labels of the name, not faster", async () => {
  for (const labels of [1, 10, 100, 500]) {
    const name = Array.from({ length: labels }, () => "a").join(".");
    const table = new CountingTable({});
    await domainSearch([table], name, "plain");
    assert.equal(table.asked.length, labels);
  }
});

Deno.test("for seeded random addresses, no key is asked for twice and the extension completes the key", async () => {
  const random = seeded(21);
  const units = 'ab+-@. "\\Ae';
  for (let round = 0; round < 2000; round++) {
    const address = Array.from({ length: random(12) }, () => units[random(units.length)]).join("");
    // A local part that is empty or holds an at-sign may look like a key of another step.
    if (address.startsWith("@") || address.indexOf("@") !== address.lastIndexOf("@")) continue;
    const table = new CountingTable({});
    await addressSearch([table], address, { ...HOW, isLocal: () => ({ kind: "found", value: "" }) });
    assert.equal(new Set(table.asked).size, table.asked.length, address);
    const { user, extension } = splitExtension(address, PLUS);
    assert.equal(user + extension, address);
  }
});
