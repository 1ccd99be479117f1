/**
 * NAME
 *   anvil - counts what each client does at all servers of a service
 *
 * DESCRIPTION
 *   smtpd tells it when a client connects and goes, and of each message, recipient, new TLS session and AUTH command. It
 *   answers how many connections the client has, and how often it did the same in this unit of time (anvil_rate_time_unit,
 *   a fixed window that begins with the first event after the last has run out). What is too much is smtpd's to say
 *   (smtpd_client_*_limit); a client is what shares the first bits of an address (smtpd_client_ipv4_prefix_length,
 *   smtpd_client_ipv6_prefix_length). Clients of smtpd_client_event_limit_exceptions are not counted: nobody asks for them,
 *   and this process is started with the first client that is no exception.
 *
 *   Every anvil_status_update_time, and when the mail system stops, it logs who did most.
 *
 * SECURITY
 *   It talks to servers only, and touches nothing: no file, no network. What it knows is in memory and bounded: 100,000
 *   clients, of which those go first that have been away for longest, so that a flood from many addresses costs it no more
 *   than that.
 *
 * DIAGNOSTICS
 *   "statistics: max connection rate 1/60s for (smtp:192.0.2.7) at Nov 28 16:39:08" and the like, as Postfix.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   A restart forgets the counts. After a reload, connections that were there before are counted by the process before
 *   until they end. With a time unit of hours a client that comes back within it is remembered as long.
 *
 * @module
 */
// Utility
import { logTime } from "../../lib/log/log.ts";
// Server skeleton
import { ANVIL } from "../../lib/proto/protocols.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { AnvilCounts } from "./anvil_counts.ts";
import { handleAnvil } from "./anvil_service.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, ANVIL, (context) => {
  const { settings, log } = context;
  const counts = new AnvilCounts(settings.anvil_rate_time_unit);
  const report = () => {
    for (const line of counts.report(logTime)) log.info(line);
  };
  // What was counted is known for a unit of time, also when nobody asks meanwhile.
  context.keepCounts(settings.anvil_rate_time_unit);
  context.every(settings.anvil_status_update_time, report);
  context.onEnd(() => Promise.resolve(report()));
  context.onRetire(() => Promise.resolve(report()));
  return (exchange, message) => handleAnvil(counts, exchange, message);
});
