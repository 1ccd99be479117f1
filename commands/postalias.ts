/**
 * # postalias
 *
 * Makes, changes and queries alias tables.
 *
 * ## Description
 * `postalias [-finNoprsuUvw] [-c CONF_DIR] [-d KEY] [-q KEY] [TYPE:]FILE...`
 *
 * The same as postmap for files in the format of aliases(5), `name: value, value`.
 *
 * - `-q KEY`: prints the value of the first table that has the name; `-q -` reads names from standard input.
 * - `-s`: prints all names and values.
 * - `-d KEY`: removes a name from an index file; with `-d -` those on standard input.
 * - `-i`: adds the entries on standard input to an index file.
 * - `-r`: an entry takes the place of an earlier one for its name. `-w`: it is left out without a warning.
 * - `-f`: does not fold names to lower case.
 * - `-N`: names and values end in NUL. `-n`: they do not (default).
 * - `-o`: as root, keeps root's rights for a file of somebody else.
 * - `-p`: does not take the mode of FILE over.
 * - `-u`: takes text that is not UTF-8. `-U` is the default. `-v`: tells of each look-up.
 *
 * ## Security
 * As for postmap.
 *
 * ## Standards
 * RFC 822 (tokens of an alias line).
 *
 * ## Diagnostics
 * On standard error. Exit status: 0 when a name was found, or all tables were made or are fine; 1 otherwise.
 *
 * ## Parameters
 * default_database_type.
 *
 * ## Known limits
 * The entries that Postfix adds for NIS (`@`, `YP_LAST_MODIFIED`, `YP_MASTER_NAME`) are not written.
 *
 * @module
 */
// This program
import type { CommandEnv } from "./command.ts";
import { runTableCommand } from "./table_command.ts";

/** Runs postalias. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  return runTableCommand(args, env, { syntax: "alias", letters: "finNoprsuUvwc:d:q:", mark: ":" });
}
