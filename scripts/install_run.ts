/**
 * Running other programs.
 *
 * @module
 */
import { InstallError } from "./install_files.ts";

/** How a program is run. */
export interface RunOptions {
  readonly directory?: string;
  /** The whole environment instead of ours. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Milliseconds after which it is ended. */
  readonly timeout?: number;
}

/** What a program did. */
export interface Ran {
  readonly status: number;
  readonly errors: string;
}

/** Runs a program to its end. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const command = new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    ...(options.directory === undefined ? {} : { cwd: options.directory }),
    ...(options.environment === undefined ? {} : { env: { ...options.environment }, clearEnv: true }),
    ...(options.timeout === undefined ? {} : { signal: AbortSignal.timeout(options.timeout) }),
  });
  try {
    const { code, stderr } = await command.output();
    return { status: code, errors: plainText(stderr) };
  } catch (error) {
    return { status: -1, errors: error instanceof Error ? error.message : String(error) };
  }
}

/** Runs a program that must succeed. */
export async function runTool(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<void> {
  const { status, errors } = await run(program, args, options);
  if (status !== 0) {
    throw new InstallError(`Cannot run ${program} ${args.join(" ")}: status ${status}\n${errors}`);
  }
}

/** Text without the colours that the runtime gives it. */
function plainText(bytes: Uint8Array): string {
  // deno-lint-ignore no-control-regex
  return new TextDecoder().decode(bytes).replace(/\x1b\[[0-9;]*m/g, "");
}
