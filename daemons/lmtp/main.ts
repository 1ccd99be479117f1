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
 * wanted; dane and dane-only, what TLSA records of the host say (lmtp_dns_support_level), not for unix sockets. What is demanded and not to be had
 * defers the mail (4.7.4, 4.7.5); it never goes in the clear. At level may a server whose handshake fails gets mail that is
 * older than minimal_backoff_time in the clear.
 *
 * REQUIRETLS is passed on to servers that offer it; lmtp_requiretls_policy may demand more, as smtp_requiretls_policy does.
 *
 * With lmtp_sasl_auth_enable the client logs in to servers that have an entry in lmtp_sasl_password_maps, with the best of
 * SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN and LOGIN that the security options allow. A login that is refused keeps the
 * mail.
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
 * double_bounce_sender, error_notice_recipient, hash_queue_depth, hash_queue_names, header_address_token_limit,
 * header_from_format, header_size_limit, ignore_mx_lookup_error, inet_interfaces, inet_protocols,
 * info_log_address_format, internal_mail_filter_classes, known_tcp_ports, line_length_limit, lmtp_address_preference,
 * lmtp_address_verify_target, lmtp_assume_final, lmtp_balance_inet_protocols, lmtp_bind_address, lmtp_bind_address6,
 * lmtp_bind_address_enforce, lmtp_body_checks, lmtp_cname_overrides_servername, lmtp_connect_timeout,
 * lmtp_connection_cache_destinations, lmtp_connection_cache_on_demand, lmtp_connection_cache_time_limit,
 * lmtp_connection_reuse_count_limit, lmtp_connection_reuse_time_limit, lmtp_data_done_timeout,
 * lmtp_data_init_timeout, lmtp_data_xfer_timeout, lmtp_defer_if_no_mx_address_found, lmtp_delivery_status_filter,
 * lmtp_discard_lhlo_keyword_address_maps, lmtp_discard_lhlo_keywords, lmtp_dns_reply_filter, lmtp_dns_support_level,
 * lmtp_fallback_relay, lmtp_generic_maps, lmtp_header_checks, lmtp_host_lookup, lmtp_lhlo_name, lmtp_lhlo_timeout,
 * lmtp_line_length_limit, lmtp_mail_timeout, lmtp_mime_header_checks, lmtp_min_data_rate, lmtp_mx_address_limit,
 * lmtp_mx_session_limit, lmtp_nested_header_checks, lmtp_per_request_deadline, lmtp_pix_workaround_delay_time,
 * lmtp_pix_workaround_maps, lmtp_pix_workaround_threshold_time, lmtp_pix_workarounds, lmtp_quit_timeout,
 * lmtp_quote_rfc821_envelope, lmtp_randomize_addresses, lmtp_rcpt_timeout, lmtp_reply_filter, lmtp_rset_timeout,
 * lmtp_sasl_auth_cache_name, lmtp_sasl_auth_cache_time, lmtp_sasl_auth_enable, lmtp_sasl_auth_soft_bounce,
 * lmtp_sasl_mechanism_filter, lmtp_sasl_password_maps, lmtp_sasl_password_result_delimiter,
 * lmtp_sasl_security_options, lmtp_sasl_tls_security_options, lmtp_sasl_tls_verified_security_options,
 * lmtp_send_xforward_command, lmtp_sender_dependent_authentication, lmtp_skip_5xx_greeting, lmtp_skip_quit_response,
 * lmtp_starttls_timeout, lmtp_tcp_port, lmtp_tls_CAfile, lmtp_tls_CApath, lmtp_tls_block_early_mail_reply,
 * lmtp_tls_cert_file, lmtp_tls_chain_files, lmtp_tls_ciphers, lmtp_tls_eccert_file, lmtp_tls_eckey_file,
 * lmtp_tls_enforce_sts_mx_patterns, lmtp_tls_exclude_ciphers, lmtp_tls_fingerprint_cert_match,
 * lmtp_tls_fingerprint_digest, lmtp_tls_force_insecure_host_tlsa_lookup, lmtp_tls_key_file, lmtp_tls_loglevel,
 * lmtp_tls_mandatory_ciphers, lmtp_tls_mandatory_exclude_ciphers, lmtp_tls_mandatory_protocols,
 * lmtp_tls_note_starttls_offer, lmtp_tls_policy_maps, lmtp_tls_protocols, lmtp_tls_scert_verifydepth,
 * lmtp_tls_secure_cert_match, lmtp_tls_security_level, lmtp_tls_servername, lmtp_tls_trust_anchor_file,
 * lmtp_tls_verify_cert_match, lmtp_tls_wrappermode, lmtp_xforward_timeout, local_transport, mail_name,
 * mime_boundary_length_limit, mime_nesting_limit, minimal_backoff_time, myhostname, notify_classes,
 * propagate_unmatched_extensions, proxy_interfaces, queue_directory, relay_transport, relayhost,
 * smtp_trusted_nexthops, smtputf8_autodetect_classes, soft_bounce, tls_append_default_CA, tls_dane_digests,
 * virtual_transport.
 *
 * ## Known limits
 * As smtp(8). The path of a unix socket must be absolute.
 *
 * @module
 */
// Safe primitives
import { systemAddresses } from "../../lib/safe/process.ts";
// Internal protocols
import { DELIVERY } from "../../lib/proto/protocols.ts";
// Wire protocols
import { lmtpPolicy } from "../../lib/smtp/client_policy.ts";
import { RequireTlsPolicy } from "../../lib/smtp/client_requiretls.ts";
import { OutgoingRules } from "../../lib/smtp/client_rewrite.ts";
import { saslConfiguration } from "../../lib/smtp/client_sasl.ts";
import { ClientTables } from "../../lib/smtp/client_tables.ts";
import { lmtpTlsConfiguration } from "../../lib/smtp/client_tls_settings.ts";
// Server skeleton
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { mailClient } from "../../lib/server/mail_client.ts";
// This program
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, DELIVERY, (context) => {
  const { settings, log } = context;
  return mailClient(context, {
    policy: lmtpPolicy(settings, systemAddresses),
    rules: (services) => OutgoingRules.from("lmtp", settings, services, (text) => log.warning(text)),
    tables: (maps) => ClientTables.from("lmtp", settings, maps, log),
    tls: lmtpTlsConfiguration(settings, context.clientTls),
    requireTls: (maps) =>
      RequireTlsPolicy.from("lmtp", settings, settings.myhostname, maps, (text) => log.warning(text)),
    sasl: saslConfiguration("lmtp", settings),
  });
});
