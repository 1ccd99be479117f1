/**
 * # newaliases
 *
 * Makes and checks the alias tables.
 *
 * ## Description
 * `newaliases`
 *
 * Makes the index files of the `cdb:` tables of `alias_database` anew, as postalias does; reads its other tables and
 * says what is wrong with them, with file and line; says nothing when all is well, as Postfix's newaliases. Local reads
 * a texthash file itself and takes a change over within seconds.
 *
 * ## Security
 * As root it has the rights of a source file's owner while it makes that file's index.
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
import { TableMaker } from "./table_maker.ts";
import { TableTool } from "./table_tool.ts";

/** Runs newaliases. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "v");
  if (parsed.kind === "invalid" || parsed.operands.length > 0) {
    throw new CommandError(`fatal: usage: ${env.programName}`);
  }
  const specs = env.config().settings.alias_database;
  const tool = new TableTool(env, { syntax: "alias", paranoid: true }, { mark: ":" });
  const maker = new TableMaker(env, {
    alias: true,
    foldKeys: true,
    nul: false,
    duplicates: "warn",
    asRoot: false,
    plainMode: false,
    files: false,
    anyBytes: false,
  });
  return maker.make(specs, (spec) => tool.check([spec], true));
}
