/** What STYLE.md rules out, and what it asks of every file. @module */
import assert from "node:assert/strict";
import { codeOnly, comments, lineOf, type SourceFile, sourceFiles } from "./source_files.ts";

const FILES = sourceFiles("lib", "daemons", "commands", "scripts", "main.ts");
const ALL = [...FILES, ...sourceFiles("tests", "bench")];

/** Every place where a pattern stands. */
function places(files: readonly SourceFile[], part: (text: string) => string, pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) => {
    const code = part(text);
    return [...code.matchAll(pattern)].map((match) =>
      `${path}:${lineOf(code, match.index)}: ${match[0].trim()}`
    );
  });
}

const CODE_RULES: readonly [string, RegExp, string][] = [
  ["no default exports", /\bexport\s+default\b/g, "export default x;"],
  ["no enums", /(^|\n)\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w+\s*\{/g, "export const enum X { A }"],
  ["no namespaces", /(^|\n)\s*(export\s+)?(declare\s+)?(namespace|module)\s+[\w.]+\s*\{/g, "namespace X { }"],
  [
    "no private keyword: #field",
    /\b(private|protected)\s+(?!constructor\b)(readonly\s+|static\s+|async\s+)*[\w]+\s*[(:=;?!]/g,
    "private x: number;",
  ],
  ["no barrels: nothing is exported wholesale", /\bexport\s+\*/g, 'export * from "./x.ts";'],
  ["no exported variable that changes", /\bexport\s+let\b/g, "export let x = 1;"],
  ["no any", /[:<,(|&]\s*any\b\s*[,>)\]=;|&[]/g, "const x: any = 1;"],
  ["no code from strings", /\beval\s*\(|\bnew\s+Function\s*\(/g, "eval(x)"],
  ["no empty catch", /\bcatch\s*(\([^)]*\))?\s*\{\s*\}/g, "try { x(); } catch { }"],
  ["no console: programs write through lib/safe and lib/log", /\bconsole\s*\./g, "console.log(x)"],
  ["no debugger", /\bdebugger\b/g, "debugger;"],
];

/** Places where a rule does not apply, each with its reason. */
const EXCEPTIONS: readonly [string, string, string][] = [
  ["no code from strings", "lib/safe/probe_attempts.ts", "the probes try what must not work"],
  ["no barrels: nothing is exported wholesale", "lib/std/", "a package's entry point is one"],
  [
    "no console: programs write through lib/safe and lib/log",
    "lib/std/",
    "the standard log's console handler",
  ],
  ["no console: programs write through lib/safe and lib/log", "scripts/", "tools of the developer"],
  ["no private keyword: #field", "lib/std/", "the names of the package that it stands in for"],
  ["no any", "lib/std/", "the names of the package that it stands in for"],
];

for (const [rule, pattern, sample] of CODE_RULES) {
  Deno.test(`${rule}`, () => {
    assert.equal(sample.match(pattern)?.length, 1, "the pattern finds its sample");
    const excused = EXCEPTIONS.filter(([name]) => name === rule).map(([, path]) => path);
    assert.deepEqual(
      places(FILES, codeOnly, pattern).filter((place) => !excused.some((path) => place.startsWith(path))),
      [],
    );
  });
}

Deno.test("nothing is left to do: no such mark in any comment", () => {
  const mark = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`, "g");
  assert.deepEqual(places(ALL, comments, mark), []);
});

Deno.test("methods that know characters beyond ASCII are kept from mail", () => {
  // trim, toLowerCase and their like fold and cut what a mail protocol does not; lib/vstring/ascii.ts has the right ones.
  const words =
    /\.(trim|trimStart|trimEnd|toLowerCase|toUpperCase|toLocaleLowerCase|toLocaleUpperCase|localeCompare|normalize)\(/g;
  const found = places(sourceFiles("lib", "daemons"), codeOnly, words)
    .filter((place) => !place.startsWith("lib/std/"))
    .map((place) => place.replace(/:\d+:/, ""));
  assert.deepEqual(found.filter((place) => !ASCII_BY_ORIGIN.includes(place)), []);
});

/** Uses on text that the program itself made. */
const ASCII_BY_ORIGIN: readonly string[] = [
  "lib/log/log.ts .toLowerCase(", // names of log levels
  "lib/log/log.ts .trimStart(", // lines of a stack
  "lib/mail/domain.ts .normalize(", // to see whether a label is ASCII in disguise
  "lib/mail/domain.ts .toLowerCase(",
  "lib/mail/queue_id.ts .toUpperCase(", // hexadecimal digits
  "lib/safe/login.ts .toUpperCase(", // a login name's first letter, which was looked at before
];

Deno.test("no file is longer than 600 lines", () => {
  const long = FILES.map(({ path, text }) => [path, text.split("\n").length] as const).filter(([, lines]) =>
    lines > 600
  );
  assert.deepEqual(long, []);
});

Deno.test("what a file exports is described above it", () => {
  const found: string[] = [];
  for (const { path, text } of FILES) {
    if (path.startsWith("daemons/") && path.endsWith("/service.ts")) continue;
    const lines = text.split("\n");
    lines.forEach((line, index) => {
      if (!/^export\s+(async\s+)?(abstract\s+)?(function\*?|class|const|interface|type)\s+\w/.test(line)) {
        return;
      }
      if (!isDescribed(lines, index)) found.push(`${path}:${index + 1}: ${line.slice(0, 70)}`);
    });
  }
  assert.ok(
    found.length <= UNDESCRIBED_MOST,
    `${found.length} exports without a description:\n${found.join("\n")}`,
  );
});

/** Short predicates and constants that say all in their name; this number only goes down. */
const UNDESCRIBED_MOST = 0;

/** A comment ends on the line above, or one stands on a block of like lines that this one belongs to. */
function isDescribed(lines: readonly string[], index: number): boolean {
  const above = lines[index - 1]?.trimEnd() ?? "";
  if (above.endsWith("*/") || above.startsWith("//")) return true;
  // Constants and overloads in a row share the comment of the first.
  return above.startsWith("export ") && above.endsWith(";") && isDescribed(lines, index - 1);
}

Deno.test("every file begins with its module comment", () => {
  const without = FILES.filter(({ path, text }) => {
    if (path.endsWith("/service.ts")) return false;
    return !/^(#![^\n]*\n)?\/\*\*[^]*?\*\//.test(text);
  }).map(({ path }) => path);
  assert.deepEqual(without, []);
});

/** What a daemon's module comment says, in this order, under headings of any of the tree's three forms. */
const SECTIONS = ["description", "security", "standards", "diagnostics", "parameters", "limits"];

/** Daemons with nothing to say under a heading. */
const NOTHING_TO_SAY: readonly string[] = [
  "daemons/anvil/main.ts: standards",
  "daemons/discard/main.ts: limits",
  "daemons/error/main.ts: limits",
  "daemons/master/main.ts: standards", // it meets no protocol from outside
];

Deno.test("a daemon's module comment is its manual page, with every section in order", () => {
  const found: string[] = [];
  for (const { path, text } of FILES) {
    if (!/^daemons\/[^/]+\/main\.ts$/.test(path)) continue;
    const page = text.slice(0, text.indexOf("*/"));
    let at = 0;
    for (const section of SECTIONS) {
      const heading = new RegExp(`\\n \\* (## )?(known )?${section}(:|\\n)`, "i").exec(page.slice(at));
      if (heading === null) found.push(`${path}: ${section}`);
      else at += heading.index;
    }
  }
  assert.deepEqual(found.filter((one) => !NOTHING_TO_SAY.includes(one)), []);
});
