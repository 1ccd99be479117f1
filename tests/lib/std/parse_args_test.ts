import assert from "node:assert/strict";
import { parseArgs } from "@std/cli";
import { parseArgs as parseArgsOfEntry, type ParseOptions } from "@std/cli/parse-args";

interface Case {
  readonly args: string[];
  readonly options?: ParseOptions;
  readonly expected: Record<string, unknown>;
}

// The first rows are the examples of the real package's documentation.
const CASES: readonly Case[] = [
  { args: ["--foo", "--bar=baz", "./quux.txt"], expected: { foo: true, bar: "baz", _: ["./quux.txt"] } },
  {
    args: ["--foo", "--bar", "baz"],
    options: { boolean: ["foo"], string: ["bar"] },
    expected: { foo: true, bar: "baz", _: [] },
  },
  {
    args: ["--foo", "bar", "--foo", "baz"],
    options: { collect: ["foo"] },
    expected: { foo: ["bar", "baz"], _: [] },
  },
  { args: ["--no-foo"], options: { boolean: ["foo"], negatable: ["foo"] }, expected: { foo: false, _: [] } },
  { args: ["--", "a", "arg1"], expected: { _: ["a", "arg1"] } },
  { args: ["x", "--", "a", "--b"], options: { "--": true }, expected: { _: ["x"], "--": ["a", "--b"] } },
  { args: ["-abc"], expected: { a: true, b: true, c: true, _: [] } },
  { args: ["-n5"], expected: { n: 5, _: [] } },
  { args: ["-n", "5", "7", "x"], expected: { n: 5, _: [7, "x"] } },
  { args: ["-n", "5"], options: { string: "n" }, expected: { n: "5", _: [] } },
  { args: ["7"], options: { string: "_" }, expected: { _: ["7"] } },
  { args: ["-f/etc/x"], expected: { f: "/etc/x", _: [] } },
  { args: ["-o=a=b"], expected: { o: "a=b", _: [] } },
  { args: ["--a=0x10", "--b= ", "--c=1e3"], expected: { a: 16, b: " ", c: 1000, _: [] } },
  { args: ["-"], expected: { _: ["-"] } },
  { args: ["--verbose", "x"], options: { boolean: ["verbose"] }, expected: { verbose: true, _: ["x"] } },
  {
    args: ["--verbose", "false", "x"],
    options: { boolean: ["verbose"] },
    expected: { verbose: false, _: ["x"] },
  },
  { args: ["--verbose=false"], options: { boolean: ["verbose"] }, expected: { verbose: false, _: [] } },
  { args: ["--name"], options: { string: ["name"] }, expected: { name: "", _: [] } },
  { args: [], options: { string: ["name"], boolean: ["flag"] }, expected: { flag: false, _: [] } },
  {
    args: [],
    options: { string: ["n"], boolean: ["b"], collect: ["n", "b"] },
    expected: { n: [], b: [], _: [] },
  },
  {
    args: ["-c", "/etc/postern", "stop", "-x"],
    options: { string: ["c"], stopEarly: true },
    expected: { c: "/etc/postern", _: ["stop", "-x"] },
  },
  { args: ["-c", "d"], options: { alias: { c: "config" } }, expected: { c: "d", config: "d", _: [] } },
  {
    args: ["-v", "x"],
    options: { boolean: ["verbose"], alias: { verbose: ["v"] } },
    expected: { verbose: true, v: true, _: ["x"] },
  },
  { args: [], options: { default: { port: 25 } }, expected: { port: 25, _: [] } },
  { args: ["--port", "26"], options: { default: { port: 25 } }, expected: { port: 26, _: [] } },
  { args: ["--a.b", "1", "--a.c=2"], expected: { a: { b: 1, c: 2 }, _: [] } },
  { args: ["--foo", "bar"], options: { boolean: true }, expected: { foo: true, _: ["bar"] } },
  {
    args: ["--known", "1", "--other", "2"],
    options: { string: ["known"], unknown: () => false },
    expected: { known: "1", _: [] },
  },
  { args: ["--no-color"], expected: { "no-color": true, _: [] } },
  { args: ["-i", "-t"], expected: { i: true, t: true, _: [] } },
];

for (const { args, options, expected } of CASES) {
  Deno.test(`parseArgs reads ${JSON.stringify(args)} with ${JSON.stringify(options ?? {})}`, () => {
    assert.deepEqual(parseArgs(args, options), expected);
  });
}

Deno.test("parseArgs is at both entries of the package", () => {
  assert.equal(parseArgsOfEntry, parseArgs);
});

Deno.test("parseArgs gives each named flag its type", () => {
  const args = parseArgs(["-d", "--name=x", "--to", "a", "--to", "b"], {
    boolean: ["d"],
    string: ["name", "to"],
    collect: ["to"],
    alias: { d: "defaults" },
    default: { name: "y" },
  });
  const typed: { d: boolean; defaults: boolean; name: string; to: string[]; _: (string | number)[] } = args;
  assert.deepEqual(typed, { d: true, defaults: true, name: "x", to: ["a", "b"], _: [] });
});

Deno.test("parseArgs tells unknown() the argument, its key and its value", () => {
  const seen: unknown[] = [];
  parseArgs(["--x=1", "y"], {
    string: ["z"],
    unknown: (...what) => {
      seen.push(what);
      return true;
    },
  });
  assert.deepEqual(seen, [["--x=1", "x", "1"], ["y"]]);
});

Deno.test("parseArgs never reaches what all objects share", () => {
  parseArgs(["--__proto__.polluted=1", "--constructor.prototype.polluted=1"]);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});
