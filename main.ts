/**
 * NAME
 *   postern - the dispatcher: runs one of Postern's programs
 *
 * DESCRIPTION
 *   `deno run -A main.ts [-c CONF_DIR] PROGRAM ARGUMENTS`. CONF_DIR holds main.toml and master.toml; without it the
 *   environment variable MAIL_CONFIG names it, and without that it is /etc/postern. An installed program that has the
 *   name of one of the programs needs no PROGRAM.
 *
 * DIAGNOSTICS
 *   A program's error is one line, `PROGRAM: what is wrong`, on standard error, and its exit status.
 *
 * @module
 */
// Safe primitives
import { programArguments } from "./lib/safe/arguments.ts";
import { basename, resolve } from "./lib/safe/path.ts";
import { currentDirectory, environmentVariable, hasRaisedIdentity, runtimePath } from "./lib/safe/process.ts";
import { exitProcess, writeError } from "./lib/safe/stdio.ts";
// Utility
import { didYouMean } from "./lib/config/nearest.ts";
import { encodeText } from "./lib/vstring/byte_builder.ts";
// This program
import { type Command, CommandError, makeEnv } from "./commands/command.ts";

/** Where the configuration is unless somebody says otherwise. */
const CONFIG_DIRECTORY = "/etc/postern";

/** Exit status of a command line that makes no sense. */
const USAGE_STATUS = 64;

/** A program: what it is for, and its code, loaded when it is asked for. */
interface Program {
  readonly purpose: string;
  /** The import is literal, so that it belongs to the module graph and needs no permission. */
  load(): Promise<{ readonly run: Command }>;
}

// One row per line, so that two people's rows do not collide.
// deno-fmt-ignore
const PROGRAMS: ReadonlyMap<string, Program> = new Map<string, Program>([
  ["abort", { purpose: "ends the mail system at once", load: () => import("./commands/abort.ts") }],
  ["check", { purpose: "says what is wrong with the configuration", load: () => import("./commands/check.ts") }],
  ["crash-states", { purpose: "tries out what a power cut may leave", load: () => import("./commands/crash_states.ts") }],
  ["explain", { purpose: "says what would become of a message", load: () => import("./commands/explain.ts") }],
  ["filter", { purpose: "runs a mail filter of one's own on one message", load: () => import("./commands/filter.ts") }],
  ["flush", { purpose: "tries every queued message now", load: () => import("./commands/flush.ts") }],
  ["import", { purpose: "takes over the configuration or the queue of a Postfix", load: () => import("./commands/import.ts") }],
  ["mailq", { purpose: "lists the queue", load: () => import("./commands/mailq.ts") }],
  ["newaliases", { purpose: "checks the alias tables", load: () => import("./commands/newaliases.ts") }],
  ["postalias", { purpose: "checks and queries alias tables", load: () => import("./commands/postalias.ts") }],
  ["postcat", { purpose: "prints queue files", load: () => import("./commands/postcat.ts") }],
  ["postconf", { purpose: "shows and changes parameters and services", load: () => import("./commands/postconf.ts") }],
  ["postdrop", { purpose: "takes mail into maildrop/, for sendmail", load: () => import("./commands/postdrop.ts") }],
  ["postkick", { purpose: "wakes a service of the mail system", load: () => import("./commands/postkick.ts") }],
  ["postlock", { purpose: "runs a command while a mailbox is locked", load: () => import("./commands/postlock.ts") }],
  ["postlog", { purpose: "writes lines to the log", load: () => import("./commands/postlog.ts") }],
  ["postmap", { purpose: "checks and queries lookup tables", load: () => import("./commands/postmap.ts") }],
  ["postmulti", { purpose: "works on several instances of the mail system", load: () => import("./commands/postmulti.ts") }],
  ["postqueue", { purpose: "lists and flushes the queue", load: () => import("./commands/postqueue.ts") }],
  ["postsuper", { purpose: "holds, releases, removes queued mail", load: () => import("./commands/postsuper.ts") }],
  ["posttls-finger", { purpose: "looks at the TLS of a server", load: () => import("./commands/posttls_finger.ts") }],
  ["qshape", { purpose: "shows domains and ages of queued mail", load: () => import("./commands/qshape.ts") }],
  ["reload", { purpose: "takes a changed configuration", load: () => import("./commands/reload.ts") }],
  ["saslpasswd", { purpose: "makes a line of the password file for logins", load: () => import("./commands/saslpasswd.ts") }],
  ["sandbox", { purpose: "prints what each daemon may touch", load: () => import("./commands/sandbox.ts") }],
  ["sendmail", { purpose: "posts mail", load: () => import("./commands/sendmail.ts") }],
  ["smtp-sink", { purpose: "swallows mail, for tests", load: () => import("./commands/smtp_sink.ts") }],
  ["smtp-source", { purpose: "makes mail, for tests", load: () => import("./commands/smtp_source.ts") }],
  ["start", { purpose: "starts the mail system", load: () => import("./commands/start.ts") }],
  ["start-fg", { purpose: "starts it in the foreground", load: () => import("./commands/start_fg.ts") }],
  ["status", { purpose: "says whether it runs, and how", load: () => import("./commands/status.ts") }],
  ["stop", { purpose: "ends the mail system", load: () => import("./commands/stop.ts") }],
  ["trial", { purpose: "runs a mail system to try, without installation", load: () => import("./commands/trial.ts") }],
]);

