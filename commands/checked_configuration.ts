/**
 * A configuration with nothing wrong with it, for the commands that are about to use it.
 *
 * @module
 */
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { formatProblem } from "../lib/config/problem.ts";
// Server skeleton
import { findProblems } from "../lib/server/check_configuration.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { type CommandEnv, CommandError } from "./command.ts";

/** The configuration; its errors are reported and end the command, its warnings are for `check` to tell. */
export async function demandChecked(env: CommandEnv): Promise<Configuration> {
  const configuration = env.config();
  const problems = await findProblems(configuration, SERVICES);
  const errors = problems.filter(({ severity }) => severity === "error");
  for (const problem of errors) env.err(`${env.programName}: ${formatProblem(problem)}\n`);
  if (errors.length === 0) return configuration;
  throw new CommandError(`fatal: configuration in ${env.configDirectory} cannot be used`);
}
