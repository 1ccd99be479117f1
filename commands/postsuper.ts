/**
 * # postsuper
 *
 * Removes, holds, releases, expires and requeues messages; repairs the queue's structure.
 *
 * ## Description
 * `postsuper [-psS] [-d ID] [-e ID] [-f ID] [-h ID] [-H ID] [-r ID] [QUEUE...]`. ID is a queue id, `ALL` for every
 * message of the queues, or `-` for ids on standard input, one per line. Each option may be given many times. QUEUE
 * restricts the work to these queues.
 *
 * - `-d`: delete (hold, incoming, active, deferred, maildrop). `-h`: put on hold (incoming, active, deferred).
 *   `-H`: release from hold to deferred. `-r`: requeue by way of maildrop, so that addresses are rewritten again
 *   (hold, incoming, active, deferred). `-e`: expire at the next attempt; `-f`: the same, and release from hold.
 * - `-s`: structure check: files whose id does not hold their inode number get the right name, their logs with
 *   them; files in the wrong place are moved; subdirectories that are not needed go. `-S`: also for long ids.
 * - `-p`: remove unfinished files of more than seven days. `-s -p` is what is done when no option is given.
 *
 * Works without the mail system. Where it runs, a message that is being delivered may be delivered all the same.
 *
 * ## Security
 * For the superuser and the queue's owner only; the superuser's process becomes the queue's owner before it touches
 * the queue. Names come from directories that only the owner writes, except maildrop. Only regular files with one
 * link and a valid id are touched; links are never followed.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * One line for each message that is named by its id, and the counts, on standard error and in the log.
 *
 * ## Parameters
 * enable_long_queue_ids, hash_queue_depth, hash_queue_names, maillog_file, queue_directory, syslog_name.
 *
 * ## Known limits
 * Queue ids are used again: between look and deed an id may come to name another message.
 *
 * @module
 */
// Safe primitives
import { lookAt } from "../lib/safe/file.ts";
import { becomeUser } from "../lib/safe/login.ts";
import { ownUid } from "../lib/safe/process.ts";
// Utility
import { LF } from "../lib/vstring/ascii.ts";
import { ByteBuilder, decodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { QueueDirectory } from "../lib/mail/queue_directory.ts";
import { type QueueId, toQueueId } from "../lib/mail/queue_id.ts";
// Server skeleton
import { purgeQueues, repairQueues, STRUCTURE_QUEUES } from "../lib/server/queue_structure.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { type GivenOption, parseOptions } from "./options.ts";
import { type ActionName, ACTIONS, type MessageQueue, MessageWorker } from "./postsuper_message.ts";
import { CommandLog, type Reporter } from "./postsuper_report.ts";

const USAGE = "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] " +
  "[-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] " +
  "[-r queue_id (requeue)] [-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]";
const EVERY_MESSAGE = "ALL";
const FROM_INPUT = "-";
/** Longest line on standard input, bytes. */
const LINE_LIMIT = 1024;
/** The letters that name messages, in the order in which the work is done when it is on all of them. */
const ORDER: readonly ActionName[] = ["e", "f", "h", "H", "r", "d"];

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "c:d:e:f:h:H:pr:sSv");
  if (parsed.kind === "invalid") throw new CommandError(`${parsed.why}\npostsuper: fatal: ${USAGE}`);
  const { options, operands } = parsed;
  const directoryOption = options.findLast(({ letter }) => letter === "c")?.value;
  if (directoryOption !== undefined && !directoryOption.startsWith("/")) {
    throw new CommandError("fatal: -c requires absolute pathname");
  }
  const configuration = (directoryOption === undefined ? env : makeEnv(env.programName, directoryOption))
    .config();
  const { queue_directory, hash_queue_names, hash_queue_depth, enable_long_queue_ids } =
    configuration.settings;
  for (const name of operands) {
    if (!STRUCTURE_QUEUES.some((queue) => queue === name)) {
      throw new CommandError(`fatal: invalid directory name: ${printable(name)}`);
    }
  }
  using log = new CommandLog(env, configuration);
  becomeOwner(queue_directory);
  const directory = new QueueDirectory(queue_directory, hash_queue_names, hash_queue_depth);
  const letters = new Set(
    options.map(({ letter }) => letter).filter((letter) => letter !== "c" && letter !== "v"),
  );
  const structure = {
    directory,
    hashed: new Set(hash_queue_names),
    depth: hash_queue_depth,
    longIds: enable_long_queue_ids,
    queues: STRUCTURE_QUEUES.filter((queue) => operands.length === 0 || operands.includes(queue)),
    report: log,
  };
  if (letters.size === 0 || letters.has("p")) purgeQueues(structure);
  if (letters.size === 0 || letters.has("s") || letters.has("S")) {
    const renamed = repairQueues({ ...structure, redundant: letters.has("S") });
    // The ids on the command line may name other messages now; ALL means the same messages as before.
    if (renamed > 0 && options.some(({ letter, value }) => isAction(letter) && value !== EVERY_MESSAGE)) {
      throw new CommandError("fatal: CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND");
    }
  }
  await workOnMessages(options, operands, directory, log, env);
  return 0;
}

