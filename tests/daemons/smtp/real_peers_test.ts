/** The clients against servers that others wrote: Debian's Postfix, Exim, and Dovecot's LMTP server. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { begins, relay } from "../../support/delivery_lines.ts";
import { DovecotLmtp } from "../../support/dovecot_lmtp.ts";
import { Exim } from "../../support/exim.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import type { Post } from "../../support/smtplib.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";

const SETTINGS = {
  mydestination: "[]",
  default_transport: '"smtp"',
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  notify_classes: "[]",
};

function post(to: readonly string[], lines: readonly string[] = ["Subject: a test", "", "text"]): Post {
  return { from: "from@sender.test", to, content: utf8([...lines, ""].join("\r\n")) };
}

const DOTS = ["Subject: dots", "", ".", "..", ".x", "", "x".repeat(3000), "end"];
/** What DOTS are after a line of 3000 was folded. */
const DOTS_SEEN = [".", "..", ".x", "", "x".repeat(998), ` ${"x".repeat(997)}`, ` ${"x".repeat(997)}`];

testNeeding(
  ["root", "exim", "unshare", "python3"],
  "Exim takes, refuses and defers, and gets what was sent",
  async () => {
    await using exim = await Exim.start();
    await using postern = await Postern.start({
      settings: {
        ...SETTINGS,
        transport_maps: `["inline:{{sender.test=discard:}, {exim.test=smtp:[127.0.0.1]:${exim.port}}}"]`,
      },
    });
    const found = await relay(postern, [
      post(["alice@exim.test", "nobody@exim.test", "later@exim.test", "bob@exim.test"], DOTS),
      post(["spammed@exim.test"], ["Subject: spam", "", "text"]),
      post(["big@exim.test"], ["Subject: big", "", ...Array(200).fill("y".repeat(900))]),
      { ...post(["latin@exim.test"], ["Subject: 8", "", "Grüße"]), options: ["BODY=8BITMIME"] },
      {
        ...post(["told@exim.test"]),
        options: ["RET=HDRS", "ENVID=abc+2Bd"],
        rcptOptions: ["NOTIFY=SUCCESS"],
      },
    ]);
    begins(found, {
      "alice@exim.test": "2.0.0 sent (250 OK id=",
      "bob@exim.test": "2.0.0 sent (250 OK id=",
      "nobody@exim.test":
        "5.0.0 bounced (host 127.0.0.1[127.0.0.1] said: 550 no such user (in reply to RCPT TO command))",
      "later@exim.test":
        "4.0.0 deferred (host 127.0.0.1[127.0.0.1] said: 451 come back (in reply to RCPT TO command))",
      "spammed@exim.test": "5.0.0 bounced (host 127.0.0.1[127.0.0.1] said: 550 we do not like this",
      "big@exim.test": "5.3.4 bounced (message size ",
      "latin@exim.test": "2.0.0 sent",
      "told@exim.test": "2.0.0 sent",
    });
    assert.ok(
      await until(() => ["alice", "bob", "latin", "told"].every((user) => exim.mailbox(user) !== "")),
      exim.log(),
    );
    for (const user of ["alice", "bob"]) {
      assert.ok(
        exim.mailbox(user).includes(DOTS_SEEN.join("\n")),
        exim.mailbox(user),
      );
    }
    assert.ok(exim.mailbox("latin").includes("Grüße"));
    assert.match(exim.log(), /<= from@sender\.test .* M8S=8/);
  },
);

