/**
 * NAME
 *   abort - ends the mail system at once
 *
 * DESCRIPTION
 *   Tells master to end and does not wait for it.
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
import { signalProcess } from "../lib/safe/process.ts";
// This program
import type { CommandEnv } from "./command.ts";
import { announce, demandMaster, refuseArguments } from "./master_control.ts";

/** Aborts the mail system. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const configuration = env.config();
  const pid = demandMaster(configuration);
  announce(env, configuration, "aborting the Postern mail system");
  signalProcess(pid, "SIGTERM");
  return 0;
}
