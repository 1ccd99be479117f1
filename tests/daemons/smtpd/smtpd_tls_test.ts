/** STARTTLS, wrapper mode and client certificates, with the real daemons in their sandboxes. @module */
import assert from "node:assert/strict";
import { Certificate } from "../../../lib/safe/certificate.ts";
import { until } from "../../commands/mail_system.ts";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { Certificates, type MadeCertificate } from "../../support/certificates.ts";
import { Postern, type PosternOptions, runProgram } from "../../support/postern.ts";
import { TlsClient } from "../../support/tls_client.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

const SETTINGS = {
  notify_classes: "[]",
  virtual_mailbox_domains: '["example.test"]',
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject"]',
  smtpd_tls_security_level: '"may"',
  smtpd_tls_loglevel: "1",
};
const CLIENT = "localhost[127.0.0.1]";

/** A system with one certificate. */
function start(
  made: MadeCertificate,
  more: Record<string, string> = {},
  services?: PosternOptions["services"],
) {
  const settings = { ...SETTINGS, smtpd_tls_chain_files: `["${made.chain}"]`, ...more };
  return Postern.start({ settings, ...(services === undefined ? {} : { services }) });
}

/** Asks again until it is so. */
async function becomes(holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail("it did not come to that");
}

function keywords(reply: string): string[] {
  return reply.split("\n").slice(1).map((line) => line.slice(4));
}

testNeeding(
  ["openssl"],
  "RFC 3207 section 4.2: after the handshake the session is as new, and STARTTLS is not offered",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"));
    using client = await TlsClient.connect(system.port);
    await client.reply();
    assert.ok(keywords(await client.say("EHLO first")).includes("STARTTLS"));
    assert.deepEqual(await client.says("MAIL FROM:<a@example.test>", "RCPT TO:<one@example.test>"), [
      "250 2.1.0 Ok",
      "250 2.1.5 Ok",
    ]);
    await client.startTls();
    // TLS-04: neither sender nor recipient is left.
    assert.equal(await client.say("DATA"), "503 5.5.1 Error: need RCPT command");
    const offered = keywords(await client.say("EHLO second"));
    assert.ok(!offered.includes("STARTTLS") && offered.includes("PIPELINING"));
    assert.equal(await client.say("STARTTLS"), "554 5.5.1 Error: TLS already active");
    await client.says("MAIL FROM:<a@example.test>", "RCPT TO:<one@example.test>", "DATA");
    assert.match(await client.say("Subject: x\r\n\r\nsecret\r\n."), /^250 2\.0\.0 Ok: queued as /);
    assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
    assert.equal(await client.reply(), "");
    const [mail] = await system.mail("one");
    assert.match(new TextDecoder().decode(mail), /^\tby \S+ \(Postern\) with ESMTPS id /m);
    await system.untilLogged(
      `Anonymous TLS connection established from ${CLIENT}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`,
    );
    await system.untilLogged(
      `disconnect from ${CLIENT} ehlo=2 starttls=1/2 mail=2 rcpt=2 data=1/2 quit=1 commands=9/11`,
    );
  },
);

testNeeding(
  ["openssl"],
  "RFC 3207 section 4: STARTTLS takes no parameters, and where it cannot be it says so",
  async () => {
    using made = new Certificates();
    const one = made.make("mx.test");
    await using system = await start(one, { smtpd_discard_ehlo_keywords: '["starttls"]' });
    using hidden = await SmtpClient.connect(system.port);
    await hidden.reply();
    assert.ok(!keywords(await hidden.say("EHLO x")).includes("STARTTLS"));
    assert.equal(await hidden.say("STARTTLS"), "502 5.5.1 Error: command not implemented");
    // TLS-05
    assert.equal(await hidden.say("STARTTLS now"), "501 5.5.4 Syntax: STARTTLS");
    system.set({ smtpd_discard_ehlo_keywords: "[]", smtpd_tls_chain_files: "[]" });
    await system.run(["reload"]);
    await system.untilLogged("No server certs available. TLS won't be enabled");
    await becomes(async () => {
      using client = await SmtpClient.connect(system.port);
      await client.reply();
      const offered = keywords(await client.say("EHLO x"));
      return !offered.includes("STARTTLS") &&
        await client.say("STARTTLS") === "454 4.7.0 TLS not available due to local problem";
    });
  },
);

