/** Rules of RFCs that smtpd keeps and that need no session to show. @module */
import assert from "node:assert/strict";
import { MailHost } from "./mail_host.ts";
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
  utf8: false,
  queueId: "4F2A",
  hostName: "mx.test",
  mailName: "Postern",
  recipients: ["a b@local.test"],
  hideClient: false,
  tls: undefined,
  sasl: undefined,
  showTls: false,
  showLogin: false,
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

const TLS = {
  protocol: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  bits: 256,
  serverName: "",
  asked: false,
  certificate: undefined,
};
const SASL = { method: "PLAIN", username: "user@example.test" };
const withOf = (more: Partial<ReceivedInfo>) => receivedLines({ ...INFO, ...more }, DATE)[1]!.split(" ")[4];

Deno.test("RFC 3848 section 1: Received tells TLS and login by the protocol's name", () => {
  assert.equal(withOf({}), "ESMTP");
  assert.equal(withOf({ tls: TLS }), "ESMTPS");
  assert.equal(withOf({ sasl: SASL }), "ESMTPA");
  assert.equal(withOf({ tls: TLS, sasl: SASL }), "ESMTPSA");
  assert.equal(withOf({ protocol: "SMTP", tls: TLS }), "SMTP");
});

Deno.test("RFC 5322 section 3.2.2: what a client says of itself cannot end its comment", () => {
  const certificate = {
    subject: 'a)(\\"b\r\nX: 1\u00e9',
    issuer: "x".repeat(300),
    fingerprint: "",
    keyFingerprint: "",
    trusted: false,
  };
  const info = {
    ...INFO,
    showTls: true,
    showLogin: true,
    tls: { ...TLS, certificate },
    sasl: { ...SASL, username: "u)\tv" },
  };
  assert.deepEqual(receivedLines(info, DATE).slice(0, 4), [
    FROM,
    "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))",
    `\t(Client CN "a????b??X: 1?", Issuer "${"x".repeat(255)}" (not verified))`,
    "\t(Authenticated sender: u)?v)".replace("u)?v", "u??v"),
  ]);
  const none = receivedLines({ ...info, tls: TLS, showLogin: false }, DATE);
  assert.equal(none[2], "\t(No client certificate requested)");
  assert.equal(receivedLines({ ...info, hideClient: true }, DATE).length, 2);
});

Deno.test("RFC 9422 section 4: EHLO tells the most recipients of a message where that is wanted", async () => {
  for (const wanted of [true, false]) {
    await using host = new MailHost({
      settings: { smtpd_limits_enable: String(wanted), smtpd_recipient_limit: "7" },
    });
    const client = host.connect();
    await client.reply();
    assert.equal((await client.say("EHLO c.test")).endsWith("250 LIMITS RCPTMAX=7"), wanted);
  }
});
