/**
 * # sts
 *
 * Fetches and keeps the MTA-STS policies of domains.
 *
 * ## Description
 * Serves the `sts` protocol of lib/proto/tls_protocols.ts: says which policy mail to a domain has to obey. smtp asks it before
 * it connects to a domain's MX hosts, where smtp_tls_sts is set.
 *
 * A domain that has a policy says so by a TXT record at `_mta-sts.DOMAIN`. The policy is fetched from
 * `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` when there is none here, when the record's id is another one, and after a
 * day; it counts for its max_age, a year at most, also when the record or the web server has gone. Policies are files in
 * sts/ below queue_directory, one for each domain. Many deliveries to a domain wait for one fetch; after a failure nobody
 * tries again for five minutes.
 *
 * ## Security
 * Reads what strangers' web servers send: the head is bounded by 16 KiB, the policy by 64 KiB, all of it by a minute. The
 * server's certificate must be that of an authority (https_CAfile, or the system's list) for `mta-sts.DOMAIN`; no
 * redirect is followed. Addresses that are not the public internet are refused, unless https_trusted_addresses names them.
 *
 * It may reach https_port outside, dns, and its own directory; a domain's name becomes a file name of letters, digits, `-`,
 * `_` and dots. A policy can make mail wait; it cannot send it anywhere else.
 *
 * ## Standards
 * RFC 8461 (MTA-STS).
 *
 * ## Diagnostics
 * A line for each policy that was fetched. Warnings: policies that could not be fetched or kept, damaged files.
 *
 * ## Parameters
 * https_CAfile, https_port, https_trusted_addresses, queue_directory.
 *
 * ## Known limits
 * The status of certificates (OCSP, CRL) is not looked up, as RFC 8461 allows.
 *
 * @module
 */
// Mail
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { DNS } from "../../lib/proto/protocols.ts";
import { STS } from "../../lib/proto/tls_protocols.ts";
// Wire protocols
import { readAnchors } from "../../lib/tls/client_material.ts";
// Server skeleton
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";
import { StsService } from "./sts_service.ts";
import { StsStore } from "./sts_store.ts";

/** How often policies whose time is over are removed, seconds. */
const PURGE_INTERVAL = 86_400;

await runIpcDaemon(SERVICE, STS, (context) => {
  const { settings, log, clientTls } = context;
  const now = () => Math.floor(Date.now() / 1000);
  const store = new StsStore(`${settings.queue_directory}/sts`, (text) => log.warning(text));
  const service = new StsService({
    dns: new DnsClient(context.client(DNS, "dns")),
    store,
    log,
    anchors: readAnchors(clientTls.authorities),
    port: settings.https_port,
    trusted: settings.https_trusted_addresses,
    now,
  });
  store.purge(now());
  context.every(PURGE_INTERVAL, () => store.purge(now()));
  return async (exchange, { domain }) => exchange.reply("policy", await service.find(domain));
});