/** What the command line asks for. */
export type Request =
  | {
    readonly kind: "program";
    readonly name: string;
    readonly configDirectory: string;
    readonly args: readonly string[];
  }
  | { readonly kind: "wrong"; readonly why: string };

/**
 * Reads the command line.
 *
 * @param invokedAs file name of what was started: a program's own name when it is installed under it
 * @param environment the value of MAIL_CONFIG
 */
export function readRequest(
  invokedAs: string,
  args: readonly string[],
  environment: string | undefined,
  directory: string,
): Request {
  let configDirectory = resolve(directory, environment ?? CONFIG_DIRECTORY);
  if (PROGRAMS.has(invokedAs)) return { kind: "program", name: invokedAs, configDirectory, args };
  let at = 0;
  if (args[0] === "-c") {
    if (args[1] === undefined || args[1] === "") return { kind: "wrong", why: "option -c needs a directory" };
    configDirectory = resolve(directory, args[1]);
    at = 2;
  }
  const name = args[at];
  if (name === undefined) return { kind: "wrong", why: "no program is named" };
  if (!PROGRAMS.has(name)) {
    const nearest = didYouMean(name, PROGRAMS.keys());
    return {
      kind: "wrong",
      why: `there is no program "${name}"${nearest === undefined ? "" : `: ${nearest}`}`,
    };
  }
  return {
    kind: "program",
    name,
    configDirectory,
    args: args.slice(at + 1),
  };
}

/** How the dispatcher is used, and every program. */
export function usage(): string {
  const names = [...PROGRAMS].map(([name, { purpose }]) => `  ${name.padEnd(12)} ${purpose}\n`);
  return `usage: postern [-c CONF_DIR] PROGRAM ARGUMENTS\n\n${names.join("")}`;
}

/** Runs the program; its exit status. */
async function dispatch(request: Request): Promise<number> {
  if (request.kind === "wrong") {
    say(`postern: fatal: ${request.why}\n${usage()}`);
    return USAGE_STATUS;
  }
  const { name, configDirectory, args } = request;
  try {
    const { run } = await PROGRAMS.get(name)!.load();
    return await run(args, makeEnv(name, configDirectory));
  } catch (error) {
    say(`${name}: ${describeError(error)}\n`);
    return error instanceof CommandError ? error.status : 1;
  }
}

/** What the line of a program says that ended with an error. */
function describeError(error: unknown): string {
  if (error instanceof CommandError) return error.message;
  if (!(error instanceof Error)) return `panic: ${error}`;
  // An error of the system has a text for people; any other is a fault of ours and shows where it happened.
  return error.message.startsWith("Cannot ")
    ? `fatal: ${error.message}`
    : `panic: ${error.stack ?? error.message}`;
}

function say(text: string): void {
  writeError(encodeText(text));
}

if (import.meta.main) {
  const request = readRequest(
    basename(runtimePath()),
    programArguments(),
    // A program with a group of its own is told nothing by the environment of whoever runs it.
    hasRaisedIdentity() ? undefined : environmentVariable("MAIL_CONFIG"),
    currentDirectory(),
  );
  exitProcess(await dispatch(request));
}
