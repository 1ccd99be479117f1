import assert from "node:assert/strict";
import { BUILT_IN_TEMPLATES, expandTemplates } from "../../../lib/config/bounce_templates.ts";
import type { BounceRecord } from "../../../lib/mail/bounce_log.ts";
import {
  closingLines,
  headerLines,
  notificationEntry,
  notificationHead,
  originalHead,
  type Report,
  reportBoundary,
  type ReportSystem,
  statusEntry,
  statusHead,
  wantsReport,
  wrapLine,
} from "../../../lib/mail/dsn.ts";
import { formatMailDate } from "../../../lib/mail/date.ts";

const SYSTEM: ReportSystem = {
  myhostname: "oracle.example.test",
  myorigin: "origin.example.test",
  mailName: "Postfix",
  smtputf8Enable: true,
  headerFromFormat: "standard",
  templates: expandTemplates(BUILT_IN_TEMPLATES, (name) => {
    const values = new Map([
      ["myhostname", "oracle.example.test"],
      ["delay_warning_time_hours", "4"],
      ["maximal_queue_lifetime_days", "5"],
    ]);
    return values.get(name)!;
  }),
  maximalQueueLifetime: 5 * 86400,
};

const REPORT: Report = {
  kind: "failure",
  postmaster: false,
  recipient: "sender@box.test",
  queueId: "4352820C1AA",
  sender: "sender@box.test",
  envelopeId: "",
  arrivalTime: 1_795_412_017_000,
  smtputf8: false,
  tlsNotRequired: false,
  encoding: "",
  messageId: "",
  headersOnly: false,
  time: 1_795_412_017_000,
};

const RECORD: BounceRecord = {
  recipient: "x@bounce.test",
  originalRecipient: "",
  dsnOriginalRecipient: "",
  offset: 0,
  notify: 0,
  status: "5.1.1",
  action: "failed",
  diagnosticType: "",
  diagnosticText: "",
  remoteMtaType: "",
  remoteMta: "",
  reason: "unknown user",
};

/** Lines that Debian's Postfix wrapped, as the blanks in them show. */
const WRAPPED: readonly (readonly string[])[] = [
  [
    "<x@bounce.test> (expanded from <bad@alias.test>): mailbox unavailable and a",
    "    really long explanation that needs wrapping in the human readable part",
  ],
  [
    "<x@bounce.test> (expanded from <bad@alias.test>): host 127.0.0.24[127.0.0.24]",
    "    said: 550-5.1.1 user unknown line one 550 5.1.1 line two (in reply to RCPT",
    "    TO command)",
  ],
  [
    "<len70@smtp.test>: host 127.0.0.24[127.0.0.24] said: 550 5.1.1",
    `    ${"x".repeat(70)} tail`,
    "    of it and woooord and more  double space",
    `    ${"y".repeat(90)}`,
    "    end (in reply to RCPT TO command)",
  ],
  ["Diagnostic-Code: smtp; 550-5.1.1 user unknown line one 550 5.1.1 line two"],
];

for (const lines of WRAPPED) {
  Deno.test(`"${lines[0]!.slice(0, 40)}..." is wrapped where Postfix wraps it`, () => {
    const text = lines.map((line, at) => at === 0 ? line : line.slice(4)).join(" ");
    assert.deepEqual(wrapLine(text), lines);
  });
}

Deno.test("a line of 79 bytes stays whole and one of 80 does not, in ASCII and in UTF-8", () => {
  for (const [text, count] of [[`a ${"b".repeat(77)}`, 1], [`a ${"b".repeat(78)}`, 2]] as const) {
    assert.equal(wrapLine(text).length, count);
  }
  assert.equal(wrapLine(`é ${"b".repeat(76)}`).length, 1);
  assert.equal(wrapLine(`é ${"b".repeat(77)}`).length, 2);
  assert.deepEqual(wrapLine(""), [""]);
  assert.deepEqual(wrapLine("   "), [""]);
});

