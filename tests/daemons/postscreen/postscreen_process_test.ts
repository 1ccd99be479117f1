import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { sendMessage, SmtpClient } from "../../dialogues/smtp_client.ts";
import { ListServer, screened, screenLog } from "./postscreen_support.ts";

const TEASER = "220-localhost ESMTP Postern";
const QUEUED = /^250 2\.0\.0 Ok: queued as /;
/** A client's port in the log. */
const PORT = /\[127\.0\.0\.1\]:\d+/g;

/** The lines of the log about one client after the other, each without its port. */
function lines(system: Parameters<typeof screenLog>[0]): string[] {
  return screenLog(system).map((line) => line.replaceAll(PORT, "[client]").replace(/ to \[client\]$/, ""));
}

Deno.test("postscreen: a client of mynetworks goes in at once, and smtpd knows who it is", async () => {
  await using system = await screened({ mynetworks: '["127.0.0.0/8"]', postscreen_greet_wait: '"300s"' });
  assert.match(await sendMessage(system.port), QUEUED);
  await system.mail("one");
  assert.deepEqual(lines(system), ["CONNECT from [client]", "ALLOWLISTED [client]"]);
  assert.match(system.log(), /smtpd\[\d+\]: connect from localhost\[127\.0\.0\.1\]/);
  assert.match(system.log(), /: client=localhost\[127\.0\.0\.1\]/);
  assert.match(
    new TextDecoder().decode(system.mailbox("one")[0]),
    /Received: from .*\(localhost \[127\.0\.0\.1\]\)/,
  );
});

Deno.test("postscreen: a patient stranger waits once, is known from then on, also after a restart", async () => {
  await using system = await screened();
  {
    using client = await SmtpClient.connect(system.port);
    // The teaser and smtpd's greeting are one reply of two lines.
    assert.equal(await client.reply(), `${TEASER}\n220 localhost ESMTP Postern`);
    assert.match(await client.say("EHLO x"), /^250-localhost/);
    assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
  }
  assert.match(await sendMessage(system.port), QUEUED);
  assert.deepEqual(lines(system), [
    "CONNECT from [client]",
    "PASS NEW [client]",
    "CONNECT from [client]",
    "PASS OLD [client]",
  ]);
  await system.stop();
  assert.match(
    Deno.readTextFileSync(`${system.paths.queue}/data/postscreen_cache`),
    /^\["127\.0\.0\.1",\d+,"\d+;1;1;1;1"\]\n$/,
  );
  await system.start();
  using client = await SmtpClient.connect(system.port);
  assert.equal(await client.reply(), "220 localhost ESMTP Postern");
  await system.untilLogged(/PASS OLD[^]*PASS OLD/);
});

for (
  const [action, replies, rest] of [
    ["ignore", ["250 2.1.0 Ok", "250 2.1.5 Ok"], []],
    ["enforce", ["250 2.1.0 Ok", "550 5.5.1 Protocol error"], [
      "NOQUEUE: reject: RCPT from [client]: 550 5.5.1 Protocol error; from=<a@x.test>, to=<one@example.test>, proto=ESMTP, helo=<x>",
      "DISCONNECT [client]",
    ]],
    ["drop", [], ["DISCONNECT [client]"]],
  ] as const
) {
  Deno.test(`postscreen: who talks too early, with postscreen_greet_action = ${action}`, async () => {
    await using system = await screened({ postscreen_greet_action: `"${action}"` });
    using client = await SmtpClient.connect(system.port);
    await client.send("EHLO x\r\n");
    if (action === "drop") {
      assert.equal(await client.reply(), `${TEASER}\n521 5.5.1 Protocol error`);
      assert.equal(await client.reply(), "");
    } else {
      // Who has not waited for the greeting gets no second half of it from postscreen.
      const greeting = `${TEASER}\n220 localhost ESMTP Postern`;
      if (action === "ignore") assert.equal(await client.reply(), greeting);
      assert.match(
        await client.reply(),
        action === "ignore" ? /^250-localhost/ : /^220-localhost ESMTP Postern\n250-/,
      );
      assert.equal(await client.say("MAIL FROM:<a@x.test>"), replies[0]);
      assert.equal(await client.say("RCPT TO:<one@example.test>"), replies[1]);
      assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
    }
    await system.untilLogged(action === "ignore" ? "disconnect from localhost" : "DISCONNECT");
    const [connect, pregreet, ...others] = lines(system);
    assert.equal(connect, "CONNECT from [client]");
    assert.match(pregreet!, /^PREGREET 8 after [0-9.]+ from \[client\]: EHLO x\\r\\n$/);
    assert.deepEqual(others, rest);
  });
}

