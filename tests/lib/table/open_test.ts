import assert from "node:assert/strict";
import { openAliasTable, openTable, openTableSoftly, TABLE_TYPES } from "../../../lib/table/open.ts";
import type { OpenHow } from "../../../lib/table/open_how.ts";
import { checkTables } from "../../../lib/table/check.ts";
import { isTableSpec, splitSpec } from "../../../lib/table/spec.ts";
import { tableFiles, tableSpecs } from "../../../lib/table/table_files.ts";
import { TableError } from "../../../lib/table/table.ts";
import { collector, MemoryFiles, MemoryLog, seeded } from "./table_support.ts";

/** Opens a table whose file is in memory. */
function open(spec: string, text: string, how: OpenHow = {}) {
  return openTable(spec, { files: new MemoryFiles({ "/t": text }), warn: () => {}, ...how });
}

function refusal(spec: string, text: string, how: OpenHow = {}): string {
  try {
    open(spec, text, how);
  } catch (error) {
    assert.ok(error instanceof TableError);
    return error.message;
  }
  return "opened";
}

Deno.test("a table that cannot be opened says file, line and reason", () => {
  const cases: [spec: string, text: string, expected: RegExp][] = [
    [
      "regexp:/t",
      "/a/ b\n/no end",
      /^Cannot open table "regexp:\/t": \/t, line 2: no closing regexp delimiter "\/"$/,
    ],
    ["regexp:/t", "# c\n\n/(/ x", /line 3: Unmatched \( or \\\(/],
    ["regexp:/t", "/a/ $1", /out of range replacement index "1"/],
    ["regexp:/t", "!/(a)/ $1", /negative match/],
    ["regexp:/t", "/(a)/ $x", /non-numeric replacement index "x"/],
    ["regexp:/t", "/(a)/ ${1", /truncated/],
    ["regexp:/t", "/(a)/ a$", /empty macro name/],
    ["regexp:/t", "/(a)/ $0", /out of range/],
    ["regexp:/t", "/a/q x", /unknown regexp option "q"/],
    ["regexp:/t", "/a/!/b/ x", /use "if !/],
    ["regexp:/t", "endif", /ENDIF without IF/],
    ["regexp:/t", "if /a/\n/b/ c\n", /line 1: IF has no matching ENDIF/],
    ["regexp:/t", "if /a/\nendif x", /extra text after ENDIF/],
    ["regexp:/t", "abc def", /expected a pattern between delimiters/],
    ["regexp:/t", "/(a)\\1/ x", /line 1: back-reference \\1 is not supported/],
    ["regexp:/t", "/\\<a/ x", /\\< is not supported: use \\b/],
    ["regexp:/t", "/\\d+/ x", /use \[0-9\]/],
    ["regexp:/t", "/a{1001}/ x", /above 1000/],
    ["regexp:/t", "/((a{100}){100}){100}/ x", /invalid repeat count/],
    [
      "cidr:/t",
      "10.0.0.0/8 x\n10.0.0.1/8 y",
      /line 2: non-null host address bits in "10.0.0.1\/8".*"10.0.0.0\/8" instead/,
    ],
    ["cidr:/t", "10.0.0.0/33 x", /bad mask length/],
    ["cidr:/t", "10.0.0.0/ x", /bad mask length/],
    ["cidr:/t", "10.0.0 x", /bad address pattern/],
    ["cidr:/t", "[::1 x", /bad address pattern/],
    ["cidr:/t", "10.0.0.0/8", /no lookup result/],
    ["cidr:/t", "if 10.0.0.0/8 extra\nendif", /bad mask length/],
    ["inline:{a}", "", /need "inline:{name=value...}"/],
    ["inline:{a=}", "", /missing value/],
    ["inline:{ a = b }", "", /need "inline/],
    ["inline:{ {a=b}", "", /missing '}'/],
    ["inline:a=b", "", /expected "{"/],
    ["inline:{}", "", /need "inline/],
    ["static:{a} b", "", /syntax error after '}'/],
    ["regexp:{/a/ b}", "", /must stand in braces/],
    ["unix:passwd.bynumber", "", /unknown table/],
    ["unix:toString", "", /unknown table/],
    ["hash:/t", "", /use "texthash:\/t"/],
    ["lmdb:/t", "", /use "texthash:\/t"/],
    ["hash:/t", "", /run "postmap cdb:\/t"/],
    ["environ:x", "", /table type "environ" is not supported: .*use inline/],
    ["nis:x", "", /table type "nis" is not supported/],
    ["pcre:/t", "/(?=a)/ x", /line 1: look-ahead/],
    ["mysql:/t", "x", /\/t, line 1: missing '='/],
    ["constructor:/t", "", /table type "constructor" is not supported/],
    ["texthash:t", "", /not an absolute path/],
    ["texthash:/other", "", /No such file/],
    ["texthash:", "", /expected the form "type:name"/],
    ["texthash", "", /expected the form "type:name"/],
    [":x", "", /expected the form/],
  ];
  for (const [spec, text, expected] of cases) assert.match(refusal(spec, text), expected, `${spec} ${text}`);
});

Deno.test("texthash warns of what it leaves out, with the line", () => {
  const { warn, texts } = collector();
  const table = open("texthash:/t", 'a 1\nnovalue\nA 2\n"x y\nkey: v\n\uDC80 v\nb\0 v\n', { warn });
  assert.deepEqual(texts, [
    "/t, line 6: non-UTF-8 input -- ignoring this line",
    "/t, line 7: NUL character in input -- ignoring this line",
    "/t, line 2: expected format: key whitespace value -- ignoring this line",
    '/t, line 3: duplicate entry: "a"',
    "/t, line 4: unbalanced '\"' in '\"x y' -- ignoring this line",
    '/t, line 5: record is in "key: value" format; is this an alias file?',
  ]);
  assert.deepEqual(table.lookup("a"), { kind: "found", value: "1" });
});

Deno.test("keys are folded to lower case unless asked otherwise, and only in ASCII", () => {
  assert.deepEqual(open("texthash:/t", "KeY v").lookup("kEy"), { kind: "found", value: "v" });
  assert.deepEqual(open("texthash:/t", "KeY v", { foldKeys: false }).lookup("key"), { kind: "missing" });
  assert.deepEqual(open("texthash:/t", "KeY v", { foldKeys: false }).lookup("KeY"), {
    kind: "found",
    value: "v",
  });
  assert.deepEqual(open("texthash:/t", "k v").lookup("\u212a"), { kind: "missing" });
  assert.deepEqual(open("texthash:/t", "İ v").lookup("i̇"), { kind: "missing" });
});

Deno.test("keys like the names of object properties are ordinary keys", () => {
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assert.deepEqual(open("texthash:/t", "a b").lookup(key), { kind: "missing" });
    assert.deepEqual(open("texthash:/t", `${key} v`, { foldKeys: false }).lookup(key), {
      kind: "found",
      value: "v",
    });
    assert.deepEqual(openTable("inline:{a=b}").lookup(key), { kind: "missing" });
  }
});

Deno.test("results of paranoid tables hold nothing that the key brought", () => {
  assert.match(
    refusal("regexp:/t", "/(.*)/ /var/mail/$1", { paranoid: true }),
    /line 1: .*substitution is not allowed/,
  );
  assert.deepEqual(open("regexp:/t", "/a/ b$$", { paranoid: true }).lookup("a"), {
    kind: "found",
    value: "b$",
  });
  const files = new MemoryFiles({ "/t": "/(.*)/ |cmd $1" });
  assert.throws(() => openAliasTable("regexp:/t", { files }), TableError);
});

Deno.test("proxy: before a table means the table", () => {
  assert.deepEqual(openTable("proxy:inline:{a=b}").lookup("a"), { kind: "found", value: "b" });
  assert.deepEqual(splitSpec("proxy:texthash:/x"), { kind: "spec", type: "texthash", name: "/x" });
});

Deno.test("a soft table answers retry while its file is missing, and heals", () => {
  const files = new MemoryFiles();
  const log = new MemoryLog();
  const table = openTableSoftly("texthash:/t", { files, log });
  assert.equal((table.lookup("a") as { kind: string }).kind, "retry");
  files.write("/t", "a b");
  assert.equal((table.lookup("a") as { kind: string }).kind, "retry");
  files.time = 5000;
  assert.deepEqual(table.lookup("a"), { kind: "found", value: "b" });
  assert.equal(log.lines.length, 1);
  assert.match(log.lines[0]!, /^error: Cannot open table "texthash:\/t".*No such file/);
});

Deno.test("a soft table of unknown type answers retry for ever", () => {
  const log = new MemoryLog();
  const table = openTableSoftly("hash:/t", { log });
  assert.equal((table.lookup("a") as { kind: string }).kind, "retry");
  assert.equal(table.partialKeys, false);
  assert.equal(log.lines.length, 1);
});

Deno.test("fail: always fails softly", () => {
  assert.deepEqual(openTable("fail:x").lookup("a"), { kind: "retry", why: "table fail:x: lookup error" });
});

Deno.test("combined tables join, chain and choose", async () => {
  const union = openTable("unionmap:{inline:{a=1}, inline:{b=2}, inline:{a=3}}");
  assert.deepEqual(await union.lookup("a"), { kind: "found", value: "1,3" });
  assert.deepEqual(await union.lookup("c"), { kind: "missing" });
  const pipe = openTable("pipemap:{inline:{a=b}, inline:{b=c}}");
  assert.deepEqual(await pipe.lookup("a"), { kind: "found", value: "c" });
  assert.deepEqual(await pipe.lookup("b"), { kind: "missing" });
  const random = openTable("randmap:{x, y}");
  const value = await random.lookup("") as { value: string };
  assert.ok(value.value === "x" || value.value === "y");
  assert.equal((await openTable("unionmap:{static:a, fail:x}").lookup("a")).kind, "retry");
  assert.equal((await openTable("pipemap:{fail:x, static:a}").lookup("a")).kind, "retry");
  assert.match(refusal("unionmap:{hash:/x}", ""), /use "texthash/);
  assert.match(refusal(`unionmap:{${"static:a,".repeat(101)}}`, ""), /more than 100 members/);
});

Deno.test("tables of patterns get no partial keys", () => {
  const kinds: [string, boolean][] = [["regexp:{ {/a/ b} }", false], ["cidr:{ {::/0 b} }", false], [
    "inline:{a=b}",
    true,
  ]];
  for (const [spec, partial] of kinds) assert.equal(openTable(spec).partialKeys, partial, spec);
  assert.equal(openTable("unionmap:{inline:{a=b}, regexp:{ {/a/ b} }}").partialKeys, false);
});

Deno.test("unix tables hold the lines of passwd and group and name broken ones", () => {
  const { warn, texts } = collector();
  const files = new MemoryFiles({
    "/etc/passwd": "root:x:0:0:r:/root:/bin/sh\nbroken:x\n+::::::\n#c\n\nroot:y:1:1:::\n",
  });
  const table = openTable("unix:passwd.byname", { files, warn });
  assert.deepEqual(table.lookup("ROOT"), { kind: "found", value: "root:x:0:0:r:/root:/bin/sh" });
  assert.deepEqual(table.lookup("broken"), { kind: "missing" });
  assert.deepEqual(texts, ["/etc/passwd, line 2: expected 7 fields separated by colons"]);
});

Deno.test("an item is a table, an address or a name", () => {
  const cases: [string, boolean][] = [
    ["texthash:/x", true],
    ["static:a", true],
    ["hash:/x", true],
    ["bogus:x", true],
    ["[::1]/128", false],
    ["::1", false],
    ["fe80::/10", false],
    ["2001:db8::1", false],
    ["abcd:ef01::", false],
    ["/file:x", false],
    ["example.com", false],
    ["10.0.0.0/8", false],
    ["a b:c", false],
    ["", false],
    [":x", false],
  ];
  for (const [item, expected] of cases) assert.equal(isTableSpec(item), expected, item);
});

Deno.test("tableFiles names the files of tables, lists and restrictions", () => {
  const cases: [string[], string[]][] = [
    [["texthash:/a", "cidr:/b", "regexp:/c", "texthash:/a"], ["/a", "/b", "/c"]],
    [["proxy:unix:passwd.byname", "unix:group.byname", "unix:private/policy"], ["/etc/passwd", "/etc/group"]],
    [["inline:{a=/etc/x}", "static:/etc/x", "regexp:{ {/a/ b} }", "fail:/x"], []],
    [["unionmap:{texthash:/a, pipemap:{cidr:/b, regexp:/c}}"], ["/a", "/b", "/c"]],
    [["127.0.0.0/8", "[::1]/128", "!/file", "!texthash:/a", "example.com"], ["/file", "/a"]],
    [["check_client_access", "cidr:/a", "check_helo_access texthash:/b", "permit"], ["/a", "/b"]],
    [["hash:/a", "texthash:relative", "unionmap:{texthash:/a"], []],
  ];
  for (const [items, expected] of cases) assert.deepEqual(tableFiles(items), expected, items.join(" "));
});

Deno.test("checkTables tells faults from remarks", () => {
  const files = new MemoryFiles({ "/a": "x 1\nx 2\n", "/b": "/(/ x" });
  const problems = checkTables(["texthash:/a", "regexp:/b", "inline:{a=b}", "hash:/a", "texthash:/none"], {
    files,
  });
  assert.deepEqual(
    problems.map((problem) => [problem.spec, problem.severity, problem.file, problem.line]),
    [
      ["texthash:/a", "remark", "/a", 2],
      ["regexp:/b", "fault", "/b", 1],
      ["hash:/a", "fault", "hash:/a", 0],
      ["texthash:/none", "fault", "/none", 0],
    ],
  );
});

Deno.test("every type opens or refuses any cut of its text, and names its place", () => {
  const texts: Record<string, string> = {
    "texthash:/t": '"a b"  c d\n  more\n#x\n\\e f "g" \nk: v\n',
    "cidr:/t": "if !10.0.0.0/8\n[2001:db8::]/32 a b\n!1.2.3.0/24 c\nendif\n",
    "regexp:/t": "if /^[[:alpha:]]x{1,2}(a|b)*$/im\n!/\\.y[^]z-]+/x z\n|(q)| ${1}$$\nendif\n",
  };
  for (const [spec, text] of Object.entries(texts)) {
    for (let end = 0; end <= text.length; end++) {
      const said = refusal(spec, text.slice(0, end));
      assert.ok(said === "opened" || said.startsWith(`Cannot open table "${spec}": /t, line `), said);
    }
  }
  for (
    const spec of [
      "inline:{ {a = b c}, d=e }",
      "regexp:{ {/a/ b}, {!/c/ d} }",
      "unionmap:{static:{a b}, cidr:{ {::/0 x} }}",
    ]
  ) {
    for (let end = 0; end < spec.length; end++) assert.notEqual(refusal(spec.slice(0, end), ""), "opened");
  }
});

Deno.test("seeded random text never breaks a parser", () => {
  const random = seeded(42);
  const units = "/!{}[]()*+?.\\^$|,: \t\r\n\f\0#\"'=aBif1e0ndx:endif\uDC80é😀";
  for (let round = 0; round < 600; round++) {
    const text = Array.from({ length: random(60) }, () => units[random(units.length)]).join("");
    for (const type of TABLE_TYPES) {
      for (const spec of [`${type}:/t`, `${type}:{${text}}`, `${type}:${text}`]) {
        let table;
        try {
          table = open(spec, text);
        } catch (error) {
          assert.ok(error instanceof TableError, `${spec}: ${error}`);
          continue;
        }
        table.lookup(text);
      }
    }
  }
});

Deno.test("tableSpecs finds the tables of lists and restrictions, and takes no socket for one", () => {
  const items = [
    "check_policy_service",
    "unix:private/policy",
    "check_helo_access { cidr:/a }",
    "!texthash:/b",
    "::1",
    "x",
  ];
  assert.deepEqual(tableSpecs(items), ["cidr:/a", "texthash:/b"]);
});
