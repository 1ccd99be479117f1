/** Addresses are probed by a whole mail system, and replies are Postfix's. @module */
import assert from "node:assert/strict";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { testNeeding } from "../../support/tools.ts";

const TRANSPORTS =
  "inline:{ far.test=discard:, { bad@far.test = error:5.1.1 no such user }, { slow@far.test = retry:4.2.1 come back } }";
const SETTINGS = {
  mynetworks: '["192.0.2.0/24"]',
  notify_classes: "[]",
  relay_domains: '["far.test"]',
  transport_maps: `['${TRANSPORTS}']`,
  virtual_alias_maps: '["inline:{alias@far.test=bad@far.test}"]',
  smtpd_relay_restrictions: '["reject_unauth_destination"]',
  smtpd_recipient_restrictions: '["reject_unverified_recipient"]',
  smtpd_reject_unlisted_recipient: "false",
};
const VERIFY = '[[service]]\nname = "verify"\ntype = "unix"\ncommand = "verify"\n';

async function ask(
  port: number,
  recipients: readonly string[],
  sender = "a@sender.example",
): Promise<string[]> {
  using client = await SmtpClient.connect(port);
  await client.reply();
  await client.says("EHLO c.example", `MAIL FROM:<${sender}>`);
  const replies: string[] = [];
  for (const recipient of recipients) replies.push(await client.say(`RCPT TO:<${recipient}>`));
  return replies;
}

const RECIPIENTS = ["good@far.test", "bad@far.test", "slow@far.test", "bad@far.test"];

for (const code of ["450", "550", "250"]) {
  testNeeding(
    ["root", "postfix"],
    `probes find what Postfix's find, and replies are the same: ${code}`,
    async () => {
      await using postfix = await Postfix.start({
        settings: {
          mynetworks: "192.0.2.0/24",
          relay_domains: "far.test",
          transport_maps: TRANSPORTS,
          smtpd_relay_restrictions: "reject_unauth_destination",
          smtpd_recipient_restrictions: "reject_unverified_recipient, reject_unverified_sender",
          smtpd_reject_unlisted_recipient: "no",
          unverified_recipient_reject_code: code,
          unverified_sender_reject_code: code,
        },
      });
      await using system = await Postern.start({
        settings: {
          ...SETTINGS,
          smtpd_recipient_restrictions: '["reject_unverified_recipient", "reject_unverified_sender"]',
          unverified_recipient_reject_code: code,
          unverified_sender_reject_code: code,
        },
      });
      for (const sender of ["good@far.test", "bad@far.test", ""]) {
        assert.deepEqual(
          await ask(system.port, RECIPIENTS, sender),
          await ask(postfix.port, RECIPIENTS, sender),
        );
      }
      assert.doesNotMatch(system.log(), /security event|panic|fatal/);
    },
  );
}

Deno.test("what probes have found is known after a restart, and codes are configured", async () => {
  await using system = await Postern.start({
    settings: { ...SETTINGS, unverified_recipient_reject_code: "550", address_verify_poll_delay: '"1s"' },
  });
  const before = await ask(system.port, ["good@far.test", "bad@far.test", "alias@far.test"]);
  assert.equal(before[0], "250 2.1.5 Ok");
  assert.match(before[1]!, /^550 5\.1\.1 .* undeliverable address: no such user/);
  assert.match(before[2]!, /^550 5\.1\.1 <alias@far\.test>: .* undeliverable address: no such user/);
  await system.stop();
  const probes = system.log().match(/status=(un)?deliverable/g)!.length;
  assert.equal(probes, 3);
  await system.start();
  assert.deepEqual(await ask(system.port, ["good@far.test", "bad@far.test"]), before.slice(0, 2));
  assert.equal(system.log().match(/status=(un)?deliverable/g)!.length, probes, "nothing is probed again");
  assert.match(
    system.log(),
    /reject: RCPT .* rule="reject_unverified_recipient" in=smtpd_recipient_restrictions/,
  );
  assert.doesNotMatch(system.log(), /security event|panic|fatal/);
});

Deno.test("without a verify service an address is refused softly", async () => {
  await using system = await Postern.start({
    settings: SETTINGS,
    services: (text) => text.replace(VERIFY, ""),
  });
  const [reply] = await ask(system.port, ["good@far.test"]);
  assert.match(
    reply!,
    /^450 4\.1\.1 <good@far\.test>: Recipient address rejected: address verification problem/,
  );
});

Deno.test("probes have routes and a sender of their own", async () => {
  await using system = await Postern.start({
    settings: {
      ...SETTINGS,
      transport_maps: '["inline:{far.test=discard:}"]',
      address_verify_transport_maps: '["inline:{ { far.test = error:5.1.1 by the other table } }"]',
      address_verify_sender: '"prober@example.test"',
      address_verify_sender_ttl: '"1h"',
      unverified_recipient_reject_code: "550",
      address_verify_poll_delay: '"1s"',
    },
  });
  const [reply] = await ask(system.port, ["good@far.test"]);
  assert.equal(
    reply,
    "550 5.1.1 <good@far.test>: Recipient address rejected: undeliverable address: by the other table",
  );
  const sender = /from=<(prober[0-9a-u]+@example\.test)>/.exec(system.log())?.[1];
  assert.ok(sender !== undefined, system.log());
  system.set({
    smtpd_recipient_restrictions: "[]",
    smtpd_sender_restrictions: '["reject"]',
    local_recipient_maps: '["inline:{one=x}"]',
  });
  await system.stop();
  await system.start();
  // Who probes us in turn finds the sender of our probes, and may name it as a sender.
  assert.deepEqual(await ask(system.port, [sender, "one@example.test"], sender), [
    "250 2.1.5 Ok",
    "250 2.1.5 Ok",
  ]);
  const [refused] = await ask(system.port, ["one@example.test"], "prober1@example.test");
  assert.match(refused!, /^554 5\.7\.1 /);
});
