/**
 * # postmap
 *
 * Checks and queries lookup tables.
 *
 * ## Description
 * `postmap [-fosv] [-q KEY] [TYPE:]FILE...`
 *
 * Without an option it reads each table and says what is wrong with it, with file and line. No index is made: Postern
 * reads the text of a table itself (texthash), so nothing has to be rebuilt after a change. A FILE without TYPE is of
 * `default_database_type`.
 *
 * - `-q KEY`: prints the value of the first table that has the key. With `-q -` keys are read from standard input,
 *   one on a line, and those found are printed with a tab and their value.
 * - `-s`: prints all keys and values.
 * - `-f`: does not fold keys to lower case (tables of patterns have their own flags for that).
 * - `-i`, `-n`, `-N`, `-o`, `-p`, `-r`, `-u`, `-U`, `-v`, `-w`: taken for Postfix's sake, without effect.
 *
 * ## Security
 * Reads the tables that it is given, with the rights of who runs it; writes nothing.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * On standard error. Exit status: 0 when a key was found, or all tables are fine; 1 otherwise.
 *
 * ## Parameters
 * default_database_type.
 *
 * ## Known limits
 * Postfix's `-b`, `-h`, `-m` (message content as keys), `-d`, `-F` (changes of indexed files) are not here.
 *
 * @module
 */
// This program
import type { CommandEnv } from "./command.ts";
import { runTableCommand } from "./table_command.ts";

/** Runs postmap. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  return runTableCommand(args, env, { syntax: "map", letters: "fiNnoprsuUvwc:q:", mark: "" });
}
