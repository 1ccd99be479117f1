/**
 * NAME
 *   trial - runs a mail system to try, without installation
 *
 * DESCRIPTION
 *   `trial [--root DIR] [--smtp-port N] [--once]` makes a root folder (default ./.trial) with a configuration of its
 *   own, starts master and the real daemons in their sandboxes, sends a test message through all of them into a
 *   Maildir, says what happened stage by stage, and stays up for the reader's own mail client until Ctrl-C. It needs
 *   no root, no configuration and no port below 1024. `--smtp-port` is the port on 127.0.0.1 (default 2525).
 *
 *   Every local part at localhost and example.test is a mailbox, ROOT/mail/LOCALPART/ (Maildir), unless it begins
 *   with "unknown": that one is refused. Nothing is sent to any other host. A folder that was used before is used
 *   again; mail in it stays.
 *
 *   `--once` stops after the test message.
 *
 * SECURITY
 *   Everything runs as the user who starts it: Deno's permissions do the separating. The service listens on loopback
 *   only, and relays for nobody.
 *
 * DIAGNOSTICS
 *   Status 0 with `--once` only if the message arrived in the Maildir; otherwise the end of the log is printed and
 *   the status is 1.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { ensureDirectory } from "../lib/safe/file.ts";
import { resolve } from "../lib/safe/path.ts";
import { bindTcp, currentDirectory } from "../lib/safe/process.ts";
import { onSignal, outputIsTerminal } from "../lib/safe/stdio.ts";
// Utility
import { parseDecimal } from "../lib/vstring/ascii.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { prepareCode, runningMaster } from "./master_control.ts";
import { type TrialPaths, trialPaths, writeTrialConfiguration } from "./trial_configuration.ts";
import { StageDisplay } from "./trial_display.ts";
import { TrialLog } from "./trial_log.ts";
import { followMessage, sendTestMessage } from "./trial_message.ts";
import { TrialSystem } from "./trial_system.ts";

const DEFAULT_ROOT = ".trial";
const DEFAULT_PORT = 2525;
/** Stages that the display counts. */
const STAGES = 9;
/** Longest path of the root folder: the system allows 107 bytes for a unix socket's path. */
const ROOT_LIMIT = 70;

/** What the command line says. */
export interface TrialOptions {
  readonly root: string;
  readonly port: number;
  readonly once: boolean;
}

/** Reads the command line; throws a `CommandError` that says what is wrong with it. */
export function readTrialOptions(args: readonly string[], directory: string): TrialOptions {
  let root = DEFAULT_ROOT;
  let port = DEFAULT_PORT;
  let once = false;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") continue; // `deno task trial -- --once` passes it on
    const equals = arg.indexOf("=");
    const name = equals < 0 ? arg : arg.slice(0, equals);
    if (name === "--once" && equals < 0) once = true;
    else if (name === "--root" || name === "--smtp-port") {
      const value = equals < 0 ? args[++i] : arg.slice(equals + 1);
      if (value === undefined || value === "") throw usageError(`option ${name} needs a value`);
      if (name === "--root") root = value;
      else port = readPort(value);
    } else throw usageError(`unknown option "${arg}"`);
  }
  return { root: checkRoot(resolve(directory, root)), port, once };
}

function readPort(text: string): number {
  const port = parseDecimal(text, 65535);
  if (port === undefined || port === 0) throw usageError(`"${text}" is not a port number from 1 to 65535`);
  return port;
}

function usageError(why: string): CommandError {
  return new CommandError(`fatal: ${why}\nusage: trial [--root DIR] [--smtp-port N] [--once]`, 64);
}

/** The folder's name stands in lists of the configuration and in paths of sockets. */
function checkRoot(root: string): string {
  for (const character of [" ", "\t", "\n", ",", "{", "}", "$", '"', "\\"]) {
    if (!root.includes(character)) continue;
    const why = `root folder ${JSON.stringify(root)} has a ${JSON.stringify(character)} in its name`;
    throw usageError(`${why}: choose another with --root`);
  }
  if (root.length > ROOT_LIMIT) {
    throw usageError(`root folder "${root}" is longer than ${ROOT_LIMIT} bytes: choose another with --root`);
  }
  return root;
}

/** Runs the trial. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const options = readTrialOptions(args, currentDirectory());
  const paths = trialPaths(options.root);
  const display = new StageDisplay(STAGES, outputIsTerminal(), (text) => env.out(text));
  const interrupted = new Promise<"interrupted">((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      onSignal(signal, () => resolve("interrupted"));
    }
  });
  checkFree(paths, options.port);
  await display.stage("daemons", "loading the code", async () => {
    await prepareCode();
    return "their code is loaded and cached";
  });
  await display.stage("configuration", "writing", () => prepareRoot(paths, options.port));
  const log = new TrialLog(paths.log);
  const system = await TrialSystem.start(paths);
  try {
    const work = tryOut(options, paths, system, log, display);
    const outcome = await Promise.race([work, interrupted]);
    if (outcome === "interrupted") return interruptedStatus(env);
    if (options.once) return 0;
    env.out(instructions(options, paths));
    const end = await Promise.race([interrupted, system.ended]);
    if (end === "interrupted") return 0;
    throw new Error(`Cannot go on with the trial: master ended (${end})`);
  } catch (error) {
    display.failed();
    env.err(log.tail());
    throw new CommandError(`fatal: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    env.out("stopping the trial\n");
    await system.stop();
  }
}

function interruptedStatus(env: CommandEnv): number {
  env.out("\ninterrupted\n");
  return 1;
}

/** Says so in time when the folder or the port is taken. */
function checkFree(paths: TrialPaths, port: number): void {
  const pid = runningMaster(paths.queue);
  if (pid !== undefined) {
    throw new CommandError(`fatal: a trial is running in "${paths.root}" already: PID ${pid}`);
  }
  try {
    bindTcp("127.0.0.1", port).close();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new CommandError(`fatal: ${error.message}: choose another port with --smtp-port`);
  }
}

async function prepareRoot(paths: TrialPaths, port: number): Promise<string> {
  for (const directory of [paths.configuration, paths.mail, paths.queue]) ensureDirectory(directory);
  await writeTrialConfiguration(paths, port);
  return `${paths.configuration}/main.toml and master.toml`;
}

/** From the start of master to the message in the Maildir. */
async function tryOut(
  options: TrialOptions,
  paths: TrialPaths,
  system: TrialSystem,
  log: TrialLog,
  display: StageDisplay,
): Promise<"delivered"> {
  await display.stage("master", "starting", () => system.ready());
  const message = await sendTestMessage(options.port, display);
  await followMessage(message, paths, log, display);
  return "delivered";
}

/** What to do next. */
function instructions({ port }: TrialOptions, paths: TrialPaths): string {
  const python = `import smtplib; smtplib.SMTP("127.0.0.1", ${port}).sendmail("me@example.test", ` +
    `["anybody@example.test"], "Subject: hello\\n\\nIt works.")`;
  return `
The mail system is up on 127.0.0.1:${port}. Try it:

  swaks --server 127.0.0.1 --port ${port} --from me@example.test --to anybody@example.test
  python3 -c '${python}'

Every LOCALPART at localhost and example.test is a mailbox, but for those that begin with "unknown".
  mail lands in   ${paths.mail}/LOCALPART/new/
  the log is in   ${paths.log}
  the sandboxes   deno run -A main.ts -c ${paths.configuration} sandbox
  the queue       deno run -A main.ts -c ${paths.configuration} mailq

Ctrl-C ends it.
`;
}
