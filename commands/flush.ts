/**
 * NAME
 *   flush - tries every queued message now
 *
 * DESCRIPTION
 *   Tells the queue manager to look at every deferred and every new message whatever the time of its next attempt,
 *   and to forget which destinations did not answer: the effect of `postqueue -f`.
 *
 * DIAGNOSTICS
 *   Status 69 (EX_UNAVAILABLE) when the mail system is down.
 *
 * PARAMETERS
 *   queue_directory, queue_service_name
 *
 * @module
 */
// Utility
import { IpcClient } from "../lib/ipc/client.ts";
import { QMGR } from "../lib/proto/protocols.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { pause, refuseArguments, runningMaster } from "./master_control.ts";

/** Postfix's trigger: forget dead destinations, scan deferred with all times ignored, scan incoming. */
const FLUSH_BYTES = "FADI";
/** What the queue manager may take to be reached, milliseconds. */
const REACH_TIMEOUT = 10_000;
/** EX_UNAVAILABLE of sysexits. */
const UNAVAILABLE = 69;

/** Flushes the queue. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const { queue_directory, queue_service_name } = env.config().settings;
  const down = "fatal: Queue flush failed -- mail system is down";
  if (runningMaster(queue_directory) === undefined) throw new CommandError(down, UNAVAILABLE);
  const client = new IpcClient(QMGR, `${queue_directory}/public/${queue_service_name}`);
  client.send("trigger", { bytes: FLUSH_BYTES });
  const deadline = Date.now() + REACH_TIMEOUT;
  while (!client.connected) {
    if (Date.now() > deadline) throw new CommandError(down, UNAVAILABLE);
    await pause(10);
  }
  client.close();
  return 0;
}