Deno.test("RFC 3464 section 2: the header announces a multipart/report of type delivery-status", () => {
  assert.deepEqual(headerLines(REPORT, SYSTEM), [
    "From: Mail Delivery System <MAILER-DAEMON@origin.example.test>",
    "Subject: Undelivered Mail Returned to Sender",
    "To: sender@box.test",
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    "Content-Type: multipart/report; report-type=delivery-status;",
    '\tboundary="4352820C1AA.1795412017/oracle.example.test"',
    "Content-Transfer-Encoding: 8bit",
    "",
    "This is a MIME-encapsulated message.",
    "",
  ]);
});

const SUBJECTS: readonly (readonly [Report["kind"], boolean, string, string])[] = [
  ["failure", true, "Postmaster Copy: Undelivered Mail", "auto-generated"],
  ["delay", false, "Delayed Mail (still being retried)", "auto-replied"],
  ["delay", true, "Postmaster Warning: Delayed Mail", "auto-generated"],
  ["success", false, "Successful Mail Delivery Report", "auto-replied"],
  ["verify", false, "Mail Delivery Status Report", "auto-replied"],
];

for (const [kind, postmaster, subject] of SUBJECTS) {
  Deno.test(`the subject of a ${kind} report ${postmaster ? "to the postmaster" : "to the sender"}`, () => {
    const lines = headerLines({ ...REPORT, kind, postmaster }, SYSTEM);
    assert.ok(lines.includes(`Subject: ${subject}`));
  });
}

Deno.test("RFC 3834 section 5: every report says in Auto-Submitted that no person wrote it", () => {
  for (const [kind, postmaster, , submitted] of SUBJECTS) {
    const lines = headerLines({ ...REPORT, kind, postmaster }, SYSTEM);
    assert.deepEqual(lines.filter((line) => line.startsWith("Auto-Submitted:")), [
      `Auto-Submitted: ${submitted}`,
    ]);
  }
});

Deno.test("a threaded report refers to the Message-ID", () => {
  const lines = headerLines({ ...REPORT, messageId: "<m@x>" }, SYSTEM);
  assert.ok(lines.includes("References: <m@x>") && lines.includes("In-Reply-To: <m@x>"));
});

Deno.test("the postmaster's copy goes to an address with a domain and has no text for a sender", () => {
  const report = { ...REPORT, postmaster: true, recipient: "postmaster" };
  assert.ok(headerLines(report, SYSTEM).includes("To: postmaster@origin.example.test"));
  assert.equal(notificationHead(report, SYSTEM).at(-1), "");
  assert.ok(!notificationHead(report, SYSTEM).some((line) => line.includes("sorry")));
});

Deno.test("the delay report says how long it has waited and will wait", () => {
  const text = notificationHead({ ...REPORT, kind: "delay" }, SYSTEM);
  assert.ok(text.includes("Your message could not be delivered for more than 4 hour(s)."));
  assert.ok(text.includes("It will be retried until it is 5 day(s) old."));
});

const ENCODINGS: readonly (readonly [boolean, Report["encoding"], string, string | undefined])[] = [
  [true, "", "utf-8", "8bit"],
  [true, "7bit", "utf-8", "8bit"],
  [false, "", "us-ascii", undefined],
  [false, "7bit", "us-ascii", "7bit"],
  [false, "8bit", "utf-8", "8bit"],
];

for (const [smtputf8Enable, encoding, charset, transfer] of ENCODINGS) {
  Deno.test(`smtputf8_enable ${smtputf8Enable}, a message of encoding "${encoding}": ${charset}, ${transfer}`, () => {
    const system = { ...SYSTEM, smtputf8Enable };
    const report = { ...REPORT, encoding };
    const head = notificationHead(report, system);
    assert.ok(head.includes(`Content-Type: text/plain; charset=${charset}`));
    for (const lines of [head, headerLines(report, system), originalHead(report, system)]) {
      const found = lines.find((line) => line.startsWith("Content-Transfer-Encoding"));
      assert.equal(found, transfer === undefined ? undefined : `Content-Transfer-Encoding: ${transfer}`);
    }
    // RFC 3464 section 2.1: message/delivery-status is 7bit.
    assert.ok(!statusHead(report, system).some((line) => line.startsWith("Content-Transfer-Encoding")));
  });
}

