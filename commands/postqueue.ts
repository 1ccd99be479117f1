/**
 * # postqueue
 *
 * Lists the queue and asks for deliveries.
 *
 * ## Description
 * - `postqueue -p`: a table of the queue; `*` marks a message in the active queue, `!` one on hold, `#` one that is
 *   to expire at once. `mailq` is the same.
 * - `postqueue -j`: one JSON object per message.
 * - `postqueue -f`: try every message now. `postqueue -i QUEUE_ID`: try this one now.
 * - `postqueue -s SITE`: try now what the flush daemon knows to wait for this domain; it must be one of
 *   fast_flush_domains.
 *
 * When the mail system is down, the superuser and the queue's owner get the listing from the files themselves.
 *
 * ## Security
 * Everybody may run it; authorized_mailq_users and authorized_flush_users say whose request is heard. That is a
 * courtesy and no fence: who can reach the sockets below public/ can speak to them with a program of his own. What
 * strangers sent is printed with control characters replaced.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * Exit status 0; 69 when the mail system is down or the request makes no sense; 77 for who is not allowed to.
 *
 * ## Parameters
 * authorized_flush_users, authorized_mailq_users, duplicate_filter_limit, empty_address_recipient,
 * enable_long_queue_ids, fast_flush_domains, hash_queue_depth, hash_queue_names, mail_owner,
 * parent_domain_matches_subdomains, queue_directory, queue_service_name.
 *
 * @module
 */
// Safe primitives
import { connectUnixChannel } from "../lib/safe/channel.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { IpcClient, IpcError } from "../lib/ipc/client.ts";
import { asciiLower } from "../lib/vstring/ascii.ts";
import { printable } from "../lib/vstring/printable.ts";
import { parseDomainList } from "../lib/table/match_list.ts";
import { openTableSoftly } from "../lib/table/open.ts";
import { parentStyle } from "../lib/table/parameter_lists.ts";
// Mail
import { isValidHostname, parseAddressLiteral } from "../lib/mail/domain.ts";
import { QueueDirectory } from "../lib/mail/queue_directory.ts";
import { toQueueId } from "../lib/mail/queue_id.ts";
import { listQueues } from "../lib/mail/queue_listing.ts";
// Protocols
import { sendSite } from "../lib/proto/flush_client.ts";
import { FLUSH, QMGR, SHOWQ } from "../lib/proto/protocols.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";
import { authorize, currentUser, isPrivileged, listHas, type QueueUser } from "./postqueue_access.ts";
import { JsonPrinter, type PrintedMessage, type QueuePrinter, TablePrinter } from "./postqueue_print.ts";
import { EX } from "./sysexits.ts";
import { sendTrigger } from "./trigger.ts";

type Settings = Configuration["settings"];
type Take = (message: PrintedMessage) => void;

const USAGE = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";
const SHOWQ_SERVICE = "showq";
const FLUSH_SERVICE = "flush";
/** Forget dead destinations, scan deferred and incoming with all times ignored. */
const FLUSH_BYTES = "FADI";
/** Seconds that the queue manager may take to be reached. */
const REACH_TIMEOUT = 10;
const DOWN = "mail system is down";

/** What is asked for. */
interface PostqueueRequest {
  readonly mode: string;
  readonly value: string;
  readonly configDirectory: string | undefined;
}

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const { mode, value, configDirectory } = readRequest(args);
  const { settings } = (configDirectory === undefined ? env : makeEnv(env.programName, configDirectory))
    .config();
  const user = currentUser();
  switch (mode) {
    case "p":
    case "j":
      await authorize("authorized_mailq_users", "view", settings, user);
      await list(mode, settings, user, env);
      return EX.OK;
    case "f":
      await authorize("authorized_flush_users", "flush", settings, user);
      await flushAll(settings);
      return EX.OK;
    case "i":
      await authorize("authorized_flush_users", "flush", settings, user);
      await flushOne(value, settings);
      return EX.OK;
    default:
      await authorize("authorized_flush_users", "flush", settings, user);
      await flushSite(value, settings);
      return EX.OK;
  }
}

/** Reads the command line: exactly one of the modes. */
function readRequest(args: readonly string[]): PostqueueRequest {
  const parsed = parseOptions(args, "c:fi:jps:v");
  if (parsed.kind === "invalid") {
    throw new CommandError(`${parsed.why}\npostqueue: fatal: ${USAGE}`, EX.UNAVAILABLE);
  }
  const modes = parsed.options.filter(({ letter }) => letter !== "c" && letter !== "v");
  const [first] = modes;
  if (first === undefined || modes.length > 1 || parsed.operands.length > 0) {
    throw new CommandError(`fatal: ${USAGE}`, EX.UNAVAILABLE);
  }
  const configDirectory = parsed.options.findLast(({ letter }) => letter === "c")?.value;
  return { mode: first.letter, value: first.value, configDirectory };
}

