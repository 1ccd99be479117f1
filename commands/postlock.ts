/**
 * # postlock
 *
 * Runs a command while a mailbox file is locked.
 *
 * ## Synopsis
 * `postlock [-c CONF_DIR] [-l LOCK_STYLE] [-v] FILE COMMAND [ARGUMENT ...]`
 *
 * ## Description
 * Locks FILE as the local delivery agent does, runs COMMAND without a shell, and unlocks. FILE is made if it does not
 * exist. `-l` names the locks in place of mailbox_delivery_lock: `dotlock`, `flock`, `fcntl`, separated by commas.
 *
 * ## Security
 * Runs with its caller's rights. FILE must be a regular file with one link.
 *
 * ## Diagnostics
 * The status is that of COMMAND; 75 when the lock or the command was not to be had.
 *
 * ## Parameters
 * deliver_lock_attempts, deliver_lock_delay, mailbox_delivery_lock, stale_lock_time.
 *
 * ## Known limits
 * Deno has no fcntl lock: where one is asked for, flock and a dotlock are used, as in local delivery.
 *
 * @module
 */
// Safe primitives
import { runAttached } from "../lib/safe/attached.ts";
import { SystemError } from "../lib/safe/error.ts";
import { safeCreate, type SafeFile, safeOpen } from "../lib/safe/file.ts";
// Utility
import { splitBlanks } from "../lib/vstring/ascii.ts";
// Mail
import { Dotlock, lockFile, lockKinds, type LockPolicy } from "../lib/mail/mailbox_lock.ts";
import { MailboxError } from "../lib/mail/mailbox_outcome.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { EX } from "./sysexits.ts";

/** Permission bits of a mailbox that is made. */
const MAILBOX_MODE = 0o600;
const STYLES: readonly string[] = ["dotlock", "flock", "fcntl"];

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "c:l:v");
  if (parsed.kind === "invalid") throw usage();
  const [path, command, ...rest] = parsed.operands;
  if (path === undefined || command === undefined) throw usage();
  const given = new Map(parsed.options.map((option) => [option.letter, option.value]));
  const directory = given.get("c");
  const { settings } = (directory === undefined ? env : makeEnv(env.programName, directory)).config();
  const style = given.get("l");
  const words = style === undefined ? settings.mailbox_delivery_lock : splitBlanks(style, true);
  if (words.length === 0 || !words.every((word) => STYLES.includes(word))) {
    throw new CommandError(`fatal: unknown lock style: ${words.join(", ")}`, EX.TEMPFAIL);
  }
  const policy: LockPolicy = {
    attempts: settings.deliver_lock_attempts,
    delay: settings.deliver_lock_delay,
    stale: settings.stale_lock_time,
    ...lockKinds(words),
  };
  try {
    return await withLock(path, policy, () => runAttached(command, rest));
  } catch (error) {
    if (!(error instanceof MailboxError) && !(error instanceof SystemError)) throw error;
    throw new CommandError(`fatal: ${error.message}`, EX.TEMPFAIL);
  }
}

/** Does the work while the mailbox is locked; the dotlock first, then the file, as in delivery. */
export async function withLock(
  path: string,
  policy: LockPolicy,
  work: () => Promise<number>,
): Promise<number> {
  const dotlock = policy.dotlock ? await Dotlock.acquire(path, policy) : undefined;
  try {
    using file = openMailbox(path);
    if (policy.flock) await lockFile(file, policy);
    return await work();
  } finally {
    dotlock?.release();
  }
}

function openMailbox(path: string): SafeFile {
  const opened = safeOpen(path, { access: "append" });
  if (opened.kind === "opened") return opened.file;
  if (opened.kind === "refused") throw new SystemError("open", path, new Error(`it ${opened.why}`));
  const made = safeCreate(path, MAILBOX_MODE);
  if (made.kind === "exists") throw new SystemError("create", path, new Error("name is taken"));
  return made.file;
}

function usage(): CommandError {
  return new CommandError(
    "fatal: usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...",
    EX.TEMPFAIL,
  );
}
