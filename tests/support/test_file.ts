/**
 * Runs one file of tests in a process of its own and reads its report. Not a test itself.
 *
 * @module
 */

/** A file that takes longer than this hangs, milliseconds. */
const FILE_LIMIT = 10 * 60_000;

/** What came of one test of a file. */
export interface TestCase {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly seconds: number;
}

/** What came of a file. */
export interface FileResult {
  readonly file: string;
  /** Its tests and their steps. One that fails stands for the file where it has no report or ended badly besides. */
  readonly cases: readonly TestCase[];
  readonly good: boolean;
  /** What it printed, without the lines that only say that all is well. */
  readonly news: readonly string[];
}

/** Runs Deno until it ends or its time is over. */
export async function runDeno(
  args: readonly string[],
  root: string,
  limit: number,
): Promise<{ good: boolean; news: readonly string[] }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: root,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const news: string[] = [];
  const timer = setTimeout(() => {
    news.push(`Stopped: not over after ${limit / 60_000} minutes`);
    try {
      child.kill("SIGKILL");
    } catch {
      // It ended in this very moment.
    }
  }, limit);
  const [status] = await Promise.all([
    child.status,
    readNews(child.stdout, news),
    readNews(child.stderr, news),
  ]);
  clearTimeout(timer);
  return { good: status.success, news };
}

/** Runs one file of tests. */
export async function runFile(file: string, root: string): Promise<FileResult> {
  const report = Deno.makeTempFileSync({ suffix: ".xml" });
  const args = ["test", "-A", "--no-check", `--junit-path=${report}`, file];
  const { good, news } = await runDeno(args, root, FILE_LIMIT);
  const cases = readReport(Deno.readTextFileSync(report));
  Deno.removeSync(report);
  if (!good && cases.every(({ outcome }) => outcome !== "failed")) {
    cases.push({ name: "the file itself", outcome: "failed", seconds: 0 });
  }
  return { file, cases, good, news };
}

async function readNews(stream: ReadableStream<Uint8Array>, news: string[]): Promise<void> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    news.push(...lines.filter(isNews));
  }
  if (isNews(rest)) news.push(rest);
}

const DULL: readonly RegExp[] = [
  /^\s*$/,
  /^running \d+ tests? from /,
  /(^ *|\.\.\. )(ok|ignored) \(.*\)$/,
  /^.* \.\.\.$/,
  /^ok \| \d+ passed/,
  /^-+ (post-test )?output (end )?-+$/,
  /has been running for over/,
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

/** The tests of a JUnit report as Deno writes it; none where nothing was written. */
function readReport(xml: string): TestCase[] {
  return xml.split("<testcase ").slice(1).map((part) => {
    const end = part.indexOf(">\n");
    const head = part.slice(0, end);
    const body = part.slice(end);
    return {
      name: attribute(head, "name"),
      outcome: /^\s*>?\s*<skipped\/>/.test(body)
        ? "skipped"
        : /^\s*>?\s*<(failure|error)/.test(body)
        ? "failed"
        : "passed",
      seconds: Number(attribute(head, "time")),
    };
  });
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
  "&apos;": "'",
  "&amp;": "&",
};

function attribute(head: string, name: string): string {
  const text = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(head)?.[1] ?? "";
  return text.replaceAll(/&(?:lt|gt|quot|apos|amp|#39);/g, (entity) => ENTITIES[entity]!);
}
