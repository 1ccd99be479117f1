/**
 * NAME
 *   stop - ends the mail system
 *
 * DESCRIPTION
 *   Tells master to end, and waits for it. Master gives its processes a few seconds; what does not end then is
 *   killed, and so is master if it does not end itself. Mail that was accepted is in the queue and stays there.
 *
 * DIAGNOSTICS
 *   Status 1 when no mail system runs.
 *
 * PARAMETERS
 *   queue_directory, syslog_name
 *
 * @module
 */
// Safe primitives
import { processExists, signalProcess } from "../lib/safe/process.ts";
// This program
import type { CommandEnv } from "./command.ts";
import { announce, demandMaster, isDaemon, masterStatus, pause, refuseArguments } from "./master_control.ts";

/** What master may take: longer than the grace that it gives its processes, milliseconds. */
const STOP_TIMEOUT = 12_000;
/** When the first line says that we wait, and how long until the next, milliseconds. */
const PATIENCE = 1000;

/** Stops the mail system. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const configuration = env.config();
  const queue = configuration.settings.queue_directory;
  const pid = demandMaster(configuration);
  const children = (masterStatus(queue)?.processes ?? []).map((process) => process.pid);
  announce(env, configuration, "stopping the Postern mail system");
  signalProcess(pid, "SIGTERM");
  const started = Date.now();
  let spoken = started;
  while (processExists(pid) && Date.now() - started < STOP_TIMEOUT) {
    await pause(20);
    if (Date.now() - spoken < PATIENCE) continue;
    spoken = Date.now();
    announce(env, configuration, "waiting for the Postern mail system to terminate");
  }
  if (processExists(pid)) {
    announce(env, configuration, "warning: stopping the Postern mail system with force");
    signalProcess(pid, "SIGKILL");
    // Without master their standard input ends, and so do they.
    await pause(PATIENCE);
  }
  for (const child of children) if (isDaemon(child)) signalProcess(child, "SIGKILL");
  return 0;
}
