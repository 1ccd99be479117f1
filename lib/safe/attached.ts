/**
 * Running another program in our place: with our standard streams, to its end.
 *
 * Permissions needed: run on the program.
 *
 * @module
 */
import { SystemError } from "./error.ts";

/**
 * Runs a program on our own standard streams and with our environment; returns its exit status.
 *
 * @param environment variables beside those
 */
export async function runAttached(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<number> {
  try {
    const child = new Deno.Command(program, {
      args: [...args],
      env: environment,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    return (await child.status).code;
  } catch (error) {
    throw new SystemError("run", program, error);
  }
}
