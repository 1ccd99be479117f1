/** Changes of TOML texts: what is meant changes, all else stays byte for byte. @module */
import assert from "node:assert/strict";
import { parse } from "@std/toml";
import {
  appendElement,
  commentElement,
  commentKey,
  removeElement,
  removeKey,
  replaceElement,
  setKey,
} from "../../../lib/config/toml_edit.ts";
import { parameterToToml, quoteToml, tomlArray } from "../../../lib/config/toml_text.ts";
import { Random } from "../../support/random.ts";

const DOCUMENT = `# top
a = 1 # one
"b c" = "two"
d = [
  1, # first
  2,
]

[variables] # ours
v = "x"

[[service]]
name = "one"
parameters = { p = 1, q = [1, 2] }

[[service]]
name = "two"
[service.parameters]
p = 2 # deep

[[service]]
name = "three"
parameters = {}
`;

/** What is done, the text that goes, the text that comes. */
const EDITS: readonly (readonly [string, (text: string) => string, string, string])[] = [
  ["set", (text) => setKey(text, "", "a", "5"), "a = 1 #", "a = 5 #"],
  ["set a quoted key", (text) => setKey(text, "", "b c", "5"), '"two"', "5"],
  ["set over lines", (text) => setKey(text, "", "d", "[]"), "[\n  1, # first\n  2,\n]", "[]"],
  ["add", (text) => setKey(text, "", "e", "5"), "  2,\n]\n", "  2,\n]\ne = 5\n"],
  ["add a quoted key", (text) => setKey(text, "", "e f", "5"), "  2,\n]\n", '  2,\n]\n"e f" = 5\n'],
  ["add to a table", (text) => setKey(text, "variables", "w", "5"), 'v = "x"\n', 'v = "x"\nw = 5\n'],
  [
    "add to an element",
    (text) => setKey(text, "service.0", "r", "5"),
    "q = [1, 2] }\n",
    "q = [1, 2] }\nr = 5\n",
  ],
  [
    "add in front of a table of an element",
    (text) => setKey(text, "service.1", "r", "5"),
    '"two"\n[s',
    '"two"\nr = 5\n[s',
  ],
  ["set in braces", (text) => setKey(text, "service.0.parameters", "p", "5"), "p = 1", "p = 5"],
  ["add in braces", (text) => setKey(text, "service.0.parameters", "r", "5"), "[1, 2] }", "[1, 2], r = 5 }"],
  ["add in empty braces", (text) => setKey(text, "service.2.parameters", "r", "5"), "{}", "{ r = 5 }"],
  ["set under a header", (text) => setKey(text, "service.1.parameters", "p", "5"), "p = 2 #", "p = 5 #"],
  [
    "add under a header",
    (text) => setKey(text, "service.1.parameters", "r", "5"),
    "# deep\n",
    "# deep\nr = 5\n",
  ],
  ["remove", (text) => removeKey(text, "", "a"), "a = 1 # one\n", ""],
  ["remove over lines", (text) => removeKey(text, "", "d"), "d = [\n  1, # first\n  2,\n]\n", ""],
  ["remove in braces", (text) => removeKey(text, "service.0.parameters", "p"), "p = 1, ", ""],
  ["remove the last in braces", (text) => removeKey(text, "service.0.parameters", "q"), ", q = [1, 2]", ""],
  ["remove under a header", (text) => removeKey(text, "service.1.parameters", "p"), "p = 2 # deep\n", ""],
  ["remove nothing", (text) => removeKey(text, "", "nosuch"), "", ""],
  [
    "comment",
    (text) => commentKey(text, "d"),
    "d = [\n  1, # first\n  2,\n]",
    "#d = [\n#  1, # first\n#  2,\n#]",
  ],
  [
    "comment an element",
    (text) => commentElement(text, "service.1"),
    '[[service]]\nname = "two"\n[service.parameters]\np = 2 # deep\n',
    '#[[service]]\n#name = "two"\n#[service.parameters]\n#p = 2 # deep\n',
  ],
  [
    "remove an element",
    (text) => removeElement(text, "service.1"),
    '[[service]]\nname = "two"\n[service.parameters]\np = 2 # deep\n\n',
    "",
  ],
  [
    "replace an element",
    (text) => replaceElement(text, "service.2", "# none\n"),
    '[[service]]\nname = "three"\nparameters = {}\n',
    "# none\n",
  ],
  [
    "append an element",
    (text) => appendElement(text, "[[x]]\n"),
    "parameters = {}\n",
    "parameters = {}\n\n[[x]]\n",
  ],
];

for (const [what, edit, before, after] of EDITS) {
  Deno.test(`TOML edit: ${what}`, () => {
    const made = edit(DOCUMENT);
    assert.equal(made, DOCUMENT.replace(before, () => after));
    parse(made);
  });
}

Deno.test("any text is a value that the parser gives back", () => {
  const random = new Random(7);
  for (let round = 0; round < 500; round++) {
    const text = String.fromCharCode(
      ...Array.from({ length: 1 + random.below(20) }, () => random.below(0x180)),
    );
    assert.equal(parse(`a = ${quoteToml(text)}`)["a"], text);
    const items = [text, "b", text];
    assert.deepEqual(parse(`a = ${tomlArray(items)}`)["a"], items);
    const document = setKey(DOCUMENT, "", "e", quoteToml(text));
    assert.equal(parse(document)["e"], text);
    assert.equal(removeKey(document, "", "e"), DOCUMENT);
  }
});

Deno.test("texts of main.cf have the form of their type", () => {
  assert.equal(parameterToToml({ type: "boolean" }, "yes"), "true");
  assert.equal(parameterToToml({ type: "boolean" }, "$x"), '"$x"');
  assert.equal(parameterToToml({ type: "integer" }, "0"), "0");
  assert.equal(parameterToToml({ type: "integer" }, "007"), '"007"');
  assert.equal(parameterToToml({ type: "duration" }, "5d"), '"5d"');
  assert.equal(parameterToToml({ type: "list" }, "a, b {c, d}"), '["a", "b", "{c, d}"]');
  assert.equal(parameterToToml({ type: "list" }, "a }"), '"a }"');
});
