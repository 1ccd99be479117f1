import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { sendMessage, SmtpClient } from "../../dialogues/smtp_client.ts";
import { Postern } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";

const QUEUED = /^250 2\.0\.0 Ok: queued as /;
const GREETING = /^220 /;

const SETTINGS = {
  default_transport: '"discard:"',
  virtual_mailbox_domains: "[]",
  mydestination: "[]",
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject"]',
};

Deno.test("RFC 5321 section 3.1: a client that talks as soon as it is connected is not greeted", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  assert.match(await sendMessage(system.port), QUEUED);
  const servers = system.pids("smtpd");
  for (let i = 0; i < 5; i++) {
    // The server sleeps until the client has talked: otherwise its greeting may well be the first word.
    for (const pid of servers) Deno.kill(pid, "SIGSTOP");
    using client = await SmtpClient.connect(system.port);
    await client.send("EHLO hasty.example\r\n");
    for (const pid of servers) Deno.kill(pid, "SIGCONT");
    assert.equal(await client.reply(), "554 5.5.0 Error: SMTP protocol synchronization");
    assert.equal(await client.reply(), "");
  }
  await system.untilLogged(
    "improper command pipelining after CONNECT from localhost[127.0.0.1]: EHLO hasty.example",
  );
});

Deno.test("RES-14: a client that ends its output after the message gets its reply, and the message is queued", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.says("EHLO x", "MAIL FROM:<a@example.com>", "RCPT TO:<one@example.test>", "DATA");
  await client.send("Subject: x\r\n\r\nbody\r\n.\r\n");
  await client.endOutput();
  assert.match(await client.reply(), QUEUED);
  assert.equal(await client.reply(), "");
  await system.untilLogged("lost connection after END-OF-MESSAGE from localhost[127.0.0.1]");
  await system.untilLogged(/: removed/);
});

Deno.test("smtpd: a client that ends its output in the middle of a message leaves nothing", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.says("EHLO x", "MAIL FROM:<a@example.com>", "RCPT TO:<one@example.test>", "DATA");
  await client.send("Subject: x\r\n\r\nhalf\r\n");
  await client.endOutput();
  assert.equal(await client.reply(), "");
  await system.untilLogged("lost connection after DATA from localhost[127.0.0.1]");
  assert.ok(await until(() => system.queued("incoming").length === 0));
});

/** Descriptors that a process has open. */
function descriptors(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

testNeeding(
  ["root"],
  "smtpd: out of descriptors, it serves whom it can, and goes on accepting when there are some again",
  async () => {
    await using system = await Postern.start({
      settings: SETTINGS,
      services: (text) => text.replace('command = "smtpd"', 'command = "smtpd"\nprocess_limit = 1'),
    });
    assert.match(await sendMessage(system.port), QUEUED);
    const [pid] = system.pids("smtpd");
    // The limit is on the descriptors' numbers, which have gaps.
    const numbers = [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => Number(name));
    const limit = Math.max(...numbers) + 10;
    const more = limit - numbers.length + 30;
    const set = (most: number) =>
      new Deno.Command("prlimit", { args: ["--pid", String(pid), `--nofile=${most}:${most}`] }).outputSync();
    assert.ok(set(limit).success);
    for (let round = 0; round < 2; round++) {
      const clients = await Promise.all(Array.from({ length: more }, () => SmtpClient.connect(system.port)));
      const first = await Promise.all(clients.slice(0, 5).map((client) => client.reply()));
      assert.ok(first.every((reply) => GREETING.test(reply)));
      assert.ok(descriptors(pid!) <= limit);
      // Who was served goes on meanwhile.
      assert.equal(await clients[0]!.say("NOOP"), "250 2.0.0 Ok");
      for (const client of clients) client.close();
      assert.ok(await until(() => descriptors(pid!) < limit - 5), "descriptors do not come back");
      using next = await SmtpClient.connect(system.port);
      assert.match(await next.reply(), GREETING);
      assert.equal(await next.say("EHLO x").then((reply) => reply.slice(0, 4)), "250-");
    }
    // The same process.
    assert.deepEqual(system.pids("smtpd"), [pid]);
  },
);

Deno.test("smtpd: a client that never closes its side does not keep its place", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  assert.match(await sendMessage(system.port), QUEUED);
  const [pid] = system.pids("smtpd");
  const before = descriptors(pid!);
  const clients = await Promise.all(Array.from({ length: 20 }, () => SmtpClient.connect(system.port)));
  for (const client of clients) {
    await client.reply();
    assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
  }
  // They have got our end and do not answer it.
  assert.ok(
    await until(() => descriptors(pid!) <= before + 2),
    `${descriptors(pid!)} descriptors, ${before} before`,
  );
  for (const client of clients) client.close();
});

Deno.test("smtpd: a client that sends on behind the end of its session still reads the last reply", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  for (let i = 0; i < 5; i++) {
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.send(`HELO x\r\n${"MAIL FROM:<a@example.com>\r\n".repeat(5000)}`);
    assert.equal(await client.reply(), "554 5.5.0 Error: SMTP protocol synchronization");
    assert.equal(await client.reply(), "");
  }
});
