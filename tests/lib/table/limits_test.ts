import assert from "node:assert/strict";
import { ALIAS_TOKEN_LIMIT, parseAliasSource, scanAlias } from "../../../lib/table/alias_source.ts";
import { BRACE_DEPTH_LIMIT, BraceError, splitBraced, unbrace } from "../../../lib/table/braces.ts";
import { logicalLines } from "../../../lib/table/logical_lines.ts";
import { openTable } from "../../../lib/table/open.ts";
import { IF_DEPTH_LIMIT } from "../../../lib/table/rules.ts";
import { expandTemplate, parseTemplate } from "../../../lib/table/template.ts";
import { collector, MemoryFiles, seeded } from "./table_support.ts";

Deno.test("limits hold at n and stop at n + 1", () => {
  const braces = (depth: number) => splitBraced("{".repeat(depth) + "}".repeat(depth));
  assert.equal(braces(BRACE_DEPTH_LIMIT).length, 1);
  assert.throws(() => braces(BRACE_DEPTH_LIMIT + 1), BraceError);
  const open = (depth: number) => {
    const text = "if /a/\n".repeat(depth) + "/b/ c\n" + "endif\n".repeat(depth);
    return openTable("regexp:/t", { files: new MemoryFiles({ "/t": text }) });
  };
  assert.deepEqual(open(IF_DEPTH_LIMIT).lookup("ab"), { kind: "found", value: "c" });
  assert.throws(() => open(IF_DEPTH_LIMIT + 1), /IF is nested deeper than 100/);
  assert.equal(scanAlias(",".repeat(ALIAS_TOKEN_LIMIT))?.length, ALIAS_TOKEN_LIMIT);
  assert.equal(scanAlias(",".repeat(ALIAS_TOKEN_LIMIT + 1)), undefined);
  assert.equal(scanAlias("(".repeat(100) + ")".repeat(100))?.length, 1);
  assert.equal(scanAlias("(".repeat(101) + ")".repeat(101)), undefined);
});

Deno.test("logical lines know their first line and skip comments in between", () => {
  const { warn, texts } = collector();
  const lines = logicalLines("# c\na\n b\n#c\n\tc\n\n \nd\r\n e", "/f", warn);
  assert.deepEqual(lines, [{ line: 2, text: "a b\tc" }, { line: 8, text: "d\r e" }]);
  assert.deepEqual(texts, []);
  assert.deepEqual(logicalLines(" a\nb", "/f", warn), [{ line: 2, text: "b" }]);
  assert.match(texts[0]!, /\/f, line 1: logical line must not start with whitespace/);
});

Deno.test("lines joined are the text without comments, for seeded random text", () => {
  const random = seeded(13);
  for (let round = 0; round < 500; round++) {
    const text = Array.from({ length: random(40) }, () => "a# \t\nb\r"[random(7)]).join("");
    const lines = logicalLines(text, "/f", () => {});
    for (const { line, text: joined } of lines) {
      assert.ok(!joined.includes("\n"));
      assert.ok(joined.startsWith(text.split("\n")[line - 1]!), JSON.stringify(text));
    }
  }
});

Deno.test("alias lines with more tokens than allowed are left out and named", () => {
  const { warn, texts } = collector();
  const text = `a: b\nbig: ${"x,".repeat(ALIAS_TOKEN_LIMIT / 2)}\nc: d\n`;
  const entries = parseAliasSource(text, { foldKeys: true, file: "/aliases", warn });
  assert.deepEqual([...entries.keys()], ["a", "c"]);
  assert.match(texts[0]!, /^\/aliases, line 2: more than 100000 tokens/);
});

Deno.test("braces protect blanks and commas, and must match", () => {
  assert.deepEqual(splitBraced("a, { b, c } static:{x y}z"), [
    { text: "a", braced: false },
    { text: "b, c", braced: true },
    { text: "static:{x y}z", braced: false },
  ]);
  assert.equal(unbrace("{ a {b} }"), "a {b}");
  for (const bad of ["{a", "{a}b", "a {b", "{{a}"]) assert.throws(() => splitBraced(bad), BraceError, bad);
});

Deno.test("templates put groups where the dollar signs are", () => {
  const expand = (text: string) => {
    const template = parseTemplate(text);
    return template.kind === "template" ? expandTemplate(template, ["A", "B"]) : template.why;
  };
  const cases: [string, string][] = [
    ["$1$2", "AB"],
    ["${1}0", "A0"],
    ["$(2)x", "Bx"],
    ["$$1", "$1"],
    ["$$$1", "$A"],
    ["", ""],
    ["no", "no"],
    ["$3", ""],
    ["$1x", 'non-numeric replacement index "1x"'],
    ["$", 'empty macro name in "$"'],
    ["${}", 'non-numeric replacement index ""'],
  ];
  for (const [text, expected] of cases) assert.equal(expand(text), expected, text);
});
