/** What smtpd asks its restrictions. Not a test itself. @module */
import type { Question } from "../../lib/access/policy.ts";

/** A stranger's RCPT, without TLS and login; nothing is known of the recipient. */
export const STRANGER: Question = {
  stage: "RCPT",
  peer: {
    name: "unknown",
    reverseName: "unknown",
    address: "198.51.100.9",
    port: 1234,
    serverAddress: "192.0.2.1",
    serverPort: 25,
    nameTrouble: false,
    ours: false,
  },
  client: "unknown[198.51.100.9]",
  trusted: false,
  helo: "c.test",
  protocol: "ESMTP",
  sender: "a@ext.test",
  recipient: "alice@local.test",
  resolved: undefined,
  recipientCount: 0,
  size: 0,
  queueId: "",
  instance: "",
  pipelined: false,
  warn: () => {},
  note: () => {},
};
