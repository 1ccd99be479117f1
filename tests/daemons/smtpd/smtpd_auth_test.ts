/** AUTH with the real daemons in their sandboxes, against each backend. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { Certificates } from "../../support/certificates.ts";
import { Dovecot } from "../../support/dovecot.ts";
import { Postern, runProgram } from "../../support/postern.ts";
import { TlsClient } from "../../support/tls_client.ts";
import { testNeeding } from "../../support/tools.ts";

const CLIENT = "localhost[127.0.0.1]";
const SETTINGS = {
  notify_classes: "[]",
  virtual_mailbox_domains: '["example.test"]',
  mynetworks: "[]",
  smtpd_relay_restrictions: '["permit_sasl_authenticated", "reject"]',
  smtpd_sasl_auth_enable: "true",
  smtpd_error_sleep_time: '"0s"',
};

const b64 = (text: string) => new TextEncoder().encode(text).toBase64();
const plain = (user: string, password: string) => `AUTH PLAIN ${b64(`\0${user}\0${password}`)}`;

/** A system whose users are those of doveadm's lines. */
function withPasswords(file: string, more: Record<string, string> = {}): Promise<Postern> {
  const settings = {
    ...SETTINGS,
    smtpd_sasl_type: '"passwords"',
    smtpd_sasl_password_file: `"${file}"`,
    ...more,
  };
  return Postern.start({ settings });
}

/** A line of the password file. */
async function line(user: string, password: string, scheme = "SCRAM-SHA-256"): Promise<string> {
  const { output } = await runProgram(
    "sh",
    [
      "-c",
      `printf '%s' "$1" | "$2" run -A main.ts saslpasswd -s "$3" "$4"`,
      "sh",
      password,
      Deno.execPath(),
      scheme,
      user,
    ],
    "",
    new URL("../../../", import.meta.url).pathname,
  );
  return output;
}

async function greeted(system: Postern): Promise<{ client: SmtpClient; keywords: string[] }> {
  const client = await SmtpClient.connect(system.port);
  await client.reply();
  const hello = await client.say("EHLO x");
  return { client, keywords: hello.split("\n").map((one) => one.slice(4)) };
}

