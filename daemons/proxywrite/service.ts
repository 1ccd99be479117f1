import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "proxywrite",
  purpose: "keeps caches on the disk for daemons that may write no file",
  skeleton: "ipc",
  serves: "cache",
  connects: [],
  reads: ["$data_directory"],
  writes: ["$data_directory"],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: [
    "data_directory",
    "lmtp_sasl_auth_cache_name",
    "postscreen_cache_cleanup_interval",
    "postscreen_cache_map",
    "smtp_sasl_auth_cache_name",
  ],
} as const satisfies Service;
