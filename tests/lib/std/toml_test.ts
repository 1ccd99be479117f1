import assert from "node:assert/strict";
import { parse, stringify } from "@std/toml";

Deno.test("parse reads the example of the real package's documentation into plain objects", () => {
  const document = `title = "TOML Example"\n[owner]\nname = "Alice"\nbio = "Alice is a programmer."`;
  const parsed = parse(document);
  assert.deepEqual(parsed, {
    title: "TOML Example",
    owner: { name: "Alice", bio: "Alice is a programmer." },
  });
  assert.equal(Object.getPrototypeOf(parsed["owner"]), Object.prototype);
});

Deno.test("parse reads every kind of value", () => {
  const document = [
    "i = 1_000",
    "h = 0xff",
    "f = -1.5",
    "x = inf",
    "b = true",
    "s = 'C:\\x'",
    'm = """',
    'two\\n"lines" """',
    "a = [1, [2, 3], 'x', { y = 1 }]",
    "d = 1979-05-27T07:32:00Z",
    "t = 07:32:00",
    "dotted.key = 1",
    "[[service]]",
    "name = 'a'",
    "[service.parameters]",
    "p = 1",
    "[[service]]",
    "name = 'b'",
  ].join("\n");
  assert.deepEqual(parse(document), {
    i: 1000,
    h: 255,
    f: -1.5,
    x: Infinity,
    b: true,
    s: "C:\\x",
    m: 'two\n"lines" ',
    a: [1, [2, 3], "x", { y: 1 }],
    d: new Date("1979-05-27T07:32:00Z"),
    t: "07:32:00.000",
    dotted: { key: 1 },
    service: [{ name: "a", parameters: { p: 1 } }, { name: "b" }],
  });
});

const FAULTS: readonly (readonly [string, RegExp])[] = [
  ["a = 1\nb = \n", /^Parse error on line 2, column \d+: /],
  ["a = 1\na = 2", /^Parse error on line 2, column \d+: /],
  ["[t]\na=1\n[t]\n", /^Parse error on line 3, column \d+: /],
  ['a = "open', /^Parse error on line 1, column \d+: /],
  ["a = 99999999999999999999", /^Parse error on line 1, column \d+: /],
  ["a = 'x\u0000'", /^Parse error on line 1, column \d+: /],
];

for (const [document, message] of FAULTS) {
  Deno.test(`parse throws a SyntaxError with line and column for ${JSON.stringify(document)}`, () => {
    assert.throws(() => parse(document), { name: "SyntaxError", message });
  });
}

Deno.test("a key __proto__ is a property like any other", () => {
  const parsed = parse('"__proto__" = { polluted = 1 }');
  assert.deepEqual(Object.keys(parsed), ["__proto__"]);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

Deno.test("parse cut at every character gives a table or a SyntaxError, nothing else", () => {
  const document = 'a = "x"\nb = [1, "two", { c = true }]\n[t]\nd = """m"""\n[[s]]\ne = 1.5\n';
  for (let length = 0; length <= document.length; length++) {
    try {
      parse(document.slice(0, length));
    } catch (error) {
      assert.ok(error instanceof SyntaxError, String(error));
    }
  }
});

Deno.test("stringify writes the example of the real package's documentation", () => {
  const object = { title: "TOML Example", owner: { name: "Bob", bio: "Bob is a cool guy" } };
  assert.equal(
    stringify(object),
    `title = "TOML Example"\n\n[owner]\nname = "Bob"\nbio = "Bob is a cool guy"\n`,
  );
});

Deno.test("stringify puts plain keys before tables and leaves out headers without keys", () => {
  const object = {
    deep: { er: { x: 1 } },
    list: ["a", 1, true],
    s: [{ n: "a" }, { n: "b", p: { q: 2 } }],
    z: 'é"',
  };
  assert.equal(
    stringify(object),
    [
      'list = ["a",1,true]',
      'z = "é\\""',
      "",
      "[deep.er]",
      "x = 1",
      "",
      "[[s]]",
      'n = "a"',
      "",
      "[[s]]",
      'n = "b"',
      "",
      "[s.p]",
      "q = 2",
      "",
    ].join("\n"),
  );
});

Deno.test("stringify aligns keys when asked", () => {
  assert.equal(stringify({ a: 1, long: 2 }, { keyAlignment: true }), "a    = 1\nlong = 2\n");
});

Deno.test("what stringify writes, parse reads back", () => {
  const object = {
    "odd key": "a\nb\t\\",
    empty: [],
    mixed: [1, { a: [2] }],
    when: "2020",
    table: { array: [{ x: 1.5 }, { x: -2 }], flag: false },
  };
  assert.deepEqual(parse(stringify(object)), object);
});