testNeeding(
  ["openssl"],
  "TLS-01: what comes behind STARTTLS in the clear ends the session and is never a command",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"));
    for (const forbid of ["true", "false"]) {
      system.set({ smtpd_forbid_unauth_pipelining: forbid });
      await system.run(["reload"]);
      const pids = system.pids("smtpd");
      if (forbid === "false") await until(() => system.pids("smtpd").every((pid) => !pids.includes(pid)));
      using client = await SmtpClient.connect(system.port);
      await client.reply();
      await client.say("EHLO x");
      await client.send("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<evil@x.test>\r\n");
      assert.equal(await client.reply(), "554 5.5.0 Error: SMTP protocol synchronization");
      assert.equal(await client.reply(), "");
      await system.untilLogged(`improper command pipelining after STARTTLS from ${CLIENT}: EHLO injected`);
    }
  },
);

testNeeding(
  ["openssl"],
  "TLS-08: garbage in the place of a handshake ends the session, and the server goes on",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"));
    const pids = system.pids("smtpd");
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.says("EHLO x", "STARTTLS");
    await client.send("AAAAAAAAAAAAAAAA\r\nEHLO again\r\n");
    assert.ok(!(await client.reply()).includes("250"));
    await system.untilLogged(`SSL_accept error from ${CLIENT}: received corrupt message`);
    await system.untilLogged(`lost connection after STARTTLS from ${CLIENT}`);
    using gone = await SmtpClient.connect(system.port);
    await gone.reply();
    await gone.says("EHLO x", "STARTTLS");
    gone.close();
    await system.untilLogged(
      /SSL_accept error from localhost\[127\.0\.0\.1\]: (lost connection|socket hang up)/,
    );
    await system.untilLogged(`disconnect from ${CLIENT} ehlo=1 starttls=1 commands=2`);
    assert.deepEqual(system.pids("smtpd"), pids);
  },
);

testNeeding(
  ["openssl"],
  "TLS-10: a handshake has one deadline for all of it, however its bytes are spread",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"), { smtpd_starttls_timeout: '"3s"' });
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.says("EHLO x", "STARTTLS");
    // The beginning of a record of 16 KiB, a byte at a time.
    const record = [0x16, 0x03, 0x01, 0x40, 0x00, 0x01, ...new Array(1000).fill(0)];
    let over = false;
    const answer = client.reply().then((reply) => {
      over = true;
      return reply;
    });
    for (const byte of record) {
      if (over) break;
      await client.send(new Uint8Array([byte]));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(await answer, "");
    await system.untilLogged(`SSL_accept error from ${CLIENT}: Connection timed out`);
  },
);

testNeeding(
  ["openssl"],
  "TLS-11: in wrapper mode nothing is said in the clear, and TLS comes first",
  async () => {
    using made = new Certificates();
    const port = freePort();
    const services = (text: string) =>
      `${text}\n[[service]]\nname = "127.0.0.1:${port}"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n` +
      "parameters = { smtpd_tls_wrappermode = true, smtpd_tls_loglevel = 2 }\n";
    await using system = await start(made.make("mx.test"), {}, services);
    using clear = await SmtpClient.connect(port);
    await clear.send("EHLO c\r\n");
    assert.ok(!(await clear.reply()).includes("220"));
    await system.untilLogged(`lost connection after CONNECT from ${CLIENT}`);
    using client = await TlsClient.secure(port);
    assert.match(await client.reply(), /^220 \S+ ESMTP Postern$/);
    assert.ok(!keywords(await client.say("EHLO x")).includes("STARTTLS"));
    assert.equal(await client.say("STARTTLS"), "554 5.5.1 Error: TLS already active");
    await system.untilLogged(`setting up TLS connection from ${CLIENT}`);
    await system.untilLogged(`Anonymous TLS connection established from ${CLIENT}: TLSv1.3`);
    // TLS-13: each service has ticket keys of its own.
    const ticket = made.directory.at("ticket");
    const s = async (...args: string[]) => {
      const { output } = await runProgram("sh", [
        "-c",
        'printf "QUIT\\r\\n" | timeout 60 openssl s_client -ign_eof "$@"',
        "sh",
        ...args,
      ]);
      return output;
    };
    await s("-connect", `127.0.0.1:${port}`, "-sess_out", ticket);
    const opening = ["-connect", `127.0.0.1:${system.port}`, "-starttls", "smtp"];
    assert.match(await s("-connect", `127.0.0.1:${port}`, "-sess_in", ticket), /\nReused, TLSv1\.3/);
    await system.untilLogged(`Anonymous TLS connection reused from ${CLIENT}: TLSv1.3`);
    assert.match(await s(...opening, "-sess_in", ticket), /\nNew, TLSv1\.3/);
  },
);

