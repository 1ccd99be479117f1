/**
 * # postkick
 *
 * Wakes a service of the running mail system.
 *
 * ## Synopsis
 * `postkick [-c CONF_DIR] [-v] CLASS SERVICE REQUEST`
 *
 * ## Description
 * Sends a request to the service at `queue_directory/CLASS/SERVICE`; CLASS is `public` or `private`. The services
 * that take requests are the queue manager (the name of parameter queue_service_name; REQUEST is a string of its
 * letters: `W` or `I` look into incoming/, `D` into deferred/, `A` whatever the files' times say, `F` forget which
 * destinations are dead) and pickup (parameter pickup_service_name; any REQUEST makes it look into maildrop/).
 *
 * ## Security
 * Runs with its caller's rights. Who may open the socket may kick; the worst is an early attempt to deliver.
 *
 * ## Diagnostics
 * Errors go to standard error as `postkick: fatal: ...`, status 1; 64 for a wrong command line.
 *
 * ## Parameters
 * pickup_service_name, queue_directory, queue_service_name, trigger_timeout.
 *
 * ## Known limits
 * Only these two services have a trigger.
 *
 * @module
 */
// Wire protocols
import { PICKUP, QMGR } from "../lib/proto/protocols.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { EX } from "./sysexits.ts";
import { sendTrigger, type Triggered } from "./trigger.ts";

/** Letters that the queue manager knows. */
const QMGR_LETTERS = "ADFIW";
/** Longest request (the protocol's own bound). */
const REQUEST_LIMIT = 64;

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "c:v");
  if (parsed.kind === "invalid") throw usage();
  const [socketClass, service, request, ...rest] = parsed.operands;
  if (service === undefined || request === undefined || rest.length > 0) throw usage();
  if (socketClass !== "public" && socketClass !== "private") {
    throw new CommandError(`fatal: unknown class "${socketClass}": public or private`, EX.USAGE);
  }
  const directory = parsed.options.findLast((option) => option.letter === "c")?.value;
  const { settings } = (directory === undefined ? env : makeEnv(env.programName, directory)).config();
  const path = `${settings.queue_directory}/${socketClass}/${service}`;
  const timeout = settings.trigger_timeout;
  let triggered: Triggered;
  if (service === settings.pickup_service_name) {
    triggered = await sendTrigger(PICKUP, path, "trigger", {}, timeout);
  } else if (service === settings.queue_service_name) {
    checkRequest(request);
    triggered = await sendTrigger(QMGR, path, "trigger", { bytes: request }, timeout);
  } else throw new CommandError(`fatal: service "${service}" takes no requests`, EX.USAGE);
  if (triggered.kind === "failed") throw new CommandError(`fatal: cannot reach ${path}: ${triggered.why}`);
  return EX.OK;
}

function checkRequest(request: string): void {
  const known = [...request].every((letter) => QMGR_LETTERS.includes(letter));
  if (request === "" || request.length > REQUEST_LIMIT || !known) {
    throw new CommandError(
      `fatal: the queue manager knows requests of the letters ${QMGR_LETTERS}`,
      EX.USAGE,
    );
  }
}

function usage(): CommandError {
  return new CommandError("fatal: usage: postkick [-c config_dir] [-v] class service request", EX.USAGE);
}