Deno.test("RFC 4954 section 4: AUTH: replies in every order of commands, as Postfix's", async () => {
  using directory = new Certificates();
  const file = directory.directory.write("passwords", await line("user@example.test", "secret"));
  await using system = await withPasswords(file, { broken_sasl_auth_clients: "true" });
  const { client, keywords } = await greeted(system);
  using _ = client;
  assert.ok(keywords.includes("AUTH SCRAM-SHA-256 PLAIN LOGIN"), keywords.join());
  assert.ok(keywords.includes("AUTH=SCRAM-SHA-256 PLAIN LOGIN"));
  const dialogue: [string, string][] = [
    ["AUTH", "501 5.5.4 Syntax: AUTH mechanism"],
    ["AUTH PLAIN x y z", "501 5.5.4 Syntax: AUTH mechanism"],
    ["AUTH FOO", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"],
    // AUT-17
    ["AUTH EXTERNAL =", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"],
    ["AUTH CRAM-MD5", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"],
    ["AUTH PLAIN ====", "535 5.7.8 Error: authentication failed: Invalid base64 data in initial response"],
    ["AUTH PLAIN =", "535 5.7.8 Error: authentication failed: Invalid PLAIN response"],
    ["AUTH PLAIN", "334 "],
    ["*", "501 5.7.0 Authentication aborted"],
    ["AUTH LOGIN", "334 VXNlcm5hbWU6"],
    ["!", "535 5.7.8 Error: authentication failed: Invalid base64 data in continued response"],
    ["AUTH LOGIN", "334 VXNlcm5hbWU6"],
    ["A".repeat(12289), "500 5.5.6 SASL response limit exceeded"],
    ["MAIL FROM:<a@example.test> AUTH=x+3Dy@example.test AUTH=<>", "501 5.5.4 Syntax: MAIL FROM:<address>"],
    ["MAIL FROM:<a@example.test> AUTH=<>", "250 2.1.0 Ok"],
    [plain("user@example.test", "secret"), "503 5.5.1 Error: MAIL transaction in progress"],
    ["RSET", "250 2.0.0 Ok"],
    [plain("user@example.test", "wrong"), "535 5.7.8 Error: authentication failed: Authentication failed"],
    ["AUTH LOGIN", "334 VXNlcm5hbWU6"],
    [b64("user@example.test"), "334 UGFzc3dvcmQ6"],
    [b64("secret"), "235 2.7.0 Authentication successful"],
    [plain("user@example.test", "secret"), "503 5.5.1 Error: already authenticated"],
    ["MAIL FROM:<a@example.test> AUTH=x+3Dy@example.test", "250 2.1.0 Ok"],
    ["RCPT TO:<one@example.test>", "250 2.1.5 Ok"],
    ["DATA", "354 End data with <CR><LF>.<CR><LF>"],
  ];
  for (const [command, reply] of dialogue) assert.equal(await client.say(command), reply, command);
  assert.match(await client.say("Subject: x\r\n\r\nx\r\n."), /^250 /);
  await system.untilLogged(
    `: client=${CLIENT}, sasl_method=LOGIN, sasl_username=user@example.test, sasl_sender=x+3Dy@example.test`,
  );
  await system.untilLogged(`warning: ${CLIENT}: SASL PLAIN authentication aborted`);
  // As fail2ban's filter wants it.
  await system.untilLogged(
    `warning: ${CLIENT}: SASL PLAIN authentication failed: Authentication failed, sasl_username=user@example.test`,
  );
  assert.ok(!system.log().includes("secret"));
});

Deno.test("RFC 4954 section 6: 535 for what is wrong, 454 for a trouble that may pass; neither lets mail through", async () => {
  using directory = new Certificates();
  const file = directory.directory.write("passwords", await line("user", "secret"));
  await using system = await withPasswords(file, { smtpd_sasl_local_domain: '"example.test"' });
  // Only user@example.test could log in: the realm is added to a bare name.
  const { client } = await greeted(system);
  using _ = client;
  assert.match(await client.say(plain("user", "secret")), /^535 5\.7\.8 /);
  Deno.removeSync(file);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  assert.equal(
    await client.say(plain("user", "secret")),
    "454 4.7.0 Temporary authentication failure: password file is not available",
  );
  await client.say("MAIL FROM:<a@example.test>");
  assert.match(await client.say("RCPT TO:<one@example.test>"), /^554 5\.7\.1 /);
  Deno.writeTextFileSync(file, await line("user@example.test", "new"));
  await new Promise((resolve) => setTimeout(resolve, 2100));
  await client.say("RSET");
  assert.equal(await client.say(plain("user", "new")), "235 2.7.0 Authentication successful");
});

Deno.test("RFC 4954 section 5: AUTH= of a client that has not logged in, or that is no address, counts as <>", async () => {
  using directory = new Certificates();
  const file = directory.directory.write("passwords", await line("user@example.test", "secret"));
  await using system = await withPasswords(file, {
    smtpd_relay_restrictions: '["permit_auth_destination", "reject"]',
  });
  const send = async (parameter: string, login: boolean) => {
    const { client } = await greeted(system);
    using _ = client;
    if (login) assert.match(await client.say(plain("user@example.test", "secret")), /^235 /);
    await client.say(`MAIL FROM:<a@example.test> AUTH=${parameter}`);
    await client.says("RCPT TO:<one@example.test>", "DATA");
    return (await client.say("x\r\n.")).split(" ").at(-1)!;
  };
  const [stranger, bad, good] = [
    await send("e+3Dmc2@example.test", false),
    await send("+zz", true),
    await send("e+3Dmc2@example.test", true),
  ];
  const told = (id: string) => new RegExp(`${id}: client=(.*)`).exec(system.log())?.[1];
  await system.untilLogged(`${good}: client=`);
  const login = `${CLIENT}, sasl_method=PLAIN, sasl_username=user@example.test`;
  assert.equal(told(stranger), CLIENT);
  assert.equal(told(bad), `${login}, sasl_sender=<>`);
  assert.equal(told(good), `${login}, sasl_sender=e+3Dmc2@example.test`);
});

Deno.test("smtpd: AUTH is offered in TLS only where that is asked for, not to exceptions, and not hidden mechanisms", async () => {
  using made = new Certificates();
  const file = made.directory.write("passwords", await line("user@example.test", "secret"));
  const chain = made.make("mx.test").chain;
  await using system = await withPasswords(file, {
    smtpd_tls_auth_only: "true",
    smtpd_tls_security_level: '"may"',
    smtpd_tls_chain_files: `["${chain}"]`,
    smtpd_sasl_tls_security_options: '["noanonymous", "noplaintext"]',
    smtpd_sasl_authenticated_header: "true",
  });
  using client = await TlsClient.connect(system.port);
  await client.reply();
  // TLS-07: nothing is taken in the clear, and the password is told nowhere.
  assert.ok(!(await client.say("EHLO x")).includes("AUTH"));
  const refusal = "503 5.5.1 Error: authentication not enabled";
  assert.equal(await client.say(plain("user@example.test", "secret")), refusal);
  await client.startTls();
  // AUT-08
  assert.equal(
    await client.say(plain("user@example.test", "secret")),
    "503 5.5.1 Error: send HELO/EHLO first",
  );
  assert.match(await client.say("EHLO x"), /\n250-AUTH SCRAM-SHA-256\n/);
  assert.match(
    await client.say(plain("user@example.test", "secret")),
    /^535 .*Invalid authentication mechanism$/,
  );
  system.set({
    smtpd_sasl_tls_security_options: '["noanonymous"]',
    smtpd_sasl_mechanism_filter: '["!login", "static:rest"]',
  });
  const before = system.pids("smtpd");
  await system.run(["reload"]);
  await until(() => system.pids("smtpd").some((pid) => !before.includes(pid)));
  using next = await TlsClient.connect(system.port);
  await next.reply();
  await next.say("EHLO x");
  await next.startTls();
  assert.match(await next.say("EHLO x"), /\n250-AUTH SCRAM-SHA-256 PLAIN\n/);
  assert.match(await next.say(plain("user@example.test", "secret")), /^235 /);
  await next.says("MAIL FROM:<a@example.test>", "RCPT TO:<one@example.test>", "DATA");
  assert.match(await next.say("x\r\n."), /^250 /);
  const [mail] = await system.mail("one");
  const text = new TextDecoder().decode(mail);
  assert.match(
    text,
    /\n\t\(Authenticated sender: user@example\.test\)\n\tby \S+ \(Postern\) with ESMTPSA id /,
  );
  assert.ok(!system.log().includes("secret"));
  system.set({ smtpd_sasl_exceptions_networks: '["127.0.0.0/8"]', smtpd_tls_auth_only: "false" });
  const last = system.pids("smtpd");
  await system.run(["reload"]);
  await until(() => system.pids("smtpd").some((pid) => !last.includes(pid)));
  const { client: except, keywords } = await greeted(system);
  using _ = except;
  assert.ok(!keywords.some((one) => one.startsWith("AUTH")));
  assert.equal(await except.say(plain("user@example.test", "secret")), refusal);
});

Deno.test("smtpd: failed logins are errors, slowed down and in the end the last", async () => {
  using directory = new Certificates();
  const file = directory.directory.write("passwords", await line("user@example.test", "secret"));
  await using system = await withPasswords(file, { smtpd_hard_error_limit: "2" });
  const { client } = await greeted(system);
  using _ = client;
  const begun = performance.now();
  assert.match(await client.say(plain("user@example.test", "a")), /^535 /);
  assert.ok(performance.now() - begun > 1500);
  assert.match(await client.say(plain("nobody@example.test", "a")), /^535 /);
  assert.match(await client.reply(), /^421 4\.7\.0 .* Error: too many errors$/);
  await system.untilLogged(`too many errors after AUTH from ${CLIENT}`);
});

testNeeding(
  ["dovecot"],
  "smtpd: Dovecot's mechanisms are passed through, over its socket and over TCP",
  async () => {
    await using dovecot = await Dovecot.start();
    for (const path of [dovecot.socket, `inet:127.0.0.1:${dovecot.port}`]) {
      await using system = await Postern.start({
        settings: { ...SETTINGS, smtpd_sasl_type: '"dovecot"', smtpd_sasl_path: `"${path}"` },
      });
      const { client, keywords } = await greeted(system);
      using _ = client;
      assert.ok(
        keywords.includes("AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-1 XOAUTH2 OAUTHBEARER"),
        keywords.join(),
      );
      const failed = "535 5.7.8 Error: authentication failed: (reason unavailable)";
      assert.equal(await client.say(plain("user@example.test", "bad")), failed);
      assert.equal(await client.say("AUTH PLAIN ="), failed);
      // AUT-01, AUT-02, AUT-13
      assert.equal(await client.say(`AUTH PLAIN ${b64("nonuls")}`), failed);
      assert.equal(await client.say(`AUTH PLAIN ${b64("\0u\0p\0extra")}`), failed);
      assert.equal(await client.say(`AUTH PLAIN ${b64("\0a\tservice=imap\0p")}`), failed);
      await system.untilLogged(
        `warning: ${CLIENT}: SASL PLAIN authentication failed: (reason unavailable), sasl_username=user@example.test`,
      );
      // A token that is none: one challenge with the reason, whose answer is empty.
      const bearer = (token: string) => b64(`user=user@example.test\x01auth=Bearer ${token}\x01\x01`);
      assert.match(await client.say(`AUTH XOAUTH2 ${bearer("junk")}`), /^334 /);
      assert.equal(await client.say(""), failed);
      assert.equal(
        await client.say(`AUTH XOAUTH2 ${bearer(await dovecot.token("user@example.test"))}`),
        "235 2.7.0 Authentication successful",
      );
    }
  },
);

testNeeding(
  ["dovecot"],
  "smtpd: while Dovecot is away nobody logs in and mail goes on; when it is back they do",
  async () => {
    await using dovecot = await Dovecot.start();
    await using system = await Postern.start({
      settings: {
        ...SETTINGS,
        smtpd_sasl_type: '"dovecot"',
        smtpd_sasl_path: `"${dovecot.socket}"`,
        smtpd_relay_restrictions: '["permit_auth_destination", "reject"]',
      },
    });
    const { client } = await greeted(system);
    using _ = client;
    assert.equal(await client.say("AUTH LOGIN"), "334 VXNlcm5hbWU6");
    await dovecot.halt();
    assert.match(
      await client.say(b64("user@example.test")),
      /^454 4\.7\.0 Temporary authentication failure: /,
    );
    assert.match(await client.say(plain("user@example.test", "secret")), /^454 4\.7\.0 /);
    const { client: other, keywords } = await greeted(system);
    using __ = other;
    assert.ok(!keywords.some((one) => one.startsWith("AUTH")));
    await other.says("MAIL FROM:<a@example.test>", "RCPT TO:<one@example.test>", "DATA");
    assert.match(await other.say("x\r\n."), /^250 /);
    await system.untilLogged(`SASL: Connect to Dovecot auth socket 'unix:${dovecot.socket}' failed`);
    await dovecot.run();
    assert.equal(
      await client.say(plain("user@example.test", "secret")),
      "235 2.7.0 Authentication successful",
    );
  },
);

/** An IMAP server for saslauthd to ask: it knows one user. */
function imapServer(): Deno.TcpListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async (connection: Deno.Conn) => {
    using _ = connection;
    const say = (text: string) => connection.write(new TextEncoder().encode(text));
    await say("* OK ready\r\n");
    const buffer = new Uint8Array(2000);
    for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
      const [tag, word, user, password] = new TextDecoder().decode(buffer.subarray(0, count)).trim().split(
        " ",
      );
      if (word !== "LOGIN") return void await say(`${tag} OK bye\r\n`);
      const right = user === '"user"' && password === '"secret"';
      await say(`${tag} ${right ? "OK" : "NO"} done\r\n`);
    }
  };
  (async () => {
    for await (const connection of listener) serve(connection).catch(() => {});
  })();
  return listener;
}

testNeeding(["saslauthd", "root"], "smtpd: saslauthd checks PLAIN and LOGIN", async () => {
  using made = new Certificates();
  const mux = `${made.directory.path}/mux`;
  using imap = imapServer();
  const daemon = new Deno.Command("saslauthd", {
    args: ["-a", "rimap", "-O", `127.0.0.1/${imap.addr.port}`, "-d", "-n", "1", "-m", made.directory.path],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    const isUp = () => [...Deno.readDirSync(made.directory.path)].some(({ name }) => name === "mux");
    assert.ok(await until(isUp));
    for (const type of ["saslauthd", "cyrus"]) {
      await using system = await Postern.start({
        settings: { ...SETTINGS, smtpd_sasl_type: `"${type}"`, smtpd_sasl_path: `"${mux}"` },
      });
      const { client, keywords } = await greeted(system);
      using _ = client;
      assert.ok(keywords.includes("AUTH PLAIN LOGIN"));
      const failed = "535 5.7.8 Error: authentication failed: authentication failure";
      assert.equal(await client.say(plain("user", "wrong")), failed);
      await system.untilLogged(
        `warning: ${CLIENT}: SASL PLAIN authentication failed: authentication failure, sasl_username=user`,
      );
      assert.equal(await client.say(plain("user", "secret")), "235 2.7.0 Authentication successful");
      const { client: other } = await greeted(system);
      using __ = other;
      assert.equal(await other.say("AUTH LOGIN"), "334 VXNlcm5hbWU6");
      assert.equal(await other.say(b64("user")), "334 UGFzc3dvcmQ6");
      assert.equal(await other.say(b64("secret")), "235 2.7.0 Authentication successful");
    }
  } finally {
    // It has one process, whose signal handlers wait for a lock that a login may hold.
    daemon.kill("SIGKILL");
    await daemon.status;
  }
});
