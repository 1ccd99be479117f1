/**
 * What `deno task test` runs: type check, lint, format, then all tests, those of whole mail systems one file after
 * another. Tests that need a tool which is missing here are skipped with the reason; with CI=true, where nothing may
 * be missing, they fail. The last line is the sum of it all, the exit status 0 only when nothing failed.
 *
 *   deno task test                everything
 *   deno task test tests/lib/ipc  the tests below these paths, and nothing else
 *
 * @module
 */
import { IN_CI, missingNeeds, type Need } from "./support/tools.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** Folders whose tests run whole mail systems, count processes or measure: their files run one after another. */
const SERIAL: readonly string[] = ["faults", "scripts", "system"];
/** Files that run side by side: their tests wait for others' programs more than for the processor. */
const JOBS = 2 * navigator.hardwareConcurrency;
/** Folders without tests of their own. */
const WITHOUT_TESTS: readonly string[] = ["support", "tmp"];
/** What the tests use of a machine beside Deno. */
const TOOLS: readonly Need[] = ["postfix", "swaks", "strace", "python3"];
/** A group of tests that takes longer than this hangs, milliseconds. */
const GROUP_LIMIT = 20 * 60_000;

/** What came of a step or of a group of tests. */
interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Count = { passed: 0, failed: 0, skipped: 0 };
const skipped: string[] = [];
const failed: string[] = [];
/** Files whose tests did not even begin, which no report has. */
const notLoaded: string[] = [];
/** Tests by the seconds that they took. */
const times: [seconds: number, name: string][] = [];
/** So many of the slowest tests are named at the end, if they took a second at least. */
const SLOWEST = 10;

/** Runs Deno and shows what it says. */
async function deno(args: readonly string[], limit = GROUP_LIMIT): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DENO_JOBS: String(JOBS) },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => {
    console.log(`\nStopped: not over after ${limit / 60_000} minutes`);
    child.kill("SIGKILL");
  }, limit);
  const [status] = await Promise.all([child.status, show(child.stdout), show(child.stderr)]);
  clearTimeout(timer);
  return status.success;
}

/** Prints a stream's lines without those that only say that all is well. */
async function show(stream: ReadableStream<Uint8Array>): Promise<void> {
  let rest = "";
  const lines = (text: string) => {
    for (const line of text.split("\n")) {
      if (isNews(line)) console.log(line);
      const broken = /^Uncaught error from (.*) FAILED$/.exec(line);
      if (broken !== null) notLoaded.push(broken[1]!);
    }
  };
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const end = chunk.lastIndexOf("\n");
    if (end < 0) rest += chunk;
    else {
      lines(rest + chunk.slice(0, end));
      rest = chunk.slice(end + 1);
    }
  }
  if (rest !== "") lines(rest);
}

const DULL: readonly RegExp[] = [
  /^\s*$/,
  /^running \d+ tests? from /,
  /\.\.\. (ok|ignored) \(.*\)$/,
  /^.* \.\.\.$/,
  /^(Check|Download) /,
  /^Stack backtrace:$/,
  /^ +0: <unknown>$/,
  /__proto__.*which Deno disables by default/,
  /--unsafe-proto/,
  /^(Checked|Formatted) \d+ files?$/,
];

function isNews(line: string): boolean {
  return !DULL.some((pattern) => pattern.test(line));
}

/** Runs one step that passes or fails as a whole. */
async function step(name: string, args: readonly string[]): Promise<void> {
  const start = performance.now();
  const good = await deno(args);
  if (good) total.passed++;
  else {
    total.failed++;
    failed.push(name);
  }
  console.log(`${name}: ${good ? "ok" : "FAILED"} (${seconds(start)})`);
}

