/**
 * What postsuper says: on standard error, and in the mail system's log beside the daemons' lines.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { type SafeFile, safeOpen } from "../lib/safe/file.ts";
import { systemHostName } from "../lib/safe/process.ts";
import { processId } from "../lib/safe/stdio.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
// This program
import type { CommandEnv } from "./command.ts";
import { logFileOf } from "./master_control.ts";
import { formatLine } from "./postlog.ts";

/** Takes lines about what was done. Text from file names must have gone through `printable`. */
export interface Reporter {
  info(text: string): void;
  warning(text: string): void;
}

/** Opened before the process gives up the superuser's rights, so that the line of a deletion is kept. */
export class CommandLog implements Reporter, Disposable {
  readonly #env: CommandEnv;
  readonly #configuration: Configuration;
  readonly #file: SafeFile | undefined;

  constructor(env: CommandEnv, configuration: Configuration) {
    this.#env = env;
    this.#configuration = configuration;
    this.#file = openLog(logFileOf(configuration));
  }

  info(text: string): void {
    this.#say(text, "info", "");
  }

  warning(text: string): void {
    this.#say(text, "warning", "warning: ");
  }

  #say(text: string, level: string, prefix: string): void {
    const { programName } = this.#env;
    this.#env.err(`${programName}: ${prefix}${text}\n`);
    const { log_format, syslog_name } = this.#configuration.settings;
    const form = {
      format: log_format,
      syslogName: syslog_name,
      hostName: systemHostName(),
      tag: programName,
      prefix,
      level,
    };
    this.#file?.write(encodeText(formatLine(text, form, Date.now(), processId())));
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}

/** The log, or undefined when the mail system has not made one, or the caller may not write it. */
function openLog(path: string): SafeFile | undefined {
  try {
    const opened = safeOpen(path, { access: "append" });
    return opened.kind === "opened" ? opened.file : undefined;
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}
