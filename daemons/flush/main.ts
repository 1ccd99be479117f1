/**
 * NAME
 *   flush - keeps lists of what waits for a destination
 *
 * DESCRIPTION
 *   qmgr tells it of each message that is deferred, for every destination among the message's deferred recipients. For
 *   the destinations of fast_flush_domains it keeps a list of queue ids each, in flush/, so that ETRN, `postqueue -s`
 *   and `sendmail -qR` need not look through the queue: they ask it for a destination, and it asks qmgr for the
 *   messages of that list, whatever qmgr knows of the destination, and empties the list.
 *
 *   When it is woken up it asks for the messages of lists that were not read for fast_flush_refresh_time, with
 *   destinations in trouble left alone, and removes lists that have been empty for fast_flush_purge_time.
 *   `postqueue -f` makes it go through all lists.
 *
 * SECURITY
 *   Everybody on the system may ask it, as everybody may run postqueue; smtpd decides who may by ETRN. It reads and
 *   writes flush/ and nothing else: a destination's name becomes a file name of letters, digits and `_`. It knows
 *   messages by their ids alone.
 *
 * STANDARDS
 *   RFC 1985 (ETRN)
 *
 * DIAGNOSTICS
 *   Warnings: a list that cannot be read or written, a line in one that is no queue id.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   A list may name messages that are gone, and one message more than once. A message of a list is tried for all its
 *   recipients, not only those at the destination. A destination is what stands behind the `@` of a recipient, not the
 *   next hop that a transport table makes of it.
 *
 * @module
 */
// Server skeleton
import { FLUSH, PROXYMAP, QMGR } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { FlushService } from "./flush_service.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, FLUSH, (context) => {
  const { settings, log } = context;
  const service = new FlushService({
    settings,
    maps: new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    qmgr: context.client(QMGR, "qmgr"),
    log,
  });
  context.onWakeup(() => service.refresh());
  return (exchange, message) => service.handle(exchange, message);
});