Deno.test("postscreen: the permanent list lets in and keeps out, by address, and unknown words are a warning", async () => {
  for (
    const [list, action, expected] of [
      ["cidr:{{127.0.0.0/8 permit}}", "ignore", ["ALLOWLISTED [client]"]],
      ["cidr:{{127.0.0.0/8 reject}}", "drop", ["DENYLISTED [client]", "DISCONNECT [client]"]],
      ["cidr:{{127.0.0.0/8 perhaps}}", "drop", [
        "warning: postscreen_access_list: cidr:{{127.0.0.0/8 perhaps}}: unknown command: perhaps",
      ]],
    ] as const
  ) {
    await using system = await screened({
      postscreen_access_list: `["${list}", "permit_mynetworks"]`,
      postscreen_denylist_action: `"${action}"`,
    });
    using client = await SmtpClient.connect(system.port);
    const dropped = expected[0] === "DENYLISTED [client]";
    const reply = await client.reply();
    if (dropped) assert.equal(reply, "521 5.3.2 Service currently unavailable");
    else assert.match(reply, /220 localhost ESMTP Postern$/);
    assert.ok(await until(() => lines(system).length > expected.length), system.log());
    assert.deepEqual(lines(system).slice(1, 1 + expected.length), expected);
  }
});

Deno.test("postscreen: block lists are asked by way of dnsblog, and what they say is weighed", async () => {
  await using lists = new ListServer({
    "1.0.0.127.bad.test": "127.0.0.4",
    "1.0.0.127.worse.test": "127.0.0.2",
    "1.0.0.127.silent.test": "",
  });
  await using system = await screened({
    resolver: `"127.0.0.1:${await lists.port}"`,
    postscreen_dnsbl_sites: '["bad.test=127.0.0.[1..4]*2", "worse.test*3", "clean.test*9", "silent.test*9"]',
    postscreen_dnsbl_threshold: "5",
    postscreen_dnsbl_action: '"enforce"',
    postscreen_dnsbl_reply_map: '["inline:{{worse.test=lists we pay for}}"]',
  });
  using client = await SmtpClient.connect(system.port);
  assert.match(await client.reply(), /220 localhost ESMTP Postern$/);
  await client.says("EHLO x", "MAIL FROM:<a@x.test>");
  const reply = "550 5.7.1 Service unavailable; client [127.0.0.1] blocked using lists we pay for";
  assert.equal(await client.say("RCPT TO:<one@example.test>"), reply);
  await system.untilLogged("addr 127.0.0.1 listed by domain bad.test as 127.0.0.4");
  assert.ok(lines(system).includes("DNSBL rank 5 for [client]"));
  assert.ok(lists.asked.includes("1.0.0.127.clean.test"));
});

Deno.test("postscreen: a client that is well known elsewhere needs no other test", async () => {
  await using lists = new ListServer({ "1.0.0.127.good.test": "127.0.0.1" });
  await using system = await screened({
    resolver: `"127.0.0.1:${await lists.port}"`,
    postscreen_dnsbl_sites: '["good.test*-5"]',
    postscreen_dnsbl_allowlist_threshold: "-2",
    postscreen_pipelining_enable: "true",
    postscreen_bare_newline_enable: "true",
  });
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.says("EHLO x", "MAIL FROM:<a@x.test>");
  assert.equal(await client.say("RCPT TO:<one@example.test>"), "250 2.1.5 Ok");
  assert.ok(lines(system).includes("PASS NEW [client]"));
});

/** Tests after the greeting, all of them, with nothing else. */
const DIALOGUE = {
  postscreen_pipelining_enable: "true",
  postscreen_non_smtp_command_enable: "true",
  postscreen_bare_newline_enable: "true",
  postscreen_bare_newline_action: '"enforce"',
};

