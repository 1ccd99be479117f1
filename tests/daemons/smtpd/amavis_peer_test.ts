/** Debian's Amavis behind the queue and before it: real mail, one Amavis. @module */
import assert from "node:assert/strict";
import { Amavis } from "../../support/amavis.ts";
import { utf8 } from "../../support/bytes.ts";
import { filterServices } from "../../support/filter_services.ts";
import { freePort } from "../../support/ports.ts";
import { decode, Postern } from "../../support/postern.ts";
import { type Post, sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";

/** A message with an attachment of this name, to a user of the same name as its subject. */
function post(to: string, attachment: string): Post {
  const content = `From: alice@example.test
To: ${to}@example.test
Subject: ${to}
Message-Id: <${to}@example.test>
Date: Sat, 28 Nov 2026 12:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/plain

Hello.
.
--b
Content-Type: application/octet-stream; name="${attachment}"
Content-Disposition: attachment; filename="${attachment}"
Content-Transfer-Encoding: base64

TVqQAAMAAAAEAAAA
--b--
`;
  return {
    from: "alice@example.test",
    to: [`${to}@example.test`],
    content: utf8(content.replaceAll("\n", "\r\n")),
  };
}

const SCANNED = /^X-Virus-Scanned: amavis at example\.test$/m;

testNeeding(
  ["root", "amavis", "python3"],
  "Amavis behind the queue and before it: mail passes with its header, a banned attachment is returned or refused",
  async () => {
    const [again, front] = [freePort(), freePort()];
    await using amavis = await Amavis.start(again);
    await using postern = await Postern.start({
      settings: {
        content_filter: `"scan:[127.0.0.1]:${amavis.after}"`,
        notify_classes: "[]",
      },
      services: (text) =>
        `${text}${filterServices(again)}
[[service]]
name = "127.0.0.1:${front}"
type = "inet"
private = false
command = "smtpd"
parameters = { content_filter = "", smtpd_proxy_filter = "127.0.0.1:${amavis.before}" }
`,
    });
    const after = await sendWithPython(postern.port, [post("bob", "x.txt"), post("carol", "x.exe")]);
    assert.deepEqual(after.map(({ code }) => code), [250, 250]);
    const before = await sendWithPython(front, [post("dave", "x.txt"), post("erin", "x.exe")]);
    assert.deepEqual(before.map(({ code }) => code), [250, 554], JSON.stringify(before));
    assert.match(
      before[0]!.text,
      /^2\.0\.0 from MTA\(smtp:\[127\.0\.0\.1\]:\d+\): 250 2\.0\.0 Ok: queued as /,
    );
    assert.match(before[1]!.text, /^5\.7\.0 Reject, id=.* BANNED: .*x\.exe/);
    for (const user of ["bob", "dave"]) {
      const text = decode((await postern.mail(user))[0]!);
      assert.match(text, SCANNED);
      assert.match(text, /^Return-Path: <alice@example\.test>$/m);
      assert.match(text, /^Hello\.\n\.$/m);
    }
    const report = decode((await postern.mail("alice"))[0]!);
    assert.match(report, /^Return-Path: <>$/m);
    assert.match(report, /^Final-Recipient: rfc822;carol@example\.test$/m);
    assert.match(report, /^Action: failed$/m);
    await postern.untilEmpty();
    for (const user of ["carol", "erin"]) assert.equal(postern.mailbox(user).length, 0);
    assert.deepEqual(
      amavis.quarantine().map((text) => /^Subject: (.*)$/m.exec(text)?.[1]).sort(),
      ["carol", "erin"],
    );
    // The server behind the filter knows the client that brought the message (XFORWARD).
    assert.match(postern.log(), /client=localhost\[127\.0\.0\.1\], orig_queue_id=\w+, orig_client=localhost/);
  },
);