/** Runs the tests below some paths and counts them from the report. */
async function test(name: string, paths: readonly string[], options: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  const start = performance.now();
  const report = Deno.makeTempFileSync({ suffix: ".xml" });
  const good = await deno(["test", "-A", "--no-check", `--junit-path=${report}`, ...options, ...paths]);
  const count = readReport(Deno.readTextFileSync(report));
  Deno.removeSync(report);
  for (const file of notLoaded.splice(0)) {
    count.failed++;
    failed.push(`${file}: cannot be loaded`);
  }
  // A run that was stopped has no report.
  if (!good && count.failed === 0) {
    count.failed = 1;
    failed.push(`${name}: the run itself`);
  }
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
  const counts = `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`;
  console.log(`${name}: ${counts} (${seconds(start)})`);
}

/** Counts the tests of a JUnit report as Deno writes it, and notes those that failed or were skipped. */
function readReport(xml: string): Count {
  const count: Count = { passed: 0, failed: 0, skipped: 0 };
  for (const part of xml.split("<testcase ").slice(1)) {
    const head = part.slice(0, part.indexOf(">\n"));
    // What `testNeeding` registers has that file as its place, which tells nobody anything.
    const file = attribute(head, "classname");
    const name = file.endsWith("/support/tools.ts")
      ? attribute(head, "name")
      : `${file}: ${attribute(head, "name")}`;
    const body = part.slice(head.length);
    times.push([Number(attribute(head, "time")), name]);
    if (/^\s*>?\s*<skipped\/>/.test(body)) {
      count.skipped++;
      skipped.push(name);
    } else if (/^\s*>?\s*<(failure|error)/.test(body)) {
      count.failed++;
      failed.push(name);
    } else count.passed++;
  }
  return count;
}

function attribute(head: string, name: string): string {
  const start = head.search(new RegExp(`(^|\\s)${name}="`));
  if (start < 0) return "";
  const open = head.indexOf('"', start) + 1;
  const text = head.slice(open, head.indexOf('"', open));
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll(
    "&#39;",
    "'",
  )
    .replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(0)} s`;
}

/** The folders of tests, those whose files run side by side and those whose files do not. */
function groups(): { parallel: string[]; serial: string[] } {
  const folders = [...Deno.readDirSync(`${ROOT}tests`)]
    .filter(({ name, isDirectory }) => isDirectory && !WITHOUT_TESTS.includes(name)).map(({ name }) => name)
    .sort();
  const paths = (names: string[]) => names.map((name) => `tests/${name}/`);
  return {
    parallel: paths(folders.filter((name) => !SERIAL.includes(name))),
    serial: paths(folders.filter((name) => SERIAL.includes(name))),
  };
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

const started = performance.now();
const chosen = Deno.args.filter((argument) => argument !== "--");
const missing = missingNeeds(TOOLS);
demandTools(missing);
if (chosen.length > 0) await test("tests", chosen, []);
else {
  const { parallel, serial } = groups();
  await step("packages", ["install", "--frozen", "--quiet"]);
  await step("types", ["check", "--quiet", ...codePaths()]);
  await step("lint", ["lint", "--quiet"]);
  await step("format", ["fmt", "--check", "--quiet"]);
  await test("tests of parts and programs", parallel, ["--parallel"]);
  await test("tests of whole systems", serial, []);
}
const slowest = times.sort(([a], [b]) => b - a).slice(0, SLOWEST).filter(([took]) => took >= 1);
if (slowest.length > 0) console.log("\nSlowest:");
for (const [took, name] of slowest) console.log(`  ${took.toFixed(0)} s  ${name}`);
if (skipped.length > 0) {
  const wanting = missingNeeds([...TOOLS, "root"]);
  console.log(
    `\nSkipped${
      wanting.length > 0 ? ` (where no other reason is given: for want of ${wanting.join(", ")})` : ""
    }:`,
  );
  for (const name of skipped) console.log(`  ${name}`);
}
if (failed.length > 0) {
  console.log("\nFailed:");
  for (const name of failed) console.log(`  ${name}`);
}
console.log(`\nTook ${seconds(started)}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
Deno.exit(total.failed === 0 ? 0 : 1);
