/**
 * Every parameter that Postern honours: one row each, alphabetical. Validation, defaults, `postconf`, the types of a
 * daemon's settings and the manual come from this table. Names, meanings and defaults are Postfix's at its newest
 * compatibility level (main.cf section 11 of the reference map); what is ours says "Own" in its text.
 *
 * @module
 */
import type { BounceTemplates } from "./bounce_templates.ts";

/** What a parameter's value is, as main.toml writes it and as a daemon sees it. */
export interface ParameterTypes {
  /** Text, `$name` expanded. */
  string: string;
  /** A whole number. */
  integer: number;
  /** true or false; Postfix's "yes" and "no" in text. */
  boolean: boolean;
  /** Seconds; "300s", "5d", "1h", "2w", "10m" in text. */
  duration: number;
  /** Items; in text separated by commas and blanks outside braces. */
  list: readonly string[];
  /** Lookup tables, each "type:name". */
  tables: readonly string[];
  /** main.toml names a file; a daemon is told its texts, `$name` expanded. */
  templates: BounceTemplates;
}

/** One row of the table. */
export interface Parameter {
  readonly type: keyof ParameterTypes;
  /** Default in Postfix's notation, `$name` allowed. */
  readonly default: string;
  /** The default is made from facts about the system (defaults.ts), not from this row. */
  readonly computed?: true;
  /** Least value (numbers, seconds); for text and lists 1: must not be set to nothing. */
  readonly min?: number;
  /** Greatest value (numbers, seconds). */
  readonly max?: number;
  /** The only values that it may have (text), or that its items may be (lists). */
  readonly values?: readonly string[];
  /** Not expanded when read: the program expands it per recipient or reply. */
  readonly raw?: true;
  /** A match list: an item "/file" or "!/file" stands for the items in that file. */
  readonly files?: true;
  /** An absolute path, or nothing. */
  readonly absolute?: true;
  /** One line for the manual. */
  readonly doc: string;
}

