/**
 * NAME
 *   start-fg - starts the mail system in the foreground
 *
 * DESCRIPTION
 *   Runs master as a child process until it ends, passes SIGTERM, SIGINT (Ctrl-C) and SIGHUP (reload) on to it, and
 *   ends with its status. The log goes to standard error, or to maillog_file when that is set; "/dev/stdout" stands
 *   for standard output.
 *
 * SECURITY
 *   Master ends when this program does, however that comes about.
 *
 * PARAMETERS
 *   maillog_file, maillog_file_prefixes, queue_directory, syslog_name
 *
 * @module
 */
// Safe primitives
import { type Child, openLogDescriptor, startProcess } from "../lib/safe/process.ts";
import { onSignal } from "../lib/safe/stdio.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
// This program
import { demandChecked } from "./checked_configuration.ts";
import { type CommandEnv, CommandError } from "./command.ts";
import {
  announce,
  logFileOf,
  masterLaunch,
  prepareCode,
  refuseArguments,
  runningMaster,
} from "./master_control.ts";

const STANDARD_OUTPUT = 1;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Runs the mail system until it ends. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const configuration = await demandChecked(env);
  if (runningMaster(configuration.settings.queue_directory) !== undefined) {
    throw new CommandError("fatal: the Postern mail system is already running");
  }
  await prepareCode();
  announce(env, configuration, "starting the Postern mail system");
  const master = await startMaster(env.configDirectory, configuration);
  for (const signal of SIGNALS) {
    onSignal(signal, () => master.kill(signal === "SIGHUP" ? "SIGHUP" : "SIGTERM"));
  }
  const { status, signal } = await master.ended;
  return signal === "" ? status : 1;
}

/** Starts master with its log where the configuration says. */
async function startMaster(directory: string, configuration: Configuration): Promise<Child> {
  const { maillog_file } = configuration.settings;
  const toFile = maillog_file !== "" && maillog_file !== "/dev/stdout";
  const launch = masterLaunch(directory, ["--attached", "yes"]);
  return await startProcess({
    ...launch,
    descriptors: [],
    errors: toFile
      ? openLogDescriptor(logFileOf(configuration), 0o600)
      : maillog_file === "/dev/stdout"
      ? STANDARD_OUTPUT
      : "inherit",
    ownSession: true,
  });
}
