/**
 * What the dns daemon may touch.
 *
 * @module
 */
import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "dns",
  purpose: "answers name lookups; the only process that may reach the resolver",
  skeleton: "ipc",
  serves: "dns",
  connects: [],
  reads: [],
  writes: [],
  inet: "resolver",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: false,
  parameters: ["resolver"],
} as const satisfies Service;
