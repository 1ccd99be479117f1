/**
 * NAME
 *   reload - takes a changed configuration
 *
 * DESCRIPTION
 *   Checks the configuration and tells master to read it. Processes that it changes are replaced when they have
 *   finished their work; no connection is dropped.
 *
 * DIAGNOSTICS
 *   A configuration that is wrong is reported here, master is left alone, and the status is 1. Status 1 as well when
 *   no mail system runs.
 *
 * PARAMETERS
 *   queue_directory, syslog_name
 *
 * @module
 */
// Safe primitives
import { signalProcess } from "../lib/safe/process.ts";
// This program
import { demandChecked } from "./checked_configuration.ts";
import type { CommandEnv } from "./command.ts";
import { announce, demandMaster, refuseArguments } from "./master_control.ts";

/** Reloads the mail system. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const configuration = await demandChecked(env);
  const pid = demandMaster(configuration);
  announce(env, configuration, "refreshing the Postern mail system");
  signalProcess(pid, "SIGHUP");
  return 0;
}
