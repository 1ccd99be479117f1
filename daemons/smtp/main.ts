/**
 * # smtp
 *
 * Sends mail to other hosts with SMTP.
 *
 * ## Description
 * Serves the `delivery` protocol of lib/proto/protocols.ts: takes one message's recipients for one destination from
 * qmgr, reads the message from queue/active, and reports what became of each recipient. One process works on many
 * requests at once.
 *
 * A destination is `domain`, `domain:service`, `[host]`, `[host]:service`, `[address]` or `[ipv6:address]`; several may
 * follow one another, then those of smtp_fallback_relay. Brackets suppress the lookup of MX hosts. Addresses are tried
 * in the order of RFC 5321 section 5.1, equal ones shuffled, five addresses and two sessions at most. What may pass is
 * tried at the next host, then deferred; what is final is returned. A domain without a host is tried at the next
 * destination too. For services that use_srv_lookup names, SRV records take the place of MX. Mail whose best MX host is
 * this host is returned as a loop, or goes to best_mx_transport.
 *
 * A connection is kept for two seconds when there is more mail for its destination, or always for those of
 * smtp_connection_cache_destinations. It is used again by mail for the same destination or the same address, and only
 * where TLS policy and login are the same.
 *
 * Lines over 998 bytes are folded, stray CR and LF become spaces. 8-bit MIME mail for a server without 8BITMIME is
 * converted to quoted-printable.
 *
 * Addresses in the envelope and the header are replaced by smtp_generic_maps. smtp_header_checks,
 * smtp_mime_header_checks, smtp_nested_header_checks and smtp_body_checks may change, add and remove headers and lines:
 * DUNNO, IGNORE, INFO, PREPEND, REPLACE, STRIP and WARN. The tables are asked through proxymap; while one cannot be
 * asked, mail waits. What servers say may be changed by smtp_reply_filter, what the DNS says by smtp_dns_reply_filter,
 * and what is told of a delivery by smtp_delivery_status_filter.
 *
 * A line that is no reply is passed over, and the connection not used again. Where notify_classes has "protocol", the
 * postmaster gets the transcript of a conversation in which a server did what no server should.
 *
 * smtp_tls_security_level and smtp_tls_policy_maps say how much TLS is demanded of a server: none; may, TLS where it is
 * offered; encrypt; fingerprint; verify and secure, a certificate of an authority in smtp_tls_CAfile for a name that is
 * wanted; dane and dane-only, what TLSA records say, where the resolver vouches for them. What is demanded and not to be had
 * defers the mail (4.7.4, 4.7.5); it never goes in the clear. At level may a server whose handshake fails gets mail that is
 * older than minimal_backoff_time in the clear.
 *
 * Of mail with REQUIRETLS smtp_requiretls_policy says for each destination what is demanded: enforce, a certificate that is
 * compared (levels fingerprint, verify, secure, dane, dane-only) and a server that offers REQUIRETLS over TLS;
 * opportunistic+starttls, TLS; opportunistic and disable, nothing. A host that is not good enough is passed over; where
 * none is, the mail goes back (5.7.10, 5.7.30). Mail with the header TLS-Required: no goes over what TLS there is
 * (tls_required_enable): no policy is asked for. The log says what came of it, as tls=secure/requiretls
 * (smtp_log_tls_feature_status).
 *
 * With smtp_sasl_auth_enable the client logs in to servers that have an entry in smtp_sasl_password_maps, with the best of
 * SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN and LOGIN that the security options allow. A login that is refused keeps the
 * mail.
 *
 * With smtp_tls_sts a domain's MTA-STS policy counts where smtp_tls_policy_maps has no entry and DANE no records: in mode
 * enforce the MX host must be one of those that the policy names, and its certificate an authority's for its own name.
 *
 * With smtp_tlsrpt_enable the tlsrpt daemon is told of each server whether TLS was as the domain's policy wants it.
 *
 * ## Security
 * Talks to servers that strangers chose, and believes nothing that they say beyond their replies. Replies are bounded
 * in line, size and time; every command and every piece of message text has a deadline for all of it. What a server
 * said reaches the log and the reports through `printable` only. A conversation that falls out of step ends.
 *
 * Addresses that are not the public internet (loopback, private, link-local, multicast, and IPv6 forms of them) are
 * refused unless the destination as a whole word is one that the configuration names: relayhost, smtp_fallback_relay,
 * default_transport and its like, smtp_trusted_nexthops. Mail for user@[127.0.0.1] therefore goes nowhere.
 *
 * The process may read files in queue/active, connect to dns, and reach the configured ports; proxymap and rewrite
 * where tables are configured, cleanup where the postmaster wants transcripts, the transport
 * that best_mx_transport names, /etc/hosts where smtp_host_lookup says "native". It writes nothing: qmgr marks
 * recipients as done.
 *
 * The TLS handshake proves that a server has the key of the certificate that it shows; who vouches for the certificate is
 * decided here, by rules that openssl's are compared with. What a server says in the clear behind its answer to STARTTLS
 * ends the session. The client's key and the authorities' certificates are read by master: this process opens none of
 * their files.
 *
 * ## Standards
 * RFC 5321 (SMTP), RFC 1870 (SIZE), RFC 2782 (SRV), RFC 2034 (enhanced status codes), RFC 2045 (quoted-printable), RFC 2920
 * (pipelining), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 3463 (status codes), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 7505 (null MX), RFC 7672 (DANE), RFC 8460 (TLSRPT), RFC 8461 (MTA-STS), RFC 8689 (REQUIRETLS).
 *
 * ## Diagnostics
 * One line for each recipient in Postfix's format: `to=, relay=, delay=, delays=, dsn=, status=`. Failures that
 * another host may make good are logged before that host is tried. Warnings: destinations that cannot be parsed,
 * private addresses, MX hosts without addresses, refusals of the sandbox.
 *
 * ## Parameters
 * allow_srv_lookup_fallback, best_mx_transport, default_transport, delay_logging_resolution_limit,
 * disable_dns_lookups, disable_mime_output_conversion, double_bounce_sender, error_notice_recipient,
 * hash_queue_depth, hash_queue_names, header_address_token_limit, header_from_format, header_size_limit,
 * ignore_mx_lookup_error, ignore_srv_lookup_error, inet_interfaces, inet_protocols, info_log_address_format,
 * internal_mail_filter_classes, known_tcp_ports, line_length_limit, local_transport, mail_name,
 * mime_boundary_length_limit, mime_nesting_limit, minimal_backoff_time, myhostname, notify_classes,
 * propagate_unmatched_extensions, proxy_interfaces, queue_directory, relay_transport, relayhost,
 * smtp_address_preference, smtp_address_verify_target, smtp_always_send_ehlo, smtp_balance_inet_protocols,
 * smtp_bind_address, smtp_bind_address6, smtp_bind_address_enforce, smtp_body_checks,
 * smtp_cname_overrides_servername, smtp_connect_timeout, smtp_connection_cache_destinations,
 * smtp_connection_cache_on_demand, smtp_connection_cache_time_limit, smtp_connection_reuse_count_limit,
 * smtp_connection_reuse_time_limit, smtp_data_done_timeout, smtp_data_init_timeout, smtp_data_xfer_timeout,
 * smtp_defer_if_no_mx_address_found, smtp_delivery_status_filter, smtp_discard_ehlo_keyword_address_maps,
 * smtp_discard_ehlo_keywords, smtp_dns_reply_filter, smtp_dns_support_level, smtp_fallback_relay, smtp_generic_maps,
 * smtp_header_checks, smtp_helo_name, smtp_helo_timeout, smtp_host_lookup, smtp_line_length_limit, smtp_mail_timeout,
 * smtp_mime_header_checks, smtp_min_data_rate, smtp_mx_address_limit, smtp_mx_session_limit,
 * smtp_nested_header_checks, smtp_never_send_ehlo, smtp_per_request_deadline, smtp_pix_workaround_delay_time,
 * smtp_pix_workaround_maps, smtp_pix_workaround_threshold_time, smtp_pix_workarounds, smtp_quit_timeout,
 * smtp_quote_rfc821_envelope, smtp_randomize_addresses, smtp_rcpt_timeout, smtp_reply_filter, smtp_rset_timeout,
 * smtp_sasl_auth_cache_name, smtp_sasl_auth_cache_time, smtp_sasl_auth_enable, smtp_sasl_auth_soft_bounce,
 * smtp_sasl_mechanism_filter, smtp_sasl_password_maps, smtp_sasl_password_result_delimiter,
 * smtp_sasl_security_options, smtp_sasl_tls_security_options, smtp_sasl_tls_verified_security_options,
 * smtp_send_xforward_command, smtp_sender_dependent_authentication, smtp_skip_5xx_greeting, smtp_skip_quit_response,
 * smtp_starttls_timeout, smtp_tcp_port, smtp_tls_CAfile, smtp_tls_CApath, smtp_tls_block_early_mail_reply,
 * smtp_tls_cert_file, smtp_tls_chain_files, smtp_tls_ciphers, smtp_tls_dane_insecure_mx_policy, smtp_tls_eccert_file,
 * smtp_tls_eckey_file, smtp_tls_enforce_sts_mx_patterns, smtp_tls_exclude_ciphers, smtp_tls_fingerprint_cert_match,
 * smtp_tls_fingerprint_digest, smtp_tls_force_insecure_host_tlsa_lookup, smtp_tls_key_file, smtp_tls_loglevel,
 * smtp_tls_mandatory_ciphers, smtp_tls_mandatory_exclude_ciphers, smtp_tls_mandatory_protocols,
 * smtp_tls_note_starttls_offer, smtp_tls_policy_maps, smtp_tls_protocols, smtp_tls_scert_verifydepth,
 * smtp_tls_secure_cert_match, smtp_tls_security_level, smtp_tls_servername, smtp_tls_sts, smtp_tls_trust_anchor_file,
 * smtp_tls_verify_cert_match, smtp_tls_wrappermode, smtp_tlsrpt_enable, smtp_trusted_nexthops, smtp_xforward_timeout,
 * smtputf8_autodetect_classes, soft_bounce, tls_append_default_CA, tls_dane_digests, use_srv_lookup,
 * virtual_transport.
 *
 * ## Known limits
 * TLS 1.2 and 1.3 only. No DANE without a resolver that validates on this host.
 * Host names are looked up in the DNS and in /etc/hosts, nowhere else. The port of an SRV record can be reached only
 * where the configuration names it. smtp_dns_resolver_options and default_delivery_status_filter are not known.
 * 8-bit text that no MIME header announces is sent as it is, as Postfix does. Deadlines are always for a whole reply,
 * and for each 64 KiB of a message.
 *
 * @module
 */
