import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "discard",
  purpose: "claims to deliver, and drops",
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
  parameters: ["delay_logging_resolution_limit"],
} as const satisfies Service;
