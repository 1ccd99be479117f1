import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "dnsblog",
  purpose: "asks DNS block lists about clients, and logs what they say",
  skeleton: "ipc",
  serves: "dnsblog",
  connects: ["dns"],
  reads: [],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern-net",
  processLimit: 1,
  endsWhenIdle: true,
  parameters: ["dnsblog_reply_delay"],
} as const satisfies Service;
