import assert from "node:assert/strict";
import { type LogOptions, makeLogger } from "../../../lib/log/log.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const OPTIONS: LogOptions = {
  program: "smtpd",
  syslogName: "postfix",
  hostName: "mx.test",
  format: "postfix",
};

/** What the work writes to standard error. */
function written(work: () => void): string {
  const original = Deno.stderr.writeSync;
  let text = "";
  Deno.stderr.writeSync = (bytes) => {
    text += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  try {
    work();
  } finally {
    Deno.stderr.writeSync = original;
  }
  return text;
}

function logged(options: Partial<LogOptions>, work: (log: ReturnType<typeof makeLogger>) => void): string {
  const log = makeLogger({ ...OPTIONS, ...options });
  return written(() => {
    work(log);
    log.flush();
  });
}

const STAMP =
  "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 123][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9]";

Deno.test("a line has syslog's form: time, host, name and program, number, text", () => {
  const line = logged({}, (log) => log.info("connect from localhost[127.0.0.1]"));
  assert.match(
    line,
    new RegExp(
      `^${STAMP} mx\\.test postfix/smtpd\\[${Deno.pid}\\]: connect from localhost\\[127\\.0\\.0\\.1\\]\\n$`,
    ),
  );
});

Deno.test("levels have Postfix's prefixes, and debug is said only when asked for", () => {
  const texts = (debug: boolean) =>
    logged({ debug }, (log) => {
      log.info("a");
      log.warning("b");
      log.error("c");
      log.debug("d");
    }).split("\n").map((line) => line.slice(line.indexOf("]: ") + 3));
  assert.deepEqual(texts(false).slice(0, -1), ["a", "warning: b", "error: c"]);
  assert.deepEqual(texts(true).slice(0, -1), ["a", "warning: b", "error: c", "d"]);
});

Deno.test("no text makes a second line, an escape sequence or a line without end", () => {
  const text = logged({}, (log) => {
    log.info("a\nNov  1 00:00:00 mx.test postfix/smtpd[1]: forged");
    log.info("\x1b]0;title\x07");
    log.info("x".repeat(100_000));
  });
  const lines = text.split("\n");
  assert.equal(lines.length, 4);
  assert.match(lines[0]!, /a\?Nov/);
  assert.match(lines[1]!, /: \?\]0;title\?$/);
  assert.ok(lines[2]!.length < 8200);
});

Deno.test("lines are gathered in order, and written when many wait", () => {
  const log = makeLogger(OPTIONS);
  const text = written(() => {
    for (let i = 0; i < 2000; i++) log.info(`line ${i} ${"y".repeat(60)}`);
  });
  assert.ok(text.length > 100_000, "not all of it waits");
  const rest = written(() => log.flush());
  const numbers = (text + rest).trimEnd().split("\n").map((line) => Number(/line ([0-9]+)/.exec(line)![1]));
  assert.deepEqual(numbers, Array.from({ length: 2000 }, (_, i) => i));
});

Deno.test("what waits is written without being asked for, in the next turn", async () => {
  const log = makeLogger(OPTIONS);
  const original = Deno.stderr.writeSync;
  const seen: string[] = [];
  Deno.stderr.writeSync = (bytes) => {
    seen.push(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  try {
    log.info("one");
    log.info("two");
    assert.equal(seen.length, 0);
    await new Promise((resolve) => setTimeout(resolve, 10));
  } finally {
    Deno.stderr.writeSync = original;
  }
  assert.equal(seen.length, 1, "both in one write");
  assert.match(seen[0]!, /one\n.*two\n$/);
});

Deno.test("a short write is finished, an interrupted one made again, a broken one given up", () => {
  const log = makeLogger(OPTIONS);
  const original = Deno.stderr.writeSync;
  let text = "";
  let calls = 0;
  Deno.stderr.writeSync = (bytes) => {
    if (++calls === 2) throw new Deno.errors.Interrupted("signal");
    text += new TextDecoder().decode(bytes.subarray(0, 7));
    return Math.min(7, bytes.length);
  };
  try {
    log.info("all of this");
    log.flush();
    Deno.stderr.writeSync = () => {
      throw new Deno.errors.BrokenPipe("gone");
    };
    log.info("nobody hears this");
    log.flush();
  } finally {
    Deno.stderr.writeSync = original;
  }
  assert.match(text, /: all of this\n$/);
});

Deno.test("JSON lines carry the same fields", () => {
  const text = logged({ format: "json" }, (log) => {
    log.info(
      "4F2A1BCD: to=<a@b.test>, orig_to=<o@b.test>, relay=mx[192.0.2.1]:25, delay=0.1, dsn=2.0.0, status=sent (250 ok)",
    );
    log.warning("a\nb");
    log.info("warning: looks like an id");
  });
  const [sent, warning, plain] = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(sent.queue_id, "4F2A1BCD");
  assert.deepEqual([sent.to, sent.orig_to, sent.relay, sent.status, sent.dsn], [
    "a@b.test",
    "o@b.test",
    "mx[192.0.2.1]:25",
    "sent",
    "2.0.0",
  ]);
  assert.deepEqual([sent.program, sent.host, sent.pid, sent.level], [
    "postfix/smtpd",
    "mx.test",
    Deno.pid,
    "info",
  ]);
  assert.deepEqual([warning.level, warning.message], ["warning", "warning: a?b"]);
  assert.equal(plain.queue_id, undefined);
});

Deno.test("fatal and panic say why, wait a second and end with status 1", () => {
  const log = new URL("../../../lib/log/log.ts", import.meta.url).href;
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  const cases: readonly [string, RegExp][] = [
    [`fatal(log, "disk is gone")`, /: fatal: disk is gone\n$/],
    [`panic(log, new Error("we are wrong"))`, /: panic: Error: we are wrong \| at .*\n$/],
    [
      `try { Deno.readTextFileSync("/etc/passwd"); } catch (error) { panic(log, error); }`,
      /: security: sandbox refused: Requires read access to "\/etc\/passwd".*\n$/,
    ],
  ];
  using directory = new TemporaryDirectory();
  for (const [call, expected] of cases) {
    const program = directory.write(
      "program.ts",
      `import { fatal, makeLogger, panic } from "${log}";
      const log = makeLogger(${
        JSON.stringify(OPTIONS)
      }); log.info("before"); ${call}; console.log("after", fatal, panic);`,
    );
    const args = ["run", "--no-prompt", "--quiet", `--config=${config}`, program];
    const start = performance.now();
    const done = new Deno.Command(Deno.execPath(), { args }).outputSync();
    assert.ok(performance.now() - start >= 1000, "a restart loop is slow");
    assert.equal(done.code, 1);
    assert.equal(new TextDecoder().decode(done.stdout), "");
    const lines = new TextDecoder().decode(done.stderr);
    assert.match(lines, /: before\n/);
    assert.match(lines, expected);
  }
});