Deno.test("postscreen: who passes the tests after the greeting is told to come back, and then goes in", async () => {
  await using system = await screened(DIALOGUE);
  {
    using client = await SmtpClient.connect(system.port);
    assert.equal(await client.reply(), `${TEASER}\n220 localhost ESMTP Postern`);
    assert.equal(
      await client.say("EHLO x"),
      "250-localhost\n250-SIZE 10240000\n250-VRFY\n250-ETRN\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250 DSN",
    );
    await client.say("MAIL FROM:<a@x.test>");
    assert.equal(await client.say("RCPT TO:<one@example.test>"), "450 4.3.2 Service currently unavailable");
    assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
  }
  await system.untilLogged("DISCONNECT");
  assert.deepEqual(lines(system), [
    "CONNECT from [client]",
    "NOQUEUE: reject: RCPT from [client]: 450 4.3.2 Service currently unavailable; from=<a@x.test>, to=<one@example.test>, proto=ESMTP, helo=<x>",
    "PASS NEW [client]",
    "DISCONNECT [client]",
  ]);
  assert.match(await sendMessage(system.port), QUEUED);
});

for (
  const [name, sent, replies, logged] of [
    ["commands in a group", "EHLO x\r\nMAIL FROM:<a@x.test>\r\n", [
      /^250-localhost/,
      /^250 2\.1\.0 Ok/,
    ], /^COMMAND PIPELINING from \[client\] after EHLO: MAIL FROM:<a@x\.test>\\r\\n$/],
    ["a command of another protocol", "GET / HTTP/1.0\r\n", [
      /^521 5\.7\.0 Error: I can break rules, too\. Goodbye\.$/,
      /^$/,
    ], /^NON-SMTP COMMAND from \[client\] after CONNECT: GET \/ HTTP\/1\.0$/],
    ["a bare newline", "EHLO x\n", [/^250-localhost/], /^BARE NEWLINE from \[client\] after EHLO x$/],
  ] as const
) {
  Deno.test(`postscreen: ${name} after the greeting`, async () => {
    await using system = await screened(DIALOGUE);
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.send(sent);
    for (const reply of replies) assert.match(await client.reply(), reply);
    if (replies.length < 2 || name === "commands in a group") {
      if (name !== "commands in a group") await client.say("MAIL FROM:<a@x.test>");
      assert.equal(await client.say("RCPT TO:<one@example.test>"), "550 5.5.1 Protocol error");
      await client.say("QUIT");
    }
    await system.untilLogged("DISCONNECT");
    assert.match(lines(system)[1]!, logged);
    assert.ok(!system.log().includes("PASS"));
  });
}

Deno.test("postscreen: limits of commands, of their length and of time end the dialogue", async () => {
  await using system = await screened({
    ...DIALOGUE,
    postscreen_command_count_limit: "3",
    postscreen_command_time_limit: '"2s"',
    line_length_limit: "512",
    postscreen_client_connection_count_limit: "0",
  });
  const later = "421 localhost Service unavailable - try again later";
  {
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.says("NOOP", "NOOP", "NOOP");
    assert.equal(await client.say("NOOP"), later);
    await system.untilLogged(/COMMAND COUNT LIMIT from \[127\.0\.0\.1\]:\d+ after NOOP/);
  }
  {
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.send("x".repeat(2000));
    assert.equal(await client.reply(), later);
    await system.untilLogged(/COMMAND LENGTH LIMIT from \[127\.0\.0\.1\]:\d+ after CONNECT/);
  }
  {
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.say("EHLO x");
    assert.equal(await client.reply(), "421 4.4.2 localhost Error: timeout exceeded");
    await system.untilLogged(/COMMAND TIME LIMIT from \[127\.0\.0\.1\]:\d+ after EHLO/);
  }
});

Deno.test("postscreen: a client that goes away is told of, with the stage that it was in", async () => {
  await using system = await screened(DIALOGUE);
  (await SmtpClient.connect(system.port)).close();
  await system.untilLogged(/HANGUP after [0-9.]+ from \[127\.0\.0\.1\]:\d+ in tests before SMTP handshake/);
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  client.close();
  await system.untilLogged(/HANGUP after [0-9.]+ from \[127\.0\.0\.1\]:\d+ in tests after SMTP handshake/);
});

