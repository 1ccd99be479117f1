/**
 * NAME
 *   master - the supervisor of the mail system
 *
 * DESCRIPTION
 *   Reads and checks main.toml and master.toml, binds every socket, and starts each daemon as its own process with
 *   the flags that its declaration and the configuration give (lib/server/sandbox.ts). Network services run from
 *   the start; others are started when a client comes. A process that dies is replaced, later and later if it dies
 *   young; one that is silent is killed; idle ones end by themselves. Started with `-c DIRECTORY` and, for a log in
 *   a file, `--log FILE`; otherwise the log goes to standard error. With `--attached yes` it ends when its standard
 *   input does: the sign that whoever started it is gone.
 *
 *   Before anything starts it mends the queue: directories, owners, modes; files whose name or place is not the right
 *   one, as `postsuper -s` does; unfinished files of incoming/ go, damaged ones are kept in corrupt/. So a queue that was
 *   copied, and that of a Postfix that is stopped, can be taken as it is.
 *
 *   SIGHUP reads the configuration again: what did not change goes on undisturbed, replaced processes finish their
 *   work. SIGTERM and SIGINT end the mail system; so does the end of master itself, as every child watches its
 *   standard input.
 *
 * SECURITY
 *   The only process with all permissions. It reads configuration, the password file and short status lines of its
 *   children, and never network data or message content. Children are not believed: a request for a mailbox helper
 *   is checked against the configuration (master_helper.ts).
 *
 * DIAGNOSTICS
 *   A wrong configuration, a port in use or a second master: said on standard error, nothing is started, status 1.
 *   Later: "process NAME pid N exit status M", "bad command startup -- throttling", "security event".
 *
 * PARAMETERS
 *   daemon_watchdog_timeout, default_process_limit, mail_owner, max_idle, max_use, net_owner, queue_directory,
 *   service_throttle_time, syslog_name, log_format; of daemons that have a watchdog of their own: postscreen_watchdog_timeout,
 *   qmgr_daemon_timeout, tlsproxy_watchdog_timeout
 *
 * LIMITS
 *   Finding the number of a listener's descriptor takes Linux's /proc.
 *   daemon_watchdog_timeout and the like count as 10 seconds when they are less: daemons say every 5 that they are well.
 *   A new queue_directory takes a stop and a start; so does an address that overlaps with one in use.
 *
 * @module
 */
// Safe primitives
import { openLogDescriptor, runtimePath } from "../../lib/safe/process.ts";
import { exitProcess, inputChunks, onSignal, onUncaughtError, processId } from "../../lib/safe/stdio.ts";
// Utility
import { describeProblem } from "../../lib/config/problem.ts";
import { fatal, type Logger, makeLogger, panic } from "../../lib/log/log.ts";
// Server skeleton
import { locateCode } from "../../lib/server/code_location.ts";
import { systemFacts } from "../../lib/server/system_facts.ts";
import { programArguments } from "../../lib/safe/arguments.ts";
// This program
import { MasterLock } from "./master_lock.ts";
import { StatusFile } from "./master_status.ts";
import { ConfigurationError, Supervisor } from "./master_supervisor.ts";

/** What the command line says. */
interface Options {
  readonly directory: string;
  readonly logFile: string | undefined;
  /** Ends with its standard input. */
  readonly attached: boolean;
}

function parseOptions(args: readonly string[]): Options {
  let directory = "/etc/postern";
  let logFile: string | undefined;
  let attached = false;
  for (let i = 0; i < args.length; i += 2) {
    const value = args[i + 1];
    if (value === undefined) throw new Error(`Cannot start: option ${args[i]} needs a value`);
    if (args[i] === "-c") directory = value;
    else if (args[i] === "--log") logFile = value;
    else if (args[i] === "--attached") attached = value === "yes";
    else throw new Error(`Cannot start: unknown option ${args[i]}`);
  }
  return { directory, logFile, attached };
}

/** Runs the mail system until a signal ends it. */
async function main(options: Options, early: Logger): Promise<void> {
  const errors = options.logFile === undefined ? "inherit" : openLogDescriptor(options.logFile, 0o600);
  const supervisor = new Supervisor(options.directory, locateCode(runtimePath()), errors, early);
  const { log } = supervisor;
  const queue = supervisor.configuration.settings.queue_directory;
  const lock = MasterLock.take(queue, processId());
  await supervisor.prove();
  supervisor.begin();
  const status = new StatusFile(queue, supervisor);
  log.info(`daemon started -- configuration ${options.directory}`);
  onSignal("SIGHUP", () => void supervisor.reload().catch((error) => panic(log, error)));
  let stopping = false;
  const stop = (why: string) => {
    if (stopping) return;
    stopping = true;
    log.info(`terminating on ${why}`);
    supervisor.stop().then(() => {
      status.remove();
      lock.release();
      log.flush();
      exitProcess(0);
    }, (error) => panic(log, error));
  };
  onSignal("SIGTERM", () => stop("signal SIGTERM"));
  onSignal("SIGINT", () => stop("signal SIGINT"));
  if (options.attached) inputEnd().then(() => stop("end of standard input"), (error) => panic(log, error));
}

/** Resolves at the end of standard input, whatever stands before it. */
async function inputEnd(): Promise<void> {
  const chunks = inputChunks()[Symbol.asyncIterator]();
  while (!(await chunks.next()).done);
}

const log = makeLogger({
  program: "master",
  syslogName: "postfix",
  hostName: systemFacts().hostName,
  format: "postfix",
});
onUncaughtError((error) => panic(log, error));
try {
  await main(parseOptions(programArguments()), log);
} catch (error) {
  if (error instanceof ConfigurationError) {
    for (const problem of error.problems) {
      log.error(describeProblem(problem));
    }
  }
  fatal(log, error instanceof Error ? error.message : String(error));
}
