import type { Service } from "../../lib/server/service.ts";

export const SERVICE = {
  command: "tlsproxy",
  purpose: "does TLS for postscreen, which has no keys",
  skeleton: "stream",
  connects: [],
  reads: [],
  writes: [],
  inet: "none",
  runs: [],
  runAs: "postern-net",
  watchdog: "tlsproxy_watchdog_timeout",
  processLimit: 1,
  endsWhenIdle: false,
  terminatesTls: true,
  parameters: [
    "smtpd_tls_loglevel",
    "smtpd_tls_mandatory_protocols",
    "smtpd_tls_protocols",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
  ],
} as const satisfies Service;
