/**
 * The command line of postmap and postalias.
 *
 * @module
 */
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { TableMaker } from "./table_maker.ts";
import { type MessageHow, messageKeys } from "./table_message.ts";
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

/** Options with their values; the last of several counts. */
type Given = ReadonlyMap<string, string>;

/** Runs the command; its exit status. */
export async function runTableCommand(
  args: readonly string[],
  env: CommandEnv,
  command: TableCommand,
): Promise<number> {
  const parsed = parseOptions(args, command.letters);
  const flags = [...command.letters.replaceAll(/[cdq]?:/g, "")].sort((a, b) => a.localeCompare(b)).join("");
  const usage = `usage: ${env.programName} [-${flags}] [-c config_dir] [-d key] [-q key] [map_type:]file...`;
  if (parsed.kind === "invalid") throw new CommandError(`${parsed.why}\n${env.programName}: fatal: ${usage}`);
  const given: Given = new Map(parsed.options.map(({ letter, value }) => [letter, value]));
  checkOptions(given, env);
  if (parsed.operands.length === 0) throw new CommandError(`fatal: ${usage}`);
  const directory = given.get("c");
  const load = directory === undefined ? env.load : makeEnv(env.programName, directory).load;
  const own = { ...env, load };
  const tool = new TableTool(
    own,
    { foldKeys: !given.has("f"), syntax: command.syntax },
    { mark: command.mark, files: given.has("F"), verbose: given.has("v") },
  );
  const maker = new TableMaker(own, {
    alias: command.syntax === "alias",
    foldKeys: !given.has("f"),
    // With -n and -N the last word counts; they are one choice.
    nul: parsed.options.findLast(({ letter }) => letter === "n" || letter === "N")?.letter === "N",
    duplicates: given.has("r") ? "replace" : given.has("w") ? "ignore" : "warn",
    asRoot: given.has("o"),
    plainMode: given.has("p"),
    files: given.has("F"),
    anyBytes: given.has("u"),
  });
  try {
    return await runMode(given, parsed.operands.map((operand) => tool.specOf(operand)), tool, maker);
  } finally {
    tool.close();
  }
}

/** The one thing that the options ask for. */
async function runMode(
  given: Given,
  specs: readonly string[],
  tool: TableTool,
  maker: TableMaker,
): Promise<number> {
  const [query, remove] = [given.get("q"), given.get("d")];
  if (given.has("s")) return tool.dump(specs);
  if (remove !== undefined) return await maker.remove(specs, remove === "-" ? tool.inputKeys() : [remove]);
  if (given.has("i")) return await maker.update(specs[0]!);
  if (query === undefined) return await maker.make(specs, (spec) => tool.check([spec]));
  if (query !== "-") return await tool.query(specs, query);
  const message: MessageHow = { headers: given.has("h"), body: given.has("b"), mime: given.has("m") };
  const keys = message.headers || message.body ? messageKeys(tool.input(), message) : tool.inputKeys();
  return await tool.queryInput(specs, keys);
}

/** Refuses options that do not go together, in Postfix's words. */
function checkOptions(given: Given, env: CommandEnv): void {
  if (["s", "q", "d"].filter((letter) => given.has(letter)).length > 1) {
    throw new CommandError("fatal: specify only one of -s or -q or -d");
  }
  const message = ["b", "h", "m"].some((letter) => given.has(letter));
  if (message && given.get("q") !== "-") {
    throw new CommandError('fatal: specify -b -h or -m only with "-q -"');
  }
  if (given.has("m") && !given.has("b") && !given.has("h")) {
    env.err(`${env.programName}: warning: ignoring -m option without -b or -h\n`);
  }
}