// Safe primitives
import { systemAddresses } from "../../lib/safe/process.ts";
// Internal protocols
import { DELIVERY } from "../../lib/proto/protocols.ts";
import { STS, TLSRPT } from "../../lib/proto/tls_protocols.ts";
import { StsClient } from "../../lib/proto/sts_client.ts";
import { TlsrptClient } from "../../lib/proto/tlsrpt_client.ts";
// Wire protocols
import { smtpPolicy } from "../../lib/smtp/client_policy.ts";
import { RequireTlsPolicy } from "../../lib/smtp/client_requiretls.ts";
import { OutgoingRules } from "../../lib/smtp/client_rewrite.ts";
import { saslConfiguration } from "../../lib/smtp/client_sasl.ts";
import { ClientTables } from "../../lib/smtp/client_tables.ts";
import { smtpTlsConfiguration } from "../../lib/smtp/client_tls_settings.ts";
// Server skeleton
import { runIpcDaemon } from "../../lib/server/daemon.ts";
import { mailClient } from "../../lib/server/mail_client.ts";
// This program
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, DELIVERY, (context) => {
  const { settings, log } = context;
  return mailClient(context, {
    policy: smtpPolicy(settings, systemAddresses),
    rules: (services) => OutgoingRules.from("smtp", settings, services, (text) => log.warning(text)),
    tables: (maps) => ClientTables.from("smtp", settings, maps, log),
    tls: smtpTlsConfiguration(settings, context.clientTls),
    requireTls: (maps) =>
      RequireTlsPolicy.from("smtp", settings, settings.myhostname, maps, (text) => log.warning(text)),
    reporter: settings.smtp_tlsrpt_enable
      ? new TlsrptClient(
        context.client(TLSRPT, "tlsrpt"),
        (error) => context.trouble("telling tlsrpt", error),
      )
      : undefined,
    sts: settings.smtp_tls_sts ? new StsClient(context.client(STS, "sts")) : undefined,
    sasl: saslConfiguration("smtp", settings),
  });
});