testNeeding(
  ["openssl"],
  "smtpd: where TLS is demanded nothing but the way there is answered before it",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"), { smtpd_tls_security_level: '"encrypt"' });
    using client = await TlsClient.connect(system.port);
    await client.reply();
    const need = "530 5.7.0 Must issue a STARTTLS command first";
    assert.deepEqual(
      await client.says(
        "HELO x",
        "NOOP",
        "MAIL FROM:<a@example.test>",
        "RCPT TO:<b@example.test>",
        "DATA",
        "RSET",
        "VRFY x",
      ),
      ["250 localhost", "250 2.0.0 Ok", need, need, need, need, need],
    );
    await client.startTls();
    assert.deepEqual(
      await client.says("EHLO x", "MAIL FROM:<a@example.test>").then((all) => all[1]),
      "250 2.1.0 Ok",
    );
  },
);

testNeeding(["openssl"], "smtpd: a client's certificate is asked for, told of, and demanded", async () => {
  using made = new Certificates();
  const authority = made.make("authority", { authority: true });
  const trusted = made.make("client.test", { issuer: authority });
  // TLS-14: a name that would end the comment and the header.
  const evil = made.make("evil", { commonName: "x)\\r\\nX-Inj: 1" });
  await using system = await start(made.make("mx.test"), {
    smtpd_tls_ask_ccert: "true",
    smtpd_tls_CAfile: `"${authority.certificate}"`,
    smtpd_tls_received_header: "true",
    smtpd_tls_loglevel: "2",
  });
  const send = async (user: string, as?: MadeCertificate) => {
    using client = await TlsClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    await client.startTls(
      as === undefined
        ? {}
        : { key: Deno.readTextFileSync(as.key), cert: Deno.readTextFileSync(as.certificate) },
    );
    await client.says("EHLO x", "MAIL FROM:<a@example.test>", `RCPT TO:<${user}@example.test>`, "DATA");
    assert.match(await client.say("Subject: x\r\n\r\nx\r\n."), /^250 /);
    const [mail] = await system.mail(user);
    const text = new TextDecoder().decode(mail);
    return text.slice(text.indexOf("Received: "), text.indexOf("\tby "));
  };
  const using_ = "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\n";
  const from = "Received: from x (localhost [127.0.0.1])\n";
  assert.equal(await send("none"), `${from}${using_}\t(Client did not present a certificate)\n`);
  assert.equal(
    await send("good", trusted),
    `${from}${using_}\t(Client CN "client.test", Issuer "authority" (verified OK))\n`,
  );
  assert.equal(
    await send("evil", evil),
    `${from}${using_}\t(Client CN "x???X-Inj: 1", Issuer "x???X-Inj: 1" (not verified))\n`,
  );
  const read = new Certificate(Deno.readTextFileSync(trusted.certificate));
  await system.untilLogged(
    `${CLIENT}: subject_CN=client.test, issuer=authority, fingerprint=${read.fingerprint("sha256")}, ` +
      `pkey_fingerprint=${read.keyFingerprint("sha256")}`,
  );
  await system.untilLogged(`Trusted TLS connection established from ${CLIENT}: TLSv1.3`);
  await system.untilLogged(`Untrusted TLS connection established from ${CLIENT}: TLSv1.3`);
  system.set({ smtpd_tls_security_level: '"encrypt"', smtpd_tls_req_ccert: "true" });
  const before = system.pids("smtpd");
  await system.run(["reload"]);
  assert.ok(
    await until(() => {
      const pids = system.pids("smtpd");
      return pids.length > 0 && pids.every((pid) => !before.includes(pid));
    }),
  );
  const refused = async (as?: MadeCertificate) => {
    using client = await TlsClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    await client.startTls(
      as === undefined
        ? {}
        : { key: Deno.readTextFileSync(as.key), cert: Deno.readTextFileSync(as.certificate) },
    );
    return await client.say("EHLO x");
  };
  assert.equal(await refused(), "");
  await system.untilLogged(`NOQUEUE: abort: TLS from ${CLIENT}: No client certificate presented`);
  assert.equal(await refused(evil), "");
  await system.untilLogged(`NOQUEUE: abort: TLS from ${CLIENT}: Client certificate not trusted`);
  assert.match(await refused(trusted), /^250-/);
});

