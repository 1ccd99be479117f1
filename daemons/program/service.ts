import type { Service } from "../../lib/server/service.ts";

/** What a program helper may touch: master adds the one program that the task names, and nothing else. */
export const SERVICE = {
  command: "program",
  purpose: "runs one program for local or pipe",
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
  parameters: [],
} as const satisfies Service;
