import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "flush",
  purpose: "keeps lists of what waits for a destination, and asks for its delivery",
  skeleton: "ipc",
  serves: "flush",
  connects: ["qmgr", "proxymap"],
  reads: ["queue/flush"],
  writes: ["queue/flush"],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: [
    "fast_flush_domains",
    "fast_flush_purge_time",
    "fast_flush_refresh_time",
    "hash_queue_depth",
    "hash_queue_names",
    "parent_domain_matches_subdomains",
    "queue_directory",
  ],
} as const satisfies Service;