testNeeding(
  ["openssl"],
  "smtpd: a renewed certificate is taken by reload, sessions under way go on, a bad one changes nothing",
  async () => {
    using made = new Certificates();
    const [old, renewed, named] = ["old.test", "new.test", "named.test"].map((name) => made.make(name));
    const files = made.directory.write("chain", Deno.readTextFileSync(old!.chain));
    await using system = await start(old!, {
      smtpd_tls_chain_files: `["${files}"]`,
      tls_server_sni_maps: `["inline:{named.test=${named!.chain}}"]`,
    });
    const peer = async (servername?: string) => {
      using client = await TlsClient.connect(system.port);
      await client.reply();
      await client.say("EHLO x");
      const socket = await client.startTls(servername === undefined ? {} : { servername });
      return (socket.getPeerCertificate().subject as { CN: string }).CN;
    };
    assert.equal(await peer(), "old.test");
    assert.equal(await peer("named.test"), "named.test");
    assert.equal(await peer("other.test"), "old.test");
    await system.untilLogged(`established from ${CLIENT} to named.test: TLSv1.3`);
    using staying = await TlsClient.connect(system.port);
    await staying.reply();
    await staying.say("EHLO x");
    await staying.startTls();
    Deno.writeTextFileSync(files, "no certificate");
    assert.match((await system.run(["reload"])).errors, /no private key in/);
    Deno.kill(system.master, "SIGHUP");
    await system.untilLogged("the new configuration is not used: the old one stays");
    assert.equal(await peer(), "old.test");
    Deno.writeTextFileSync(files, Deno.readTextFileSync(renewed!.chain));
    await system.run(["reload"]);
    await becomes(async () => await peer() === "new.test");
    assert.match(await staying.say("EHLO x"), /^250-/);
  },
);

testNeeding(
  ["openssl"],
  "TLS-20: a message whose connection ends without TLS's own end is not queued",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"));
    using client = await TlsClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    await client.startTls();
    await client.says("EHLO x", "MAIL FROM:<a@example.test>", "RCPT TO:<one@example.test>", "DATA");
    client.send("Subject: x\r\n\r\nhalf\r\n");
    client.close();
    await system.untilLogged(`lost connection after DATA from ${CLIENT}`);
    assert.ok(await until(() => system.queued("incoming").length === 0));
    assert.deepEqual(system.mailbox("one"), []);
  },
);

testNeeding(
  ["openssl"],
  "RES-20: a client that begins too many TLS sessions, or logs in too often, is told so",
  async () => {
    using made = new Certificates();
    await using system = await start(made.make("mx.test"), {
      smtpd_client_new_tls_session_rate_limit: "2",
      smtpd_client_auth_rate_limit: "1",
      smtpd_client_event_limit_exceptions: "[]",
      smtpd_sasl_auth_enable: "true",
      smtpd_sasl_type: '"saslauthd"',
    });
    const session = async () => {
      const client = await TlsClient.connect(system.port);
      await client.reply();
      await client.say("EHLO x");
      return client;
    };
    for (let i = 0; i < 2; i++) {
      using client = await session();
      await client.startTls();
      assert.match(await client.say("EHLO x"), /^250-/);
      if (i === 0) continue;
      assert.equal(await client.say("AUTH PLAIN"), "334 ");
      assert.match(await client.say("*"), /^501 /);
      assert.equal(await client.say("AUTH PLAIN"), "450 4.7.1 Error: too many AUTH commands from 127.0.0.1");
    }
    using third = await session();
    await third.startTls();
    assert.match(
      await third.say("EHLO x"),
      /^421 4\.7\.0 \S+ Error: too many new TLS sessions from localhost\[127\.0\.0\.1\]$/,
    );
    using fourth = await session();
    assert.equal(
      await fourth.say("STARTTLS"),
      "454 4.7.0 Error: too many new TLS sessions from localhost[127.0.0.1]",
    );
    assert.match(await fourth.say("NOOP"), /^250 /);
  },
);
