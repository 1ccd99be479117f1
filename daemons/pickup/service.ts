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
  reads: ["queue/maildrop", "queue/corrupt"],
  writes: ["queue/maildrop", "queue/corrupt"],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: [
    "content_filter",
    "hash_queue_depth",
    "hash_queue_names",
    "line_length_limit",
    "mail_name",
    "myhostname",
    "queue_directory",
    "receive_override_options",
    "smtputf8_autodetect_classes",
  ],
} as const satisfies Service;