Deno.test("RFC 3464 section 2.2: the fields about the message", () => {
  assert.deepEqual(statusHead({ ...REPORT, envelopeId: "env+1" }, SYSTEM), [
    "",
    "--4352820C1AA.1795412017/oracle.example.test",
    "Content-Description: Delivery report",
    "Content-Type: message/delivery-status",
    "",
    "Reporting-MTA: dns; oracle.example.test",
    "Original-Envelope-Id: env+1",
    "X-Postfix-Queue-ID: 4352820C1AA",
    "X-Postfix-Sender: rfc822; sender@box.test",
    `Arrival-Date: ${formatMailDate(REPORT.arrivalTime)}`,
  ]);
});

Deno.test("RFC 3464 section 2.2.1: the sender's ENVID comes back as it was given, and no other is made up", () => {
  const found = (envelopeId: string) =>
    statusHead({ ...REPORT, envelopeId }, SYSTEM).filter((line) => line.startsWith("Original-Envelope-Id:"));
  for (const id of ["a", "Env+2B=<x@y>", "x".repeat(100)]) {
    assert.deepEqual(found(id), [`Original-Envelope-Id: ${id}`]);
  }
  assert.deepEqual(found(""), []);
});

Deno.test("the null sender is named as MAILER-DAEMON of this host", () => {
  const report = { ...REPORT, sender: "" };
  assert.ok(
    statusHead(report, SYSTEM).includes("X-Postfix-Sender: rfc822; MAILER-DAEMON@oracle.example.test"),
  );
  assert.equal(originalHead(report, SYSTEM).at(-1), "Return-Path: <MAILER-DAEMON@oracle.example.test>");
});

Deno.test("RFC 3464 section 2.3: the fields about a recipient, with a reply of a remote server", () => {
  const record = {
    ...RECORD,
    originalRecipient: "bad@alias.test",
    dsnOriginalRecipient: "rfc822;orig@elsewhere.test",
    diagnosticType: "smtp",
    diagnosticText: "550 5.1.1 no",
    remoteMtaType: "dns",
    remoteMta: "mx.test",
  };
  assert.deepEqual(statusEntry(record, REPORT, SYSTEM), [
    "",
    "Final-Recipient: rfc822; x@bounce.test",
    "Original-Recipient: rfc822;orig@elsewhere.test",
    "Action: failed",
    "Status: 5.1.1",
    "Remote-MTA: dns; mx.test",
    "Diagnostic-Code: smtp; 550 5.1.1 no",
  ]);
});

Deno.test("RFC 3464 section 2.3.1: the original recipient is the ORCPT, before what we know ourselves, or is left out", () => {
  const found = (more: Partial<BounceRecord>) =>
    statusEntry({ ...RECORD, ...more }, REPORT, SYSTEM).filter((line) =>
      line.startsWith("Original-Recipient:")
    );
  const ours = { originalRecipient: "bad@alias.test" };
  const given = { dsnOriginalRecipient: "x400;/S=A B/" };
  assert.deepEqual(found({ ...ours, ...given }), ["Original-Recipient: x400;/S=A B/"]);
  assert.deepEqual(found(ours), ["Original-Recipient: rfc822; bad@alias.test"]);
  assert.deepEqual(found({}), []);
});

Deno.test("without ORCPT the recipient before aliasing is the original one; a reason of ours has our name", () => {
  assert.deepEqual(statusEntry({ ...RECORD, originalRecipient: "bad@alias.test" }, REPORT, SYSTEM), [
    "",
    "Final-Recipient: rfc822; x@bounce.test",
    "Original-Recipient: rfc822; bad@alias.test",
    "Action: failed",
    "Status: 5.1.1",
    "Diagnostic-Code: X-Postfix; unknown user",
  ]);
});

Deno.test("a deferred recipient of an expired message has failed; in a delay report it is delayed until the end", () => {
  const record = { ...RECORD, action: "delayed", status: "4.4.1" };
  assert.ok(statusEntry(record, REPORT, SYSTEM).includes("Action: failed"));
  const delayed = statusEntry(record, { ...REPORT, kind: "delay" }, SYSTEM);
  assert.ok(delayed.includes("Action: delayed"));
  assert.equal(delayed.at(-1), `Will-Retry-Until: ${formatMailDate(REPORT.arrivalTime + 5 * 86400_000)}`);
});

