import assert from "node:assert/strict";
import { findParameter, type Parameter } from "../../../lib/config/parameters.ts";
import { isTableName, parseDuration, parseValue, splitList, tomlToText } from "../../../lib/config/values.ts";

function row(fields: Partial<Parameter>): Parameter {
  return { type: "string", default: "", doc: "", ...fields };
}

const VALUES: readonly (readonly [Partial<Parameter>, string, unknown])[] = [
  [{ type: "string" }, " as it is ", " as it is "],
  [{ type: "integer" }, "0", 0],
  [{ type: "integer" }, " 42 ", 42],
  [{ type: "integer", min: 5, max: 7 }, "5", 5],
  [{ type: "integer", min: 5, max: 7 }, "7", 7],
  [{ type: "boolean" }, "yes", true],
  [{ type: "boolean" }, "No", false],
  [{ type: "boolean" }, "true", true],
  [{ type: "duration", default: "10s" }, "300s", 300],
  [{ type: "duration", default: "10s" }, "5", 5],
  [{ type: "duration", default: "5d" }, "5", 432000],
  [{ type: "duration", default: "0h" }, "4", 14400],
  [{ type: "duration", default: "0h" }, "90m", 5400],
  [{ type: "duration" }, "2W", 1209600],
  [{ type: "duration" }, "2147483647s", 2147483647],
  [{ type: "list" }, "", []],
  [{ type: "list" }, "a, b c\t,,\n d", ["a", "b", "c", "d"]],
  [{ type: "list" }, "inline:{a=b, c = d} {x y}", ["inline:{a=b, c = d}", "{x y}"]],
  [{ type: "list", values: ["a", "b"] }, "b a", ["b", "a"]],
  [{ type: "tables" }, "texthash:/x, proxy:unix:passwd.byname", ["texthash:/x", "proxy:unix:passwd.byname"]],
  [{ type: "tables" }, "inline:{ k = v, {l = w x} }", ["inline:{ k = v, {l = w x} }"]],
  [{ type: "string", values: ["any", "ipv4"] }, "ipv4", "ipv4"],
  [{ type: "string", values: ["disabled"], default: "" }, "", ""],
  [{ type: "string", absolute: true }, "/var", "/var"],
  [{ type: "string", absolute: true }, "", ""],
];

for (const [fields, text, expected] of VALUES) {
  Deno.test(`${JSON.stringify(fields)} takes ${JSON.stringify(text)}`, () => {
    assert.deepEqual(parseValue(row(fields), text), { kind: "value", value: expected });
  });
}

