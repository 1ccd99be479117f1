import assert from "node:assert/strict";
import { Postern } from "../../support/postern.ts";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { MailHost } from "./mail_host.ts";

const ERROR = "500 5.5.2 Error: command not recognized";
const TOO_MANY = "421 4.7.0 mx.test Error: too many errors";

/** What a client gets that errs once, and again if it may. */
async function erring(host: MailHost): Promise<string[]> {
  const client = await host.greeted();
  client.send("XX\r\n");
  const replies = [await client.reply()];
  await new Promise((resolve) => setTimeout(resolve, 10));
  replies.push(...await client.rest());
  client.leave();
  return replies;
}

Deno.test("stress: the hard error limit is 1 while clients come faster than they can be served", async () => {
  await using host = new MailHost();
  assert.deepEqual(await erring(host), [ERROR]);
  host.server.stress();
  assert.deepEqual(await erring(host), [ERROR, TOO_MANY]);
});

Deno.test("stress: a process that has to turn a client away is under stress from then on", async () => {
  await using host = new MailHost({ settings: { smtpd_session_limit: "1" } });
  const first = await host.greeted();
  assert.equal(await host.connect().reply(), "421 4.3.2 mx.test Error: all server ports are busy");
  first.send("XX\r\n");
  assert.deepEqual([await first.reply(), await first.reply()], [ERROR, TOO_MANY]);
});

Deno.test("stress: with it, a client has ten seconds; without it, 300", async () => {
  await using host = new MailHost();
  assert.equal(host.server.patience.timeout, 300_000);
  host.server.stress();
  assert.equal(host.server.patience.timeout, 10_000);
});

Deno.test("stress: what the configuration says of itself holds, and nothing else changes", async () => {
  await using host = new MailHost({
    settings: { smtpd_hard_error_limit: "5", smtpd_timeout: '"${stress?{3}:{30}}s"', stress: '""' },
  });
  assert.equal(host.server.settings.smtpd_timeout, 30);
  host.server.stress();
  assert.deepEqual(
    [host.server.settings.smtpd_timeout, host.server.settings.smtpd_hard_error_limit],
    [3, 5],
  );
});

Deno.test("stress: master tells the processes of a service that all of them are full", async () => {
  await using system = await Postern.start({
    settings: {
      smtpd_client_connection_count_limit: "0",
      smtpd_client_event_limit_exceptions: "[]",
      smtpd_hard_error_limit: '"${stress?{1}:{20}}"',
      smtpd_error_sleep_time: '"0s"',
      notify_classes: "[]",
    },
    services: (text) => text.replace('command = "smtpd"', 'command = "smtpd"\nprocess_limit = 1'),
  });
  const clients = await Promise.all(Array.from({ length: 101 }, () => SmtpClient.connect(system.port)));
  for (const client of clients) assert.match(await client.reply(), /^220 /);
  await system.untilLogged(/has reached its process limit "1": new clients may experience noticeable delays/);
  // The same moment's word has reached the process by the time that it answers, or a little later.
  let last = "";
  for (let i = 0; i < 18 && !last.startsWith("421"); i++) {
    await clients[0]!.say("XX");
    await clients[0]!.send("NOOP\r\n");
    last = await clients[0]!.reply();
    if (!last.startsWith("421")) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.match(last, /^421 4\.7\.0 localhost Error: too many errors/);
  for (const client of clients) client.close();
});
