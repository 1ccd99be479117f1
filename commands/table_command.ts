/**
 * The command line of postmap and postalias.
 *
 * @module
 */
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { TableTool } from "./table_tool.ts";

/** What tells postmap from postalias. */
export interface TableCommand {
  /** Syntax of texthash files. */
  readonly syntax: "map" | "alias";
  /** Its options, as getopt has them. */
  readonly letters: string;
  /** What follows a key in a list. */
  readonly mark: string;
}

/** Runs the command; its exit status. */
export async function runTableCommand(
  args: readonly string[],
  env: CommandEnv,
  command: TableCommand,
): Promise<number> {
  const parsed = parseOptions(args, command.letters);
  const usage = `usage: ${env.programName} [-fiNnoprsuUvw] [-c config_dir] [-q key] [map_type:]file...`;
  if (parsed.kind === "invalid") throw new CommandError(`${parsed.why}\n${env.programName}: fatal: ${usage}`);
  const given = new Map(parsed.options.map(({ letter, value }) => [letter, value]));
  const key = given.get("q");
  if (key !== undefined && given.has("s")) throw new CommandError("fatal: specify one of -q or -s");
  if (parsed.operands.length === 0) throw new CommandError(`fatal: ${usage}`);
  const directory = given.get("c");
  const load = directory === undefined ? env.load : makeEnv(env.programName, directory).load;
  const tool = new TableTool(
    { ...env, load },
    { foldKeys: !given.has("f"), syntax: command.syntax },
    command.mark,
  );
  const specs = parsed.operands.map((operand) => tool.specOf(operand));
  if (given.has("s")) return tool.dump(specs);
  if (key === undefined) return tool.check(specs);
  return key === "-" ? await tool.queryInput(specs) : await tool.query(specs, key);
}
