/**
 * # qshape
 *
 * Prints how the messages of the queue are spread over domains and ages.
 *
 * ## Description
 * `qshape [-lps] [-b BUCKETS] [-t MINUTES] [-m SUBDOMAINS] [-w WIDTH] [-N MESSAGES] [-n DOMAINS] [QUEUE...]` counts
 * recipients by domain and by the age of their message, and prints a table: a row for each domain, the busiest first, a
 * column for each interval of age. Without QUEUE: the queues incoming and active. An absolute path is used as it is.
 *
 * - `-s`: senders in the place of recipients. `-p`: also parent domains, with a dot in front, that have at least
 *   SUBDOMAINS (`-m`, 5) subdomains.
 * - `-b`: intervals (10). `-t`: minutes of the first one (5). Each is twice as long as the one before; `-l`: all are
 *   of the same length.
 * - `-w`: columns of the terminal, from 80 on. `-N`, `-n`: on a terminal, show what was counted after every so many
 *   messages (1000), and only so many rows (20).
 *
 * ## Security
 * For who may read the queue: the superuser and the queue's owner. It writes nothing. Domains are printed with control
 * characters replaced.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * Files that are no complete queue files are passed over in silence, as they come and go while it looks.
 *
 * ## Parameters
 * queue_directory.
 *
 * ## Known limits
 * None.
 *
 * @module
 */
// Safe primitives
import { outputIsTerminal } from "../lib/safe/stdio.ts";
// Utility
import { parseDecimal } from "../lib/vstring/ascii.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { QueueShape, type ShapeOptions } from "./qshape_count.ts";
import { queueFiles, readShape } from "./qshape_file.ts";

const USAGE = `Usage: qshape [ -s ] [ -p ] [ -m <min_subdomains> ] [ -l ]
\t[ -b <bucket_count> ] [ -t <bucket_time> ] [ -w <terminal_width> ]
\t[ -N <batch_msg_count> ] [ -n <batch_top_domains> ]
\t[ -c <config_dir> ] [ <queue_name> ... ]
The 's' option shows sender domain counts.
The 'p' option shows address counts by for parent domains.
Parent domains are shown with a leading '.' before the domain name.
Parent domains are only shown if the domain is not a TLD, and at
least <min_subdomains> (default 5) subdomains are shown in the output.

The bucket age ranges in units of <bucket_time> minutes are
[0,1), [1,2), [2,4), [4,8), [8, 16), ... i.e.:
\tthe first bucket is [0, bucket_time) minutes
\tthe second bucket is [bucket_time, 2*bucket_time) minutes
\tthe third bucket is [2*bucket_time, 4*bucket_time) minutes...
'-l' makes the ages linear, the number of buckets shown is <bucket_count>

The default summary is for the incoming and active queues. An explicit
list of queue names can be given on the command line. Non-absolute queue
names are interpreted relative to the queue directory. Use
<config_dir> to specify a non-default instance.
`;
const USAGE_STATUS = 255;
/** Clears a terminal. */
const CLEAR = "\x1b[H\x1b[2J";
const QUEUES = ["incoming", "active"] as const;
const DEFAULT_MINUTES = 5;
/** Most intervals: each is a column. */
const BUCKETS_MOST = 1000;

/** What the command line says. */
interface Request {
  readonly shape: ShapeOptions;
  readonly senders: boolean;
  /** Show what was counted after so many messages; 0: only at the end. */
  readonly batch: number;
  readonly configDirectory: string | undefined;
  readonly queues: readonly string[];
}

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const request = readRequest(args, outputIsTerminal());
  const shape = new QueueShape(request.shape);
  const now = Math.floor(Date.now() / 1000);
  let messages = 0;
  const print = () => env.out(`${request.batch > 0 ? CLEAR : ""}${shape.print()}`);
  for (const folder of foldersOf(request, env)) {
    for (const path of queueFiles(folder)) {
      const found = readShape(path);
      if (found === undefined) continue;
      shape.add(now - found.time, request.senders ? [found.sender] : found.recipients);
      if (request.batch > 0 && ++messages % request.batch === 0) print();
    }
  }
  print();
  return 0;
}

function readRequest(args: readonly string[], terminal: boolean): Request {
  const parsed = parseOptions(args, "lhc:psw:b:t:m:n:N:");
  if (parsed.kind === "invalid") throw new CommandError(`${parsed.why}\n${USAGE}`, USAGE_STATUS);
  const given = new Map(parsed.options.map(({ letter, value }) => [letter, value]));
  if (given.has("h")) throw new CommandError(USAGE, USAGE_STATUS);
  const number = (letter: string, least: number, otherwise: number, most = Number.MAX_SAFE_INTEGER) => {
    const value = parseDecimal(given.get(letter) ?? "", most);
    return value === undefined || value < least ? otherwise : value;
  };
  return {
    shape: {
      width: number("w", 81, 80),
      buckets: number("b", 1, 10, BUCKETS_MOST),
      minutes: minutesOf(given.get("t")),
      subdomains: number("m", 1, 5),
      linear: given.has("l"),
      parents: given.has("p"),
      rows: terminal ? number("n", 0, 20) : 0,
    },
    senders: given.has("s"),
    batch: terminal ? number("N", 0, 1000) : 0,
    configDirectory: given.get("c"),
    queues: parsed.operands.length > 0 ? parsed.operands : QUEUES,
  };
}

/** Minutes may be a fraction. */
function minutesOf(text: string | undefined): number {
  const minutes = Number(text ?? "");
  return Number.isFinite(minutes) && minutes > 0 ? minutes : DEFAULT_MINUTES;
}

/** The configuration is read only where a queue is named without its path. */
function foldersOf({ queues, configDirectory }: Request, env: CommandEnv): string[] {
  if (queues.every((name) => name.startsWith("/"))) return [...queues];
  const configured = configDirectory === undefined ? env : makeEnv(env.programName, configDirectory);
  const root = configured.config().settings.queue_directory;
  return queues.map((name) => name.startsWith("/") ? name : `${root}/${name}`);
}