async function list(mode: "p" | "j", settings: Settings, user: QueueUser, env: CommandEnv): Promise<void> {
  const printer: QueuePrinter = mode === "j"
    ? new JsonPrinter(settings.empty_address_recipient, env.out)
    : new TablePrinter(settings.enable_long_queue_ids, settings.empty_address_recipient, env.out);
  const take: Take = (message) => printer.message(message);
  const path = socketPath(settings, SHOWQ_SERVICE);
  const why = await unreachable(path);
  if (why === undefined) await listRemote(path, take);
  else if (isPrivileged(user, settings)) {
    env.err(
      `${env.programName}: warning: Mail system is down -- accessing queue directly ` +
        `(Connect to the Postern showq service: ${why})\n`,
    );
    listDirectly(settings, take, env);
  } else {
    throw new CommandError(
      `fatal: Queue report unavailable - ${DOWN} (Connect to the Postern showq service: ${why})`,
      EX.UNAVAILABLE,
    );
  }
  printer.end();
}

/** Takes the listing from showq, page by page. */
function listRemote(path: string, take: Take): Promise<void> {
  const client = new IpcClient(SHOWQ, path);
  return new Promise<void>((resolve, reject) => {
    const exchange = client.open(
      (reply) => {
        switch (reply.is) {
          case "message":
            return take(reply);
          case "page":
            return exchange.send("more", {});
          case "end":
            return resolve();
          default:
            reply satisfies never;
        }
      },
      (error) =>
        reject(new CommandError(`fatal: Queue report unavailable - ${error.message}`, EX.UNAVAILABLE)),
    );
    exchange.send("list", {});
  }).finally(() => client.close());
}

function listDirectly(settings: Settings, take: Take, env: CommandEnv): void {
  const { queue_directory, hash_queue_names, hash_queue_depth, duplicate_filter_limit } = settings;
  const directory = new QueueDirectory(queue_directory, hash_queue_names, hash_queue_depth);
  const warn = (text: string) => env.err(`${env.programName}: warning: ${printable(text)}\n`);
  for (const message of listQueues(directory, { duplicateLimit: duplicate_filter_limit, warn })) {
    take(message);
  }
}

async function flushAll(settings: Settings): Promise<void> {
  const path = socketPath(settings, settings.queue_service_name);
  const sent = await sendTrigger(QMGR, path, "trigger", { bytes: FLUSH_BYTES }, REACH_TIMEOUT);
  if (sent.kind === "failed") throw cannotFlush();
  // Lists of destinations are gone through as well; without flush daemon there are none.
  await sendTrigger(FLUSH, socketPath(settings, FLUSH_SERVICE), "purge", {}, REACH_TIMEOUT);
}

async function flushOne(name: string, settings: Settings): Promise<void> {
  if (toQueueId(name) === undefined) {
    throw new CommandError(
      `fatal: Cannot flush queue ID - invalid name: "${printable(name)}"`,
      EX.UNAVAILABLE,
    );
  }
  await deliver(name, settings);
}

async function flushSite(site: string, settings: Settings): Promise<void> {
  const domain = asciiLower(site);
  if (!isValidHostname(domain, { utf8: true }) && parseAddressLiteral(domain) === undefined) {
    throw new CommandError(
      `fatal: Cannot flush mail queue - invalid destination: "${printable(site)}"`,
      EX.UNAVAILABLE,
    );
  }
  const list = parseDomainList(settings.fast_flush_domains, {
    parents: parentStyle("fast_flush_domains", settings.parent_domain_matches_subdomains),
    name: "fast_flush_domains",
    open: (spec) => openTableSoftly(spec),
  });
  if (!await listHas(list, "domain", domain)) throw notConfigured(site);
  const path = socketPath(settings, FLUSH_SERVICE);
  if (await unreachable(path) !== undefined) throw cannotFlush();
  const client = new IpcClient(FLUSH, path);
  const status = await sendSite(client, domain).finally(() => client.close());
  switch (status) {
    case "ok":
      return;
    case "denied":
      throw notConfigured(site);
    case "bad":
      throw new CommandError(`fatal: Invalid request: "${printable(site)}"`, EX.UNAVAILABLE);
    case "fail":
      throw cannotFlush();
    default:
      status satisfies never;
  }
}

/** Asks the queue manager to try a message now; one that is gone by then needs nothing. */
async function deliver(queueId: string, settings: Settings): Promise<void> {
  const path = socketPath(settings, settings.queue_service_name);
  if (await unreachable(path) !== undefined) throw cannotFlush();
  const client = new IpcClient(QMGR, path);
  try {
    await client.call("deliver", { queueId, unthrottle: true });
  } catch (error) {
    if (error instanceof IpcError) throw cannotFlush();
    throw error;
  } finally {
    client.close();
  }
}

function notConfigured(site: string): CommandError {
  return new CommandError(
    `fatal: Flush service is not configured for destination "${printable(site)}"`,
    EX.UNAVAILABLE,
  );
}

function cannotFlush(): CommandError {
  return new CommandError(`fatal: Cannot flush mail queue - ${DOWN}`, EX.UNAVAILABLE);
}

function socketPath(settings: Settings, service: string): string {
  return `${settings.queue_directory}/public/${service}`;
}

/** Why nobody listens at a socket, or undefined: a client would wait a while for a service that is being started. */
async function unreachable(path: string): Promise<string | undefined> {
  const made = await connectUnixChannel(path);
  if (made.kind === "failed") return made.why;
  made.channel.destroy();
  return undefined;
}
