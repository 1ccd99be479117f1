import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "sasl",
  purpose: "checks logins against the password file",
  skeleton: "ipc",
  serves: "sasl",
  connects: [],
  reads: ["$smtpd_sasl_password_file"],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern",
  processLimit: 1,
  endsWhenIdle: true,
  npm: true,
  parameters: ["smtpd_sasl_password_file"],
} as const satisfies Service;
