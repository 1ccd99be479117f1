import assert from "node:assert/strict";
import { parse } from "@std/toml";
import { findKeys } from "../../../lib/config/toml_lines.ts";

const DOCUMENT = `# a comment = "with a key"
first = "one" # and = more
second = [
  "a", # b = 1
  "c = 2",
]
"quoted key" = 'x = "y"'
long = """
inside = 1
"quotes" \\"""
""""
literal = '''
inside = 2'''
dotted.name = 3
empty = ""
table = { x = 1, y = { z = [1, { w = 2 }] } }

[variables]
v = 1
[a.b]
c = 1
[[service]]
name = "one"

[[service]]
name = "two"
parameters = { p = "q" }

[service.deep]
d = 1
[[service.item]]
e = 1
[[service.item]]
e = 2
`;

function linesOf(document: string): Record<string, number> {
  return Object.fromEntries([...findKeys(document)].map(([path, { line }]) => [path, line]));
}

Deno.test("every key has the line that it stands on", () => {
  assert.deepEqual(linesOf(DOCUMENT), {
    "first": 2,
    "second": 3,
    "second.0": 4,
    "second.1": 5,
    "quoted key": 7,
    "long": 8,
    "literal": 12,
    "dotted": 14,
    "dotted.name": 14,
    "empty": 15,
    "table": 16,
    "table.x": 16,
    "table.y": 16,
    "table.y.z": 16,
    "table.y.z.0": 16,
    "table.y.z.1": 16,
    "table.y.z.1.w": 16,
    "variables": 18,
    "variables.v": 19,
    "a.b": 20,
    "a.b.c": 21,
    "service.0": 22,
    "service.0.name": 23,
    "service.1": 25,
    "service.1.name": 26,
    "service.1.parameters": 27,
    "service.1.parameters.p": 27,
    "service.1.deep": 29,
    "service.1.deep.d": 30,
    "service.1.item.0": 31,
    "service.1.item.0.e": 32,
    "service.1.item.1": 33,
    "service.1.item.1.e": 34,
  });
});

Deno.test("the parser takes the document of the test above", () => {
  assert.equal((parse(DOCUMENT)["service"] as unknown[]).length, 2);
});

Deno.test("documents with CR LF line ends have the same lines", () => {
  const crlf = DOCUMENT.replaceAll("\n", "\r\n");
  assert.deepEqual(linesOf(crlf), linesOf(DOCUMENT));
});

Deno.test("a document cut at every character ends the scan", () => {
  for (let length = 0; length <= DOCUMENT.length; length++) findKeys(DOCUMENT.slice(0, length));
});

Deno.test("a key's mark goes from the key to the end of its value, comments and blanks left out", () => {
  const marks = findKeys(DOCUMENT);
  const text = (path: string) => DOCUMENT.slice(marks.get(path)!.start, marks.get(path)!.end);
  const value = (path: string) => DOCUMENT.slice(marks.get(path)!.value!, marks.get(path)!.end);
  assert.equal(text("first"), 'first = "one"');
  assert.equal(value("second"), '[\n  "a", # b = 1\n  "c = 2",\n]');
  assert.equal(value("dotted.name"), "3");
  assert.equal(value("table"), "{ x = 1, y = { z = [1, { w = 2 }] } }");
  assert.equal(value("table.x"), "1");
  assert.equal(value("table.y"), "{ z = [1, { w = 2 }] }");
  assert.equal(text("service.1"), "[[service]]");
  assert.equal(text("variables"), "[variables]");
  assert.equal(text("service.1.parameters.p"), 'p = "q"');
  assert.equal(marks.get("variables")!.value, undefined);
});
