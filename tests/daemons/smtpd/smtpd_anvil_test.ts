import assert from "node:assert/strict";
import { AnvilCounts } from "../../../daemons/anvil/anvil_counts.ts";
import { UNLIMITED } from "../../../daemons/smtpd/smtpd_anvil.ts";
import { until } from "../../commands/mail_system.ts";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { Certificates } from "../../support/certificates.ts";
import { Postern } from "../../support/postern.ts";
import { TlsClient } from "../../support/tls_client.ts";
import { testNeeding } from "../../support/tools.ts";
import { MailHost, settled } from "./mail_host.ts";

const BANNER = "220 mx.test ESMTP Postern";
const STRANGER = "198.51.100.9";

/** A mail host with an anvil whose clock stands still until the test moves it. */
class LimitedHost implements AsyncDisposable {
  now = 0;
  readonly counts = new AnvilCounts(60, () => this.now);
  readonly host: MailHost;

  constructor(settings: Readonly<Record<string, string>>) {
    this.host = new MailHost({ settings, anvil: this.counts });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
  }
}

Deno.test("limits: the rate of connections is limited, and a later unit of time begins anew", async () => {
  await using limited = new LimitedHost({ smtpd_client_connection_rate_limit: "2" });
  const { host } = limited;
  for (let i = 0; i < 2; i++) assert.equal(await host.connect().reply(), BANNER);
  const refused = host.connect();
  assert.equal(
    await refused.reply(),
    `421 4.7.0 mx.test Error: too many connections from ${STRANGER}`,
  );
  assert.equal(await refused.reply(), "");
  assert.ok(host.log.includes(
    `warning: Connection rate limit exceeded: 3 from unknown[${STRANGER}] for service smtp`,
  ));
  limited.now += 60_001;
  assert.equal(await host.connect().reply(), BANNER);
});

Deno.test("limits: connections that another process has count as well", async () => {
  await using limited = new LimitedHost({ smtpd_client_connection_count_limit: "3" });
  const { host, counts } = limited;
  const elsewhere = counts.connect("smtp", STRANGER).client;
  counts.connect("smtp", STRANGER);
  const first = host.connect();
  assert.equal(await first.reply(), BANNER);
  assert.equal(
    await host.connect().reply(),
    `421 4.7.0 mx.test Error: too many connections from ${STRANGER}`,
  );
  assert.ok(host.log.includes(
    `warning: Connection concurrency limit exceeded: 4 from unknown[${STRANGER}] for service smtp`,
  ));
  await settled();
  counts.disconnect(elsewhere);
  assert.equal(await host.connect().reply(), BANNER);
});

Deno.test("limits: a session that ends is one less, however it ends", async () => {
  await using limited = new LimitedHost({});
  const { host, counts } = limited;
  const one = host.connect();
  await one.reply();
  const two = host.connect();
  await two.reply();
  assert.equal(await one.say("QUIT"), "221 2.0.0 Bye");
  two.leave();
  await settled();
  assert.equal(counts.connect("smtp", STRANGER).client.connections, 1);
});

Deno.test("limits: messages and recipients beyond their rates get 450, and the session goes on", async () => {
  await using limited = new LimitedHost({
    smtpd_client_message_rate_limit: "2",
    smtpd_client_recipient_rate_limit: "2",
  });
  const client = await limited.host.greeted();
  const mail = "MAIL FROM:<a@ext.test>";
  const rcpt = "RCPT TO:<alice@local.test>";
  assert.deepEqual(await client.says(mail, rcpt, rcpt, rcpt, "RSET", mail, "RSET", mail, "NOOP"), [
    "250 2.1.0 Ok",
    "250 2.1.5 Ok",
    "250 2.1.5 Ok",
    `450 4.7.1 Error: too many recipients from ${STRANGER}`,
    "250 2.0.0 Ok",
    "250 2.1.0 Ok",
    "250 2.0.0 Ok",
    `450 4.7.1 Error: too much mail from ${STRANGER}`,
    "250 2.0.0 Ok",
  ]);
  for (const what of ["Recipient address", "Message delivery request"]) {
    assert.ok(limited.host.log.includes(
      `warning: ${what} rate limit exceeded: 3 from unknown[${STRANGER}] for service smtp`,
    ));
  }
  limited.now += 60_001;
  assert.deepEqual(await client.says(mail, rcpt), ["250 2.1.0 Ok", "250 2.1.5 Ok"]);
});

