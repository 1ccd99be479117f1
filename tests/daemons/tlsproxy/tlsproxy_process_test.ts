import assert from "node:assert/strict";
import { Certificates } from "../../support/certificates.ts";
import { Postern } from "../../support/postern.ts";
import { TlsClient } from "../../support/tls_client.ts";
import { testNeeding } from "../../support/tools.ts";
import { screenLog, STRANGERS, withPostscreen } from "../postscreen/postscreen_support.ts";

const SERVICE = '\n[[service]]\nname = "tlsproxy"\ntype = "unix"\ncommand = "tlsproxy"\n';

/** A system whose postscreen refuses everybody in a dialogue, with TLS. */
function start(chain: string, settings: Readonly<Record<string, string>> = {}): Promise<Postern> {
  return Postern.start({
    settings: {
      ...STRANGERS,
      smtpd_tls_chain_files: `["${chain}"]`,
      smtpd_tls_security_level: '"may"',
      smtpd_tls_loglevel: "1",
      postscreen_pipelining_enable: "true",
      ...settings,
    },
    services: (text) => withPostscreen(text) + SERVICE,
  });
}

const EHLO = "250-localhost\n250-SIZE 10240000\n250-VRFY\n250-ETRN\n";

testNeeding(
  ["openssl"],
  "tlsproxy: a client that is tested does TLS, and the dialogue begins anew",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test").chain);
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      using client = await TlsClient.connect(system.port);
      await client.reply();
      assert.ok((await client.say("EHLO x")).startsWith(`${EHLO}250-STARTTLS\n`));
      assert.equal(await client.say("MAIL FROM:<a@x.test>"), "250 2.1.0 Ok");
      const secure = await client.startTls({ minVersion: version, maxVersion: version });
      assert.equal(secure.getProtocol(), version);
      // RFC 3207 section 4.2: what was said in the clear is forgotten.
      assert.equal(await client.say("RCPT TO:<one@example.test>"), "503 5.5.1 Error: need MAIL command");
      const offered = await client.say("EHLO y");
      assert.ok(offered.startsWith(EHLO) && !offered.includes("STARTTLS"), offered);
      assert.equal(await client.say("STARTTLS"), "554 5.5.1 Error: TLS already active");
      if (version === "TLSv1.3") {
        await client.say("MAIL FROM:<a@x.test>");
        assert.equal(
          await client.say("RCPT TO:<one@example.test>"),
          "450 4.3.2 Service currently unavailable",
        );
      }
      assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
      assert.equal(await client.reply(), "");
    }
    await system.untilLogged(
      /tlsproxy\[\d+\]: Anonymous TLS connection established from \[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher/,
    );
    await system.untilLogged("PASS NEW");
    assert.equal(screenLog(system).filter((line) => line.startsWith("DISCONNECT")).length, 2);
    // The client is known now: smtpd does its TLS.
    using client = await TlsClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    await client.startTls();
    assert.match(await client.say("EHLO x"), /PIPELINING/);
    assert.doesNotMatch(system.log(), /security event/);
  },
);

testNeeding(["openssl"], "tlsproxy: where TLS is demanded nothing else is taken before it", async () => {
  using made = new Certificates();
  await using system = await start(made.make("mx.test").chain, { smtpd_tls_security_level: '"encrypt"' });
  using client = await TlsClient.connect(system.port);
  await client.reply();
  await client.say("EHLO x");
  assert.equal(await client.say("MAIL FROM:<a@x.test>"), "530 5.7.0 Must issue a STARTTLS command first");
  await client.startTls();
  await client.say("EHLO x");
  assert.equal(await client.say("MAIL FROM:<a@x.test>"), "250 2.1.0 Ok");
});

testNeeding(["openssl"], "tlsproxy: what is sent behind STARTTLS in the clear ends the session", async () => {
  using made = new Certificates();
  await using system = await start(made.make("mx.test").chain, { postscreen_pipelining_action: '"ignore"' });
  using client = await TlsClient.connect(system.port);
  await client.reply();
  await client.say("EHLO x");
  client.send("STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n");
  assert.equal(await client.reply(), "521 5.5.1 Protocol error");
  assert.equal(await client.reply(), "");
});

testNeeding(["openssl"], "tlsproxy: a handshake that fails, or does not end, ends the session", async () => {
  using made = new Certificates();
  await using system = await start(made.make("mx.test").chain, { postscreen_starttls_timeout: '"1s"' });
  for (const bytes of ["no TLS at all, but long enough to be told\r\n", ""]) {
    using client = await TlsClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    assert.equal(await client.say("STARTTLS"), "220 2.0.0 Ready to start TLS");
    if (bytes !== "") client.send(bytes);
    for (let end = ""; end !== "end";) {
      end = (await client.reply()) === "" ? "end" : "";
    }
  }
  await system.untilLogged("SSL_accept error from [127.0.0.1]");
  await system.untilLogged(/HANGUP[^]*HANGUP/);
});

testNeeding(["openssl"], "tlsproxy: nobody but tlsproxy and smtpd has a key", async () => {
  using made = new Certificates();
  await using system = await start(made.make("mx.test").chain);
  const described = JSON.parse((await system.run(["sandbox", "--json"])).output) as {
    readonly command: string;
    readonly grants: readonly { readonly object: string }[];
  }[];
  const postscreen = described.find(({ command }) => command === "postscreen")!;
  assert.ok(!postscreen.grants.some(({ object }) => object.includes("mx.test")));
  const tlsproxy = described.find(({ command }) => command === "tlsproxy")!;
  assert.deepEqual(tlsproxy.grants, []);
});
