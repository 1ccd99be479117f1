import assert from "node:assert/strict";
import {
  BaseHandler,
  ConsoleHandler,
  getLevelByName,
  getLevelName,
  getLogger,
  type LevelName,
  Logger,
  type LogLevel,
  LogLevelNames,
  LogLevels,
  LogRecord,
  setup,
} from "@std/log";

class Lines extends BaseHandler {
  readonly lines: string[] = [];
  readonly calls: string[] = [];
  log(msg: string): void {
    this.lines.push(msg);
  }
  override setup(): void {
    this.calls.push("setup");
  }
  override destroy(): void {
    this.calls.push("destroy");
  }
}

Deno.test("levels are the real package's, by name and by number", () => {
  assert.deepEqual(LogLevels, { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 });
  assert.deepEqual(LogLevelNames, ["NOTSET", "DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"]);
  for (const name of LogLevelNames) assert.equal(getLevelName(getLevelByName(name)), name);
  assert.throws(() => getLevelByName("LOUD" as LevelName), {
    message: "Cannot get log level: no level named LOUD",
  });
  assert.throws(() => getLevelByName("toString" as LevelName), Error);
  assert.throws(() => getLevelName(7 as LogLevel), { message: "Cannot get log level: no name for level: 7" });
});

Deno.test("a handler formats `LEVEL message` by default and drops what is below its level", () => {
  const handler = new Lines("WARN");
  const logger = new Logger("mail", "NOTSET", { handlers: [handler] });
  logger.info("no");
  logger.warn("yes");
  logger.critical("too");
  assert.deepEqual(handler.lines, ["WARN yes", "CRITICAL too"]);
  handler.levelName = "CRITICAL";
  logger.error("no");
  assert.equal(handler.level, 50);
  assert.equal(handler.lines.length, 2);
});

Deno.test("a formatter gets the record whole", () => {
  const records: LogRecord[] = [];
  const handler = new Lines("DEBUG", {
    formatter: (record) => {
      records.push(record);
      return `${record.loggerName}|${record.msg}|${record.args.join()}`;
    },
  });
  new Logger("smtpd", "DEBUG", { handlers: [handler] }).debug("connect", 1, "two");
  assert.deepEqual(handler.lines, ["smtpd|connect|1,two"]);
  assert.equal(records[0]?.level, LogLevels.DEBUG);
  assert.equal(records[0]?.levelName, "DEBUG");
  assert.ok(records[0].datetime instanceof Date);
});

Deno.test("a record gives out copies of its arguments and its time", () => {
  const record = new LogRecord({ msg: "m", args: [1], level: LogLevels.INFO, loggerName: "x" });
  record.args.push(2);
  record.datetime.setFullYear(1999);
  assert.deepEqual(record.args, [1]);
  assert.notEqual(record.datetime.getFullYear(), 1999);
});

Deno.test("a logger returns what it logs and calls a message function only when it logs", () => {
  const handler = new Lines("NOTSET");
  const logger = new Logger("x", "INFO", { handlers: [handler] });
  assert.equal(logger.info("text"), "text");
  assert.equal(logger.debug("dropped"), "dropped");
  assert.equal(logger.info(() => 5), 5);
  assert.equal(logger.debug(() => assert.fail()), undefined);
  assert.deepEqual(handler.lines, ["INFO text", "INFO 5"]);
});

Deno.test("messages of any type become text as in the real package", () => {
  const logger = new Logger("x", "INFO");
  const rows: [unknown, string][] = [
    [null, "null"],
    [undefined, "undefined"],
    [10n, "10"],
    [{ a: "b", c: 1 }, '{"a":"b","c":1}'],
    [() => 1, "undefined"],
    [Symbol("s"), "Symbol(s)"],
  ];
  for (const [value, text] of rows) assert.equal(logger.asString(value), text);
  assert.match(logger.asString(new Error("boom")), /^Error: boom\n/);
});

Deno.test("a logger's level can be changed, to a real level only", () => {
  const logger = new Logger("x", "INFO");
  logger.levelName = "ERROR";
  assert.equal(logger.level, 40);
  logger.level = LogLevels.DEBUG;
  assert.equal(logger.levelName, "DEBUG");
  assert.throws(() => logger.level = 3 as LogLevel, TypeError);
});

Deno.test("setup makes the loggers, keeps the default one and gives up former handlers", () => {
  const handler = new Lines("INFO");
  try {
    setup({
      handlers: { lines: handler },
      loggers: { mail: { level: "DEBUG", handlers: ["lines", "missing"] }, quiet: {} },
    });
    getLogger("mail").info("hello");
    assert.deepEqual(handler.lines, ["INFO hello"]);
    assert.equal(getLogger("quiet").levelName, "INFO");
    assert.equal(getLogger().loggerName, "default");
    assert.equal(getLogger("new").levelName, "NOTSET");
    assert.equal(getLogger("new"), getLogger("new"));
  } finally {
    setup({});
  }
  assert.deepEqual(handler.calls, ["setup", "destroy"]);
});

Deno.test("the console handler colours by level, or not at all", () => {
  const record = new LogRecord({ msg: "m", args: [], level: LogLevels.ERROR, loggerName: "x" });
  assert.equal(new ConsoleHandler("INFO", { useColors: false }).format(record), "ERROR m");
  assert.equal(new ConsoleHandler("INFO").applyColors("m", LogLevels.ERROR), "\x1b[31mm\x1b[39m");
  assert.equal(new ConsoleHandler("INFO").applyColors("m", LogLevels.DEBUG), "m");
});
