/**
 * What a command that a person runs gets from the dispatcher.
 *
 * @module
 */
// Safe primitives
import { readTextFile } from "../lib/safe/file.ts";
import { inputChunks, writeError, writeOutput, writeOutputText } from "../lib/safe/stdio.ts";
// Utility
import { type Configuration, loadConfiguration } from "../lib/config/configuration.ts";
import { formatProblem, type Problem } from "../lib/config/problem.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
// Server skeleton
import { systemFacts } from "../lib/server/system_facts.ts";
// This program
import { COMMANDS } from "../daemons/services.ts";

/** Largest configuration file, bytes. */
export const CONFIGURATION_LIMIT = 4 * 1024 * 1024;

/** A command's surroundings. */
export interface CommandEnv {
  readonly programName: string;
  readonly configDirectory: string;
  /** Writes text to standard output. */
  out(text: string): void;
  /** Writes text to standard error. */
  err(text: string): void;
  writeBytes(bytes: Uint8Array): void;
  stdin(): AsyncIterable<Uint8Array>;
  /**
   * Loads the configuration and the problems found in it; `configuration` is undefined when it cannot be used.
   *
   * @param texts what files would hold, by path, in the place of what they hold
   */
  load(texts?: ReadonlyMap<string, string>): {
    readonly configuration: Configuration | undefined;
    readonly problems: readonly Problem[];
  };
  /** Loads the configuration, or reports its errors and throws a `CommandError`. */
  config(): Configuration;
}

/** Ends a command with a message on standard error and an exit status. */
export class CommandError extends Error {
  override name = "CommandError";
  readonly status: number;
  constructor(message: string, status = 1) {
    super(message);
    this.status = status;
  }
}

/** A command: arguments in, exit status out. */
export type Command = (args: readonly string[], env: CommandEnv) => Promise<number>;

/** The real surroundings. */
export function makeEnv(programName: string, configDirectory: string): CommandEnv {
  const load = (texts: ReadonlyMap<string, string> = new Map()) => loadFrom(configDirectory, texts);
  return {
    programName,
    configDirectory,
    out: (text) => void writeOutputText(text),
    err: (text) => void writeError(encodeText(text)),
    writeBytes: (bytes) => void writeOutput(bytes),
    stdin: inputChunks,
    load,
    config: () => {
      const { configuration, problems } = load();
      const errors = problems.filter((problem) => problem.severity === "error");
      for (const problem of errors) {
        writeError(encodeText(`${programName}: ${formatProblem(problem)}\n`));
      }
      if (configuration === undefined || errors.length > 0) {
        throw new CommandError(`fatal: configuration in ${configDirectory} cannot be used`);
      }
      return configuration;
    },
  };
}

function loadFrom(directory: string, texts: ReadonlyMap<string, string>): ReturnType<CommandEnv["load"]> {
  const { configuration, problems } = loadConfiguration(directory, systemFacts(), {
    readText: (path) => texts.get(path) ?? readTextFile(path, CONFIGURATION_LIMIT),
    commands: COMMANDS,
  });
  return { configuration, problems };
}
