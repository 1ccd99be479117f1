/**
 * # postmap
 *
 * Makes, changes and queries lookup tables.
 *
 * ## Description
 * `postmap [-bfFhimnNoprsuUvw] [-c CONF_DIR] [-d KEY] [-q KEY] [TYPE:]FILE...`
 *
 * Without `-d`, `-q` and `-s` it makes the index file `FILE.cdb` of a `cdb:` table from the text in FILE: under another
 * name, synced, then renamed into its place. A table of another type has no index file; it is opened, and what is
 * wrong with it is said with file and line. A FILE without TYPE is of `default_database_type`.
 *
 * - `-q KEY`: prints the value of the first table that has the key. With `-q -` keys are read from standard input,
 *   one on a line, and those found are printed with a tab and their value. Tables on servers are asked as well.
 * - `-h`, `-b`: with `-q -`, standard input is a message: its headers, or the lines of its body, are the keys. `-m`:
 *   the headers of its parts are headers too.
 * - `-s`: prints all keys and values.
 * - `-d KEY`: removes a key from an index file; with `-d -` those on standard input.
 * - `-i`: adds the entries on standard input to an index file.
 * - `-r`: an entry takes the place of an earlier one for its key. `-w`: it is left out without a warning.
 * - `-f`: does not fold keys to lower case (tables of patterns have their own flags for that).
 * - `-F`: each value names files; their content is stored as base64. With `-q` and `-s`: values are decoded.
 * - `-N`: keys and values end in NUL. `-n`: they do not (default).
 * - `-o`: as root, keeps root's rights for a file of somebody else.
 * - `-p`: does not take the mode of FILE over.
 * - `-u`: takes text that is not UTF-8. `-U` is the default. `-v`: tells of each look-up.
 *
 * ## Security
 * As root it has the rights of FILE's owner while it makes or changes its index, so that no link which that owner put
 * there has a file of somebody else overwritten.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * On standard error. Exit status: 0 when a key was found, or all tables were made or are fine; 1 otherwise.
 *
 * ## Parameters
 * default_database_type.
 *
 * ## Known limits
 * `cdb` is the only type with an index file; Postfix's `hash`, `btree` and `lmdb` are not made.
 *
 * @module
 */
// This program
import type { CommandEnv } from "./command.ts";
import { runTableCommand } from "./table_command.ts";

/** Runs postmap. */
export function run(args: readonly string[], env: CommandEnv): Promise<number> {
  return runTableCommand(args, env, { syntax: "map", letters: "bfFhimnNoprsuUvwc:d:q:", mark: "" });
}
