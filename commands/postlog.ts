/**
 * # postlog
 *
 * Writes lines to the mail system's log.
 *
 * ## Synopsis
 * `postlog [-iv] [-c CONF_DIR] [-p PRIORITY] [-t TAG] [TEXT ...]`
 *
 * ## Description
 * Logs the text of the command line as one line, or each line of standard input, in the form of the daemons' lines
 * (`log_format`). It goes to the mail system's log file, and to standard error when the caller may not write there.
 *
 * - `-p PRIORITY` info (the default), warn, error, fatal or panic; after the last two it waits a second
 * - `-t TAG` name in place of `postlog`
 * - `-i`, `-v` are taken and mean nothing
 *
 * ## Security
 * Runs with its caller's rights. Every line is made printable and has a limit, so that no text can pass for two lines.
 *
 * ## Diagnostics
 * `postlog: fatal: ...`, status 1; 64 for a wrong command line.
 *
 * ## Parameters
 * log_format, maillog_file, maillog_file_prefixes, syslog_name.
 *
 * ## Known limits
 * No postlogd: who may not write the log file cannot log to it.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal, SystemError } from "../lib/safe/error.ts";
import { type SafeFile, safeOpen } from "../lib/safe/file.ts";
import { systemHostName } from "../lib/safe/process.ts";
import { linesOf, processId } from "../lib/safe/stdio.ts";
// Utility
import { asciiLower } from "../lib/vstring/ascii.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { formatQueueDate } from "../lib/mail/date.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { logFileOf } from "./master_control.ts";
import { parseOptions } from "./options.ts";
import { EX } from "./sysexits.ts";

/** Longest line that is logged, UTF-16 units. */
const LINE_LIMIT = 8000;
/** Longest tag. */
const TAG_LIMIT = 100;
/** Pause after a fatal or panic line, milliseconds. */
const FATAL_PAUSE = 1000;

/** What each priority puts in front of a line. */
const PRIORITIES: ReadonlyMap<string, string> = new Map([
  ["info", ""],
  ["warn", "warning: "],
  ["warning", "warning: "],
  ["error", "error: "],
  ["fatal", "fatal: "],
  ["panic", "panic: "],
]);

/** How a line is made. */
export interface LineForm {
  readonly format: string;
  readonly syslogName: string;
  readonly hostName: string;
  readonly tag: string;
  readonly prefix: string;
  readonly level: string;
}

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "c:ip:t:v");
  if (parsed.kind === "invalid") {
    throw new CommandError(
      "fatal: usage: postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text]",
      EX.USAGE,
    );
  }
  const given = new Map(parsed.options.map((option) => [option.letter, option.value]));
  const level = asciiLower(given.get("p") ?? "info");
  const prefix = PRIORITIES.get(level);
  if (prefix === undefined) {
    throw new CommandError(`fatal: unknown priority: ${printable(level, 100)}`, EX.USAGE);
  }
  const directory = given.get("c");
  const configuration = (directory === undefined ? env : makeEnv(env.programName, directory)).config();
  const { settings } = configuration;
  const form: LineForm = {
    format: settings.log_format,
    syslogName: settings.syslog_name,
    hostName: systemHostName(),
    tag: printable(given.get("t") ?? "postlog", TAG_LIMIT),
    prefix,
    level,
  };
  using file = openLog(logFileOf(configuration));
  const write = (text: string) => {
    const line = formatLine(text, form, Date.now(), processId());
    if (file === undefined) env.err(line);
    else file.write(encodeText(line));
  };
  if (parsed.operands.length > 0) write(parsed.operands.join(" "));
  else for await (const line of linesOf(env.stdin())) write(line);
  if (level === "fatal" || level === "panic") {
    await new Promise((resolve) => setTimeout(resolve, FATAL_PAUSE));
  }
  return EX.OK;
}

/** The log file for appending; undefined when there is none that the caller may write. */
function openLog(path: string): SafeFile | undefined {
  try {
    const opened = safeOpen(path, { access: "append" });
    return opened.kind === "opened" ? opened.file : undefined;
  } catch (error) {
    if (!(error instanceof SystemError) || isSandboxRefusal(error)) throw error;
    return undefined;
  }
}

/** One line of the log. */
export function formatLine(text: string, form: LineForm, now: number, pid: number): string {
  const safe = printable(text, LINE_LIMIT);
  const program = `${form.syslogName}/${form.tag}`;
  if (form.format === "json") {
    const { hostName: host, level } = form;
    return JSON.stringify({ time: new Date(now).toISOString(), host, program, pid, level, message: safe }) +
      "\n";
  }
  const stamp = formatQueueDate(now).slice("Mon ".length);
  return `${stamp} ${form.hostName} ${program}[${pid}]: ${form.prefix}${safe}\n`;
}
