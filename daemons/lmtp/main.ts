/**
 * # lmtp
 *
 * Hands mail to mailbox servers with LMTP: the smtp program with another dialect.
 *
 * ## Description
 * As smtp(8), with these differences. A destination is `unix:/absolute/path`, `inet:host`, `inet:host:service`,
 * `inet:[address]:service`, or the host without `inet:`; MX hosts are never looked up. The server is greeted with
 * LHLO, and answers for each recipient at the end of the message: each answer is judged on its own. Meeting our own
 * address is no loop, as the mailbox server usually runs on this host.
 *
 * lmtp_tls_security_level and lmtp_tls_policy_maps say how much TLS is demanded of a server: none; may, TLS where it is
 * offered; encrypt; fingerprint; verify and secure, a certificate of an authority in lmtp_tls_CAfile for a name that is
 * wanted. What is demanded and not to be had
 * defers the mail (4.7.4, 4.7.5); it never goes in the clear. At level may a server whose handshake fails gets mail that is
 * older than minimal_backoff_time in the clear.
 *
 * ## Security
 * As smtp(8). Private addresses are open to the destinations that the configuration names, which for LMTP are usually
 * all.
 *
 * The TLS handshake proves that a server has the key of the certificate that it shows; who vouches for the certificate is
 * decided here, by rules that openssl's are compared with. What a server says in the clear behind its answer to STARTTLS
 * ends the session. The client's key and the authorities' certificates are read by master: this process opens none of
 * their files.
 *
 * ## Standards
 * RFC 2033 (LMTP), and those of smtp(8).
 *
 * ## Diagnostics
 * As smtp(8).
 *
 * ## Parameters
 * default_transport, delay_logging_resolution_limit, disable_dns_lookups, disable_mime_output_conversion,
 * hash_queue_depth, hash_queue_names, header_address_token_limit, header_size_limit, ignore_mx_lookup_error,
 * inet_interfaces, inet_protocols, info_log_address_format, known_tcp_ports, lmtp_address_preference,
 * lmtp_address_verify_target, lmtp_balance_inet_protocols, lmtp_body_checks, lmtp_connect_timeout,
 * lmtp_connection_cache_on_demand, lmtp_connection_cache_time_limit, lmtp_connection_reuse_count_limit,
 * lmtp_connection_reuse_time_limit, lmtp_data_done_timeout, lmtp_data_init_timeout, lmtp_data_xfer_timeout,
 * lmtp_defer_if_no_mx_address_found, lmtp_discard_lhlo_keywords, lmtp_dns_support_level, lmtp_fallback_relay,
 * lmtp_generic_maps, lmtp_header_checks, lmtp_lhlo_name, lmtp_lhlo_timeout, lmtp_line_length_limit,
 * lmtp_mail_timeout, lmtp_mime_header_checks, lmtp_min_data_rate, lmtp_mx_address_limit, lmtp_mx_session_limit,
 * lmtp_nested_header_checks, lmtp_per_request_deadline, lmtp_quit_timeout, lmtp_quote_rfc821_envelope,
 * lmtp_randomize_addresses, lmtp_rcpt_timeout, lmtp_rset_timeout, lmtp_skip_5xx_greeting, lmtp_skip_quit_response,
 * lmtp_starttls_timeout, lmtp_tcp_port, lmtp_tls_CAfile, lmtp_tls_CApath, lmtp_tls_block_early_mail_reply,
 * lmtp_tls_cert_file, lmtp_tls_chain_files, lmtp_tls_ciphers, lmtp_tls_eccert_file, lmtp_tls_eckey_file,
 * lmtp_tls_enforce_sts_mx_patterns, lmtp_tls_exclude_ciphers, lmtp_tls_fingerprint_cert_match,
 * lmtp_tls_fingerprint_digest, lmtp_tls_force_insecure_host_tlsa_lookup, lmtp_tls_key_file, lmtp_tls_loglevel,
 * lmtp_tls_mandatory_ciphers, lmtp_tls_mandatory_exclude_ciphers, lmtp_tls_mandatory_protocols,
 * lmtp_tls_note_starttls_offer, lmtp_tls_policy_maps, lmtp_tls_protocols, lmtp_tls_scert_verifydepth,
 * lmtp_tls_secure_cert_match, lmtp_tls_security_level, lmtp_tls_servername, lmtp_tls_trust_anchor_file,
 * lmtp_tls_verify_cert_match, lmtp_tls_wrappermode, local_transport, mime_boundary_length_limit, mime_nesting_limit,
 * minimal_backoff_time, myhostname, propagate_unmatched_extensions, proxy_interfaces, queue_directory,
 * relay_transport, relayhost, smtp_trusted_nexthops, soft_bounce, tls_append_default_CA, tls_dane_digests,
 * virtual_transport.
 *
 * ## Known limits
 * As smtp(8). The path of a unix socket must be absolute.
 *
 * @module
 */
// Safe primitives
import { systemAddresses } from "../../lib/safe/process.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { DELIVERY, DNS, PROXYMAP, REWRITE } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
// Wire protocols
import { ClientAgent, type DeliveryExchange } from "../../lib/smtp/client_agent.ts";
import { SessionCache } from "../../lib/smtp/client_cache.ts";
import { lmtpPolicy } from "../../lib/smtp/client_policy.ts";
import { OutgoingRules } from "../../lib/smtp/client_rewrite.ts";
import { ClientTls } from "../../lib/smtp/client_tls.ts";
import { TlsPolicyFinder } from "../../lib/smtp/client_tls_policy.ts";
import { lmtpTlsConfiguration } from "../../lib/smtp/client_tls_settings.ts";
// Server skeleton
import type { Request } from "../../lib/ipc/protocol.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";

/** Makes the agent and serves it. */
function start(
  context: Context<typeof SERVICE>,
): (exchange: DeliveryExchange, request: Request<typeof DELIVERY>) => Promise<void> {
  const { settings, log } = context;
  const policy = lmtpPolicy(settings, systemAddresses);
  const cache = new SessionCache(policy, (error) => context.trouble("closing a connection", error));
  const dns = new DnsClient(context.client(DNS, "dns"));
  const queue = new QueueDirectory(
    settings.queue_directory,
    settings.hash_queue_names,
    settings.hash_queue_depth,
  );
  const trouble = (what: string, error: unknown) => context.trouble(what, error);
  const services = () => ({
    maps: new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    rewrite: new RewriteClient(context.client(REWRITE, "rewrite")),
  });
  const rules = OutgoingRules.from("lmtp", settings, services, (text) => log.warning(text));
  const configuration = lmtpTlsConfiguration(settings, context.clientTls);
  const finder = new TlsPolicyFinder({
    configuration,
    myHostName: policy.myHostName,
    maps: () => new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    dns,
    warn: (text) => log.warning(text),
  });
  const tls = new ClientTls(configuration, finder, policy, log);
  const tools = { policy, dns, cache, tls, log, random: Math.random, rules, trouble };
  const agent = new ClientAgent(tools, queue);
  return (exchange, request) => agent.handle(exchange, request);
}

await runIpcDaemon(SERVICE, DELIVERY, start);
