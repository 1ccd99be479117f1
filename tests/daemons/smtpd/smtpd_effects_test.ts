/** What access tables do to a message: at each step, and what is in the queue then. @module */
import assert from "node:assert/strict";
import { MailHost, settled } from "./mail_host.ts";

/** Where a table stands, and its key. */
const PLACES: Readonly<Record<string, readonly [parameter: string, check: string, key: string]>> = {
  client: ["smtpd_client_restrictions", "check_client_access", "198.51.100.9"],
  sender: ["smtpd_sender_restrictions", "check_sender_access", "a@ext.test"],
  recipient: ["smtpd_recipient_restrictions", "check_recipient_access", "alice@local.test"],
  data: ["smtpd_data_restrictions", "check_sender_access", "a@ext.test"],
  "end of data": ["smtpd_end_of_data_restrictions", "check_sender_access", "a@ext.test"],
};

function settings(place: string, action: string): Record<string, string> {
  const [parameter, check, key] = PLACES[place]!;
  return { [parameter]: `['${check}', 'inline:{ { ${key} = ${action} } }']`, smtpd_delay_reject: "true" };
}

async function send(host: MailHost, recipients = ["alice@local.test", "bob@local.test"]): Promise<string> {
  const client = await host.greeted();
  await client.says("MAIL FROM:<a@ext.test>", ...recipients.map((one) => `RCPT TO:<${one}>`), "DATA");
  const reply = await client.say("Subject: x\r\n\r\ntext\r\n.");
  await settled();
  return reply;
}

const logged = (host: MailHost, line: RegExp) =>
  assert.ok(host.log.some((one) => line.test(one)), `${line}\n${host.log.join("\n")}`);

for (const place of Object.keys(PLACES)) {
  const late = place === "data" || place === "end of data";
  const stage = place === "data" ? "DATA" : place === "end of data" ? "END-OF-MESSAGE" : "RCPT";

  Deno.test(`effects: HOLD at ${place}`, async () => {
    await using host = new MailHost({ settings: settings(place, "HOLD wait a little") });
    assert.match(await send(host), /^250 2\.0\.0 Ok: queued as/);
    assert.equal(host.messages().length, 0);
    assert.equal([...Deno.readDirSync(`${host.queue}/hold`)].length, 1);
    logged(host, new RegExp(`^\\w+: hold: ${stage} from .*: <.*>: .* wait a little; from=<a@ext\\.test>`));
  });

  Deno.test(`effects: DISCARD at ${place}`, async () => {
    await using host = new MailHost({ settings: settings(place, "DISCARD") });
    assert.match(await send(host), /^250 2\.0\.0 Ok: queued as/);
    assert.equal(host.files().length, 0);
    assert.equal([...Deno.readDirSync(`${host.queue}/hold`)].length, 0);
    logged(host, /^\w+: discard: .* triggers DISCARD action;/);
  });

  Deno.test(`effects: FILTER at ${place}`, async () => {
    await using host = new MailHost({ settings: settings(place, "FILTER smtp:[192.0.2.9]:10025") });
    await send(host);
    assert.equal(host.messages()[0]?.envelope.filter, "smtp:[192.0.2.9]:10025");
    logged(host, /^\w+: filter: .* triggers FILTER smtp:\[192\.0\.2\.9\]:10025;/);
  });

  Deno.test(`effects: REDIRECT at ${place}`, async () => {
    await using host = new MailHost({ settings: settings(place, "REDIRECT carol@ext.test") });
    await send(host);
    assert.equal(host.messages()[0]?.envelope.redirect, "carol@ext.test");
  });

  Deno.test(`effects: BCC at ${place}`, async () => {
    await using host = new MailHost({ settings: settings(place, "BCC carol@ext.test") });
    await send(host);
    const [message] = host.messages();
    assert.deepEqual([...message!.recipients].sort(), [
      "alice@local.test",
      "bob@local.test",
      "carol@ext.test",
    ]);
    assert.doesNotMatch(message!.text, /carol/);
  });

  Deno.test(`effects: PREPEND at ${place}`, async () => {
    await using host = new MailHost({ settings: settings(place, "PREPEND X-Mark: by a table") });
    await send(host);
    const [message] = host.messages();
    if (place === "end of data") {
      assert.match(message!.text, /^Received: /);
      logged(host, /^warning: .*action PREPEND must be used before END-OF-MESSAGE/);
    } else assert.match(message!.text, /^X-Mark: by a table\nReceived: from c\.test/);
  });

  Deno.test(`effects: at ${place} they are gone with the transaction`, async () => {
    await using host = new MailHost({ settings: settings(place, "HOLD") });
    const client = await host.greeted();
    await client.says("MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>", ...late ? [] : ["RSET"]);
    await client.say("RSET");
    await client.says("MAIL FROM:<b@ext.test>", "RCPT TO:<bob@local.test>", "DATA");
    assert.match(await client.say("Subject: x\r\n\r\ntext\r\n."), /^250/);
    await settled();
    assert.equal(host.messages().length, place === "client" ? 0 : 1);
  });
}

Deno.test("effects: rules that are asked for each recipient act once", async () => {
  await using host = new MailHost({
    settings: {
      smtpd_sender_restrictions: "['inline:{ { a@ext.test = PREPEND X-Sender: a } }']",
      smtpd_client_restrictions: "['inline:{ { 198.51.100.9 = PREPEND X-Client: c } }']",
      smtpd_data_restrictions: "['check_sender_access', 'inline:{ { a@ext.test = PREPEND X-Data: d } }']",
    },
  });
  await send(host);
  assert.match(host.messages()[0]!.text, /^X-Client: c\nX-Sender: a\nX-Data: d\nReceived: /);
});

const BAD: readonly string[] = [
  "FILTER nonsense",
  "FILTER",
  "REDIRECT carol",
  "BCC carol",
  "PREPEND nonsense",
  "PREPEND",
  `BCC ${"x".repeat(2000)}@y`,
];
for (const action of BAD) {
  Deno.test(`effects: "${action.slice(0, 30)}" does nothing but warn`, async () => {
    await using host = new MailHost({ settings: settings("sender", action) });
    await send(host);
    const [message] = host.messages();
    assert.deepEqual(message?.recipients, ["alice@local.test", "bob@local.test"]);
    assert.equal(`${message?.envelope.filter}${message?.envelope.redirect}`, "");
    logged(host, /^warning: access table inline:.* (requires|has)/);
  });
}

Deno.test("effects: what permits is logged where it is asked for", async () => {
  await using host = new MailHost({
    settings: {
      smtpd_log_access_permit_actions: "['permit_auth_destination', 'check_sender_access']",
      smtpd_sender_restrictions: "['inline:{a@ext.test=OK}']",
      smtpd_recipient_restrictions: "['permit_auth_destination', 'reject']",
    },
  });
  await send(host, ["alice@local.test"]);
  logged(
    host,
    /^NOQUEUE: permit: RCPT from unknown\[198\.51\.100\.9\]: action=permit_auth_destination for Recipient address=alice@local\.test;/,
  );
  logged(host, /^NOQUEUE: permit: .*action=check_sender_access/);
});

Deno.test("effects: VRFY changes no message", async () => {
  await using host = new MailHost({ settings: settings("recipient", "DISCARD") });
  const client = await host.greeted();
  assert.match(await client.say("VRFY alice@local.test"), /^252/);
  await send(host, ["bob@local.test"]);
  assert.equal(host.messages().length, 1);
});
