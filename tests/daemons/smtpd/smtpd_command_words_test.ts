import assert from "node:assert/strict";
import { MailHost } from "./mail_host.ts";

const OK = "250 2.0.0 Ok";
const GOODBYE = "221 2.7.0 Error: I can break rules, too. Goodbye.";
const UNKNOWN = "500 5.5.2 Error: command not recognized";

Deno.test("smtpd_forbidden_commands: by default CONNECT, GET, POST and what begins with no letter", async () => {
  await using host = new MailHost();
  for (const line of ["CONNECT x:1", "GET / HTTP/1.0", "post /", "\x16\x03\x01", "<html>", "Subject: x"]) {
    const client = await host.greeted();
    assert.equal(await client.say(line), GOODBYE, line);
    assert.equal(await client.reply(), "");
  }
  const client = await host.greeted();
  assert.equal(await client.say("PUT /"), UNKNOWN);
});

Deno.test("smtpd_forbidden_commands: words and tables of one's own, and no command of ours", async () => {
  await using host = new MailHost({
    settings: { smtpd_forbidden_commands: '["PUT", "regexp:{{/^X/ x}}", "NOOP"]' },
  });
  for (const line of ["put /", "XYZZY", "Subject: x"]) {
    const client = await host.greeted();
    assert.equal(await client.say(line), GOODBYE, line);
  }
  const client = await host.greeted();
  assert.deepEqual(await client.says("NOOP", "GET /", "%%%", "YYZZ"), [OK, UNKNOWN, UNKNOWN, UNKNOWN]);
});

Deno.test("smtpd_noop_commands: succeed, do nothing, and count as junk", async () => {
  await using host = new MailHost({
    settings: {
      smtpd_noop_commands: '["XJUNK", "rset", "inline:{XTABLE=x}"]',
      smtpd_junk_command_limit: "3",
      smtpd_hard_error_limit: "2",
    },
  });
  const client = await host.greeted();
  assert.equal(await client.say("MAIL FROM:<a@ext.test>"), "250 2.1.0 Ok");
  assert.deepEqual(await client.says("xjunk a b", "RSET", "XTABLE"), [OK, OK, OK]);
  // RSET does nothing any more.
  assert.equal(await client.say("RCPT TO:<alice@local.test>"), "250 2.1.5 Ok");
  assert.equal(await client.say("XJUNK"), OK);
  client.send("XJUNK\r\n");
  const replies = [await client.reply(), await client.reply()];
  assert.deepEqual(replies, [OK, "421 4.7.0 mx.test Error: too many errors"]);
});

Deno.test("smtpd_command_filter: a line is replaced before it is looked at, and the log says so", async () => {
  await using host = new MailHost({
    settings: {
      smtpd_command_filter: '["regexp:{{/^(RCPT TO:<alice@local\\\\.test>).*/ $$1} {/^BAD$$/ NOOP}}"]',
    },
  });
  const client = await host.greeted();
  await client.say("MAIL FROM:<a@ext.test>");
  assert.equal(await client.say("RCPT TO:<alice@local.test> XFOO=bar"), "250 2.1.5 Ok");
  assert.equal(await client.say("  BAD"), OK);
  assert.equal(
    await client.say("RCPT TO:<bob@local.test> XFOO=bar"),
    "555 5.5.4 Unsupported option: XFOO=bar",
  );
  assert.ok(host.log.includes(
    'unknown[198.51.100.9]: replacing command "RCPT TO:<alice@local.test> XFOO=bar" with "RCPT TO:<alice@local.test>"',
  ));
  // A group is answered in order, each command of it by way of the table.
  client.send("RSET\r\nMAIL FROM:<b@ext.test>\r\nRCPT TO:<alice@local.test> X\r\n");
  assert.deepEqual([await client.reply(), await client.reply(), await client.reply()], [
    OK,
    "250 2.1.0 Ok",
    "250 2.1.5 Ok",
  ]);
});

Deno.test("smtpd_command_filter: a table that fails ends the session softly", async () => {
  await using host = new MailHost({ settings: { smtpd_command_filter: '["fail:x"]' } });
  const client = host.connect();
  await client.reply();
  assert.equal(await client.say("EHLO x"), "421 4.3.0 mx.test Server local data error");
  assert.equal(await client.reply(), "");
  assert.ok(
    host.log.some((line) =>
      line.startsWith(
        "NOQUEUE: reject: UNKNOWN from unknown[198.51.100.9]: 421 4.3.0 mx.test Server local data error",
      )
    ),
  );
});

Deno.test("smtpd_client_port_logging: the log names the client's port, replies do not", async () => {
  await using host = new MailHost({
    settings: { smtpd_client_port_logging: "true", smtpd_client_connection_count_limit: "1" },
  });
  host.connect();
  const reply = await host.connect().reply();
  assert.equal(reply, "421 4.7.0 mx.test Error: too many connections from 198.51.100.9");
  assert.ok(host.log.some((line) => /^connect from unknown\[198\.51\.100\.9\]:4000\d$/.test(line)));
});
