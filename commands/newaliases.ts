/**
 * # newaliases
 *
 * Checks the alias tables.
 *
 * ## Description
 * `newaliases`
 *
 * Reads the tables of `alias_database` and says what is wrong with them, with file and line; says nothing when all is
 * well, as Postfix's newaliases. No index is made: local reads the text itself and takes a change over within seconds.
 *
 * ## Security
 * Reads the alias files with the rights of who runs it; writes nothing.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * On standard error. Exit status: 0, or 1 when a table cannot be used.
 *
 * ## Parameters
 * alias_database.
 *
 * ## Known limits
 * None.
 *
 * @module
 */
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { parseOptions } from "./options.ts";
import { TableTool } from "./table_tool.ts";

/** Runs newaliases. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "v");
  if (parsed.kind === "invalid" || parsed.operands.length > 0) {
    throw new CommandError(`fatal: usage: ${env.programName}`);
  }
  const specs = env.config().settings.alias_database;
  const tool = new TableTool(env, { syntax: "alias", paranoid: true }, ":");
  return Promise.resolve(tool.check(specs, true));
}