Deno.test("limits: pipelined commands get their replies in order while anvil is asked", async () => {
  await using limited = new LimitedHost({
    smtpd_client_message_rate_limit: "10",
    smtpd_client_recipient_rate_limit: "1",
  });
  const client = await limited.host.greeted();
  client.send("MAIL FROM:<a@ext.test>\r\nRCPT TO:<alice@local.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n");
  assert.deepEqual(
    [await client.reply(), await client.reply(), await client.reply(), (await client.reply()).slice(0, 3)],
    ["250 2.1.0 Ok", "250 2.1.5 Ok", `450 4.7.1 Error: too many recipients from ${STRANGER}`, "354"],
  );
});

Deno.test("limits: AUTH and new TLS sessions have rates of their own", async () => {
  await using limited = new LimitedHost({
    smtpd_client_auth_rate_limit: "1",
    smtpd_client_new_tls_session_rate_limit: "1",
  });
  const { session } = await limited.host.greeted();
  const client = `unknown[${STRANGER}]`;
  assert.equal(await session.anvil.countAuth(), undefined);
  assert.equal(
    await session.anvil.countAuth(),
    `450 4.7.1 Error: too many AUTH commands from ${STRANGER}`,
  );
  assert.equal(await session.anvil.countTls(), undefined);
  assert.equal(await session.anvil.checkTls(), undefined);
  assert.equal(
    await session.anvil.countTls(),
    `421 4.7.0 mx.test Error: too many new TLS sessions from ${client}`,
  );
  assert.equal(
    await session.anvil.checkTls(),
    `454 4.7.0 Error: too many new TLS sessions from ${client}`,
  );
  assert.ok(limited.host.log.includes(`warning: Refusing STARTTLS request from ${client} for service smtp`));
});

Deno.test("limits: clients of one network are one client where the prefix lengths say so", async () => {
  await using limited = new LimitedHost({
    smtpd_client_connection_count_limit: "1",
    smtpd_client_ipv4_prefix_length: "24",
    smtpd_client_ipv6_prefix_length: "64",
  });
  const { host, counts } = limited;
  for (
    const [one, same, other] of [
      [STRANGER, "198.51.100.77", "198.51.101.9"],
      ["2001:db8:1::1", "2001:db8:1::ffff:1", "2001:db8:1:1::1"],
    ] as const
  ) {
    assert.equal(await host.connect(one).reply(), BANNER);
    assert.equal(
      await host.connect(same).reply(),
      `421 4.7.0 mx.test Error: too many connections from ${same}`,
    );
    assert.equal(await host.connect(other).reply(), BANNER);
  }
  assert.equal(counts.connect("smtp", "2001:db8:1::/64").client.connections, 2);
  assert.equal(counts.connect("smtp", "198.51.100.0/24").client.connections, 2);
});

Deno.test("limits: clients of smtpd_client_event_limit_exceptions are neither limited nor counted", async () => {
  await using limited = new LimitedHost({
    smtpd_client_connection_count_limit: "1",
    smtpd_client_message_rate_limit: "1",
  });
  const { host, counts } = limited;
  for (let i = 0; i < 3; i++) {
    const client = await host.greeted("203.0.113.7");
    assert.equal(client.session.anvil, UNLIMITED);
    assert.equal(await client.say("MAIL FROM:<a@ext.test>"), "250 2.1.0 Ok");
  }
  assert.equal(counts.size, 0);
});

Deno.test("limits: a table may say who is without limits", async () => {
  await using limited = new LimitedHost({
    smtpd_client_event_limit_exceptions: '["203.0.113.0/24", "inline:{198.51.100.10=x}"]',
  });
  const { server } = limited.host;
  const { peer } = limited.host.connect("203.0.113.7").session;
  for (const [address, unlimited] of [["198.51.100.10", true], ["198.51.100.11", false]] as const) {
    assert.equal((await server.standingOf({ ...peer, address })).unlimited, unlimited);
  }
});

Deno.test("limits: who talks before the greeting, while anvil is asked, is not greeted", async () => {
  await using limited = new LimitedHost({});
  const client = limited.host.connect();
  client.send("EHLO hasty.test\r\n");
  assert.equal(await client.reply(), "554 5.5.0 Error: SMTP protocol synchronization");
});

