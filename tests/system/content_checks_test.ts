/** Checks of content and copies in the whole mail system: its processes, their sandboxes, its queue. @module */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { utf8 } from "../support/bytes.ts";
import { decode, Postern } from "../support/postern.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";

const HEADERS = `/^Subject: hold/ HOLD for a look
/^Subject: redirect/ REDIRECT other@example.test
/^Subject: filter/ FILTER discard:gone
/^Subject: bcc/ BCC copy@example.test
/^Subject: discard/ DISCARD
/^Subject: reject/ REJECT 5.7.9 not here
/^Subject: replace (.*)/ REPLACE Subject: [$1]
`;
const BODY = "/^secret (.*)/ REPLACE (hidden: $1)\n";

testNeeding(
  ["python3"],
  "what tables say of content is done, from the first byte to the mailbox",
  async () => {
    using directory = new TemporaryDirectory();
    Deno.chmodSync(directory.path, 0o755);
    directory.write("headers", HEADERS);
    directory.write("body", BODY);
    await using postern = await Postern.start({
      settings: {
        header_checks: JSON.stringify([`regexp:${directory.at("headers")}`]),
        body_checks: JSON.stringify([`regexp:${directory.at("body")}`]),
        canonical_maps: '["inline:{old@example.test=new@example.test}"]',
        always_bcc: '"archive@example.test"',
      },
    });
    const send = async (subject: string, to = "alice@example.test", body = "text") => {
      const content = utf8(`Subject: ${subject}\r\nFrom: a@x.test\r\n\r\n${body}\r\n`);
      const [posted] = await sendWithPython(postern.port, [{ from: "a@x.test", to: [to], content }]);
      return `${posted!.code} ${posted!.text}`;
    };
    assert.equal(await send("reject"), "550 5.7.9 not here");
    for (const subject of ["discard", "filter"]) assert.match(await send(subject), /^250 /);
    assert.match(await send("replace this", "alice@example.test", "secret word"), /^250 /);
    const [alice] = await postern.mail("alice");
    assert.match(decode(alice!), /^Subject: \[this\]$/m);
    assert.match(decode(alice!), /^\(hidden: word\)$/m);
    assert.match(await send("bcc", "old@example.test"), /^250 /);
    for (const user of ["new", "copy"]) await postern.mail(user);
    assert.match(await send("redirect"), /^250 /);
    await postern.mail("other");
    assert.match(await send("hold"), /^250 /);
    assert.ok(await until(() => postern.queued("hold").length === 1), postern.log());
    await postern.untilLogged(/relay=none, .* status=sent \(gone\)/);
    const released = await postern.run(["postsuper", "-H", "ALL"]);
    assert.equal(released.status, 0, released.errors);
    assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
    await postern.mail("alice", 2);
    // Copies of what was delivered to alice, new and, from hold, to alice again; a redirected message has no other.
    await postern.mail("archive", 3);
    await postern.untilEmpty();
    assert.equal(postern.mailbox("alice").length, 2);
    assert.equal(postern.mailbox("other").length, 1);
    assert.match(postern.log(), /: hold: header Subject: hold from .*: for a look$/m);
  },
);
