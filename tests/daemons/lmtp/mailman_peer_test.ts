/** Debian's Mailman 3 behind the LMTP client, with the tables that it makes for Postfix. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { sendLines } from "../../support/dialogue.ts";
import { Mailman } from "../../support/mailman.ts";
import { decode, Postern } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";

/** What all of it may take, milliseconds: Mailman is eight processes of Python. */
const LIMIT = 120_000;
const LIST = {
  name: "talk@lists.test",
  owner: "owner@example.test",
  members: ["ann@example.test", "ben@example.test", "gone@stray.test"],
};
/** What Mailman has for a list, beside the list's own name. */
const NAMES = ["bounces", "confirm", "join", "leave", "owner", "request", "subscribe", "unsubscribe"];

function lines(from: string, to: string, subject: string): string[] {
  return [
    `From: ${from}`,
    `To: ${to}`,
    `Subject: ${subject}`,
    `Message-Id: <${subject}@example.test>`,
    "",
    "Hello.",
  ];
}

function send(port: number, from: string, to: string, subject: string): Promise<string> {
  return sendLines(port, from, to, lines(from, to, subject));
}

testNeeding(
  ["root", "mailman"],
  "Mailman 3: posts, requests and bounces of a list by the tables that it makes for Postfix",
  async (t) => {
    const postern = await Postern.make();
    await using _postern = postern;
    await using mailman = await Mailman.make(postern.port, LIST);
    postern.set({
      recipient_delimiter: '"+"',
      owner_request_special: "false",
      relay_domains: JSON.stringify([mailman.table("hash", "postfix_domains"), "stray.test"]),
      relay_recipient_maps: JSON.stringify([
        mailman.table("hash", "postfix_lmtp"),
        "inline:{@stray.test=x}",
      ]),
      transport_maps: JSON.stringify([
        mailman.table("hash", "postfix_lmtp"),
        `inline:{stray.test=lmtp:[127.0.0.1]:${mailman.port}}`,
      ]),
      notify_classes: "[]",
    });
    await t.step("both forms of its tables lead every name of the list to it", async () => {
      const [local, domain] = LIST.name.split("@");
      const addresses = [LIST.name, ...NAMES.map((name) => `${local}-${name}@${domain}`)];
      for (const kind of ["hash", "regex"] as const) {
        const asked = await postern.run(
          ["postmap", "-q", "-", mailman.table(kind, "postfix_lmtp")],
          [...addresses, `talks@${domain}`, `x-talk@${domain}`].join("\n"),
        );
        const route = `lmtp:[127.0.0.1]:${mailman.port}`;
        assert.deepEqual(
          asked.output.trimEnd().split("\n"),
          addresses.map((one) => `${one}\t${route}`),
          kind,
        );
        const domains = await postern.run([
          "postmap",
          "-q",
          domain!,
          mailman.table(kind, "postfix_domains"),
        ]);
        assert.equal(domains.output, `${domain}\n`);
      }
    });
    await Promise.all([postern.start(), mailman.start()]);
    for (
      const [from, to, subject] of [
        ["ann@example.test", LIST.name, "post"],
        ["carol@example.test", "talk-request@lists.test", "help"],
        ["dave@example.test", "talk-owner@lists.test", "question"],
        ["erin@example.test", "other@stray.test", "wrong"],
      ] as const
    ) assert.match(await send(postern.port, from, to, subject), /^250/);
    const mail = async (user: string) => {
      try {
        return decode((await postern.mail(user, 1, LIMIT))[0]!);
      } catch (error) {
        throw new Error(mailman.log(), { cause: error });
      }
    };
    await t.step("a list that is not there is refused", async () => {
      assert.match(
        await send(postern.port, "dave@example.test", "other@lists.test", "wrong"),
        /^550 5\.1\.1 <other@lists\.test>: Recipient address rejected: User unknown in relay recipient table/,
      );
    });
    await t.step("a post goes to each member with a sender that names the member", async () => {
      for (const user of ["ann", "ben"]) {
        const text = await mail(user);
        assert.ok(text.startsWith(`Return-Path: <talk-bounces+${user}=example.test@lists.test>\n`), text);
        assert.match(text, /^Subject: (\[Talk\] )?post$/m);
        assert.match(text, /^List-Id: <talk\.lists\.test>$/m);
        assert.match(text, /^Hello\.$/m);
      }
    });
    await t.step("the bounce of a member's copy comes back to it", async () => {
      const bounce = /to=<talk-bounces\+gone=stray\.test@lists\.test>, relay=127\.0\.0\.1\S*, .*status=sent/;
      await postern.untilLogged(bounce, LIMIT);
      assert.ok(await until(() => mailman.bounced().includes("gone@stray.test"), LIMIT), mailman.log());
    });
    await t.step("a request is answered", async () => {
      const text = await mail("carol");
      assert.match(text, /^Subject: The results of your email commands$/m);
      assert.match(text, /^From: talk-bounces@lists\.test$/m);
    });
    await t.step("what is to the owner goes to the owner", async () => {
      assert.match(await mail("owner"), /^Subject: question$/m);
    });
    await t.step(
      "mail to a list that is not there is returned where Mailman alone knows the names",
      async () => {
        const report = await mail("erin");
        assert.match(report, /^Final-Recipient: rfc822; other@stray\.test$/m);
        assert.match(report, /^Action: failed$/m);
        assert.match(report, /^Diagnostic-Code: smtp; 550 /m);
      },
    );
    await postern.untilEmpty();
  },
);
