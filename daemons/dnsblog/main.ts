/**
 * NAME
 *   dnsblog - asks DNS block lists about clients, and logs what they say
 *
 * DESCRIPTION
 *   postscreen gives it a client's address and the domain of a list (postscreen_dnsbl_sites). It asks the dns daemon for
 *   the addresses of the name that is made of both, and answers with them and with how long they hold. What they mean is
 *   postscreen's to say.
 *
 * SECURITY
 *   What a list answers was written by strangers: IPv4 addresses are looked at and nothing else, a hundred at most. It
 *   reaches the dns daemon and nobody else.
 *
 * STANDARDS
 *   RFC 5782 (DNS block lists)
 *
 * DIAGNOSTICS
 *   "addr 192.0.2.1 listed by domain list.example as 127.0.0.2", as Postfix. Warnings: a lookup that fails.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   No TXT records, as in Postfix.
 *
 * @module
 */
// Server skeleton
import { DNS, DNSBLOG } from "../../lib/proto/protocols.ts";
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { lookUpList } from "./dnsblog_lookup.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, DNSBLOG, (context) => {
  const dns = new DnsClient(context.client(DNS, "dns"));
  const delay = context.settings.dnsblog_reply_delay * 1000;
  return async (exchange, { domain, address }) => {
    const listed = await lookUpList(dns, domain, address, context.log);
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    exchange.reply("listed", listed);
  };
});
