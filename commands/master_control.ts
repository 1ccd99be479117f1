/**
 * What start, stop, reload, status and their like share: whether a master runs, what it is started with, and the
 * lines that Postfix's own script prints.
 *
 * @module
 */
// Safe primitives
import { lookAt, readTextFile, safeOpen } from "../lib/safe/file.ts";
import { ownEnvironment, processArguments, runProgram, runtimePath } from "../lib/safe/process.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { parseDecimal } from "../lib/vstring/ascii.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
// Server skeleton
import { locateCode } from "../lib/server/code_location.ts";
import { daemonEnvironment, hardeningFlags } from "../lib/server/hardening.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { type CommandEnv, CommandError } from "./command.ts";

/** Longest pid file, bytes. */
const PID_FILE_LIMIT = 64;
/** Longest status file, bytes. */
const STATUS_FILE_LIMIT = 16 * 1024 * 1024;
/** Where `start` logs when maillog_file is not set. */
const DEFAULT_LOG_FILE = "/var/log/postern.log";
/** The flag by which a daemon's process is told from any other that got its number. */
const DAEMON_MARK = "--allow-import=deny.invalid";

/** What master says of itself in pid/master.status. */
export interface MasterStatus {
  readonly pid: number;
  readonly processes: readonly {
    readonly service: string;
    readonly pid: number;
    /** Milliseconds since 1970. */
    readonly started: number;
    readonly busy: number;
    readonly used: number;
  }[];
  readonly securityEvents: { readonly [daemon: string]: number };
}

/** The process number of the master that holds the queue, or undefined when none does. */
export function runningMaster(queueDirectory: string): number | undefined {
  const opened = safeOpen(`${queueDirectory}/pid/master.pid`, { access: "read" });
  if (opened.kind === "missing") return undefined;
  if (opened.kind === "refused") {
    throw new CommandError(`fatal: ${queueDirectory}/pid/master.pid ${opened.why}`);
  }
  using file = opened.file;
  // Master holds an exclusive lock for as long as it lives: a number in the file alone means nothing.
  if (file.tryLock("shared")) return undefined;
  const [line = ""] = decodeText(file.readAll(PID_FILE_LIMIT)).split("\n");
  return parseDecimal(line);
}

/** The running master's number; throws a `CommandError` in Postfix's words when there is none. */
export function demandMaster(configuration: Configuration): number {
  const pid = runningMaster(configuration.settings.queue_directory);
  if (pid === undefined) throw new CommandError("fatal: the Postern mail system is not running");
  return pid;
}

/** What master wrote about itself, or undefined when it did not yet, or is gone. */
export function masterStatus(queueDirectory: string): MasterStatus | undefined {
  const path = `${queueDirectory}/pid/master.status`;
  if (lookAt(path) === undefined) return undefined;
  return JSON.parse(readTextFile(path, STATUS_FILE_LIMIT)) as MasterStatus;
}

/** Says what is done, as Postfix's script does. */
export function announce(env: CommandEnv, configuration: Configuration, text: string): void {
  env.err(`${configuration.settings.syslog_name}/postfix-script: ${text}\n`);
}

/** Refuses arguments: these programs take none. */
export function refuseArguments(args: readonly string[], env: CommandEnv): void {
  if (args.length > 0) throw new CommandError(`fatal: usage: ${env.programName} (no arguments)`);
}

/** The file that a detached master logs to. */
export function logFileOf(configuration: Configuration): string {
  const { maillog_file, maillog_file_prefixes } = configuration.settings;
  if (maillog_file === "") return DEFAULT_LOG_FILE;
  const inside = maillog_file_prefixes.some((prefix) =>
    maillog_file === prefix || maillog_file.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`)
  );
  if (!inside) {
    throw new CommandError(
      `fatal: maillog_file "${maillog_file}" is not below maillog_file_prefixes: ${
        maillog_file_prefixes.join(", ")
      }`,
    );
  }
  return maillog_file;
}

/** How a master process is started. */
export interface MasterLaunch {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The command line and the whole environment of a master for this configuration.
 *
 * @param options further arguments of master
 */
export function masterLaunch(directory: string, options: readonly string[]): MasterLaunch {
  const code = locateCode(runtimePath());
  // All but the one that the runtime does not take beside -A; --no-remote says as much.
  const hardening = hardeningFlags(code, true).filter((flag) => !flag.startsWith("--allow-import="));
  return {
    program: code.runtime,
    // Master alone has every permission; what it starts has none that is not written in its service.ts.
    args: ["run", "-A", ...hardening, code.entry("master"), "-c", directory, ...options],
    // Nothing of the caller's environment: variables decide a lot in the runtime.
    environment: daemonEnvironment(code),
  };
}

/**
 * Fills the module cache that the daemons read: they are started with --cached-only and could not load a package.
 * Bundled code needs none.
 */
export async function prepareCode(): Promise<void> {
  const code = locateCode(runtimePath());
  if (code.packages === undefined) return;
  const entries = ["master", ...SERVICES.keys()].map((command) => code.entry(command));
  const args = ["cache", "--quiet", `--config=${code.packages}`, ...entries];
  // The caller's own environment: how the package registry is reached is in it.
  const environment = { ...ownEnvironment(), DENO_DIR: code.cache };
  const done = await runProgram(code.runtime, args, environment);
  if (done.status === 0) return;
  throw new CommandError(`fatal: Cannot load the daemons' code: ${decodeText(done.errors)}`);
}

/** True when the number belongs to a daemon of ours, and not to a process that got it later. */
export function isDaemon(pid: number): boolean {
  return processArguments(pid).includes(DAEMON_MARK);
}

/** Waits for some milliseconds. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
