import type { Service } from "../../lib/server/service.ts";

/** What a mailbox helper may touch: master adds the one mailbox that the request names, and nothing else. */
export const SERVICE = {
  command: "mailbox",
  purpose: "writes one mailbox for local or virtual",
  skeleton: "helper",
  serves: "mailbox",
  connects: [],
  reads: [],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "recipient",
  processLimit: 0,
  endsWhenIdle: false,
  parameters: [
    "deliver_lock_attempts",
    "deliver_lock_delay",
    "line_length_limit",
    "mailbox_delivery_lock",
    "mailbox_size_limit",
    "myhostname",
    "stale_lock_time",
    "strict_mailbox_ownership",
    "virtual_mailbox_limit",
    "virtual_mailbox_lock",
  ],
} as const satisfies Service;
