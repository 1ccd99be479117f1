/**
 * NAME
 *   start - starts the mail system
 *
 * DESCRIPTION
 *   Checks the configuration, starts master in the background and waits until every socket is bound. The log goes
 *   to maillog_file, or to /var/log/postern.log when that is not set.
 *
 * SECURITY
 *   Master gets a fixed environment, whatever the caller's own is.
 *
 * DIAGNOSTICS
 *   What master says when it cannot start is repeated here; the exit status is then 1 and nothing runs.
 *
 * PARAMETERS
 *   maillog_file, maillog_file_prefixes, queue_directory, syslog_name
 *
 * @module
 */
// Safe primitives
import { lookAt, readBytesFile } from "../lib/safe/file.ts";
import { processExists, signalProcess, startDetached } from "../lib/safe/process.ts";
// Utility
import { decodeText } from "../lib/vstring/byte_builder.ts";
// This program
import { demandChecked } from "./checked_configuration.ts";
import { type CommandEnv, CommandError } from "./command.ts";
import {
  announce,
  logFileOf,
  masterLaunch,
  masterStatus,
  pause,
  prepareCode,
  refuseArguments,
  runningMaster,
} from "./master_control.ts";

/** What master may take until its sockets are bound, milliseconds. */
const START_TIMEOUT = 60_000;
/** Largest log whose new lines are shown after a failed start, bytes. */
const LOG_LIMIT = 1024 * 1024 * 1024;

/** Starts the mail system. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const configuration = await demandChecked(env);
  const queue = configuration.settings.queue_directory;
  if (runningMaster(queue) !== undefined) {
    throw new CommandError("fatal: the Postern mail system is already running");
  }
  const log = logFileOf(configuration);
  await prepareCode();
  announce(env, configuration, "starting the Postern mail system");
  const before = lookAt(log)?.size ?? 0;
  const launch = masterLaunch(env.configDirectory, ["--log", log]);
  const pid = startDetached(launch.program, launch.args, launch.environment, log);
  const failure = await waitForMaster(queue, pid);
  if (failure === undefined) return 0;
  env.err(newLines(log, before));
  throw new CommandError(`fatal: ${failure}`);
}

/** Waits until master has written its status, which it does once every socket is bound; or says why not. */
async function waitForMaster(queue: string, pid: number): Promise<string | undefined> {
  const deadline = Date.now() + START_TIMEOUT;
  while (Date.now() < deadline) {
    if (masterStatus(queue)?.pid === pid) return undefined;
    if (!processExists(pid)) return "mail system startup failed";
    await pause(20);
  }
  signalProcess(pid, "SIGKILL");
  return `mail system startup took more than ${START_TIMEOUT / 1000} seconds`;
}

function newLines(log: string, from: number): string {
  return decodeText(readBytesFile(log, LOG_LIMIT).subarray(from));
}
