/**
 * # import
 *
 * Takes over what another mail system left: the configuration of a Postfix, or the queue of one that is stopped.
 *
 * ## Description
 * `postern import DIR`: makes main.toml and master.toml of the main.cf and master.cf in DIR. Files of tables in DIR are
 * copied beside them. For each setting one line says whether it was carried over, has another form, is left out as
 * nothing is lost, or is not supported, and what to do then. What Postern would refuse is left out, so that the result
 * loads; it is then checked as `postern check` does. Nothing that is there already is overwritten.
 *
 * `postern import --queue DIR`: copies every message of the queues incoming, active, deferred, hold and maildrop below
 * DIR, with its defer, bounce and trace logs, into Postern's own queue. Recipients that are done stay done, what is on
 * hold stays on hold, what is deferred keeps the time of its next attempt. Postern delivers it once it is started.
 *
 * A message counts as taken over when its copy is on the disk; the original is then moved to DIR/imported/, out of
 * reach of the old system, and never removed. An import that was cut off is finished by the next one.
 *
 * Files that cannot be read as a message go to Postern's corrupt queue. Unfinished files (nobody got a 250 for them),
 * files in use and files that are no regular ones stay where they are. Both are listed.
 *
 * ## Security
 * For the superuser, or the owner of both queues. The import of a queue holds the lock of both masters as long as it
 * runs. Copies are made in a folder that only the superuser may enter; links are never followed. The import of a
 * configuration needs no privilege beyond reading the one and writing the other; copies keep their modes.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * Of a queue: one line for each message, with its new id and its old one, on standard error and in the log; then the
 * counts. Exit status 1 when something was left where it was. Of a configuration: the report on standard output, what
 * `check` finds on standard error. Exit status 1 when it finds an error.
 *
 * ## Parameters
 * enable_long_queue_ids, hash_queue_depth, hash_queue_names, mail_owner, maillog_file, queue_directory, syslog_name.
 *
 * ## Known limits
 * Lists for `postqueue -s` (the flush directory) are not taken over; nor are comments of main.cf and master.cf.
 *
 * @module
 */
// Safe primitives
import { lookAt, realPath, safeCreate, type SafeFile, safeOpen } from "../lib/safe/file.ts";
import { findUser, ownUid } from "../lib/safe/process.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { QueueDirectory } from "../lib/mail/queue_directory.ts";
// Server skeleton
import { prepareQueue, type QueueOwner } from "../lib/server/prepare_queue.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { takeConfigurationOver } from "./import_write.ts";
import { type ImportCounts, IMPORTED_QUEUES, importQueue } from "./import_queue.ts";
import { CommandLog, type Reporter } from "./postsuper_report.ts";

const USAGE = "usage: import DIR, or import --queue DIR";

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const [option, source, ...rest] = args;
  if (option !== undefined && !option.startsWith("-") && source === undefined) {
    return await takeConfigurationOver(option, env);
  }
  if (option !== "--queue" || source === undefined || rest.length > 0) {
    throw new CommandError(`fatal: ${USAGE}`);
  }
  const configuration = env.config();
  using log = new CommandLog(env, configuration);
  return await takeOver(source, configuration, log);
}

async function takeOver(given: string, configuration: Configuration, log: Reporter): Promise<number> {
  const { settings } = configuration;
  const source = realPath(given);
  if (source === undefined || lookAt(`${source}/incoming`)?.kind !== "directory") {
    throw new CommandError(`fatal: there is no queue in ${printable(given)}`);
  }
  if (source === realPath(settings.queue_directory)) {
    throw new CommandError(
      `fatal: ${source} is Postern's own queue: start Postern, and it is taken as it is`,
    );
  }
  const owner = queueOwner(settings);
  prepareQueue(settings.queue_directory, owner, log);
  using _theirs = holdQueue(source, "the mail system of that queue is running: stop it first");
  using _ours = holdQueue(settings.queue_directory, "Postern is running: stop it first");
  const counts = await importQueue({
    source,
    target: new QueueDirectory(
      settings.queue_directory,
      settings.hash_queue_names,
      settings.hash_queue_depth,
    ),
    longIds: settings.enable_long_queue_ids,
    owner,
    run: new Date().toISOString().replaceAll(":", "."),
    report: log,
  });
  summarize(counts, source, log);
  return counts.left === 0 ? 0 : 1;
}

/** Whom files are given to: with users of its own for the daemons, only the superuser can do that. */
function queueOwner(settings: Configuration["settings"]): QueueOwner | undefined {
  if (settings.mail_owner === "") return undefined;
  const user = findUser(settings.mail_owner);
  if (user === undefined) {
    throw new CommandError(`fatal: there is no user "${settings.mail_owner}" (mail_owner)`);
  }
  if (user.uid === ownUid()) return undefined;
  if (ownUid() !== 0) throw new CommandError("fatal: use of this command is reserved for the superuser");
  return user;
}

/** Takes the lock that a master holds as long as it runs, Postfix's and ours alike: neither starts meanwhile. */
function holdQueue(root: string, why: string): SafeFile {
  const path = `${root}/pid/master.pid`;
  const opened = safeOpen(path, { access: "read" });
  if (opened.kind === "refused") throw new CommandError(`fatal: ${path} ${opened.why}`);
  const made = opened.kind === "opened" ? opened : safeCreate(path, 0o644);
  if (made.kind === "exists") throw new CommandError(`fatal: ${path} appeared: ${why}`);
  if (made.file.tryLock("exclusive")) return made.file;
  made.file.close();
  throw new CommandError(`fatal: ${why}`);
}

function summarize(counts: ImportCounts, source: string, log: Reporter): void {
  const say = (count: number) => `${count} message${count === 1 ? "" : "s"}`;
  for (const queue of IMPORTED_QUEUES) log.info(`${queue}: ${say(counts.taken.get(queue) ?? 0)} taken over`);
  if (counts.corrupt > 0) log.warning(`${say(counts.corrupt)} saved in the corrupt queue`);
  if (counts.left > 0) log.warning(`${counts.left} file${counts.left === 1 ? "" : "s"} left in ${source}`);
  if (lookAt(`${source}/imported`) === undefined) return;
  log.info(`the originals are below ${source}/imported: remove them when all is well`);
}
