import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "anvil",
  purpose: "counts what each client does at all servers of a service",
  skeleton: "ipc",
  serves: "anvil",
  connects: [],
  reads: [],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: ["anvil_rate_time_unit", "anvil_status_update_time"],
} as const satisfies Service;
