/**
 * What the sts daemon may touch.
 *
 * @module
 */
import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "sts",
  purpose: "fetches and keeps the MTA-STS policies of domains",
  skeleton: "ipc",
  serves: "sts",
  connects: ["dns"],
  reads: ["queue/sts"],
  writes: ["queue/sts"],
  inet: "https",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: false,
  startsWhenAsked: true,
  opensTls: true,
  parameters: ["https_port", "https_trusted_addresses", "queue_directory"],
} as const satisfies Service;