function isAction(letter: string): boolean {
  return ORDER.some((action) => action === letter);
}

/** Only the queue's owner works on the queue: what root made there, the daemons could not touch. */
function becomeOwner(root: string): void {
  const uid = ownUid();
  const owner = lookAt(`${root}/incoming`);
  if (owner === undefined || owner.kind !== "directory") {
    throw new CommandError(`fatal: there is no queue in ${root}`);
  }
  if (owner.uid === uid) return;
  if (uid !== 0) throw new CommandError("fatal: use of this command is reserved for the superuser");
  becomeUser({ uid: owner.uid, gid: owner.gid, name: `uid ${owner.uid}` });
}

/** Single messages in the order of the command line, then every message, one kind of work after the other. */
async function workOnMessages(
  options: readonly GivenOption[],
  operands: readonly string[],
  directory: QueueDirectory,
  report: Reporter,
  env: CommandEnv,
): Promise<void> {
  const worker = new MessageWorker(directory, report);
  const queuesOf = (letter: ActionName): readonly MessageQueue[] =>
    operands.length === 0
      ? ACTIONS[letter].queues
      : ACTIONS[letter].queues.filter((queue) => operands.includes(queue));
  let input: readonly string[] | undefined;
  for (const { letter, value } of options) {
    const action = ORDER.find((name) => name === letter);
    if (action === undefined) continue;
    worker.asked(action);
    if (value === EVERY_MESSAGE) continue;
    const queues = queuesOf(action);
    if (value !== FROM_INPUT) workOnOne(value, action, queues, worker, report);
    else {
      // Standard input can be read once: it is for the first option that asks for it.
      const lines: readonly string[] = input === undefined ? await readLines(env) : [];
      input ??= lines;
      for (const line of lines) workOnOne(line, action, queues, worker, report);
    }
  }
  for (const action of ORDER) {
    const all = options.some(({ letter, value }) => letter === action && value === EVERY_MESSAGE);
    if (all) worker.all(action, queuesOf(action));
  }
  worker.summary();
}

function workOnOne(
  name: string,
  letter: ActionName,
  queues: readonly MessageQueue[],
  worker: MessageWorker,
  report: Reporter,
): void {
  const id: QueueId | undefined = toQueueId(name);
  if (id === undefined) report.warning(`invalid mail queue id: ${printable(name)}`);
  else worker.one(letter, id, queues);
}

/** The lines of standard input; what is over a line's limit makes it no queue id. */
async function readLines(env: CommandEnv): Promise<string[]> {
  const lines: string[] = [];
  const line = new ByteBuilder(LINE_LIMIT);
  for await (const chunk of env.stdin()) {
    for (const byte of chunk) {
      if (byte === LF) {
        lines.push(decodeText(line.view()));
        line.clear();
      } else if (line.room > 0) line.byte(byte);
    }
  }
  if (line.length > 0) lines.push(decodeText(line.view()));
  return lines;
}
