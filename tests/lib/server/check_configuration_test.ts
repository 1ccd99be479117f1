/** Loops among aliases, files that others may change, restrictions that are never asked. @module */
import assert from "node:assert/strict";
import { formatProblem } from "../../../lib/config/problem.ts";
import { findUnsafeFiles } from "../../../lib/server/check_files.ts";
import { findAliasLoops } from "../../../lib/server/check_loops.ts";
import { findLostRules } from "../../../lib/server/check_rules.ts";
import { load, loadGood } from "../config/fixture.ts";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { COMMANDS, FACTS, MASTER } from "../config/fixture.ts";

/** Text of an alias file, and the loops in it. */
const LOCAL: readonly (readonly [string, readonly string[]])[] = [
  ["a: b\nb: c\nc: d\n", []],
  ["a: b\nb: a\n", ["a -> b -> a"]],
  ["A: b, x\nb: c\nc: a@Mail.Example.com, y\n", ["a -> b -> c -> a"]],
  ["a: a\nb: b, c\n", []],
  ["a: \\\\a, b\nb: |/bin/a, /var/a, :include:/a\n", []],
  ["a: b@elsewhere.example\nb: a\n", []],
  ["a: b\nb: a\nc: d\nd: c\n", ["a -> b -> a", "c -> d -> c"]],
  ["x: a\na: b, c\nb: d\nc: d\nd: e\n", []],
];

for (const [text, loops] of LOCAL) {
  Deno.test(`aliases ${JSON.stringify(text)}: ${loops.join(", ") || "no loop"}`, () => {
    using directory = new TemporaryDirectory();
    const path = directory.write("aliases", text);
    const found = findAliasLoops(loadGood(`alias_maps = ["texthash:${path}"]`)).map(formatProblem);
    assert.deepEqual(
      found.map((line) => line.replace(/^.*began: (.*) \(.*$/, "$1")),
      loops,
    );
    for (const line of found) assert.ok(line.startsWith('warning: /c/main.toml:1: "alias_maps": '), line);
  });
}

Deno.test("virtual aliases are compared with their domains", () => {
  using directory = new TemporaryDirectory();
  const text = "a@x.example b@y.example\nb@y.example a@x.example, c\nc c@mail.example.com\n";
  const path = directory.write("virtual", text);
  const main = `alias_maps = []\nmyorigin = "mail.example.com"\nvirtual_alias_maps = ["texthash:${path}"]`;
  const found = findAliasLoops(loadGood(main)).map(formatProblem);
  assert.equal(found.length, 1);
  assert.match(
    found[0]!,
    /main\.toml:3: "virtual_alias_maps": .*: a@x\.example -> b@y\.example -> a@x\.example/,
  );
});

Deno.test("a chain of a hundred thousand aliases is no loop, and takes no stack", () => {
  using directory = new TemporaryDirectory();
  const lines = Array.from({ length: 100_000 }, (_, i) => `a${i}: a${i + 1}\n`).join("");
  const path = directory.write("aliases", lines);
  const configuration = loadGood(`alias_maps = ["texthash:${path}"]`);
  assert.deepEqual(findAliasLoops(configuration), []);
});

Deno.test("files that others may change are told", () => {
  using directory = new TemporaryDirectory();
  directory.write(
    "main.toml",
    `alias_maps = ["texthash:$config_directory/aliases"]\nmydestination = ["${directory.path}/list"]\n`,
    0o644,
  );
  directory.write("master.toml", MASTER, 0o664);
  directory.write("aliases", "a: b\n", 0o646);
  directory.write("list", "example.com\n", 0o600);
  const options = { readText: Deno.readTextFileSync, commands: COMMANDS };
  const unsafe = () =>
    findUnsafeFiles(loadConfiguration(directory.path, FACTS, options).configuration!)
      .map((problem) => formatProblem(problem).replaceAll(directory.path, "DIR"));
  assert.deepEqual(unsafe(), [
    "warning: DIR/master.toml: its group can decide about mail by changing it (chmod go-w)",
    "warning: DIR/aliases: everybody can decide about mail by changing it (chmod go-w)",
  ]);
  if (Deno.uid() !== 0) return;
  Deno.chownSync(directory.at("list"), 12345, 12345);
  assert.match(unsafe().join("\n"), /DIR\/list: belongs to user 12345/);
});

/** Type, text of a table, and the lines that are never come to with those that take their keys. */
const RULES: readonly (readonly [string, string, readonly (readonly [number, number])[]])[] = [
  ["cidr", "10.0.0.0/8 OK\n10.1.0.0/16 REJECT\n192.0.2.1 OK\n192.0.2.0/24 OK\n", [[2, 1]]],
  ["cidr", "0.0.0.0/0 OK\n10.0.0.1 REJECT\n2001:db8::/32 OK\n[2001:db8::1] X\n", [[2, 1], [4, 3]]],
  ["cidr", "!10.0.0.0/8 OK\n11.0.0.0/8 X\n", []],
  ["cidr", "if 10.0.0.0/8\n10.1.0.0/16 A\nendif\n10.1.0.0/16 B\n", []],
  ["cidr", "10.0.0.0/8 A\nif 10.0.0.0/8\n10.1.0.0/16 B\nendif\n", [[3, 1]]],
  ["regexp", "/^a b/ X\n/^a b/i Y\n/^a b/ Z\n", [[3, 1]]],
  ["pcre", "/a\\/b/ X\n!/a/ Y\n/a\\/b/ Z\n!/a/ W\n", [[3, 1], [4, 2]]],
];

for (const [type, text, lost] of RULES) {
  Deno.test(`${type} ${JSON.stringify(text)}: ${lost.length} rules are never come to`, () => {
    using directory = new TemporaryDirectory();
    const path = directory.write("rules", text);
    const found = findLostRules(loadGood(`alias_maps = []\ntransport_maps = ["${type}:${path}"]`));
    assert.deepEqual(found.map(({ line, text }) => [line, Number(/line (\d+) takes/.exec(text)?.[1])]), lost);
    for (const problem of found) assert.equal(problem.file, path);
  });
}

Deno.test("a table of two hundred thousand networks is looked through at once", () => {
  using directory = new TemporaryDirectory();
  const lines = Array.from(
    { length: 200_000 },
    (_, i) => `${10 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.7 X\n`,
  ).join("");
  const path = directory.write("rules", `${lines}13.0.0.0/8 X\n`);
  assert.deepEqual(findLostRules(loadGood(`alias_maps = []\ntransport_maps = ["cidr:${path}"]`)), []);
});

/** Restriction lists and what is never asked. */
const LISTS: readonly (readonly [string, string | undefined])[] = [
  ['"permit_mynetworks", "reject"', undefined],
  ['"reject", "permit_mynetworks"', '"permit_mynetworks" is never asked, as "reject" in front of it'],
  ['"permit", "check_client_access", "static:x"', '"check_client_access" is never asked, as "permit"'],
  ['"warn_if_reject", "reject", "permit_mynetworks"', undefined],
  ['"check_client_access", "static:x", "defer", "reject"', '"reject" is never asked, as "defer"'],
];

for (const [list, told] of LISTS) {
  Deno.test(`restrictions ${list}: ${told ?? "all are asked"}`, () => {
    const { problems } = load(`smtpd_client_restrictions = [${list}]`);
    assert.equal(problems.length, told === undefined ? 0 : 1);
    if (told !== undefined) assert.ok(formatProblem(problems[0]!).startsWith("warning: "), problems[0]!.text);
    if (told !== undefined) assert.ok(problems[0]!.text.includes(told), problems[0]!.text);
  });
}
