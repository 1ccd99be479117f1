/**
 * # postmulti
 *
 * Works on several instances of the mail system on one host: runs a command for each, and keeps their list.
 *
 * ## Synopsis
 * `postmulti -l [-aRv] [-g group] [-i name]`
 * `postmulti -p [-av] [-g group] [-i name] command`
 * `postmulti -x [-aRv] [-g group] [-i name] unix-command`
 * `postmulti -e action [-av] [-g group] [-i name] [-G group] [-I name] [param=value ...]`
 *
 * ## Description
 * The primary instance is the one whose configuration directory `postern -c` or MAIL_CONFIG names; its
 * `multi_instance_directories` has the configuration directories of the others. While its `multi_instance_enable` is
 * off, there are no others.
 *
 * `-l` lists them: name, group, whether they are on, directory. `-p` runs one of Postern's commands (start, stop, abort,
 * reload, flush, status, check) for each, in the order of the list, commands of `postmulti_stop_commands` in the opposite
 * one. An instance that is off is checked by a command of `postmulti_start_commands`, and passed over by those of
 * `postmulti_stop_commands` and `postmulti_control_commands`. `-x` runs any program, with MAIL_CONFIG, config_directory,
 * queue_directory, multi_instance_name, multi_instance_group and multi_instance_enable in its environment.
 *
 * `-e` changes the list: `init` allows it; `create` makes an instance that is off, listens nowhere and takes no mail of
 * local users; `import` takes one as it is; `deport` takes one out of the list; `destroy` removes one that is off, stopped
 * and without mail; `assign` names one; `enable` and `disable` switch one on and off.
 *
 * ## Security
 * Runs with the rights of its caller, who must be able to write the configurations that are changed. `destroy` removes no
 * mail, no file that the mail system has not made, and no queue that another instance has.
 *
 * ## Diagnostics
 * Status 0 when all went well, otherwise the first status that was not 0. 64 for a command line that makes no sense.
 *
 * ## Parameters
 * multi_instance_directories, multi_instance_enable, multi_instance_group, multi_instance_name,
 * postmulti_control_commands, postmulti_start_commands, postmulti_stop_commands, queue_directory.
 *
 * ## Known limits
 * `start` and the other commands work on their own instance whatever this list says: there is no
 * multi_instance_wrapper.
 *
 * @module
 */
