/**
 * What pickup may touch.
 *
 * @module
 */
import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "pickup",
  purpose: "takes the mail of local users from maildrop/",
  skeleton: "ipc",
  serves: "pickup",
  connects: ["cleanup"],
  connectsFor: { proxymap: ["authorized_submit_users", "local_login_sender_maps"] },
  reads: ["queue/maildrop", "queue/corrupt", "/etc/passwd"],
  writes: ["queue/maildrop", "queue/corrupt"],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: [
    "authorized_submit_users",
    "content_filter",
    "double_bounce_sender",
    "empty_address_local_login_sender_maps_lookup_key",
    "hash_queue_depth",
    "hash_queue_names",
    "line_length_limit",
    "local_login_sender_maps",
    "mail_name",
    "myhostname",
    "owner_request_special",
    "queue_directory",
    "receive_override_options",
    "recipient_delimiter",
    "smtputf8_autodetect_classes",
  ],
} as const satisfies Service;