// One row per line, so that two people's rows do not collide.
// deno-fmt-ignore
export const PARAMETERS = {
  "2bounce_notice_recipient": { type: "string", default: "postmaster", min: 1, doc: "Who gets mail that could be returned to nobody, and bounces of bounces" },
  access_map_defer_code: { type: "integer", default: "450", min: 400, max: 499, doc: "Reply code of the access table actions DEFER and DEFER_IF_PERMIT" },
  access_map_reject_code: { type: "integer", default: "554", min: 400, max: 599, doc: "Reply code of the access table action REJECT" },
  alias_database: { type: "tables", default: "$alias_maps", doc: "Alias tables that newaliases checks" },
  alias_maps: { type: "tables", default: "$default_database_type:/etc/aliases", doc: "Alias tables of local delivery" },
  allow_min_user: { type: "boolean", default: "no", doc: "Accept a local part that begins with a minus sign" },
  allow_percent_hack: { type: "boolean", default: "yes", doc: "Rewrite user%domain to user@domain" },
  always_add_missing_headers: { type: "boolean", default: "no", doc: "Add missing From, Date and Message-Id to mail from remote clients too" },
  append_at_myorigin: { type: "boolean", default: "yes", doc: "Complete an address without a domain with @$myorigin" },
  append_dot_mydomain: { type: "boolean", default: "no", doc: "Complete a domain without a dot with .$mydomain" },
  authorized_flush_users: { type: "list", default: "static:anyone", files: true, doc: "Local users who may flush the queue" },
  authorized_mailq_users: { type: "list", default: "static:anyone", files: true, doc: "Local users who may list the queue" },
  backwards_bounce_logfile_compatibility: { type: "boolean", default: "yes", doc: "Write bounce logs with the extra line that old Postfix reads" },
  bounce_notice_recipient: { type: "string", default: "postmaster", min: 1, doc: "Who gets copies of bounces when notify_classes has \"bounce\"" },
  bounce_queue_lifetime: { type: "duration", default: "5d", max: 8640000, doc: "How long a bounce stays in the queue" },
  bounce_size_limit: { type: "integer", default: "50000", min: 1, doc: "Most bytes of a message that are returned with its bounce" },
  bounce_template_file: { type: "templates", default: "", absolute: true, doc: "File with the texts of bounces, delay warnings and success reports, bounce(5); empty: the built-in ones" },
  config_directory: { type: "string", default: "", absolute: true, computed: true, doc: "Where main.toml and master.toml are; default: the directory that was read" },
  confirm_delay_cleared: { type: "boolean", default: "no", doc: "Tell a sender who was warned of a delay when the mail has gone out" },
  daemon_timeout: { type: "duration", default: "18000s", min: 1, doc: "How long an agent may take for one delivery" },
  daemon_watchdog_timeout: { type: "duration", default: "60s", min: 2, doc: "Own: how long a daemon may be silent before master kills it" },
  default_database_type: { type: "string", default: "texthash", min: 1, doc: "Table type of defaults that name a file" },
  default_delivery_slot_cost: { type: "integer", default: "5", doc: "Entries of a message that earn one delivery for shorter messages behind it; below 2: none passes" },
  default_delivery_slot_discount: { type: "integer", default: "50", max: 100, doc: "Percent of the deliveries that a passing message needs which the message that it passes need not have earned yet" },
  default_delivery_slot_loan: { type: "integer", default: "3", doc: "Deliveries that a passing message needs which the message that it passes need not have earned yet" },
  default_destination_concurrency_failed_cohort_limit: { type: "integer", default: "1", doc: "Failed rounds of deliveries before a destination counts as dead" },
  default_destination_concurrency_limit: { type: "integer", default: "20", doc: "Most deliveries to one destination at once" },
  default_destination_concurrency_negative_feedback: { type: "string", default: "1", min: 1, doc: "How concurrency falls: a number, 1/concurrency or 1/sqrt_concurrency" },
  default_destination_concurrency_positive_feedback: { type: "string", default: "1", min: 1, doc: "How concurrency grows: a number, 1/concurrency or 1/sqrt_concurrency" },
  default_destination_rate_delay: { type: "duration", default: "0s", doc: "Pause between deliveries to one destination" },
  default_destination_recipient_limit: { type: "integer", default: "50", doc: "Most recipients in one delivery" },
  default_extra_recipient_limit: { type: "integer", default: "1000", doc: "Recipients in memory beyond default_recipient_limit, for messages that pass others" },
  default_minimum_delivery_slots: { type: "integer", default: "3", doc: "A message that cannot earn so many deliveries is not passed" },
  default_process_limit: { type: "integer", default: "100", min: 1, doc: "Most processes of one service, where master.toml says nothing" },
  default_recipient_limit: { type: "integer", default: "20000", doc: "Most recipients of one transport in memory" },
  default_recipient_refill_delay: { type: "duration", default: "5s", min: 1, doc: "After how long recipients are read for less than default_recipient_refill_limit of room" },
  default_recipient_refill_limit: { type: "integer", default: "100", min: 1, doc: "Room for how many recipients is worth reading more" },
  default_transport: { type: "string", default: "smtp", min: 1, doc: "Delivery of mail to other hosts: transport or transport:nexthop" },
  default_transport_concurrency_limit: { type: "integer", default: "400", min: 1, doc: "Own: most deliveries of one transport at once; in Postfix the process limit of the transport" },
  default_transport_rate_delay: { type: "duration", default: "0s", doc: "Pause between deliveries of one transport" },
  default_verp_delimiters: { type: "string", default: "+=", min: 1, doc: "The two characters that VERP puts around the recipient when the sender names none" },
  defer_code: { type: "integer", default: "450", min: 400, max: 499, doc: "Reply code of the restriction \"defer\"" },
  defer_transports: { type: "list", default: "", files: true, doc: "Transports whose mail waits until the queue is flushed" },
  delay_logging_resolution_limit: { type: "integer", default: "2", max: 6, doc: "Digits after the point in the delays= of the log" },
  delay_notice_recipient: { type: "string", default: "postmaster", min: 1, doc: "Who gets copies of delay warnings when notify_classes has \"delay\"" },
  delay_warning_time: { type: "duration", default: "0h", doc: "After how long a sender is told that mail is delayed; 0: never" },
  deliver_lock_attempts: { type: "integer", default: "20", min: 1, doc: "How often a mailbox lock is tried" },
  deliver_lock_delay: { type: "duration", default: "1s", min: 1, doc: "Pause between tries for a mailbox lock" },
  destination_concurrency_feedback_debug: { type: "boolean", default: "no", doc: "Log how the concurrency of destinations follows success and failure" },
  disable_dns_lookups: { type: "boolean", default: "no", doc: "Look host names up in the hosts file only, never MX" },
  disable_mime_output_conversion: { type: "boolean", default: "no", doc: "Never convert 8-bit mail for a server without 8BITMIME" },
  disable_verp_bounces: { type: "boolean", default: "no", doc: "Send one report for VERP mail instead of one for each recipient" },
  disable_vrfy_command: { type: "boolean", default: "no", doc: "Refuse VRFY" },
  double_bounce_sender: { type: "string", default: "double-bounce", min: 1, doc: "Local part of the sender of mail that must never be returned" },
  duplicate_filter_limit: { type: "integer", default: "1000", doc: "Most recipients remembered to find duplicates; 0: no limit" },
  empty_address_default_transport_maps_lookup_key: { type: "string", default: "<>", min: 1, doc: "Key for the null sender in sender_dependent_default_transport_maps" },
  empty_address_recipient: { type: "string", default: "MAILER-DAEMON", min: 1, doc: "Recipient of mail for the null address" },
  empty_address_relayhost_maps_lookup_key: { type: "string", default: "<>", min: 1, doc: "Key for the null sender in sender_dependent_relayhost_maps" },
  enable_long_queue_ids: { type: "boolean", default: "no", doc: "Queue ids that are not used again" },
  enable_original_recipient: { type: "boolean", default: "yes", doc: "Keep the recipient from before virtual aliases" },
  enable_threaded_bounces: { type: "boolean", default: "no", doc: "Bounces with References and In-Reply-To" },
  error_notice_recipient: { type: "string", default: "postmaster", min: 1, doc: "Who gets transcripts of sessions with errors of the kinds that notify_classes names" },
  expand_owner_alias: { type: "boolean", default: "no", doc: "Set the sender of list mail to what owner-list expands to" },
  fallback_transport: { type: "string", default: "", doc: "Transport for local recipients that are not found" },
  fallback_transport_maps: { type: "tables", default: "", doc: "Transport per local recipient that is not found" },
  fast_flush_domains: { type: "list", default: "$relay_domains", files: true, doc: "Destinations whose mail can be flushed by name" },
  fast_flush_purge_time: { type: "duration", default: "7d", min: 1, doc: "After how long an empty list of what waits for a destination is removed" },
  fast_flush_refresh_time: { type: "duration", default: "12h", min: 1, doc: "After how long the messages of a list that nobody asked for are tried" },
  frozen_delivered_to: { type: "boolean", default: "yes", doc: "Keep the Delivered-To of a delivery while aliases expand" },
  hash_queue_depth: { type: "integer", default: "1", min: 1, max: 16, doc: "Levels of subdirectories in the queues of hash_queue_names" },
  hash_queue_names: { type: "list", default: "deferred, defer", min: 1, doc: "Queues that have subdirectories" },
  header_address_token_limit: { type: "integer", default: "10240", min: 1, doc: "Most tokens of an address header that are read" },
  header_from_format: { type: "string", default: "standard", min: 1, values: ["standard", "obsolete"], doc: "Form of From: headers that are added" },
  header_size_limit: { type: "integer", default: "102400", min: 1, doc: "Most bytes of one header, continuation lines included" },
  helpful_warnings: { type: "boolean", default: "yes", doc: "Log warnings about likely mistakes" },
  home_mailbox: { type: "string", default: "", doc: "Mailbox below the home directory; with a final / a maildir" },
  hopcount_limit: { type: "integer", default: "50", min: 1, doc: "Most Received: headers before a message counts as looping" },
  ignore_mx_lookup_error: { type: "boolean", default: "no", doc: "Look the host up when the MX lookup fails" },
  in_flow_delay: { type: "duration", default: "1s", max: 10, doc: "How long cleanup holds a message back while mail comes in faster than qmgr takes it; 0: not" },
  inet_interfaces: { type: "list", default: "all", doc: "Addresses that mail is received on: all, loopback-only, or addresses" },
  inet_protocols: { type: "list", default: "all", values: ["all", "ipv4", "ipv6"], doc: "Protocols for connections: all, ipv4, ipv6" },
  info_log_address_format: { type: "string", default: "external", min: 1, values: ["external", "internal"], doc: "Form of addresses in the log" },
  initial_destination_concurrency: { type: "integer", default: "5", min: 1, doc: "Deliveries to a destination at once to begin with" },
  invalid_hostname_reject_code: { type: "integer", default: "501", min: 400, max: 599, doc: "Reply code of reject_invalid_helo_hostname" },
  known_tcp_ports: { type: "list", default: "lmtp=24, smtp=25, smtps=submissions=465, submission=587", doc: "Port names that need no services file: name=port" },
  line_length_limit: { type: "integer", default: "2048", min: 512, doc: "Longest command or header line, and longest record of the queue, bytes" },
  lmtp_address_preference: { type: "string", default: "any", min: 1, values: ["any", "ipv4", "ipv6"], doc: "Address family that is tried first" },
  lmtp_address_verify_target: { type: "string", default: "rcpt", min: 1, values: ["rcpt", "data"], doc: "How far a probe of an address goes: up to RCPT, or to the answer to DATA" },
  lmtp_balance_inet_protocols: { type: "boolean", default: "yes", doc: "Share the address limit between IPv4 and IPv6" },
  lmtp_connect_timeout: { type: "duration", default: "0s", doc: "How long a connection may take; 0: as the system has it" },
  lmtp_connection_cache_on_demand: { type: "boolean", default: "yes", doc: "Keep connections while there is more mail for a destination" },
  lmtp_connection_cache_time_limit: { type: "duration", default: "2s", min: 1, doc: "How long an unused connection is kept" },
  lmtp_connection_reuse_count_limit: { type: "integer", default: "0", doc: "Most deliveries over one connection; 0: no limit" },
  lmtp_connection_reuse_time_limit: { type: "duration", default: "300s", min: 1, doc: "How long a connection is used again" },
  lmtp_data_done_timeout: { type: "duration", default: "600s", min: 1, doc: "How long the answer to the end of a message may take" },
  lmtp_data_init_timeout: { type: "duration", default: "120s", min: 1, doc: "How long the answer to DATA may take" },
  lmtp_data_xfer_timeout: { type: "duration", default: "180s", min: 1, doc: "How long sending a piece of a message may take" },
  lmtp_defer_if_no_mx_address_found: { type: "boolean", default: "no", doc: "Keep mail when no MX host has an address" },
  lmtp_discard_lhlo_keywords: { type: "list", default: "", doc: "LHLO keywords of servers that are not believed" },
  lmtp_dns_support_level: { type: "string", default: "", values: ["disabled", "enabled"], doc: "Kind of DNS lookups; empty: enabled" },
  lmtp_fallback_relay: { type: "list", default: "", doc: "Hosts for mail whose destination does not answer" },
  lmtp_lhlo_name: { type: "string", default: "$myhostname", min: 1, doc: "Name in LHLO" },
  lmtp_lhlo_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the greeting and LHLO may take" },
  lmtp_line_length_limit: { type: "integer", default: "998", doc: "Longest line sent in a message; 0: no limit" },
  lmtp_mail_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the answer to MAIL may take" },
  lmtp_min_data_rate: { type: "integer", default: "500", min: 1, doc: "Bytes per second that the time for a whole message allows for" },
  lmtp_mx_address_limit: { type: "integer", default: "5", doc: "Most addresses tried for a destination; 0: no limit" },
  lmtp_mx_session_limit: { type: "integer", default: "2", doc: "Most sessions tried for a destination; 0: no limit" },
  lmtp_per_request_deadline: { type: "boolean", default: "no", doc: "lmtp_data_xfer_timeout is for the whole message, extended by what goes at lmtp_min_data_rate" },
  lmtp_quit_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the answer to QUIT may take" },
  lmtp_quote_rfc821_envelope: { type: "boolean", default: "yes", doc: "Quote local parts as the RFC says" },
  lmtp_randomize_addresses: { type: "boolean", default: "yes", doc: "Shuffle addresses of equal preference" },
  lmtp_rcpt_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the answer to RCPT may take" },
  lmtp_rset_timeout: { type: "duration", default: "20s", min: 1, doc: "How long the answer to RSET may take" },
  lmtp_skip_5xx_greeting: { type: "boolean", default: "yes", doc: "Take a 5xx greeting for a passing failure of that host" },
  lmtp_skip_quit_response: { type: "boolean", default: "no", doc: "Do not wait for the answer to QUIT" },
  lmtp_tcp_port: { type: "string", default: "24", doc: "Default port" },
  local_destination_concurrency_limit: { type: "integer", default: "2", doc: "Most deliveries to one local user at once" },
  local_destination_recipient_limit: { type: "integer", default: "1", doc: "Most recipients in one local delivery" },
  local_recipient_maps: { type: "tables", default: "proxy:unix:passwd.byname $alias_maps", doc: "Local recipients that exist; empty: all" },
  local_transport: { type: "string", default: "local:$myhostname", min: 1, doc: "Delivery of mail to $mydestination: transport or transport:nexthop" },
  log_format: { type: "string", default: "postfix", values: ["postfix", "json"], doc: "Own: form of log lines" },
  luser_relay: { type: "string", default: "", raw: true, doc: "Address for mail to unknown local recipients; expanded per recipient" },
  mail_name: { type: "string", default: "Postern", min: 1, doc: "Name of the mail system in greetings and headers" },
  mail_owner: { type: "string", default: "postern", doc: "Own default: user who owns the queue; empty: daemons started by root get no users of their own (trial)" },
  mail_spool_directory: { type: "string", default: "/var/mail", absolute: true, doc: "Directory of mailboxes; with a final / of maildirs" },
  mailbox_command: { type: "string", default: "", raw: true, doc: "Command that delivers to local mailboxes; expanded per recipient" },
  mailbox_command_maps: { type: "tables", default: "", doc: "Command per local recipient" },
  mailbox_delivery_lock: { type: "list", default: "fcntl, dotlock", min: 1, values: ["fcntl", "flock", "dotlock"], doc: "How mailboxes are locked: fcntl, flock, dotlock" },
  mailbox_helper_idle: { type: "duration", default: "60s", min: 1, doc: "Own: how long an unused mailbox helper is kept" },
  mailbox_helper_limit: { type: "integer", default: "", min: 1, max: 10000, computed: true, doc: "Own: most mailbox helpers at once; default: what a quarter of the memory holds, from 10 to 200" },
  mailbox_size_limit: { type: "integer", default: "51200000", doc: "Most bytes of a local mailbox or maildir file; 0: no limit" },
  mailbox_transport: { type: "string", default: "", doc: "Transport for all local recipients" },
  mailbox_transport_maps: { type: "tables", default: "", doc: "Transport per local recipient" },
  maillog_file: { type: "string", default: "", absolute: true, doc: "Log file, or /dev/stdout; empty: the log of the system" },
  maillog_file_prefixes: { type: "list", default: "/var, /dev/stdout", min: 1, doc: "Directories that maillog_file may be in" },
  master_service_disable: { type: "list", default: "", doc: "Services that are not started: name.type or type" },
  max_idle: { type: "duration", default: "100s", min: 1, doc: "How long an idle daemon stays" },
  max_use: { type: "integer", default: "50000", min: 1, doc: "Requests or sessions that a process serves before a fresh one takes over; Postfix: 100, where a process serves one at a time" },
  maximal_backoff_time: { type: "duration", default: "4000s", min: 1, doc: "Longest pause between tries" },
  maximal_queue_lifetime: { type: "duration", default: "5d", max: 8640000, doc: "How long a message stays in the queue" },
  message_drop_headers: { type: "list", default: "bcc, content-length, resent-bcc, return-path", doc: "Headers that are removed from every message" },
  message_size_limit: { type: "integer", default: "10240000", doc: "Most bytes of a message with its envelope; 0: no limit" },
  minimal_backoff_time: { type: "duration", default: "300s", min: 1, doc: "Shortest pause between tries" },
  mydestination: { type: "list", default: "$myhostname, localhost.$mydomain, localhost", files: true, doc: "Domains of local delivery" },
  mydomain: { type: "string", default: "", min: 1, computed: true, doc: "Domain of this host; default: $myhostname without its first label" },
  myhostname: { type: "string", default: "", min: 1, computed: true, doc: "Name of this host; default: what the system says" },
  mynetworks: { type: "list", default: "", files: true, computed: true, doc: "Clients that may relay; default: as mynetworks_style says" },
  mynetworks_style: { type: "string", default: "host", min: 1, values: ["host", "subnet"], doc: "How mynetworks is made when it is not set" },
  myorigin: { type: "string", default: "$myhostname", min: 1, doc: "Domain of addresses that have none" },
  net_owner: { type: "string", default: "postern-net", min: 1, doc: "Own: user of daemons that read the network first" },
  non_fqdn_reject_code: { type: "integer", default: "504", min: 400, max: 599, doc: "Reply code of reject_non_fqdn_sender and its like" },
  notify_classes: { type: "list", default: "resource, software", values: ["bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"], doc: "Errors that the postmaster is told of: bounce 2bounce data delay policy protocol resource software" },
  owner_request_special: { type: "boolean", default: "yes", doc: "owner-list and list-request are not split at a delimiter of -" },
  parent_domain_matches_subdomains: { type: "list", default: "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps", files: true, doc: "Parameters in which example.com also means its subdomains" },
  pickup_service_name: { type: "string", default: "pickup", min: 1, doc: "Service that takes mail of local users" },
  prepend_delivered_header: { type: "list", default: "command, file, forward", values: ["command", "file", "forward"], doc: "Local deliveries that get a Delivered-To header: command, file, forward" },
  propagate_unmatched_extensions: { type: "list", default: "canonical, virtual", values: ["canonical", "virtual", "alias", "forward", "include", "generic"], doc: "Tables whose result keeps the +extension: canonical virtual alias forward include generic" },
  proxy_interfaces: { type: "list", default: "", doc: "Addresses of this host outside a translating router" },
  proxy_read_maps: { type: "list", default: "", doc: "Tables that may be named with proxy:; empty: those of all parameters that proxymap serves" },
  qmgr_clog_warn_time: { type: "duration", default: "300s", doc: "Pause between warnings that mail for one destination fills the active queue; 0: none" },
  qmgr_message_active_limit: { type: "integer", default: "20000", min: 1, doc: "Most messages in the active queue" },
  qmgr_message_recipient_limit: { type: "integer", default: "20000", min: 1, doc: "Recipients in memory beyond which only qmgr_message_recipient_minimum are read of a message at first" },
  qmgr_message_recipient_minimum: { type: "integer", default: "10", min: 1, doc: "Recipients in memory that each message gets at least" },
  queue_directory: { type: "string", default: "/var/spool/postern", min: 1, absolute: true, doc: "Where the queue is" },
  queue_run_delay: { type: "duration", default: "300s", min: 1, doc: "Pause between looks at the deferred queue" },
  queue_service_name: { type: "string", default: "qmgr", min: 1, doc: "Service that schedules deliveries" },
  receive_override_options: { type: "list", default: "", values: ["no_unknown_recipient_checks", "no_address_mappings", "no_header_body_checks", "no_milters"], doc: "What is not done on receipt: no_unknown_recipient_checks no_address_mappings no_header_body_checks no_milters" },
  recipient_delimiter: { type: "string", default: "", doc: "Characters that separate a user name from its extension" },
  reject_code: { type: "integer", default: "554", min: 400, max: 599, doc: "Reply code of the restriction \"reject\"" },
  relay_destination_concurrency_limit: { type: "integer", default: "$default_destination_concurrency_limit", doc: "Most deliveries to one relay destination at once" },
  relay_destination_recipient_limit: { type: "integer", default: "$default_destination_recipient_limit", doc: "Most recipients in one relay delivery" },
  relay_domains: { type: "list", default: "", files: true, doc: "Domains that mail is relayed to" },
  relay_domains_reject_code: { type: "integer", default: "554", min: 400, max: 599, doc: "Reply code of reject_unauth_destination" },
  relay_recipient_maps: { type: "tables", default: "", doc: "Recipients in relay_domains that exist; empty: all" },
  relay_transport: { type: "string", default: "relay", min: 1, doc: "Delivery of mail to relay_domains: transport or transport:nexthop" },
  relayhost: { type: "string", default: "", doc: "Next host for mail to other hosts; [name] without MX lookup" },
  relocated_maps: { type: "tables", default: "", doc: "Recipients that have moved" },
  relocated_prefix_enable: { type: "boolean", default: "yes", doc: "Put \"5.1.6 User has moved to\" before the text of relocated_maps" },
  remote_header_rewrite_domain: { type: "string", default: "", doc: "Domain for incomplete addresses in headers of remote mail; empty: leave them" },
  reset_owner_alias: { type: "boolean", default: "no", doc: "Take the owner alias of an alias inside an alias" },
  resolve_dequoted_address: { type: "boolean", default: "yes", doc: "Look for @ and % inside quotes too" },
  resolve_null_domain: { type: "boolean", default: "no", doc: "Take user@ for a local address" },
  resolve_numeric_domain: { type: "boolean", default: "no", doc: "Take user@1.2.3.4 for user@[1.2.3.4]" },
  resolver: { type: "string", default: "", doc: "Own: DNS resolver, address or address:port; empty: the first of /etc/resolv.conf" },
  sender_dependent_default_transport_maps: { type: "tables", default: "", doc: "default_transport by sender" },
  sender_dependent_relayhost_maps: { type: "tables", default: "", doc: "relayhost by sender" },
  sendmail_fix_line_endings: { type: "string", default: "always", min: 1, values: ["always", "strict", "never"], doc: "When sendmail takes CR LF for a line end" },
  service_throttle_time: { type: "duration", default: "60s", min: 1, doc: "Pause before a service that failed is started again" },
  show_user_unknown_table_name: { type: "boolean", default: "yes", doc: "Say in replies which table does not have a recipient" },
  smtp_address_preference: { type: "string", default: "any", min: 1, values: ["any", "ipv4", "ipv6"], doc: "Address family that is tried first" },
  smtp_address_verify_target: { type: "string", default: "rcpt", min: 1, values: ["rcpt", "data"], doc: "How far a probe of an address goes: up to RCPT, or to the answer to DATA" },
  smtp_always_send_ehlo: { type: "boolean", default: "yes", doc: "Send EHLO whatever the greeting says" },
  smtp_balance_inet_protocols: { type: "boolean", default: "yes", doc: "Share the address limit between IPv4 and IPv6" },
  smtp_connect_timeout: { type: "duration", default: "30s", doc: "How long a connection may take; 0: as the system has it" },
  smtp_connection_cache_on_demand: { type: "boolean", default: "yes", doc: "Keep connections while there is more mail for a destination" },
  smtp_connection_cache_time_limit: { type: "duration", default: "2s", min: 1, doc: "How long an unused connection is kept" },
  smtp_connection_reuse_count_limit: { type: "integer", default: "0", doc: "Most deliveries over one connection; 0: no limit" },
  smtp_connection_reuse_time_limit: { type: "duration", default: "300s", min: 1, doc: "How long a connection is used again" },
  smtp_data_done_timeout: { type: "duration", default: "600s", min: 1, doc: "How long the answer to the end of a message may take" },
  smtp_data_init_timeout: { type: "duration", default: "120s", min: 1, doc: "How long the answer to DATA may take" },
  smtp_data_xfer_timeout: { type: "duration", default: "180s", min: 1, doc: "How long sending a piece of a message may take" },
  smtp_defer_if_no_mx_address_found: { type: "boolean", default: "no", doc: "Keep mail when no MX host has an address" },
  smtp_destination_concurrency_limit: { type: "integer", default: "$default_destination_concurrency_limit", doc: "Most deliveries to one SMTP destination at once" },
  smtp_destination_recipient_limit: { type: "integer", default: "$default_destination_recipient_limit", doc: "Most recipients in one SMTP delivery" },
  smtp_discard_ehlo_keywords: { type: "list", default: "", doc: "EHLO keywords of servers that are not believed" },
  smtp_dns_support_level: { type: "string", default: "", values: ["disabled", "enabled"], doc: "Kind of DNS lookups; empty: enabled" },
  smtp_fallback_relay: { type: "list", default: "", doc: "Hosts for mail whose destination does not answer" },
  smtp_helo_name: { type: "string", default: "$myhostname", min: 1, doc: "Name in EHLO and HELO" },
  smtp_helo_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the greeting, EHLO and HELO may take" },
  smtp_line_length_limit: { type: "integer", default: "998", doc: "Longest line sent in a message; 0: no limit" },
  smtp_mail_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the answer to MAIL may take" },
  smtp_min_data_rate: { type: "integer", default: "500", min: 1, doc: "Bytes per second that the time for a whole message allows for" },
  smtp_mx_address_limit: { type: "integer", default: "5", doc: "Most addresses tried for a destination; 0: no limit" },
  smtp_mx_session_limit: { type: "integer", default: "2", doc: "Most sessions tried for a destination; 0: no limit" },
  smtp_never_send_ehlo: { type: "boolean", default: "no", doc: "Never send EHLO" },
  smtp_per_request_deadline: { type: "boolean", default: "no", doc: "smtp_data_xfer_timeout is for the whole message, extended by what goes at smtp_min_data_rate" },
  smtp_quit_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the answer to QUIT may take" },
  smtp_quote_rfc821_envelope: { type: "boolean", default: "yes", doc: "Quote local parts as the RFC says" },
  smtp_randomize_addresses: { type: "boolean", default: "yes", doc: "Shuffle addresses of equal preference" },
  smtp_rcpt_timeout: { type: "duration", default: "300s", min: 1, doc: "How long the answer to RCPT may take" },
  smtp_rset_timeout: { type: "duration", default: "20s", min: 1, doc: "How long the answer to RSET may take" },
  smtp_skip_5xx_greeting: { type: "boolean", default: "yes", doc: "Take a 5xx greeting for a passing failure of that host" },
  smtp_skip_quit_response: { type: "boolean", default: "yes", doc: "Do not wait for the answer to QUIT" },
  smtp_tcp_port: { type: "string", default: "smtp", doc: "Default port" },
  smtp_trusted_nexthops: { type: "list", default: "", doc: "Own: next hosts whose addresses may be private or loopback, beside those of relayhost, the fallback relays and the *_transport parameters" },
  smtpd_authorized_verp_clients: { type: "list", default: "", files: true, doc: "Clients that may ask for VERP with XVERP" },
  smtpd_banner: { type: "string", default: "$myhostname ESMTP $mail_name", min: 1, doc: "Text after 220; begins with $myhostname" },
  smtpd_client_connection_count_limit: { type: "integer", default: "50", doc: "Most connections of one client at once; 0: no limit" },
  smtpd_client_event_limit_exceptions: { type: "list", default: "$mynetworks", files: true, doc: "Clients without count and rate limits" },
  smtpd_client_restrictions: { type: "list", default: "", doc: "Restrictions on connecting" },
  smtpd_data_restrictions: { type: "list", default: "", doc: "Restrictions on DATA" },
  smtpd_discard_ehlo_keywords: { type: "list", default: "", doc: "EHLO keywords that are not offered" },
  smtpd_error_sleep_time: { type: "duration", default: "1s", doc: "Pause before each reply after smtpd_soft_error_limit errors" },
  smtpd_etrn_restrictions: { type: "list", default: "", doc: "Who may ask for the delivery of queued mail with ETRN" },
  smtpd_forbid_bare_newline: { type: "string", default: "reject", min: 1, values: ["normalize", "note", "reject", "yes", "no"], doc: "What a line that ends in a bare newline gets" },
  smtpd_forbid_bare_newline_exclusions: { type: "list", default: "$mynetworks", files: true, doc: "Clients whose bare newlines are made line ends" },
  smtpd_forbid_bare_newline_reject_code: { type: "integer", default: "550", min: 500, max: 599, doc: "Reply code for a bare newline" },
  smtpd_forbid_unauth_pipelining: { type: "boolean", default: "yes", doc: "Drop clients that send before they may" },
  smtpd_hard_error_limit: { type: "integer", default: "20", min: 1, doc: "Errors after which a session ends" },
  smtpd_helo_required: { type: "boolean", default: "no", doc: "Refuse MAIL before HELO or EHLO" },
  smtpd_helo_restrictions: { type: "list", default: "", doc: "Restrictions on HELO and EHLO" },
  smtpd_hide_client_session: { type: "boolean", default: "no", doc: "Leave the client out of Received headers" },
  smtpd_history_flush_threshold: { type: "integer", default: "100", min: 1, doc: "Lines of a session that are kept for the postmaster before they are dropped at RSET, EHLO or the end of a message" },
  smtpd_junk_command_limit: { type: "integer", default: "100", min: 1, doc: "Commands that bring no mail before they count as errors" },
  smtpd_min_data_rate: { type: "integer", default: "500", min: 1, doc: "Bytes per second that the time for a whole request allows for" },
  smtpd_open_relay: { type: "boolean", default: "no", doc: "Own: start although the rules let strangers relay" },
  smtpd_peername_lookup: { type: "boolean", default: "yes", doc: "Look up the names of clients" },
  smtpd_per_request_deadline: { type: "boolean", default: "yes", doc: "smtpd_timeout is for a whole command or message, extended by what comes at smtpd_min_data_rate; Postfix: only under stress" },
  smtpd_recipient_limit: { type: "integer", default: "1000", min: 1, doc: "Most recipients of one message" },
  smtpd_recipient_overshoot_limit: { type: "integer", default: "1000", min: 1, doc: "Recipients refused beyond the limit before they count as errors" },
  smtpd_recipient_restrictions: { type: "list", default: "", doc: "Restrictions on RCPT, after smtpd_relay_restrictions" },
  smtpd_reject_unlisted_recipient: { type: "boolean", default: "yes", doc: "Refuse recipients that do not exist" },
  smtpd_relay_before_recipient_restrictions: { type: "boolean", default: "yes", doc: "Evaluate smtpd_relay_restrictions first" },
  smtpd_relay_restrictions: { type: "list", default: "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination", doc: "Restrictions on RCPT that keep this host from being an open relay" },
  smtpd_sender_restrictions: { type: "list", default: "", doc: "Restrictions on MAIL" },
  smtpd_session_limit: { type: "integer", default: "500", min: 1, max: 100000, doc: "Own: most sessions in one smtpd process" },
  smtpd_soft_error_limit: { type: "integer", default: "10", min: 1, doc: "Errors after which replies are delayed" },
  smtpd_timeout: { type: "duration", default: "300s", min: 1, doc: "How long a client may take for a command or a piece of a message" },
  smtputf8_enable: { type: "boolean", default: "yes", doc: "Offer SMTPUTF8 and take addresses in UTF-8" },
  soft_bounce: { type: "boolean", default: "no", doc: "Turn every refusal into a delay; for trying things out" },
  stale_lock_time: { type: "duration", default: "500s", min: 1, doc: "Age at which a mailbox lock file is taken for left over" },
  strict_mailbox_ownership: { type: "boolean", default: "yes", doc: "Keep mail when a mailbox belongs to someone else" },
  strict_rfc821_envelopes: { type: "boolean", default: "no", doc: "Demand <> around addresses in MAIL and RCPT" },
  swap_bangpath: { type: "boolean", default: "yes", doc: "Rewrite site!user to user@site" },
  syslog_name: { type: "string", default: "postfix", min: 1, doc: "Name before /program in log lines" },
  transport_maps: { type: "tables", default: "", doc: "Transport and next host by recipient" },
  transport_retry_time: { type: "duration", default: "60s", min: 1, doc: "Pause before a transport that failed is tried again" },
  trigger_timeout: { type: "duration", default: "10s", min: 1, doc: "How long a wake-up may take" },
  undisclosed_recipients_header: { type: "string", default: "", doc: "Header for mail without To: and Cc:" },
  unknown_address_reject_code: { type: "integer", default: "450", min: 400, max: 599, doc: "Reply code of reject_unknown_sender_domain and its like" },
  unknown_client_reject_code: { type: "integer", default: "450", min: 400, max: 599, doc: "Reply code of reject_unknown_client_hostname" },
  unknown_local_recipient_reject_code: { type: "integer", default: "550", min: 400, max: 599, doc: "Reply code for unknown local recipients" },
  unknown_relay_recipient_reject_code: { type: "integer", default: "550", min: 400, max: 599, doc: "Reply code for unknown recipients of relay_domains" },
  unknown_virtual_alias_reject_code: { type: "integer", default: "550", min: 400, max: 599, doc: "Reply code for unknown recipients of virtual_alias_domains" },
  unknown_virtual_mailbox_reject_code: { type: "integer", default: "550", min: 400, max: 599, doc: "Reply code for unknown recipients of virtual_mailbox_domains" },
  verp_delimiter_filter: { type: "string", default: "-=+", min: 1, doc: "Characters that may be VERP delimiters" },
  virtual_alias_address_length_limit: { type: "integer", default: "1000", min: 1, doc: "Longest address that an alias may expand to" },
  virtual_alias_domains: { type: "list", default: "$virtual_alias_maps", files: true, doc: "Domains whose addresses are all aliases" },
  virtual_alias_expansion_limit: { type: "integer", default: "1000", min: 1, doc: "Most addresses from one recipient" },
  virtual_alias_maps: { type: "tables", default: "", doc: "Aliases for any recipient, local or not" },
  virtual_alias_recursion_limit: { type: "integer", default: "1000", min: 1, doc: "Deepest nesting of aliases" },
  virtual_destination_concurrency_limit: { type: "integer", default: "$default_destination_concurrency_limit", doc: "Most deliveries to one virtual mailbox domain at once" },
  virtual_destination_recipient_limit: { type: "integer", default: "$default_destination_recipient_limit", doc: "Most recipients in one virtual mailbox delivery" },
  virtual_gid_maps: { type: "tables", default: "", doc: "Group of virtual mailboxes" },
  virtual_mailbox_base: { type: "string", default: "", min: 1, absolute: true, doc: "Directory that virtual mailboxes are in" },
  virtual_mailbox_domains: { type: "list", default: "$virtual_mailbox_maps", files: true, doc: "Domains of virtual mailboxes" },
  virtual_mailbox_limit: { type: "integer", default: "51200000", doc: "Most bytes of a virtual mailbox or maildir file; 0: no limit" },
  virtual_mailbox_lock: { type: "list", default: "fcntl, dotlock", min: 1, values: ["fcntl", "flock", "dotlock"], doc: "How virtual mailboxes are locked: fcntl, flock, dotlock" },
  virtual_mailbox_maps: { type: "tables", default: "", doc: "Virtual mailboxes: path below virtual_mailbox_base" },
  virtual_mailbox_path: { type: "string", default: "", doc: "Own: path below virtual_mailbox_base instead of the table's; %u user, %d domain; empty: the table's" },
  virtual_mailbox_shared_helper: { type: "boolean", default: "no", doc: "Own: one helper for all virtual mailboxes of a uid and gid; it may write everything below virtual_mailbox_base that they may" },
  virtual_minimum_uid: { type: "integer", default: "100", min: 1, doc: "Lowest user number for virtual mailboxes" },
  virtual_transport: { type: "string", default: "virtual", min: 1, doc: "Delivery of mail to virtual_mailbox_domains: transport or transport:nexthop" },
  virtual_uid_maps: { type: "tables", default: "", doc: "User of virtual mailboxes" },
} as const satisfies Readonly<Record<string, Parameter>>;

/** Name of a parameter that Postern honours. */
export type ParameterName = keyof typeof PARAMETERS;

/** What a daemon gets for the parameter. */
export type ParameterValue<K extends ParameterName> = ParameterTypes[(typeof PARAMETERS)[K]["type"]];

/** The values of some parameters, frozen. */
export type Settings<K extends ParameterName> = { readonly [P in K]: ParameterValue<P> };

const ROWS: ReadonlyMap<string, Parameter> = new Map(Object.entries(PARAMETERS));

/** All names, alphabetical. */
export const PARAMETER_NAMES: readonly ParameterName[] = Object.keys(PARAMETERS).sort() as ParameterName[];

/** True for the name of a parameter that Postern honours. */
export function isParameterName(name: string): name is ParameterName {
  return ROWS.has(name);
}

/** The row of a parameter, or undefined. */
export function findParameter(name: string): Parameter | undefined {
  return ROWS.get(name);
}