testNeeding(
  ["root", "postfix", "python3"],
  "Postfix takes, refuses and defers, and gets what was sent",
  async () => {
    using directory = new TemporaryDirectory();
    Deno.chmodSync(directory.path, 0o755);
    directory.write("later", "later@peer.test 450 4.2.1 come back\n");
    await using postfix = await Postfix.start({
      settings: {
        virtual_mailbox_domains: "peer.test",
        virtual_mailbox_base: "$root/mail",
        virtual_mailbox_maps: "inline:{alice@peer.test=alice/, bob@peer.test=bob/, latin@peer.test=latin/}",
        virtual_uid_maps: "static:65534",
        virtual_gid_maps: "static:65534",
        message_size_limit: "100000",
        smtpd_recipient_restrictions: `check_recipient_access texthash:${directory.at("later")}, permit`,
        smtputf8_enable: "yes",
      },
    });
    await using postern = await Postern.start({
      settings: {
        ...SETTINGS,
        transport_maps: `["inline:{{sender.test=discard:}, {peer.test=smtp:[127.0.0.1]:${postfix.port}}}"]`,
      },
    });
    const found = await relay(postern, [
      post(["alice@peer.test", "nobody@peer.test", "later@peer.test", "bob@peer.test"], DOTS),
      post(["big@peer.test"], ["Subject: big", "", ...Array(200).fill("y".repeat(900))]),
      { ...post(["latin@peer.test"], ["Subject: 8", "", "Grüße"]), options: ["BODY=8BITMIME"] },
    ]);
    begins(found, {
      "alice@peer.test": "2.0.0 sent (250 2.0.0 Ok: queued as ",
      "bob@peer.test": "2.0.0 sent (250 2.0.0 Ok: queued as ",
      "nobody@peer.test": "5.1.1 bounced (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 <nobody@peer.test>",
      "later@peer.test": "4.2.1 deferred (host 127.0.0.1[127.0.0.1] said: 450 4.2.1 <later@peer.test>",
      "big@peer.test": "5.3.4 bounced (message size ",
      "latin@peer.test": "2.0.0 sent",
    });
    for (const user of ["alice", "bob"]) {
      const [message] = await postfix.mail(user);
      assert.ok(new TextDecoder().decode(message).includes(DOTS_SEEN.join("\n")));
    }
    assert.ok(new TextDecoder().decode((await postfix.mail("latin"))[0]).includes("Grüße"));
  },
);

for (const way of ["unix", "inet"] as const) {
  testNeeding(
    ["root", "dovecot-lmtp", "python3"],
    `Dovecot's LMTP server by ${way}: an answer for each recipient`,
    async () => {
      await using dovecot = await DovecotLmtp.start({ alice: 0, bob: 0, full: 600 });
      const route = way === "unix" ? `unix:${dovecot.socket}` : `inet:[127.0.0.1]:${dovecot.port}`;
      await using postern = await Postern.start({
        settings: {
          ...SETTINGS,
          transport_maps: `["inline:{{sender.test=discard:}, {dovecot.test=lmtp:${route}}}"]`,
        },
      });
      const big = ["Subject: a test", "", ...Array(20).fill("z".repeat(70))];
      const found = await relay(postern, [
        post(["alice@dovecot.test", "nobody@dovecot.test", "full@dovecot.test", "bob@dovecot.test"], big),
      ]);
      begins(found, {
        "alice@dovecot.test": "2.0.0 sent (250 2.0.0 <alice@dovecot.test> ",
        "bob@dovecot.test": "2.0.0 sent (250 2.0.0 <bob@dovecot.test> ",
        "nobody@dovecot.test": "5.1.1 bounced (host ",
      });
      // Over its limit the mailbox refuses at the end of the message, when others have taken it.
      assert.match(
        found.get("full@dovecot.test")!,
        /^(4\.2\.2 deferred|5\.2\.2 bounced) .*end of DATA command/,
      );
      assert.equal(dovecot.mailbox("alice").length, 1);
      assert.equal(dovecot.mailbox("bob").length, 1);
      assert.equal(dovecot.mailbox("full").length, 0);
      const again = await relay(postern, [post(["alice@dovecot.test"]), post(["bob@dovecot.test"])]);
      assert.equal(again.size, 2);
      assert.ok(
        await until(() => dovecot.mailbox("alice").length === 2 && dovecot.mailbox("bob").length === 2),
      );
    },
  );
}
