import type { Service } from "../../lib/server/service.ts";

/** What a pipe agent may touch: it runs nothing; helpers that master starts run the program of its service. */
export const SERVICE = {
  command: "pipe",
  purpose: "delivers to a program",
  skeleton: "ipc",
  serves: "delivery",
  connects: [],
  serverTablesBy: "proxymap",
  reads: ["queue/active", "table:pipe_delivery_status_filter"],

  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  startsHelpers: true,
  endsWhenIdle: true,
  npm: true,
  parameters: [
    "delay_logging_resolution_limit",
    "double_bounce_sender",
    "enable_original_recipient",
    "hash_queue_depth",
    "hash_queue_names",
    "mailbox_helper_idle",
    "mailbox_helper_limit",
    "owner_request_special",
    "pipe_delivery_status_filter",
    "queue_directory",
    "recipient_delimiter",
    "soft_bounce",
  ],
} as const satisfies Service;
