/**
 * NAME
 *   proxywrite - keeps caches on the disk for daemons that may write no file
 *
 * DESCRIPTION
 *   postscreen, which strangers reach, owns no file: what it knows of clients (postscreen_cache_map) is in this process,
 *   and in a file below data_directory. So are the logins that servers refused (smtp_sasl_auth_cache_name). A cache is in memory as a whole; what changes is appended to the file within a
 *   second, and a file with more old lines than new ones is written anew. What has expired is forgotten every
 *   postscreen_cache_cleanup_interval.
 *
 * SECURITY
 *   It talks to daemons of the mail system only, and reads and writes data_directory and nothing else. Keys and values are
 *   bounded, made by those daemons, and never part of a file's name. 200,000 entries for each cache, the oldest go first.
 *
 * STANDARDS
 *   None.
 *
 * DIAGNOSTICS
 *   "cache ... full cleanup: retained=N dropped=N entries". Warnings: a file that cannot be read or written. Then what
 *   would have been known is not, and clients are tested again.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   The last second before a crash is not on the disk. In Postfix it is proxymap under another name, and writes tables of
 *   any type; here it has caches only, type cache.
 *
 * @module
 */
// Server skeleton
import { CACHE } from "../../lib/proto/protocols.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { Caches } from "./proxywrite_caches.ts";
import { SERVICE } from "./service.ts";

/** Logins that servers refused are remembered for months: once a day is enough, seconds. */
const LOGIN_CLEANUP_INTERVAL = 86_400;

await runIpcDaemon(SERVICE, CACHE, (context) => {
  const { settings, log } = context;
  const logins = (["smtp_sasl_auth_cache_name", "lmtp_sasl_auth_cache_name"] as const)
    .map((map) => ({ map, table: settings[map], cleanupInterval: LOGIN_CLEANUP_INTERVAL }));
  const caches = new Caches([{
    map: "postscreen_cache_map",
    table: settings.postscreen_cache_map,
    cleanupInterval: settings.postscreen_cache_cleanup_interval,
  }, ...logins], log);
  context.every(1, () => caches.keepHouse());
  context.onEnd(() => caches.keepHouse());
  context.onRetire(() => caches.keepHouse());
  return (exchange, message) => caches.handle(exchange, message);
});
