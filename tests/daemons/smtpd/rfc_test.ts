/** Rules of RFCs that smtpd keeps and that need no session to show. @module */
import assert from "node:assert/strict";
import { type ReceivedInfo, receivedLines } from "../../../daemons/smtpd/smtpd_received.ts";

const INFO: ReceivedInfo = {
  peer: {
    name: "client.test",
    reverseName: "client.test",
    address: "198.51.100.9",
    port: 40_000,
    serverAddress: "192.0.2.1",
    serverPort: 25,
    nameTrouble: false,
    ours: false,
  },
  helo: "helo.test",
  protocol: "ESMTP",
  queueId: "4F2A",
  hostName: "mx.test",
  mailName: "Postern",
  recipients: ["a b@local.test"],
  hideClient: false,
};
const DATE = "Mon, 1 Jan 2029 00:00:00 +0000";
const FROM = "Received: from helo.test (client.test [198.51.100.9])";

/** What is known of a message, and the header that tells it. */
const HEADERS: Readonly<Record<string, readonly [more: Partial<ReceivedInfo>, lines: readonly string[]]>> = {
  "from, by, with, id, for, then the date": [{}, [
    FROM,
    "\tby mx.test (Postern) with ESMTP id 4F2A",
    `\tfor <"a b"@local.test>; ${DATE}`,
  ]],
  "of several recipients none is shown": [{ recipients: ["a@local.test", "b@local.test"] }, [
    FROM,
    `\tby mx.test (Postern) with ESMTP id 4F2A; ${DATE}`,
  ]],
  "an IPv6 address has its tag, and a client without HELO its own name": [
    { helo: "", peer: { ...INFO.peer, address: "2001:db8::9" }, recipients: [] },
    [
      "Received: from client.test (client.test [IPv6:2001:db8::9])",
      `\tby mx.test (Postern) with ESMTP id 4F2A; ${DATE}`,
    ],
  ],
  "a hidden client leaves by, id and date": [{ hideClient: true, recipients: [] }, [
    `Received: by mx.test (Postern) id 4F2A; ${DATE}`,
  ]],
};

for (const [name, [more, lines]] of Object.entries(HEADERS)) {
  Deno.test(`RFC 5321 section 4.4: Received: ${name}`, () => {
    assert.deepEqual(receivedLines({ ...INFO, ...more }, DATE), lines);
  });
}
