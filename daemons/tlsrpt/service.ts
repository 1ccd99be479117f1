/**
 * What the tlsrpt daemon may touch.
 *
 * @module
 */
import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "tlsrpt",
  purpose: "counts what became of TLS with servers, and reports it daily to those who ask for it",
  skeleton: "ipc",
  serves: "tlsrpt",
  connects: ["cleanup", "dns"],
  reads: ["queue/tlsrpt"],
  writes: ["queue/tlsrpt"],
  inet: "https",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: false,
  startsWhenAsked: true,
  opensTls: true,
  parameters: [
    "https_port",
    "https_trusted_addresses",
    "myhostname",
    "queue_directory",
    "tlsrpt_contact",
    "tlsrpt_organization",
  ],
} as const satisfies Service;
