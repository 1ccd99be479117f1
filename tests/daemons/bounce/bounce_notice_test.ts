import assert from "node:assert/strict";
import { type NoticeSettings, noticesFor } from "../../../daemons/bounce/bounce_notice.ts";
import type { ReportKind } from "../../../lib/mail/dsn.ts";

const SETTINGS: NoticeSettings = {
  "2bounce_notice_recipient": "twobounce",
  bounce_notice_recipient: "bounces",
  delay_notice_recipient: "delays",
  double_bounce_sender: "double-bounce",
  myhostname: "mail.example.test",
  myorigin: "example.test",
  notify_classes: ["resource", "software"],
};
const DOUBLE = "double-bounce@mail.example.test";

/** kind, sender, notify_classes, then "FROM > TO content" for each notice; `+` marks an essential one. */
const CASES: readonly (readonly [ReportKind, string, string, string])[] = [
  ["failure", "a@b.test", "", "+<> > a@b.test asked"],
  ["failure", "a@b.test", "bounce", `+<> > a@b.test asked, <${DOUBLE}> > bounces headers`],
  ["failure", "a@b.test", "2bounce delay", "+<> > a@b.test asked"],
  ["failure", "", "", ""],
  ["failure", "", "delay", ""],
  ["failure", "", "2bounce", `+<${DOUBLE}> > twobounce full`],
  ["failure", "", "bounce", `+<${DOUBLE}> > twobounce full`],
  ["failure", DOUBLE, "bounce 2bounce", ""],
  ["failure", "Double-Bounce@MAIL.example.test", "bounce 2bounce", ""],
  ["failure", "double-bounce@example.test", "bounce 2bounce", ""],
  ["failure", "double-bounce", "bounce 2bounce", ""],
  ["failure", "double-bounce@elsewhere.test", "", "+<> > double-bounce@elsewhere.test asked"],
  ["delay", "a@b.test", "", "+<> > a@b.test headers"],
  ["delay", "a@b.test", "delay", `+<> > a@b.test headers, <${DOUBLE}> > delays headers`],
  ["delay", "", "bounce", ""],
  ["delay", "", "delay", `+<${DOUBLE}> > delays full`],
  ["delay", DOUBLE, "delay", ""],
  ["success", "a@b.test", "bounce delay", "+<> > a@b.test headers"],
  ["success", "", "bounce delay", ""],
  ["success", DOUBLE, "bounce", ""],
];

for (const [kind, sender, classes, expected] of CASES) {
  const told = expected === "" ? "nobody is told" : expected;
  Deno.test(`${kind} of mail from <${sender}> with notify_classes "${classes}": ${told}`, () => {
    const settings = { ...SETTINGS, notify_classes: classes.split(" ") };
    const { notices } = noticesFor(kind, sender, settings);
    const shown = notices.map((notice) =>
      `${notice.essential ? "+" : ""}<${notice.from}> > ${notice.recipient} ${notice.content}`
    );
    assert.equal(shown.join(", "), expected);
    // Every recipient stands in what a postmaster gets; NOTIFY is between the sender and the system.
    for (const notice of notices) assert.equal(notice.everyone, notice.postmaster);
  });
}

Deno.test("RFC 3464 section 2: what goes to a sender has the null sender, so that it cannot be returned", () => {
  for (const kind of ["failure", "delay", "success"] as const) {
    assert.equal(noticesFor(kind, "a@b.test", SETTINGS).notices[0]!.from, "");
  }
});

Deno.test("an undeliverable notification to the postmaster is dropped with a warning", () => {
  assert.equal(
    noticesFor("failure", DOUBLE, SETTINGS).warning,
    "undeliverable postmaster notification discarded",
  );
});
