import type { Service } from "../../lib/server/service.ts";

/** What a spawn service may touch: it runs the one program that its entry in master.toml names, and nothing else. */
export const SERVICE = {
  command: "spawn",
  purpose: "starts a program for each connection",
  skeleton: "stream",
  connects: [],
  reads: [],
  writes: [],
  inet: "none",
  runs: [],
  runsProgram: true,
  runAs: "recipient",
  processLimit: 1,
  endsWhenIdle: false,
  parameters: ["queue_directory"],
} as const satisfies Service;
