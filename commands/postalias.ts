/**
 * # postalias
 *
 * Checks and queries alias tables.
 *
 * ## Description
 * `postalias [-fosv] [-q KEY] [TYPE:]FILE...`
 *
 * The same as postmap for files in the format of aliases(5), `name: value, value`. No index is made: local reads the
 * text itself.
 *
 * - `-q KEY`: prints the value of the first table that has the name; `-q -` reads names from standard input.
 * - `-s`: prints all names and values.
 * - `-f`: does not fold names to lower case.
 * - `-i`, `-n`, `-N`, `-o`, `-p`, `-r`, `-u`, `-U`, `-v`, `-w`: taken for Postfix's sake, without effect.
 *
 * ## Security
 * Reads the tables that it is given, with the rights of who runs it; writes nothing.
 *
 * ## Standards
 * RFC 822 (tokens of an alias line).
 *
 * ## Diagnostics
 * On standard error. Exit status: 0 when a name was found, or all tables are fine; 1 otherwise.
 *
 * ## Parameters
 * default_database_type.
 *
 * ## Known limits
 * No `-d`: there is no index to remove an entry from.
 *
 * @module
 */
// This program
import type { CommandEnv } from "./command.ts";
import { runTableCommand } from "./table_command.ts";

/** Runs postalias. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  return runTableCommand(args, env, { syntax: "alias", letters: "fiNnoprsuUvwc:q:", mark: ":" });
}
