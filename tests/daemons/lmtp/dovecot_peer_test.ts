/** Debian's Dovecot as the store of local and of virtual mailboxes. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { begins, relay } from "../../support/delivery_lines.ts";
import { DovecotLmtp } from "../../support/dovecot_lmtp.ts";
import { Postern } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";

const DOMAINS = ["local.test", "virtual.test"] as const;
const LINES = ["From: from@example.test", "Subject: a test", "", ".", ...Array(20).fill("z".repeat(70)), ""];

testNeeding(
  ["root", "dovecot-lmtp", "python3"],
  "Dovecot's LMTP server by mailbox_transport and by virtual_transport: delivered, returned, over quota",
  async () => {
    await using dovecot = await DovecotLmtp.start({ alice: 0, bob: 0, full: 600 });
    const store = JSON.stringify(`lmtp:unix:${dovecot.socket}`);
    await using postern = await Postern.start({
      settings: {
        mydestination: '["local.test"]',
        mailbox_transport: store,
        virtual_mailbox_domains: '["virtual.test"]',
        virtual_mailbox_maps: '["static:any"]',
        virtual_transport: store,
        transport_maps: '["inline:{example.test=discard:}"]',
        recipient_delimiter: '"+"',
        notify_classes: "[]",
      },
    });
    const names = ["alice", "nobody", "full", "bob", "alice+ext"];
    const found = await relay(postern, [{
      from: "from@example.test",
      to: DOMAINS.flatMap((domain) => names.map((name) => `${name}@${domain}`)),
      content: utf8(LINES.join("\r\n")),
    }]);
    for (const domain of DOMAINS) {
      begins(found, {
        [`alice@${domain}`]: "2.0.0 sent (250 2.0.0 ",
        [`bob@${domain}`]: "2.0.0 sent (250 2.0.0 ",
        [`nobody@${domain}`]: `5.1.1 bounced (host localhost[${dovecot.socket}] said: 550 5.1.1 `,
      });
      // Over its limit the mailbox refuses at the end of the message, when others have taken it.
      assert.match(
        found.get(`full@${domain}`)!,
        /^(4\.2\.2 deferred|5\.2\.2 bounced) .*end of DATA command/,
      );
    }
    // A message by each way, to the plain address and to the extended one.
    assert.ok(await until(() => dovecot.mailbox("alice").length === 4), dovecot.log());
    assert.equal(dovecot.mailbox("bob").length, 2);
    assert.equal(dovecot.mailbox("full").length, 0);
    for (const message of dovecot.mailbox("bob").map((text) => text.replaceAll("\r", ""))) {
      assert.ok(message.startsWith("Return-Path: <from@example.test>\n"), message);
      assert.ok(message.endsWith(LINES.slice(2).join("\n")), message);
    }
  },
);
