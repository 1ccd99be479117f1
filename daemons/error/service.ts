import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "error",
  purpose: "bounces or defers every recipient, with the next hop as the reason",
  skeleton: "ipc",
  serves: "delivery",
  connects: [],
  reads: [],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: ["delay_logging_resolution_limit", "soft_bounce"],
} as const satisfies Service;
