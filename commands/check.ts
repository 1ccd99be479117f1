/**
 * check - say what is wrong with the configuration
 *
 * `postern check` reads main.toml and master.toml, opens every table that they name, and prints one line for each
 * problem: severity, file, line, what is wrong, what to do about it. Nothing is started or changed.
 *
 * **Security**: reads files as the user who runs it; needs no privilege beyond that.
 *
 * **Diagnostics**: exit status 0 when there is no error (warnings do not count), 1 otherwise.
 *
 * @module
 */
// Utility
import { formatProblem } from "../lib/config/problem.ts";
// Server skeleton
import { findTableProblems } from "../lib/server/check_tables.ts";
// This program
import { CommandError } from "./command.ts";
import type { CommandEnv } from "./command.ts";

/** Prints the problems; status 1 if one of them is an error. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const [unexpected] = args;
  if (unexpected !== undefined) throw new CommandError(`fatal: usage: check (unexpected "${unexpected}")`);
  const { configuration, problems } = env.load();
  const all = configuration === undefined ? problems : [...problems, ...findTableProblems(configuration)];
  for (const problem of all) env.err(`${env.programName}: ${formatProblem(problem)}\n`);
  return all.some((problem) => problem.severity === "error") ? 1 : 0;
}
