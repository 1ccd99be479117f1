/**
 * postmap and its like, run within the test's own process. Not a test itself.
 */
import { type CommandEnv, CommandError } from "../../commands/command.ts";

/** Runs a command with its input; what it printed and its exit status. */
export async function runCommand(
  command: (args: readonly string[], env: CommandEnv) => Promise<number>,
  args: readonly string[],
  options: { input?: string; aliases?: readonly string[]; program?: string; chunk?: number } = {},
): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const bytes = new TextEncoder().encode(options.input ?? "");
  const configuration = {
    settings: { alias_database: options.aliases ?? [], default_database_type: "texthash" },
  };
  const env = {
    programName: options.program ?? "postmap",
    configDirectory: "/nonexistent",
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    writeBytes: () => {},
    stdin: async function* () {
      const size = options.chunk ?? 3;
      for (let at = 0; at < bytes.length; at += size) {
        yield await Promise.resolve(bytes.subarray(at, at + size));
      }
    },
    load: () => ({ configuration, problems: [] }),
    config: () => configuration,
  } as unknown as CommandEnv;
  try {
    return { status: await command(args, env), out, err };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { status: error.status, out, err: `${err}${env.programName}: ${error.message}\n` };
  }
}
