/**
 * # mailq
 *
 * Lists the queue: `postqueue -p` under the name that old programs know.
 *
 * @module
 */
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { run as postqueue } from "./postqueue.ts";
import { EX } from "./sysexits.ts";

/** Runs the command. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  if (args.length > 0 && args[0] !== "-c") throw new CommandError("fatal: usage: mailq", EX.USAGE);
  return postqueue(["-p", ...args], env);
}