Deno.test("postscreen: connections of one client, and of all, are limited", async () => {
  await using system = await screened({
    postscreen_client_connection_count_limit: "3",
    postscreen_greet_wait: '"300s"',
  });
  const clients: SmtpClient[] = [];
  for (let i = 0; i < 4; i++) clients.push(await SmtpClient.connect(system.port));
  assert.equal(await clients[3]!.reply(), "421 4.7.0 Error: too many connections");
  await system.untilLogged(/NOQUEUE: reject: CONNECT from \[127\.0\.0\.1\]:\d+: too many connections/);
  for (const client of clients) client.close();
});

Deno.test("postscreen: when more come than can be tested it hurries, then turns clients away", async () => {
  await using system = await screened({
    postscreen_client_connection_count_limit: "0",
    postscreen_pre_queue_limit: "10",
    postscreen_greet_wait: '"300s"',
  });
  const clients: SmtpClient[] = [];
  for (let i = 0; i < 11; i++) clients.push(await SmtpClient.connect(system.port));
  assert.equal(await clients[10]!.reply(), "421 4.3.2 All screening ports are busy");
  await system.untilLogged(/reject: connect from \[127\.0\.0\.1\]:\d+: all screening ports busy/);
  await system.untilLogged("entering STRESS mode with 9 connections");
  for (const client of clients) client.close();
  await system.untilLogged("leaving STRESS mode with 7 connections");
});

Deno.test("postscreen: on an address of a backup MX nobody becomes known", async () => {
  await using system = await screened({ postscreen_allowlist_interfaces: '["!127.0.0.1", "static:all"]' });
  for (let i = 0; i < 2; i++) {
    using client = await SmtpClient.connect(system.port);
    assert.equal(await client.reply(), `${TEASER}\n220 localhost ESMTP Postern`);
    await client.says("EHLO x", "MAIL FROM:<a@x.test>");
    assert.equal(await client.say("RCPT TO:<one@example.test>"), "450 4.3.2 Service currently unavailable");
    await client.say("QUIT");
  }
  await system.untilLogged(/DISCONNECT[^]*DISCONNECT/);
  assert.equal(lines(system).filter((line) => line === "ALLOWLIST VETO [client]").length, 2);
  assert.ok(!system.log().includes("PASS"));
});

Deno.test("postscreen: behind a proxy the client is who the proxy says, for smtpd too", async () => {
  await using system = await screened({
    mynetworks: '["192.0.2.0/24"]',
    postscreen_upstream_proxy_protocol: '"haproxy"',
  });
  using client = await SmtpClient.connect(system.port);
  await client.send("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n");
  assert.match(await client.reply(), /^220 localhost/);
  assert.ok(screenLog(system).includes("CONNECT from [192.0.2.7]:40000 to [198.51.100.1]:25"));
  await system.untilLogged("connect from unknown[192.0.2.7]");
  using other = await SmtpClient.connect(system.port);
  await other.send("EHLO x\r\n");
  assert.equal(await other.reply(), "421 4.3.2 No system resources");
});

Deno.test("postscreen: a client that has said its last word gets its replies, and a large message passes", async () => {
  await using system = await screened({ mynetworks: '["127.0.0.0/8"]' });
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.says("EHLO x", "MAIL FROM:<a@x.test>", "RCPT TO:<one@example.test>", "DATA");
  const line = `${"x".repeat(70)}\r\n`;
  const text = line.repeat(60_000);
  await client.send(`Subject: large\r\n\r\n${text}.\r\nQUIT\r\n`);
  await client.endOutput();
  assert.match(await client.reply(), QUEUED);
  assert.equal(await client.reply(), "221 2.0.0 Bye");
  const [mail] = await system.mail("one");
  assert.ok(new TextDecoder().decode(mail).endsWith(text.replaceAll("\r\n", "\n")));
});

Deno.test("postscreen: without smtpd clients are told that it is busy, and it goes on when there is one again", async () => {
  await using system = await screened({ mynetworks: '["127.0.0.0/8"]' });
  assert.match(await sendMessage(system.port), QUEUED);
  const pids = system.pids("smtpd");
  for (const pid of pids) Deno.kill(pid, "SIGKILL");
  assert.ok(await until(() => system.pids("smtpd").some((pid) => !pids.includes(pid))));
  let reply = "";
  for (let i = 0; i < 50 && !QUEUED.test(reply); i++) {
    reply = await sendMessage(system.port).catch(String);
  }
  assert.match(reply, QUEUED);
  assert.doesNotMatch(system.log(), /security event/);
});
