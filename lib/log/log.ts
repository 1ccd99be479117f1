/**
 * The log call: one line for one event, in Postfix's format or as JSON, on standard error. The only importer of
 * `@std/log`.
 *
 * @module
 */
import { BaseHandler, Logger as StandardLogger, type LogRecord } from "@std/log";
import { isSandboxRefusal } from "../safe/error.ts";
import { blockFor, exitProcess, processId, writeError } from "../safe/stdio.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";

/** Longest log line, UTF-16 units; what is over is cut. */
const LINE_LIMIT = 8000;
/** Log text that may wait for its write, UTF-16 units. */
const PENDING_LIMIT = 65536;

/** Writes one line for each event. Text from the network must have gone through `printable`. */
export interface Logger {
  info(text: string): void;
  /** Prefixed "warning: ". */
  warning(text: string): void;
  /** Prefixed "error: ". */
  error(text: string): void;
  debug(text: string): void;
  /** Writes what waits. */
  flush(): void;
}

/** For work of which nobody shall hear. */
export const SILENT: Logger = {
  info: () => {},
  warning: () => {},
  error: () => {},
  debug: () => {},
  flush: () => {},
};

/** How lines are written. */
export interface LogOptions {
  /** Program name, as "smtpd". */
  readonly program: string;
  /** Prefix of the program name (parameter syslog_name). */
  readonly syslogName: string;
  readonly hostName: string;
  /** Parameter log_format. */
  readonly format: "postfix" | "json";
  readonly debug?: boolean;
}

/** Lines that follow one another this closely are written together, milliseconds. */
const GATHERING = 10;

/**
 * Gathers lines and writes them together: the first ones at the end of the turn of the event loop, those that follow
 * after a short while. A write for each line, and a timer for each turn, would cost more than the lines.
 */
class LineHandler extends BaseHandler {
  readonly #options: LogOptions;
  #pending = "";
  #scheduled = false;
  #written = 0;
  #second = -1;
  #stamp = "";

  constructor(options: LogOptions) {
    super(options.debug ? "DEBUG" : "INFO");
    this.#options = options;
  }

  override handle(record: LogRecord): void {
    if (this.level > record.level) return;
    this.log(this.format(record));
  }

  override format(record: LogRecord): string {
    const text = printable(record.msg, LINE_LIMIT);
    return this.#options.format === "json" ? this.#json(record, text) : this.#line(text);
  }

  override log(line: string): void {
    this.#pending += line;
    if (this.#pending.length > PENDING_LIMIT) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      const now = Date.now();
      const wait = Math.max(0, Math.min(GATHERING, this.#written + GATHERING - now));
      this.#written = now + wait;
      setTimeout(() => {
        this.#scheduled = false;
        this.flush();
      }, wait);
    }
  }

  flush(): void {
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") writeError(encodeText(text));
  }

  #line(text: string): string {
    const { syslogName, program, hostName } = this.#options;
    return `${this.#time()} ${hostName} ${syslogName}/${program}[${processId()}]: ${text}\n`;
  }

  #json(record: LogRecord, text: string): string {
    const { syslogName, program, hostName } = this.#options;
    const queueId = leadingQueueId(text);
    return JSON.stringify({
      time: record.datetime.toISOString(),
      host: hostName,
      program: `${syslogName}/${program}`,
      pid: processId(),
      level: record.levelName === "WARN" ? "warning" : record.levelName.toLowerCase(),
      ...(queueId === "" ? {} : { queue_id: queueId }),
      ...fieldsOf(text),
      message: text,
    }) + "\n";
  }

  /** "Nov  3 05:06:02", made once a second. */
  #time(): string {
    const now = Date.now();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#stamp = logTime(now);
    }
    return this.#stamp;
  }
}

/** A time as log lines have it: "Nov  3 05:06:02". */
export function logTime(time: number): string {
  const date = new Date(time);
  return `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${
    date.toTimeString().slice(0, 8)
  }`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The queue id before the first ": " of a line, or an empty string. */
function leadingQueueId(text: string): string {
  const colon = text.indexOf(": ");
  if (colon < 5 || colon > 40) return "";
  const id = text.slice(0, colon);
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i);
    const upper = unit >= 0x41 && unit <= 0x5a, lower = unit >= 0x61 && unit <= 0x7a;
    if (!upper && !lower && !(unit >= 0x30 && unit <= 0x39)) return "";
  }
  return id === "warning" || id === "fatal" || id === "panic" || id === "error" ? "" : id;
}

/** Postfix's vocabulary of `name=value` pairs in a line, for the JSON form. */
const FIELD_NAMES = [
  "from",
  "to",
  "orig_to",
  "relay",
  "delay",
  "delays",
  "dsn",
  "status",
  "size",
  "nrcpt",
  "message-id",
  "client",
  "uid",
  "proto",
  "helo",
];

function fieldsOf(text: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const name of FIELD_NAMES) {
    const at = findField(text, `${name}=`);
    if (at < 0) continue;
    const start = at + name.length + 1;
    const close = text[start] === "<" ? text.indexOf(">", start) : -1;
    const value = close >= 0 ? text.slice(start + 1, close) : text.slice(start, endOfWord(text, start));
    fields[name.replace("-", "_")] = value;
  }
  return fields;
}

function findField(text: string, key: string): number {
  const at = text.indexOf(` ${key}`);
  return at >= 0 ? at + 1 : text.startsWith(key) ? 0 : -1;
}

function endOfWord(text: string, start: number): number {
  let end = start;
  // A value ends at a blank, a comma, or the colon that "uid=0:" has behind it.
  while (end < text.length && !" ,".includes(text[end]!) && text.slice(end, end + 2) !== ": ") end++;
  return end;
}

/** Makes the process's logger. */
export function makeLogger(options: LogOptions): Logger {
  const handler = new LineHandler(options);
  const logger = new StandardLogger(options.program, options.debug ? "DEBUG" : "INFO", {
    handlers: [handler],
  });
  return {
    info: (text) => void logger.info(text),
    warning: (text) => void logger.warn(`warning: ${text}`),
    error: (text) => void logger.error(`error: ${text}`),
    debug: (text) => void logger.debug(text),
    flush: () => handler.flush(),
  };
}

/**
 * The world is wrong (disk, configuration, peer): says so, waits a second so that a restart loop is slow, and ends
 * the process with status 1.
 */
export function fatal(log: Logger, why: string): never {
  return end(log, `fatal: ${why}`);
}

/** We are wrong: the same with a stack. */
export function panic(log: Logger, error: unknown): never {
  if (isSandboxRefusal(error)) return end(log, sandboxRefusal(error));
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return end(log, `panic: ${stack.split("\n").map((line) => line.trimStart()).join(" | ")}`);
}

/** What the log says of a permission that the sandbox refused: a security event, counted by master. */
export function sandboxRefusal(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `security: sandbox refused: ${text}`;
}

function end(log: Logger, text: string): never {
  log.info(text);
  log.flush();
  blockFor(1000);
  exitProcess(1);
}
