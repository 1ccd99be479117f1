/**
 * What bounce, defer and trace may touch.
 *
 * @module
 */
import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "bounce",
  purpose: "per-message logs of outcomes, and the reports made of them",
  skeleton: "ipc",
  serves: "bounce",
  connects: ["cleanup"],
  reads: ["queue/active", "queue/bounce", "queue/defer", "queue/trace"],
  writes: ["queue/bounce", "queue/defer", "queue/trace"],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: [
    "2bounce_notice_recipient",
    "backwards_bounce_logfile_compatibility",
    "bounce_notice_recipient",
    "bounce_size_limit",
    "bounce_template_file",
    "delay_notice_recipient",
    "double_bounce_sender",
    "enable_threaded_bounces",
    "hash_queue_depth",
    "hash_queue_names",
    "header_from_format",
    "internal_mail_filter_classes",
    "line_length_limit",
    "mail_name",
    "maximal_queue_lifetime",
    "myhostname",
    "myorigin",
    "notify_classes",
    "queue_directory",
    "requiretls_enable",
    "requiretls_redact_dsn",
    "smtputf8_autodetect_classes",
    "smtputf8_enable",
    "tls_required_enable",
  ],
} as const satisfies Service;
