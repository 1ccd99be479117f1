/**
 * Runs one command as main.ts does: CONF_DIR PROGRAM ARGUMENTS.
 *
 * @module
 */
import { type Command, CommandError, makeEnv } from "../../commands/command.ts";

const [directory, program, ...args] = Deno.args as [string, string, ...string[]];
const { run } = await import(`../../commands/${program}.ts`) as { run: Command };
try {
  Deno.exit(await run(args, makeEnv(program, directory)));
} catch (error) {
  console.error(`${program}: ${error instanceof Error ? error.message : error}`);
  Deno.exit(error instanceof CommandError ? error.status : 1);
}
