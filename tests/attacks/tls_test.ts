/** Class TLS of the security cases: the handshake and what surrounds it, on the real daemons. @module */
import assert from "node:assert/strict";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { Certificates } from "../support/certificates.ts";
import { Postern, runProgram } from "../support/postern.ts";
import { TlsClient } from "../support/tls_client.ts";
import { testNeeding } from "../support/tools.ts";
import { testEveryCase } from "./cases.ts";

const CHECKED = ["TLS-02", "TLS-16", "TLS-17", "TLS-19"];

testEveryCase("TLS", Object.fromEntries(CHECKED.map((id) => [id, true])), {
  "TLS-01": "tests/daemons/smtpd/smtpd_tls_test.ts",
  "TLS-04": "tests/daemons/smtpd/smtpd_tls_test.ts: RFC 3207 section 4.2",
  "TLS-05": "tests/daemons/smtpd/smtpd_tls_test.ts: RFC 3207 section 4",
  "TLS-07": "tests/daemons/smtpd/smtpd_auth_test.ts: AUTH is offered in TLS only where that is asked for",
  "TLS-08": "tests/daemons/smtpd/smtpd_tls_test.ts",
  "TLS-10": "tests/daemons/smtpd/smtpd_tls_test.ts",
  "TLS-11": "tests/daemons/smtpd/smtpd_tls_test.ts",
  "TLS-13": "tests/daemons/smtpd/smtpd_tls_test.ts",
  "TLS-14":
    "tests/daemons/smtpd/smtpd_tls_test.ts: a client's certificate is asked for, told of, and demanded",
  "TLS-20": "tests/daemons/smtpd/smtpd_tls_test.ts",
});

testNeeding(
  ["openssl"],
  "TLS-02, TLS-16, TLS-17, TLS-19: nothing of another protocol or from before TLS is obeyed",
  async () => {
    using made = new Certificates();
    await using system = await Postern.start({
      settings: {
        notify_classes: "[]",
        smtpd_forbid_unauth_pipelining: "false",
        smtpd_tls_security_level: '"may"',
        smtpd_tls_chain_files: `["${made.make("mx.test").chain}"]`,
      },
    });
    // TLS-02: a transaction in the clear behind STARTTLS, where pipelining is not forbidden otherwise.
    using smuggler = await SmtpClient.connect(system.port);
    await smuggler.reply();
    await smuggler.say("EHLO c");
    await smuggler.send("STARTTLS\r\nEHLO x\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<bob@example.test>\r\n");
    assert.equal(await smuggler.reply(), "554 5.5.0 Error: SMTP protocol synchronization");
    assert.equal(await smuggler.reply(), "");
    // The same in segments of their own: the handshake takes it for its own, and fails.
    using slow = await SmtpClient.connect(system.port);
    await slow.reply();
    await slow.says("EHLO c", "STARTTLS");
    await slow.send("EHLO x\r\nMAIL FROM:<evil@x>\r\n");
    assert.ok(!(await slow.reply()).includes("250"));
    // TLS-16: also inside TLS.
    for (const first of ["POST / HTTP/1.1", "CONNECT x:25 HTTP/1.1", "Host: x"]) {
      using client = await TlsClient.connect(system.port);
      await client.reply();
      await client.say("EHLO c");
      await client.startTls();
      client.send(`${first}\r\nContent-Length: 60\r\n\r\nEHLO x\r\nMAIL FROM:<a@b>\r\n`);
      const replies = [await client.reply(), await client.reply()];
      assert.deepEqual(replies, ["221 2.7.0 Error: I can break rules, too. Goodbye.", ""], first);
    }
    const s = async (input: string, ...args: string[]) => {
      const script =
        `(${input}) | timeout 20 openssl s_client -starttls smtp -connect 127.0.0.1:${system.port} "$@"`;
      const { output, errors } = await runProgram("sh", ["-c", script, "sh", ...args]);
      return output + errors;
    };
    // TLS-17: SMTP is spoken whatever was asked for by ALPN, and nothing else.
    const alpn = await s("sleep 0.5; printf 'NOOP\\r\\n'; sleep 0.5", "-alpn", "h2,http/1.1");
    assert.match(alpn, /No ALPN negotiated|no application protocol/);
    assert.doesNotMatch(alpn, /HTTP\/1\.1 [0-9]{3}/);
    // TLS-19: no second handshake on a connection.
    const again = await s("sleep 0.5; printf 'R\\n'; sleep 1; printf 'NOOP\\r\\n'; sleep 0.5", "-tls1_2");
    assert.match(again, /RENEGOTIATING\n[^]*(no renegotiation|unexpected|alert|error|closed)/i);
    assert.doesNotMatch(again, /RENEGOTIATING\n[^]*250 2\.0\.0 Ok/);
    assert.deepEqual(system.queued("incoming"), []);
  },
);
