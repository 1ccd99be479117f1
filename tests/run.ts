/**
 * What `deno task test` runs: type check, lint, format, then all tests, each file in a process of its own, several side
 * by side. A file that fails runs once more when the others are over; one that
 * passes alone is named at the end, as what it tests, or the test, is not sure. Tests that need a tool which is missing
 * here are skipped with the reason; with CI=true, where nothing may be missing, they fail. The last line is the sum of
 * it all, the exit status 0 only when nothing failed.
 *
 *   deno task test                everything
 *   deno task test tests/lib/ipc  the tests below these paths, and nothing else
 *
 * @module
 */
import { existsSync } from "node:fs";
import { type FileResult, runDeno, runFile, type TestCase } from "./support/test_file.ts";
import { IN_CI, missingNeeds, type Need } from "./support/tools.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** Tests that count processes, measure, or make users: these run when the others are over, one file after another. */
const ALONE: readonly string[] = [
  "tests/faults/machine_test.ts",
  "tests/scripts/install_test.ts",
  "tests/system/bench_test.ts",
  "tests/system/cost_test.ts",
  "tests/system/in_flow_test.ts",
  "tests/system/scheduler_peer_test.ts",
];
/** Files that run side by side: their tests wait for others' programs more than for the processor. */
const JOBS = 2 * navigator.hardwareConcurrency;
/** Files that run whole systems and others' programs: they take longest, so that they start first. */
const SLOW = /^tests\/(dialogues|faults|scripts|system)\/|_(peer|process|system)_test\.ts$/;
/** What the tests use of a machine beside Deno. */
const TOOLS: readonly Need[] = ["postfix", "swaks", "strace", "python3"];
/** A step before the tests that takes longer than this hangs, milliseconds. */
const STEP_LIMIT = 10 * 60_000;
/** So many of the slowest tests are named at the end, if they took a second at least. */
const SLOWEST = 10;

/** What came of a step or of a group of tests. */
interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Count = { passed: 0, failed: 0, skipped: 0 };
const skipped: string[] = [];
const failed: string[] = [];
/** Files that failed beside others and passed alone. */
const unsure: string[] = [];
/** Tests by the seconds that they took. */
const times: [seconds: number, name: string][] = [];

/** Runs one step that passes or fails as a whole. */
async function step(name: string, args: readonly string[]): Promise<void> {
  const start = performance.now();
  const { good, news } = await runDeno(args, ROOT, STEP_LIMIT);
  for (const line of news) console.log(line);
  if (good) total.passed++;
  else {
    total.failed++;
    failed.push(name);
  }
  console.log(`${name}: ${good ? "ok" : "FAILED"} (${seconds(start)})`);
}

/** Runs files of tests, so many at a time, then those again that failed, and counts. */
async function test(name: string, files: readonly string[], jobs: number): Promise<void> {
  if (files.length === 0) return;
  const start = performance.now();
  const waiting = [...files].sort((a, b) => Number(SLOW.test(b)) - Number(SLOW.test(a)) || (a < b ? -1 : 1));
  const again: string[] = [];
  const count: Count = { passed: 0, failed: 0, skipped: 0 };
  await Promise.all(Array.from({ length: jobs }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runFile(file, ROOT);
      tell(result);
      if (result.good) add(result, count);
      else again.push(file);
    }
  }));
  for (const file of again) {
    console.log(`Once more, alone: ${file}`);
    const result = await runFile(file, ROOT);
    tell(result);
    add(result, count);
    if (result.good) unsure.push(file);
  }
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
  const counts = `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`;
  console.log(`${name}: ${counts} (${seconds(start)})`);
}

/** Shows what a file printed. */
function tell({ file, news }: FileResult): void {
  if (news.length > 0) console.log([`${file}:`, ...news].join("\n  "));
}

function add({ file, cases }: FileResult, count: Count): void {
  for (const test of cases) {
    const name = `${file}: ${test.name}`;
    times.push([test.seconds, name]);
    count[test.outcome]++;
    const lists: Partial<Record<TestCase["outcome"], string[]>> = { skipped, failed };
    lists[test.outcome]?.push(name);
  }
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(0)} s`;
}

/** The files of tests below a path of the tree, or the file that it is. */
function testFiles(path: string): string[] {
  if (!existsSync(`${ROOT}${path}`)) {
    console.log(`There is no ${path} in ${ROOT}`);
    Deno.exit(2);
  }
  if (Deno.statSync(`${ROOT}${path}`).isFile) return [path];
  return [...Deno.readDirSync(`${ROOT}${path}`)].flatMap(({ name, isDirectory }) => {
    const below = `${path.replace(/\/$/, "")}/${name}`;
    return isDirectory ? testFiles(below) : name.endsWith("_test.ts") ? [below] : [];
  });
}

/** Folders with code, as they are in the tree. */
function codePaths(): string[] {
  const wanted = ["main.ts", "daemons/", "commands/", "lib/", "scripts/", "tests/", "bench/"];
  const present = new Set([...Deno.readDirSync(ROOT)].map(({ name }) => name));
  return wanted.filter((path) => present.has(path.replace("/", "")));
}

/** In CI every tool must be there: a test that is silently skipped proves nothing. */
function demandTools(missing: readonly Need[]): void {
  if (missing.length === 0) return;
  console.log(`Missing on this machine: ${missing.join(", ")}${IN_CI ? " (CI=true: a failure)" : ""}`);
  if (!IN_CI) return;
  total.failed += missing.length;
  failed.push(...missing.map((need) => `missing on this machine: ${need}`));
}

function list(title: string, names: readonly string[]): void {
  if (names.length > 0) console.log([`\n${title}:`, ...names].join("\n  "));
}

const started = performance.now();
const chosen = Deno.args.filter((argument) => argument !== "--");
demandTools(missingNeeds(TOOLS));
if (chosen.length === 0) {
  await step("packages", ["install", "--frozen", "--quiet"]);
  await step("types", ["check", "--quiet", ...codePaths()]);
  await step("lint", ["lint", "--quiet"]);
  await step("format", ["fmt", "--check", "--quiet"]);
}
const files = (chosen.length > 0 ? chosen : ["tests"]).flatMap(testFiles);
await test("tests side by side", files.filter((file) => !ALONE.includes(file)), JOBS);
await test("tests alone", files.filter((file) => ALONE.includes(file)), 1);
times.sort(([a], [b]) => b - a);
const slowest = times.slice(0, SLOWEST).filter(([took]) => took >= 1);
list("Slowest", slowest.map(([took, name]) => `${took.toFixed(0)} s  ${name}`));
const wanting = missingNeeds([...TOOLS, "root"]);
const why = wanting.length > 0 ? ` (where no other reason is given: for want of ${wanting.join(", ")})` : "";
list(`Skipped${why}`, skipped);
list("Failed beside others and passed alone", unsure);
list("Failed", failed);
console.log(`\nTook ${seconds(started)}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
Deno.exit(total.failed === 0 ? 0 : 1);
