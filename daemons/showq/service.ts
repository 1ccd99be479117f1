/**
 * What showq may touch.
 *
 * @module
 */
import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "showq",
  purpose: "lists the queue",
  skeleton: "ipc",
  serves: "showq",
  connects: [],
  reads: [
    "queue/maildrop",
    "queue/active",
    "queue/incoming",
    "queue/deferred",
    "queue/hold",
    "queue/defer",
    "queue/bounce",
  ],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: ["duplicate_filter_limit", "hash_queue_depth", "hash_queue_names", "queue_directory"],
} as const satisfies Service;
