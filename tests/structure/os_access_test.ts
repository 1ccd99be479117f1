/** Operating-system access stands in lib/safe only; each outside package has one importer. @module */
import assert from "node:assert/strict";
import { codeOnly, lineOf, ROOT, type SourceFile, sourceFiles } from "./source_files.ts";

/** The code that runs in Postern's processes; scripts, bench and tests are no part of it. */
const FILES = sourceFiles("lib", "daemons", "commands", "main.ts");

/** Where the system may be touched: lib/safe, and the stand-ins for the standard library. */
function mayTouchSystem(path: string): boolean {
  return path.startsWith("lib/safe/") || path.startsWith("lib/std/");
}

/** Names by which the runtime and the system are reached without an import. */
const REACHING =
  /\b(Deno|process|Buffer|__dirname|localStorage|sessionStorage|caches|navigator|fetch|WebSocket|EventSource|Worker|XMLHttpRequest|eval|Function|require)\b(?=\s*[.([<])/g;

/** Words that are reached as a member or declared here are not those globals. */
function isGlobal(code: string, offset: number, word: string): boolean {
  if (/[.#\w$]$/.test(code.slice(Math.max(0, offset - 1), offset))) return false;
  const declared = new RegExp(
    `\\b(const|let|function|class|import)\\s+(\\{[^}]*\\b)?${word}\\b|[(,]\\s*${word}\\s*[:,)=]|\\b${word}\\s*\\)?\\s*=>`,
  );
  return !declared.test(code);
}

Deno.test("Deno and other globals of the runtime are used in lib/safe and lib/std only", () => {
  const found: string[] = [];
  for (const { path, text } of FILES) {
    if (mayTouchSystem(path)) continue;
    const code = codeOnly(text);
    for (const match of code.matchAll(REACHING)) {
      if (isGlobal(code, match.index, match[1]!)) {
        found.push(`${path}:${lineOf(code, match.index)}: ${match[1]}`);
      }
    }
  }
  assert.deepEqual(found, []);
});

Deno.test("node: modules are imported in lib/safe and lib/std only", () => {
  const found = FILES.filter(({ path }) => !mayTouchSystem(path)).flatMap(({ path, imports }) =>
    imports.filter(({ specifier }) => specifier.startsWith("node:")).map(({ specifier }) =>
      `${path}: ${specifier}`
    )
  );
  assert.deepEqual(found, []);
});

Deno.test("no code is loaded from the network or by a computed name", () => {
  const found: string[] = [];
  for (const { path, text, imports } of FILES) {
    for (const { specifier } of imports) {
      if (/^(https?|data|blob|file|npm|jsr):/.test(specifier)) found.push(`${path}: ${specifier}`);
    }
    // The probes of the sandbox try what must not work.
    if (path === "lib/safe/probe_attempts.ts") continue;
    for (const match of codeOnly(text).matchAll(/\bimport\(\s*[\w`(]/g)) {
      found.push(`${path}:${lineOf(text, match.index)}`);
    }
  }
  assert.deepEqual(found.filter((one) => !PROGRAM_LOADERS.some((path) => one.startsWith(`${path}:`))), []);
  for (const path of PROGRAM_LOADERS) assert.ok(FILES.some((file) => file.path === path), path);
});

/** Dispatchers that load one of their own programs by name from a table; they run with -A, no daemon among them. */
const PROGRAM_LOADERS: readonly string[] = ["main.ts"];

/** The package that a specifier names: "@std/cli" of "@std/cli/parse-args". */
function packageOf(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The importers of each outside package. */
function importers(files: readonly SourceFile[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { path, imports } of files) {
    for (const { specifier, target } of imports) {
      if (target !== undefined || specifier.startsWith("node:")) continue;
      const name = packageOf(specifier);
      found.set(name, (found.get(name) ?? new Set()).add(path));
    }
  }
  return found;
}

Deno.test("one importer for each outside package", () => {
  const found = importers(FILES);
  assert.deepEqual([...found].filter(([, paths]) => paths.size > 1), []);
  assert.deepEqual([...found.get("@std/log")!], ["lib/log/log.ts"]);
  assert.deepEqual([...found.get("@std/path")!], ["lib/safe/path.ts"]);
  assert.deepEqual([...found.get("@std/fs")!], ["lib/safe/file.ts"]);
});

Deno.test("every package that is imported is declared, and every declared one is imported somewhere", () => {
  const { imports } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)) as {
    imports: Record<string, string>;
  };
  const used = new Set(
    importers(sourceFiles("lib", "daemons", "commands", "scripts", "main.ts", "tests", "bench")).keys(),
  );
  assert.deepEqual([...used].filter((name) => !(name in imports)), []);
  // Types of a package without types of its own are found by their name.
  const declared = Object.keys(imports).map((name) => name.replace(/^@types\//, ""));
  assert.deepEqual(declared.filter((name) => !used.has(name)), []);
});

Deno.test("the search sees a use of Deno and passes over texts, comments and members", () => {
  const see = (text: string) => {
    const code = codeOnly(text);
    return [...code.matchAll(REACHING)].filter((match) => isGlobal(code, match.index, match[1]!)).map((
      match,
    ) => match[1]);
  };
  assert.deepEqual(see("const x = Deno.readFileSync(path);"), ["Deno"]);
  assert.deepEqual(see("fetch(url); new Worker(url); eval(text);"), ["fetch", "Worker", "eval"]);
  assert.deepEqual(
    see('// Deno.exit(1)\n/* fetch(x) */ const a = "Deno.exit"; const b = `Deno.exit()`;'),
    [],
  );
  assert.deepEqual(see("mail.process(x); this.#fetch(y); const process = 1; process.pid"), []);
  assert.deepEqual(see("/Deno.x/.test(y); a / Deno.x / b"), ["Deno"]);
});
