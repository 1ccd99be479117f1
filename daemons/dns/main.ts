/**
 * # dns
 *
 * Answers name lookups for the other daemons; the only process that may reach the resolver.
 *
 * ## Description
 * Serves the `dns` protocol of lib/proto/protocols.ts: A, AAAA, CNAME, MX, NS, PTR, SRV, TLSA and TXT, with the response
 * code as it was, the AD bit and the time to live. It is a stub resolver: it asks the recursive server that the
 * configuration or /etc/resolv.conf names, over UDP from a random port with a random id, over TCP when the answer
 * does not fit, three times at most (2, 3 and 5 seconds). Aliases are followed, ten at most. Answers are kept for
 * their time to live (a day at most; that there is none, for the SOA's minimum and an hour at most), 10,000 answers
 * and 32 MiB at most. Identical questions at the same time are one question on the network.
 *
 * `SERVFAIL`, `REFUSED`, silence and broken messages are each told apart from "no such name": a resolver's bad hour
 * delays mail and never bounces it.
 *
 * ## Security
 * Reads packets that anybody may have forged. Only a packet from the server's address and port, with the id and the
 * question of the query, is looked at. Every record is held to its declared length; one that does not fit it is
 * left out. A host name in an answer that is no host name (RFC 952, RFC 1123) is left out and logged. Counts, sizes,
 * pointers and aliases are bounded. The process may reach one address and port, and no file.
 *
 * What it says is as true as the resolver and the way to it: `authenticated` means that a resolver on this host (a loopback
 * address) says so. One elsewhere is not believed in this, as anybody on the way could say it: DANE needs a resolver that
 * validates on this host.
 *
 * ## Standards
 * RFC 1035 (DNS), RFC 2181 (clarifications), RFC 2308 (negative caching), RFC 2782 (SRV), RFC 5452 (forgery
 * resilience), RFC 6698 (TLSA), RFC 6840 (AD in queries), RFC 6891 (EDNS), RFC 7505 (null MX), RFC 7766 (TCP).
 *
 * ## Diagnostics
 * Warnings: a server that does not answer, malformed messages, malformed host names, too many lookups at once.
 * Fatal: a resolver setting that is no address.
 *
 * ## Parameters
 * resolver.
 *
 * ## Known limits
 * No search list, no /etc/hosts, no DNS over TLS. Servers are tried in their order, without learning which is quick.
 *
 * @module
 */
// Utility
import { parseServers, Resolver } from "../../lib/dns/resolver.ts";
// Server skeleton
import { DNS } from "../../lib/proto/protocols.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { dnsHandler } from "./dns_service.ts";
import { SERVICE } from "./service.ts";

/** Makes the resolver and serves it. */
function start(context: Context<typeof SERVICE>): ReturnType<typeof dnsHandler> {
  const servers = parseServers(context.settings.resolver);
  return dnsHandler(new Resolver(servers, (text) => context.log.warning(text)));
}

await runIpcDaemon(SERVICE, DNS, start);
