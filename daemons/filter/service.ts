import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "filter",
  purpose: "runs a mail filter of the administrator's own, a TypeScript file",
  skeleton: "stream",
  connects: [],
  reads: ["$filter_file"],
  declares: "filter_file",
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern-net",
  processLimit: 2,
  endsWhenIdle: false,
  parameters: ["filter_file"],
} as const satisfies Service;
