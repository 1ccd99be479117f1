/** The LMTP client with Debian's Cyrus. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { Cyrus } from "../../support/cyrus.ts";
import { begins, relay } from "../../support/delivery_lines.ts";
import { decode, Postern } from "../../support/postern.ts";
import type { Post } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";

/** KiB of a mailbox. */
const QUOTA = 16;
const DOTS = ["", ".", "..", ".x", "end"];

function post(to: readonly string[], lines: readonly string[] = DOTS): Post {
  return {
    from: "from@example.test",
    to,
    content: utf8(["From: from@example.test", "Subject: a test", ...lines, ""].join("\r\n")),
  };
}

testNeeding(
  ["root", "cyrus", "python3"],
  "Cyrus's LMTP server by unix and inet: an answer for each recipient, the unknown is returned, the full waits",
  async () => {
    await using cyrus = await Cyrus.start(["ann", "ben", "full"], QUOTA);
    await using postern = await Postern.start({
      settings: {
        relay_domains: '["unix.test", "inet.test"]',
        transport_maps:
          `["inline:{{unix.test=lmtp:unix:${cyrus.socket}}, {inet.test=lmtp:inet:[127.0.0.1]:${cyrus.port}}}"]`,
        notify_classes: "[]",
      },
    });
    for (const way of ["unix", "inet"]) {
      const host = way === "unix" ? `localhost[${cyrus.socket}]` : "127.0.0.1[127.0.0.1]";
      const filled = Array.from({ length: QUOTA * 16 }, () => "x".repeat(72));
      const found = await relay(postern, [
        post([`ann@${way}.test`, `nobody@${way}.test`, `ben@${way}.test`, `ann+sub@${way}.test`]),
        post([`full@${way}.test`], ["", ...filled]),
      ]);
      begins(found, {
        [`ann@${way}.test`]: "2.1.5 sent (250 2.1.5 ",
        [`ben@${way}.test`]: "2.1.5 sent (250 2.1.5 ",
        [`ann+sub@${way}.test`]: "2.1.5 sent (250 2.1.5 ",
        [`nobody@${way}.test`]: `5.1.1 bounced (host ${host} said: 550`,
        [`full@${way}.test`]: `4.2.2 deferred (host ${host} said: 452 4.2.2 `,
      });
      // To the mailbox itself as its folder is not there: Cyrus's own rule.
      const expected = (way === "unix" ? 1 : 2) * 3;
      assert.ok(await until(() => cyrus.messages().length === expected), `${cyrus.messages().length}`);
    }
    for (const message of cyrus.messages()) {
      assert.ok(message.startsWith("Return-Path: <from@example.test>\r\n"), message);
      assert.ok(message.endsWith(`${DOTS.join("\r\n")}\r\n`), message);
    }
    const reports = await postern.mail("from", 2);
    for (const report of reports) {
      assert.match(decode(report), /^Final-Recipient: rfc822; nobody@(unix|inet)\.test$/m);
      assert.match(decode(report), /^Status: 5\.1\.1$/m);
      assert.match(decode(report), /Mailbox unknown/);
    }
  },
);
