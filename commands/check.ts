/**
 * check - say what is wrong with the configuration
 *
 * `postern check [--network]` reads main.toml and master.toml, opens every table that they name, asks the rules what they
 * decide, runs the expectations of expect.toml, and prints one line for each problem: severity, file, line, what is wrong,
 * what to do about it. Nothing is started or changed. With `--network` it also asks DNS about myhostname, and tries the
 * ports.
 *
 * **Security**: reads files as the user who runs it; needs no privilege beyond that. The decisions are those of the code
 * that smtpd, trivial-rewrite and proxymap run (lib/server/decisions.ts).
 *
 * **Diagnostics**: exit status 0 when there is no error (warnings do not count), 1 otherwise.
 *
 * @module
 */
// Utility
import { formatProblem } from "../lib/config/problem.ts";
// Server skeleton
import { findProblems } from "../lib/server/check_configuration.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { findNetworkProblems } from "./check_network.ts";
import { type CommandEnv, CommandError } from "./command.ts";

/** Prints the problems; status 1 if one of them is an error. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const unexpected = args.find((arg) => arg !== "--network");
  if (unexpected !== undefined) {
    throw new CommandError(`fatal: usage: check [--network] (unexpected "${unexpected}")`);
  }
  const { configuration, problems } = env.load();
  const all = [...problems];
  if (configuration !== undefined) {
    all.push(...await findProblems(configuration, SERVICES));
    if (args.length > 0) all.push(...await findNetworkProblems(configuration));
  }
  for (const problem of all) env.err(`${env.programName}: ${formatProblem(problem)}\n`);
  return all.some((problem) => problem.severity === "error") ? 1 : 0;
}