Deno.test("RFC 6533 section 3: SMTPUTF8 mail gets the global types, and utf-8 for addresses outside ASCII only", () => {
  const report = { ...REPORT, smtputf8: true };
  assert.ok(statusHead(report, SYSTEM).includes("Content-Type: message/global-delivery-status"));
  assert.ok(statusHead(report, SYSTEM).includes("Content-Transfer-Encoding: 8bit"));
  assert.ok(originalHead(report, SYSTEM).includes("Content-Type: message/global"));
  const headers = originalHead({ ...report, headersOnly: true }, SYSTEM);
  assert.ok(headers.includes("Content-Type: message/global-headers"));
  assert.equal(
    statusEntry({ ...RECORD, recipient: "é@x" }, report, SYSTEM)[1],
    "Final-Recipient: utf-8; é@x",
  );
  assert.equal(statusEntry(RECORD, report, SYSTEM)[1], "Final-Recipient: rfc822; x@bounce.test");
});

const ORIGINALS: readonly (readonly [Report["kind"], boolean, string, string])[] = [
  ["failure", false, "Undelivered Message", "message/rfc822"],
  ["failure", true, "Undelivered Message Headers", "text/rfc822-headers"],
  ["delay", true, "Undelivered Message Headers", "text/rfc822-headers"],
  ["success", true, "Message Headers", "text/rfc822-headers"],
  ["verify", true, "Message Headers", "text/rfc822-headers"],
];

for (const [kind, headersOnly, description, type] of ORIGINALS) {
  Deno.test(`the third part of a ${kind} report with ${headersOnly ? "headers only" : "the whole message"}`, () => {
    assert.deepEqual(originalHead({ ...REPORT, kind, headersOnly }, SYSTEM), [
      "",
      "--4352820C1AA.1795412017/oracle.example.test",
      `Content-Description: ${description}`,
      `Content-Type: ${type}`,
      "Content-Transfer-Encoding: 8bit",
      "",
      "Return-Path: <sender@box.test>",
    ]);
  });
}

Deno.test("RFC 2046 section 5.1.1: a boundary has at most 70 characters", () => {
  const system = { ...SYSTEM, myhostname: `${"h".repeat(63)}.example.test` };
  assert.equal(reportBoundary(REPORT, system).length, 70);
  assert.equal(closingLines(REPORT, system).at(-1), `--${reportBoundary(REPORT, system)}--`);
});

Deno.test("what strangers sent cannot end a line of the report", () => {
  const hostile = "a\r\nBcc: x\0\u2028y";
  const report = { ...REPORT, sender: hostile, recipient: hostile, envelopeId: hostile };
  const record = {
    ...RECORD,
    recipient: hostile,
    originalRecipient: `${hostile}2`,
    dsnOriginalRecipient: hostile,
    reason: hostile,
    status: hostile,
    action: hostile,
    diagnosticType: hostile,
    diagnosticText: hostile,
    remoteMtaType: hostile,
    remoteMta: hostile,
  };
  const lines = [
    ...headerLines(report, SYSTEM),
    ...notificationEntry(record),
    ...statusHead(report, SYSTEM),
    ...statusEntry(record, { ...report, kind: "delay" }, SYSTEM),
    ...originalHead(report, SYSTEM),
  ];
  for (const line of lines) assert.doesNotMatch(line, /[\0\r\n\u2028]/);
});

const WANTS: readonly (readonly [Report["kind"], number, boolean])[] = [
  ["failure", 0, true],
  ["failure", 1, false],
  ["failure", 2, false],
  ["failure", 4, true],
  ["delay", 0, true],
  ["delay", 4, false],
  ["delay", 4 + 8, true],
  ["failure", 8, false],
  ["success", 2, true],
  ["success", 4, false],
  ["success", 1, false],
  ["verify", 1, true],
];

for (const [kind, notify, wanted] of WANTS) {
  Deno.test(`RFC 3461 section 4.1: NOTIFY ${notify} ${wanted ? "wants" : "does not want"} a ${kind} report`, () => {
    assert.equal(wantsReport(kind, notify), wanted);
  });
}