/** Two processes that share a port, and a client that none of them is to know. */
const SERVERS = {
  settings: {
    smtpd_client_event_limit_exceptions: "[]",
    smtpd_client_connection_count_limit: "10",
    anvil_status_update_time: '"1s"',
    notify_classes: "[]",
  },
  services: (text: string) => text.replace('command = "smtpd"', 'command = "smtpd"\nprocess_limit = 2'),
};

/** What a port's clients are greeted with. */
async function greetings(port: number, count: number): Promise<{ clients: SmtpClient[]; replies: string[] }> {
  const clients: SmtpClient[] = [];
  const replies: string[] = [];
  for (let i = 0; i < count; i++) {
    const client = await SmtpClient.connect(port);
    clients.push(client);
    replies.push((await client.reply()).slice(0, 3));
  }
  return { clients, replies };
}

Deno.test("limits: all smtpd processes together give a client its number of connections, and no more", async () => {
  await using system = await Postern.start(SERVERS);
  const { clients, replies } = await greetings(system.port, 20);
  assert.equal(replies.filter((code) => code === "220").length, 10, replies.join(" "));
  assert.deepEqual(replies.slice(10), Array(10).fill("421"));
  assert.equal(system.pids("anvil").length, 1);
  await system.untilLogged(
    /anvil\[\d+\]: statistics: max connection rate \d+\/60s for \(.+:127\.0\.0\.1\) at [A-Z]/,
  );
  // The places come back, also those of a process that dies.
  for (const client of clients) client.close();
  for (const pid of system.pids("smtpd")) Deno.kill(pid, "SIGKILL");
  let code = "";
  for (let i = 0; i < 100 && code !== "220"; i++) {
    using client = await SmtpClient.connect(system.port).catch(() => undefined);
    code = (await client?.reply())?.slice(0, 3) ?? "";
    if (code !== "220") await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(code, "220");
});

Deno.test("limits: without anvil, mail is taken and each process counts for itself", async () => {
  await using system = await Postern.start({
    ...SERVERS,
    services: (text) => text.replace(/\[\[service\]\]\nname = "anvil"\n[^[]*/, ""),
  });
  const { clients, replies } = await greetings(system.port, 11);
  assert.deepEqual(replies, [...Array(10).fill("220"), "421"]);
  for (const client of clients) client.close();
});

Deno.test("limits: an anvil that dies is started again, and sessions go on meanwhile", async () => {
  await using system = await Postern.start(SERVERS);
  const { clients } = await greetings(system.port, 5);
  const [pid] = system.pids("anvil");
  Deno.kill(pid!, "SIGKILL");
  assert.ok(await until(() => !system.pids("anvil").includes(pid!)));
  assert.equal((await clients[0]!.say("EHLO x")).slice(0, 4), "250-");
  assert.equal(await clients[0]!.say("MAIL FROM:<a@example.com>"), "250 2.1.0 Ok");
  const later = await greetings(system.port, 1);
  assert.deepEqual(later.replies, ["220"]);
  assert.ok(await until(() => system.pids("anvil").length === 1));
  for (const client of [...clients, ...later.clients]) client.close();
});

testNeeding(
  ["openssl"],
  "limits: new TLS sessions beyond their rate end, and then STARTTLS is refused",
  async () => {
    using made = new Certificates();
    await using system = await Postern.start({
      settings: {
        ...SERVERS.settings,
        smtpd_tls_security_level: '"may"',
        smtpd_tls_chain_files: `["${made.make("mx.test").chain}"]`,
        smtpd_client_new_tls_session_rate_limit: "1",
      },
    });
    const greeted = async () => {
      const client = await TlsClient.connect(system.port);
      await client.reply();
      await client.say("EHLO x");
      return client;
    };
    using first = await greeted();
    await first.startTls({ maxVersion: "TLSv1.2" });
    assert.match(await first.say("EHLO x"), /^250-/);
    using second = await greeted();
    await second.startTls({ maxVersion: "TLSv1.2" });
    const client = "localhost[127.0.0.1]";
    assert.equal(await second.reply(), `421 4.7.0 localhost Error: too many new TLS sessions from ${client}`);
    assert.equal(await second.reply(), "");
    using third = await greeted();
    assert.equal(await third.say("STARTTLS"), `454 4.7.0 Error: too many new TLS sessions from ${client}`);
    await system.untilLogged(`New TLS session rate limit exceeded: 2 from ${client} for service`);
  },
);