// Safe primitives
import { runAttached } from "../lib/safe/attached.ts";
// This program
import { type Command, type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { type GivenOption, parseOptions } from "./options.ts";
import { demandPair } from "./postconf_edit.ts";
import { type Action, ACTIONS, editInstances } from "./postmulti_edit.ts";
import { type Instance, instanceLine, readInstances, selectInstances } from "./postmulti_instances.ts";
import { EX } from "./sysexits.ts";

/** What runs for each instance. */
const COMMANDS: ReadonlyMap<string, () => Promise<{ readonly run: Command }>> = new Map<
  string,
  () => Promise<{ readonly run: Command }>
>([
  ["abort", () => import("./abort.ts")],
  ["check", () => import("./check.ts")],
  ["flush", () => import("./flush.ts")],
  ["reload", () => import("./reload.ts")],
  ["start", () => import("./start.ts")],
  ["status", () => import("./status.ts")],
  ["stop", () => import("./stop.ts")],
]);

/** What the command line asks for. */
interface Wanted {
  readonly mode: "l" | "p" | "x" | "e";
  readonly action: string;
  readonly reverse: boolean;
  readonly selection: {
    readonly group: string | undefined;
    readonly name: string | undefined;
    readonly front: boolean;
  };
  readonly naming: { readonly group: string | undefined; readonly name: string | undefined };
  readonly operands: readonly string[];
}

/** Lists, runs or changes. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const wanted = readCommandLine(args);
  const { mode, operands, selection } = wanted;
  if (mode === "e") {
    const pairs = new Map(operands.map(demandPair));
    await editInstances(demandAction(wanted.action), selection, wanted.naming, pairs, env);
    return EX.OK;
  }
  const all = readInstances(env);
  const instances = selectInstances(all, selection);
  if (mode === "p") return await runCommand(instances, all[0], operands);
  if (wanted.reverse) instances.reverse();
  if (mode === "l") {
    for (const instance of instances) env.out(instanceLine(instance));
    return EX.OK;
  }
  return await runProgram(instances, operands);
}

function usage(why: string): CommandError {
  return new CommandError(`fatal: ${why}: use one of -l, -p command, -x program, -e action`, EX.USAGE);
}

function readCommandLine(args: readonly string[]): Wanted {
  const parsed = parseOptions(args, "ae:g:G:i:I:lpRvx");
  if (parsed.kind === "invalid") throw usage(parsed.why);
  const { options, operands } = parsed;
  const modes = options.filter(({ letter }) => "lpxe".includes(letter));
  const [mode] = modes;
  if (mode === undefined || modes.length > 1) throw usage("what is to be done");
  const has = (letter: string) => options.some((option) => option.letter === letter);
  const iterates = mode.letter === "p" || mode.letter === "x";
  if (iterates !== operands.length > 0 && mode.letter !== "e") throw usage("command");
  if (has("R") && mode.letter !== "l" && mode.letter !== "x") throw usage("-R goes with -l and -x");
  if (mode.letter !== "e" && (has("G") || has("I"))) throw usage("-G and -I go with -e");
  return {
    mode: mode.letter as Wanted["mode"],
    action: mode.value,
    reverse: has("R"),
    selection: { group: valueOf(options, "g"), name: valueOf(options, "i"), front: has("a") },
    naming: { group: valueOf(options, "G"), name: valueOf(options, "I") },
    operands,
  };
}

function valueOf(options: readonly GivenOption[], letter: string): string | undefined {
  return options.findLast((option) => option.letter === letter)?.value;
}

function demandAction(text: string): Action {
  const action = ACTIONS.find((one) => one === text);
  if (action === undefined) {
    throw new CommandError(`fatal: no such action: ${text}: one of ${ACTIONS.join(", ")}`, EX.USAGE);
  }
  return action;
}

/** Runs one of Postern's commands for each instance, as the primary instance's lists of commands say. */
async function runCommand(
  instances: readonly Instance[],
  primary: Instance,
  [command = "", ...args]: readonly string[],
): Promise<number> {
  const load = COMMANDS.get(command);
  if (load === undefined) {
    throw new CommandError(
      `fatal: no such command: ${command}: one of ${[...COMMANDS.keys()].join(", ")}`,
      EX.USAGE,
    );
  }
  const { postmulti_start_commands, postmulti_stop_commands, postmulti_control_commands } =
    primary.configuration.settings;
  const stops = postmulti_stop_commands.includes(command);
  let first = EX.OK as number;
  for (const { directory, enabled } of stops ? instances.toReversed() : instances) {
    if (!enabled && (stops || postmulti_control_commands.includes(command))) continue;
    const instead = !enabled && postmulti_start_commands.includes(command);
    const name = instead ? "check" : command;
    const status = await runOne(COMMANDS.get(name)!, instead ? [] : args, makeEnv(name, directory));
    first ||= status;
  }
  return first;
}

/** One command for one instance; what it fails with is told, and the next instance has its turn. */
async function runOne(
  load: () => Promise<{ readonly run: Command }>,
  args: readonly string[],
  env: CommandEnv,
): Promise<number> {
  try {
    const { run: command } = await load();
    return await command(args, env);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    env.err(`${env.programName}: ${env.configDirectory}: ${error.message}\n`);
    return error.status;
  }
}

/** Runs a program for each instance, with what it has to know in its environment. */
async function runProgram(
  instances: readonly Instance[],
  [program = "", ...args]: readonly string[],
): Promise<number> {
  let first = EX.OK as number;
  for (const { directory, name, group, enabled, configuration } of instances) {
    const status = await runAttached(program, args, {
      MAIL_CONFIG: directory,
      config_directory: directory,
      queue_directory: configuration.settings.queue_directory,
      multi_instance_name: name,
      multi_instance_group: group,
      multi_instance_enable: enabled ? "yes" : "no",
    });
    first ||= status;
  }
  return first;
}