const FAULTS: readonly (readonly [Partial<Parameter>, string, RegExp])[] = [
  [{ type: "integer" }, "", /expected a whole number, got ""/],
  [{ type: "integer" }, "-1", /expected a whole number/],
  [{ type: "integer" }, "1.5", /expected a whole number/],
  [{ type: "integer" }, "0x10", /expected a whole number/],
  [{ type: "integer" }, "12345678901234567890", /expected a whole number/],
  [{ type: "integer", min: 5, max: 7 }, "4", /at least 5, got "4"/],
  [{ type: "integer", min: 5, max: 7 }, "8", /at most 7, got "8"/],
  [{ type: "boolean" }, "1", /expected true or false/],
  [{ type: "duration" }, "s", /expected a duration such as "300s"/],
  [{ type: "duration" }, "5y", /expected a duration/],
  [{ type: "duration" }, "1.5h", /expected a duration/],
  [{ type: "duration" }, "2147483648s", /expected a duration/],
  [{ type: "duration", min: 1 }, "0", /at least 1s/],
  [{ type: "duration", max: 60 }, "2m", /at most 60s, got "2m"/],
  [{ type: "list" }, "a {b", /braces do not match/],
  [{ type: "list" }, "a} {b", /braces do not match/],
  [{ type: "list", values: ["a", "b"] }, "a c", /expected some of a, b, got "c"/],
  [{ type: "list", values: ["a", "b"] }, "a inline:{x=a}", /expected some of a, b, got "inline/],
  [{ type: "list", values: ["a"], orTables: true }, "c", /expected some of a or tables "type:name", got "c"/],
  [{ type: "tables" }, "/etc/aliases", /expected a table "type:name", got "\/etc\/aliases"/],
  [{ type: "tables" }, "texthash:", /expected a table/],
  [{ type: "tables" }, ":x", /expected a table/],
  [
    { type: "string", values: ["any", "ipv4"], default: "any" },
    "ipv5",
    /expected one of any, ipv4, got "ipv5"/,
  ],
  [{ type: "string", absolute: true }, "var/spool", /expected an absolute path, got "var\/spool"/],
];

for (const [fields, text, why] of FAULTS) {
  Deno.test(`${JSON.stringify(fields)} refuses ${JSON.stringify(text)}`, () => {
    const parsed = parseValue(row(fields), text);
    assert.equal(parsed.kind, "wrong");
    assert.match(parsed.kind === "wrong" ? parsed.why : "", why);
  });
}

Deno.test("TOML values become the text of main.cf", () => {
  assert.deepEqual(tomlToText(row({ type: "boolean" }), true), { kind: "value", value: "yes" });
  assert.deepEqual(tomlToText(row({ type: "integer" }), 5), { kind: "value", value: "5" });
  assert.deepEqual(tomlToText(row({ type: "integer" }), "$x"), { kind: "value", value: "$x" });
  assert.deepEqual(tomlToText(row({ type: "list" }), ["a", "b c"]), { kind: "value", value: "a, b c" });
  assert.deepEqual(tomlToText(row({ type: "tables" }), []), { kind: "value", value: "" });
});

const MISFITS: readonly (readonly [Partial<Parameter>, unknown, RegExp])[] = [
  [{ type: "string" }, 5, /expected a string in quotes, got 5/],
  [{ type: "string" }, ["a"], /expected a string in quotes, got an array/],
  [{ type: "integer" }, true, /expected a whole number, got true/],
  [{ type: "integer" }, 1.5, /expected a whole number, got 1.5/],
  [{ type: "boolean" }, 1, /expected true or false, got 1/],
  [{ type: "duration" }, false, /expected a duration .*, got false/],
  [{ type: "list" }, 5, /expected an array of strings, got 5/],
  [{ type: "list" }, ["a", 5], /got an item that is 5/],
  [{ type: "tables" }, [["a"]], /got an item that is an array/],
  [{ type: "list" }, { a: 1 }, /got a table/],
  [{ type: "string" }, new Date(0), /got a date/],
];

for (const [fields, value, why] of MISFITS) {
  Deno.test(`a TOML ${JSON.stringify(value)} does not fit ${fields.type}`, () => {
    const text = tomlToText(row(fields), value);
    assert.match(text.kind === "wrong" ? text.why : "", why);
  });
}

Deno.test("a duration of a service is in seconds unless it says otherwise", () => {
  assert.equal(parseDuration("60"), 60);
  assert.equal(parseDuration("1h"), 3600);
  assert.equal(parseDuration(""), undefined);
  assert.equal(parseDuration("-1s"), undefined);
});

Deno.test("lists made of random characters never throw, and items hold no separator outside braces", () => {
  const alphabet = "ab{} ,\t\n!/:$";
  let seed = 7;
  for (let round = 0; round < 2000; round++) {
    let text = "";
    for (let i = 0; i < 12; i++) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      text += alphabet[(seed >> 8) % alphabet.length];
    }
    for (const item of splitList(text) ?? []) if (!item.includes("{")) assert.doesNotMatch(item, /[ ,\t\n]/);
  }
});

Deno.test("table names have a type before the colon", () => {
  for (const name of ["texthash:/x", "proxy:unix:passwd.byname", "inline:{a=b}"]) {
    assert.ok(isTableName(name), name);
  }
  for (const name of ["", "x", "/x:y", "[::1]", ":x", "x:", "1x:y"]) assert.ok(!isTableName(name), name);
});

Deno.test("a parameter that is not there has no row", () => {
  assert.equal(findParameter("toString"), undefined);
});
