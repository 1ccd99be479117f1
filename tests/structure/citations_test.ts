/** Each rule that the source cites has a test whose name begins with the same citation. @module */
import assert from "node:assert/strict";
import { comments, lineOf, sourceFiles } from "./source_files.ts";

const CITATION = /\bRFC (\d+) section ([A-Z]?\d*(?:\.\d+)*)/g;

/** A rule that is cited, and where. */
interface Cited {
  readonly rule: string;
  readonly place: string;
}

/** Citations that state a rule: at the start of a comment's sentence, followed by a colon. */
function citedRules(text: string, path: string): Cited[] {
  const lines = comments(text);
  const pattern =
    /(?:\/\/|\*|[.;:])\s*(RFC \d+ section [A-Z]?\d*(?:\.\d+)*)(?:\s*,\s*(?:RFC \d+ )?section [\d.]+)*:/g;
  return [...lines.matchAll(pattern)].map((match) => ({
    rule: match[1]!,
    place: `${path}:${lineOf(lines, match.index)}`,
  }));
}

/** Names of tests, as they are written; those that a loop makes keep their `${...}`. */
function testNames(text: string): string[] {
  return [...text.matchAll(/["'`](RFC \d+ section [^"'`]*)["'`]?/g)].map((match) => match[1]!);
}

const CITED = sourceFiles("lib", "daemons", "commands").flatMap(({ path, text }) => citedRules(text, path));
const PROVED = new Set(
  sourceFiles("tests").filter(({ path }) => path.endsWith("_test.ts")).flatMap(({ text }) => testNames(text))
    .flatMap((name) => [...name.matchAll(CITATION)].slice(0, 1).map((match) => match[0])),
);

/** Rules without a test of that name. This number only goes down; a rule that is new comes with its test. */
const UNPROVED_MOST = 0;

Deno.test("every cited rule has a test of its name", () => {
  assert.ok(CITED.length > 50, `${CITED.length} citations found`);
  const unproved = new Map<string, string[]>();
  for (const { rule, place } of CITED) {
    if (!PROVED.has(rule)) unproved.set(rule, [...unproved.get(rule) ?? [], place]);
  }
  const list = [...unproved].sort().map(([rule, places]) => `${rule}: ${places.join(", ")}`);
  assert.ok(list.length <= UNPROVED_MOST, `${list.length} rules without a test:\n${list.join("\n")}`);
});

Deno.test("citations have one form", () => {
  const odd = sourceFiles("lib", "daemons", "commands").flatMap(({ path, text }) => {
    const said = comments(text);
    return [...said.matchAll(/\bRFC-?\d+|\brfc \d+|\bRFC \d+ ?(§|sec\.|Section|chapter)/g)].map((match) =>
      `${path}:${lineOf(said, match.index)}: ${match[0]}`
    );
  });
  assert.deepEqual(odd, []);
});
