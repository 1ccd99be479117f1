/**
 * NAME
 *   verify - remembers which addresses exist
 *
 * DESCRIPTION
 *   smtpd asks it about addresses (reject_unverified_sender, reject_unverified_recipient). It answers what is known, and
 *   has an address probed of which nothing is known, or nothing that is new enough: a message without content goes through
 *   cleanup and qmgr to the agent that would deliver mail for it, which says what would become of it and delivers nothing.
 *   qmgr tells the result.
 *
 *   A good result counts for address_verify_positive_expire_time, any other for address_verify_negative_expire_time; when an
 *   address is asked for that was last probed more than address_verify_positive_refresh_time or
 *   address_verify_negative_refresh_time ago, the old result is told and a probe is sent. A failed probe does not make an
 *   address bad that was good, before that has expired.
 *
 *   What is known stands in a file (address_verify_map), a line for each change, and is read again at start.
 *
 * SECURITY
 *   It talks to smtpd, qmgr and cleanup; addresses are strangers' choice. It reads and writes verify/ of the queue and
 *   nothing else, and reaches no network. What it remembers is bounded: 100,000 addresses, of which those go first that
 *   nobody asked for for longest; address_verify_pending_request_limit probes are under way at once. Probes go to hosts
 *   that senders name: that makes this system send traffic for others, so probe senders only where a restriction has been
 *   passed that few strangers pass.
 *
 * STANDARDS
 *   None.
 *
 * DIAGNOSTICS
 *   Warnings: a file that cannot be read or written (what is learned is then forgotten with the process), a probe that
 *   cannot be sent.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   The file is one of Postern's own: Postfix's is not read.
 *
 * @module
 */
// Utility
import { CLEANUP, VERIFY } from "../../lib/proto/protocols.ts";
// Server skeleton
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";
import { VerifyCache } from "./verify_cache.ts";
import { VerifyJournal } from "./verify_journal.ts";
import { VerifyService, type VerifySettings } from "./verify_service.ts";

/** What stands before the path of the file. */
const TYPE = "journal:";
/** Seconds between two writes. */
const WRITE_INTERVAL = 1;

/** The file, which must be where the sandbox lets us write; undefined: there is none. */
function journalPath(
  { address_verify_map: map, queue_directory }: VerifySettings,
  refused: (why: string) => void,
): string | undefined {
  if (map === "") return undefined;
  const directory = `${queue_directory}/verify/`;
  const name = map.slice(TYPE.length + directory.length);
  if (map.startsWith(TYPE + directory) && name !== "" && !name.includes("/")) return map.slice(TYPE.length);
  const other = `${directory}cache`;
  refused(`address_verify_map: "${map}" is no file in ${directory} (journal:PATH) -- using ${other}`);
  return other;
}

await runIpcDaemon(SERVICE, VERIFY, (context) => {
  const { settings, log } = context;
  const path = journalPath(settings, (why) => log.warning(why));
  const journal = path === undefined ? undefined : new VerifyJournal(path, log);
  const times = {
    positiveExpire: settings.address_verify_positive_expire_time * 1000,
    positiveRefresh: settings.address_verify_positive_refresh_time * 1000,
    negativeExpire: settings.address_verify_negative_expire_time * 1000,
    negativeRefresh: settings.address_verify_negative_refresh_time * 1000,
  };
  const cache = new VerifyCache(
    times,
    settings.address_verify_negative_cache,
    (address, known) => journal?.note(address, known),
  );
  journal?.read((address, known) => cache.load(address, known));
  const write = async () => await journal?.write(() => cache.entries());
  context.every(WRITE_INTERVAL, write);
  context.onRetire(write);
  context.onEnd(write);
  const interval = settings.address_verify_cache_cleanup_interval;
  if (interval > 0) context.every(interval, () => cache.clean(Date.now()));
  const cleanup = context.client(CLEANUP, "cleanup");
  const service = new VerifyService({ settings, cache, cleanup, log, now: Date.now });
  return (exchange, message) => service.handle(exchange, message);
});
