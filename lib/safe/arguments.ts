/**
 * The command line that this process was started with.
 *
 * @module
 */

/** Arguments behind the program's name. */
export function programArguments(): readonly string[] {
  return Deno.args;
}
