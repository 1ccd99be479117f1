/**
 * # tlsrpt
 *
 * Counts what became of TLS with servers, and reports it daily to those who ask for it.
 *
 * ## Description
 * Serves the `tlsrpt` protocol of lib/proto/tls_protocols.ts: smtp tells it, where smtp_tlsrpt_enable is set, of each server
 * that it spoke with whether TLS was as the domain's policy (DANE, MTA-STS, or none) wants it, and else what was wrong.
 *
 * Results are counted by day (UTC), domain and policy, and kept in a file for each day in tlsrpt/ below queue_directory.
 * When a day is over, each domain with a record at `_smtp._tls.DOMAIN` gets its report: JSON, compressed, as mail or by
 * HTTPS, as the record says. Domains that cannot be asked are asked again for two days.
 *
 * ## Security
 * Domains and what they say of themselves are strangers' words. An address to report to is plain or not used; a web server
 * must have the certificate of an authority (https_CAfile, or the system's list) for its name and an address that is the
 * public internet, unless https_trusted_addresses names it. Domains, policies and kinds of failures are bounded.
 *
 * It may reach https_port outside, dns, cleanup, and its own directory.
 *
 * ## Standards
 * RFC 8460 (TLSRPT).
 *
 * ## Diagnostics
 * A line for each report. Warnings: reports that could not be sent, damaged files.
 *
 * ## Parameters
 * https_CAfile, https_port, https_trusted_addresses, myhostname, queue_directory, tlsrpt_contact, tlsrpt_organization.
 *
 * ## Known limits
 * Reports are signed (DKIM) by whoever signs mail from here, or not at all. A report that a server does not take is not
 * sent again by HTTPS; mail is tried like all mail.
 *
 * @module
 */
// Mail
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { CLEANUP, DNS } from "../../lib/proto/protocols.ts";
import { TLSRPT } from "../../lib/proto/tls_protocols.ts";
// Wire protocols
import { readAnchors } from "../../lib/tls/client_material.ts";
// Server skeleton
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";
import { DayStore } from "./tlsrpt_counts.ts";
import { TlsrptService } from "./tlsrpt_service.ts";

/** How often what is new goes to disk, and days that are over are looked for, seconds. */
const SAVE_INTERVAL = 60;
const REPORT_INTERVAL = 600;

await runIpcDaemon(SERVICE, TLSRPT, (context) => {
  const { settings, log, clientTls } = context;
  const service = new TlsrptService({
    store: new DayStore(`${settings.queue_directory}/tlsrpt`, (text) => log.warning(text)),
    dns: new DnsClient(context.client(DNS, "dns")),
    cleanup: context.client(CLEANUP, "cleanup"),
    log,
    by: {
      organization: settings.tlsrpt_organization,
      contact: settings.tlsrpt_contact,
      submitter: settings.myhostname,
    },
    anchors: readAnchors(clientTls.authorities),
    port: settings.https_port,
    trusted: settings.https_trusted_addresses,
    now: Date.now,
    randomId: () => crypto.randomUUID(),
  });
  const report = () => service.report().catch((error) => context.trouble("reporting", error));
  context.every(SAVE_INTERVAL, () => service.save());
  context.every(REPORT_INTERVAL, report);
  context.onRetire(() => service.save());
  context.onEnd(() => service.save());
  report();
  return (exchange, { is: _, ...result }) => {
    service.count(result);
    exchange.reply("taken", {});
    return Promise.resolve();
  };
});
