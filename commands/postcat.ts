/**
 * # postcat
 *
 * Shows the contents of queue files.
 *
 * ## Description
 * `postcat [-bdehoqrv] [-s OFFSET] [FILE...]` prints queue files in Postfix's form, record by record: the envelope,
 * the message header, the message body, what was extracted from the header. Without FILE it reads standard input.
 *
 * - `-b`, `-e`, `-h`: show body, envelope, header; without any of them, all three.
 * - `-d`: before each record its type as a decimal number. `-o`: before each record its offset in the file.
 * - `-q`: the arguments are queue ids, to be searched for in the queue.
 * - `-s OFFSET`: begin at this offset.
 * - `-v`: name the records of the message too, and show pointers and padding. `-r`: with `-v`, in file order.
 *
 * ## Security
 * For who may read the queue: the superuser and the queue's owner. It writes nothing. Content is printed as it is,
 * control characters included: send it through a pager that shows them.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * Problems go to standard error. Exit status 0, or 1 when a file could not be read to its end.
 *
 * ## Parameters
 * hash_queue_depth, hash_queue_names, queue_directory.
 *
 * ## Known limits
 * A record of more than 64 KiB counts as damage. A file with more than one hard link is not opened.
 *
 * @module
 */
// Safe primitives
import { realPath, type SafeFile, safeOpen } from "../lib/safe/file.ts";
// Utility
import { ByteBuilder } from "../lib/vstring/byte_builder.ts";
import { parseDecimal } from "../lib/vstring/ascii.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { QueueDirectory, type QueueName } from "../lib/mail/queue_directory.ts";
import { toQueueId } from "../lib/mail/queue_id.ts";
import type { ReadAt } from "../lib/mail/record.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { type ShowOptions, showQueueFile } from "./postcat_show.ts";

const USAGE = "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] " +
  "[-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]";
/** Queues that `-q` looks in, in this order. */
const SEARCHED: readonly QueueName[] = ["maildrop", "incoming", "active", "deferred", "hold", "saved"];
/** Most bytes taken from standard input. */
const INPUT_LIMIT = 1024 * 1024 * 1024;

interface PostcatOptions {
  readonly show: ShowOptions;
  readonly fromQueue: boolean;
  readonly configDirectory: string | undefined;
  readonly operands: readonly string[];
}

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const options = readOptions(args);
  let status = 0;
  if (options.operands.length === 0) {
    const input = await readInput(env);
    const readAt: ReadAt = (buffer, offset) => {
      const piece = input.subarray(offset, offset + buffer.length);
      buffer.set(piece);
      return piece.length;
    };
    return showQueueFile(readAt, "stdin", options.show, env) ? 0 : 1;
  }
  const { configDirectory } = options;
  const configured = configDirectory === undefined ? env : makeEnv(env.programName, configDirectory);
  const find = options.fromQueue ? openQueued(configured) : openNamed;
  for (const operand of options.operands) {
    const { file: opened, name } = find(operand);
    using file = opened;
    const shown = showQueueFile((buffer, offset) => file.read(buffer, offset), name, options.show, env);
    if (!shown) status = 1;
  }
  return status;
}

function readOptions(args: readonly string[]): PostcatOptions {
  const parsed = parseOptions(args, "bc:dehoqrs:v");
  if (parsed.kind === "invalid") throw new CommandError(`${parsed.why}\npostcat: fatal: ${USAGE}`);
  const given = new Map(parsed.options.map(({ letter, value }) => [letter, value]));
  const all = !given.has("b") && !given.has("e") && !given.has("h");
  const start = parseDecimal(given.get("s") ?? "0");
  if (start === undefined) throw new CommandError(`fatal: bad offset: ${printable(given.get("s") ?? "")}`);
  return {
    show: {
      envelope: all || given.has("e"),
      header: all || given.has("h"),
      body: all || given.has("b"),
      offsets: given.has("o"),
      types: given.has("d"),
      raw: given.has("r"),
      names: given.has("v"),
      start,
    },
    fromQueue: given.has("q"),
    configDirectory: given.get("c"),
    operands: parsed.operands,
  };
}

async function readInput(env: CommandEnv): Promise<Uint8Array> {
  const input = new ByteBuilder(INPUT_LIMIT, 65536);
  for await (const chunk of env.stdin()) input.bytes(chunk);
  return input.view();
}

/** An open file, and what the markers call it. */
interface NamedFile {
  readonly file: SafeFile;
  readonly name: string;
}

/** Opens a file by its name; a link in the name is the user's own and is followed. */
function openNamed(name: string): NamedFile {
  const path = realPath(name);
  const opened = path === undefined ? { kind: "missing" } as const : safeOpen(path, { access: "read" });
  if (opened.kind === "opened") return { file: opened.file, name };
  const why = opened.kind === "missing" ? "No such file or directory" : opened.why;
  throw new CommandError(`fatal: open ${printable(name)}: ${why}`);
}

/** Opens a file by its queue id; its name is its path in the queue. */
function openQueued(env: CommandEnv): (name: string) => NamedFile {
  const { queue_directory, hash_queue_names, hash_queue_depth } = env.config().settings;
  const directory = new QueueDirectory(queue_directory, hash_queue_names, hash_queue_depth);
  return (name) => {
    const id = toQueueId(name);
    if (id === undefined) throw new CommandError(`fatal: bad mail queue ID: ${printable(name)}`);
    for (const queue of SEARCHED) {
      const path = directory.path(queue, id);
      const opened = safeOpen(path, { access: "read" });
      if (opened.kind === "opened") return { file: opened.file, name: path.slice(directory.root.length + 1) };
      if (opened.kind === "refused") throw new CommandError(`fatal: open queue file ${id}: ${opened.why}`);
    }
    throw new CommandError(`fatal: open queue file ${id}: No such file or directory`);
  };
}
