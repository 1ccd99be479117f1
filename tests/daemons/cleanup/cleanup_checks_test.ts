/** Checks of content, as far as the comparison with Debian's cleanup does not show them. @module */
import assert from "node:assert/strict";
import { QMGR_READ_ALL } from "../../../lib/mail/queue_file.ts";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import {
  CLEANUP_EXTERNAL,
  CLEANUP_FLAG,
  CLEANUP_INTERNAL,
  CLEANUP_STATUS,
} from "../../../lib/proto/protocols.ts";
import { readQueueFile } from "../smtpd/queued_message.ts";
import {
  ACCEPTED,
  CleanupHost,
  type CleanupOptions,
  type Draft,
  records,
  Submission,
  submit,
} from "./cleanup_support.ts";

const TABLES = {
  header_checks: '["regexp:/h"]',
  mime_header_checks: '["regexp:/m"]',
  nested_header_checks: '["regexp:/n"]',
  body_checks: '["regexp:/b"]',
};

/** cleanup with checks that say what a text asks for behind its "do ". */
function checking(options: CleanupOptions = {}): { host: CleanupHost; asked: [string, string][] } {
  const asked: [string, string][] = [];
  const checks = (parameter: string, line: string) => {
    asked.push([parameter, line]);
    const at = line.indexOf("do ");
    return at < 0 ? undefined : line.slice(at + 3);
  };
  return {
    host: new CleanupHost({ ...options, settings: { ...TABLES, ...options.settings }, checks }),
    asked,
  };
}

Deno.test("cleanup: without tables nothing is looked up and nothing read behind the header", async () => {
  const asked: string[] = [];
  using host = new CleanupHost({
    checks: (_parameter, line) => {
      asked.push(line);
      return "REJECT";
    },
  });
  assert.deepEqual(await submit(host, { lines: ["A: b", "", "body"] }), ACCEPTED);
  assert.deepEqual(asked, []);
});

Deno.test("cleanup: mail that the system makes itself, and reports, are not looked at", async () => {
  const { host, asked } = checking();
  using _ = host;
  assert.deepEqual(
    await submit(host, { lines: ["Subject: do REJECT", "", "do REJECT"] }, CLEANUP_INTERNAL),
    ACCEPTED,
  );
  assert.deepEqual(asked, []);
});

Deno.test("cleanup: each header and line is looked up in the table of its class", async () => {
  const { host, asked } = checking();
  using _ = host;
  await submit(host, {
    lines: ["Subject: s", "Content-Type: message/rfc822", "", "X: y", "content-id: z", "", "body"],
  });
  const by = (parameter: string) => asked.filter(([name]) => name === parameter).map(([, line]) => line);
  assert.deepEqual(by("header_checks"), ["Received: by test", "Subject: s"]);
  assert.deepEqual(by("mime_header_checks"), ["Content-Type: message/rfc822", "content-id: z"]);
  assert.deepEqual(by("nested_header_checks"), ["X: y"]);
  assert.deepEqual(by("body_checks"), ["", "", "body"]);
});

Deno.test("cleanup: a message that is put on hold goes to hold/, synced, and qmgr does not hear of it", async () => {
  const { host } = checking();
  using _ = host;
  assert.deepEqual(await submit(host, { lines: ["Subject: do HOLD why", "", "x"] }), ACCEPTED);
  assert.deepEqual(host.files(), []);
  assert.deepEqual(host.hints, []);
  const [held] = [...Deno.readDirSync(`${host.queue}/hold`)];
  const message = readQueueFile(`${host.queue}/hold/${held!.name}`);
  assert.equal(message.body, "x\n");
  assert.equal(Deno.statSync(`${host.queue}/hold/${held!.name}`).mode! & 0o777, 0o700);
  // What the journal has is put into incoming/ after a crash.
  const journaled = [...Deno.readDirSync(`${host.queue}/journal`)]
    .some(({ name }) => Deno.readTextFileSync(`${host.queue}/journal/${name}`).includes(held!.name));
  assert.equal(journaled, false);
});

Deno.test("cleanup: a client may put a message on hold too", async () => {
  using host = new CleanupHost();
  assert.deepEqual(await submit(host, {}, CLEANUP_EXTERNAL | CLEANUP_FLAG.HOLD), ACCEPTED);
  assert.equal([...Deno.readDirSync(`${host.queue}/hold`)].length, 1);
});

Deno.test("cleanup: a discarded message is accepted and gone, whatever else the tables say", async () => {
  const { host } = checking();
  using _ = host;
  const draft: Draft = { lines: ["Subject: do DISCARD", "Subject: do REJECT", "", "do REJECT"] };
  assert.deepEqual(await submit(host, draft), ACCEPTED);
  assert.deepEqual(host.files(), []);
  assert.deepEqual(host.hints, []);
});

Deno.test("cleanup: filter and redirection stand behind the content, where qmgr is told to look", async () => {
  const { host } = checking();
  using _ = host;
  await submit(host, {
    lines: ["A: do FILTER a:b", "B: do FILTER c:d", "C: do REDIRECT x@y.test", "", "do FILTER e:f"],
  });
  const { envelope } = host.message();
  assert.deepEqual([envelope.filter, envelope.redirect], ["c:d", "x@y.test"]);
  assert.equal(envelope.size.qmgrFlags, QMGR_READ_ALL);
});

Deno.test("cleanup: a rejected message of a local user goes back to him, and one that may pass is tried again", async () => {
  const { host } = checking();
  using _ = host;
  const flags = CLEANUP_EXTERNAL | CLEANUP_FLAG.BOUNCE;
  const soft = await submit(host, { lines: ["Subject: do REJECT 4.1.1 later", ""] }, flags);
  assert.deepEqual(soft, { status: CLEANUP_STATUS.DEFER, reason: "4.1.1 later" });
  assert.deepEqual(host.files(), []);
  assert.deepEqual(
    await submit(host, { lines: ["Subject: do REJECT 5.1.1 no", "A: do BCC c@x.test", ""] }, flags),
    ACCEPTED,
  );
  const { envelope, recipients } = host.message();
  assert.equal(envelope.filter, "error:5.1.1 no");
  assert.deepEqual(recipients, ["alice@local.test"]);
});

Deno.test("cleanup: a table that cannot be asked keeps the mail with its client", async () => {
  using host = new CleanupHost({ settings: TABLES, tableFails: true });
  const draft: Draft = { lines: ["A: b", ""] };
  const status = CLEANUP_STATUS.WRITE;
  assert.deepEqual(await submit(host, draft, CLEANUP_FLAG.FILTER), { status, reason: "" });
  assert.match(
    host.log.join("\n"),
    /_checks map lookup problem: table is away -- message not accepted, try again later/,
  );
  assert.deepEqual(host.files(), []);
});

Deno.test("cleanup: what is done with a message does not depend on where its records are cut", async () => {
  const bytes = records({
    lines: [
      "Subject: one",
      "X: do PREPEND Y: z",
      "\tfolded",
      "W: do IGNORE",
      'Content-Type: multipart/mixed; boundary="b"',
      "",
      "--b",
      "Content-Type: text/plain; do WARN",
      "",
      [RECORD.CONTINUED, "long "],
      [RECORD.NORMAL, "do REPLACE new"],
      "do STRIP",
      "--b--",
      "do BCC copy@x.test",
    ],
  });
  const ends: number[] = [];
  for (const cursor = new RecordCursor(bytes); cursor.next();) ends.push(cursor.position);
  let expected: unknown;
  for (const end of ends) {
    const { host } = checking();
    using _ = host;
    const submission = new Submission(host);
    await submission.begin();
    await submission.send(bytes.slice(0, end));
    await submission.send(bytes.slice(end));
    assert.deepEqual(await submission.finish(), ACCEPTED);
    const { text, recipients } = host.message();
    const found = { text, recipients, log: host.log.map((line) => line.replace(/^\w+/, "")) };
    expected ??= found;
    assert.deepEqual(found, expected);
  }
  assert.match(String((expected as { text: string }).text), /Y: z\n\tfolded\nX: do PREPEND/);
});

Deno.test("cleanup: many copies are as many as the limit", async () => {
  const { host } = checking();
  using _ = host;
  const lines = Array.from({ length: 1500 }, (_, i) => `do BCC c${i}@x.test`);
  assert.deepEqual(await submit(host, { lines: ["A: b", "", ...lines] }), ACCEPTED);
  assert.equal(host.message().recipients.length, 1001);
});

Deno.test("cleanup: mail of a source that is looked at for it needs SMTPUTF8 when something is not ASCII", async () => {
  const flags = CLEANUP_EXTERNAL | CLEANUP_FLAG.AUTOUTF8;
  for (
    const [draft, options, asked] of [
      [{ lines: ["Subject: \u00e9", ""] }, 3, flags],
      [{ sender: "\u00e9@x.test" }, 5, flags],
      [{ recipients: ["\u00e9@x.test"] }, 9, flags],
      [{ lines: ["Subject: e", "", "\u00e9"] }, 0, flags],
      [{ lines: [Uint8Array.of(0x41, 0x3a, 0xe9), ""] }, 0, flags],
      [{ lines: ["Subject: \u00e9", ""] }, 0, CLEANUP_EXTERNAL],
    ] as const
  ) {
    using host = new CleanupHost();
    await submit(host, draft, asked);
    assert.equal(host.message().envelope.size.sendOptions, options, JSON.stringify(draft));
    using off = new CleanupHost({ settings: { smtputf8_enable: "false" } });
    await submit(off, draft, asked);
    assert.equal(off.message().envelope.size.sendOptions, 0);
  }
});

Deno.test("cleanup: REQUIRETLS stands in the size record and in a header, and comes back from a filter by that header", async () => {
  const asked = CLEANUP_EXTERNAL | CLEANUP_FLAG.REQUIRETLS;
  const noted = "\nRequire-TLS-ESMTP: yes\n";
  for (
    const [lines, flags, settings, options, header] of [
      [["Subject: x", ""], asked, {}, 32, true],
      [["Subject: x", ""], CLEANUP_EXTERNAL, {}, 0, false],
      [["require-tls-esmtp:  YES ", ""], CLEANUP_EXTERNAL, {}, 32, false],
      [["Require-TLS-ESMTP: yes", ""], asked, {}, 32, true],
      [["Require-TLS-ESMTP: no", ""], CLEANUP_EXTERNAL, {}, 0, false],
      [["Subject: x", "", "Require-TLS-ESMTP: yes"], CLEANUP_EXTERNAL, {}, 0, true],
      [["Subject: x", ""], asked, { requiretls_esmtp_header: "false" }, 32, false],
      [["Require-TLS-ESMTP: yes", ""], CLEANUP_EXTERNAL, { requiretls_esmtp_header: "false" }, 0, true],
      [["Require-TLS-ESMTP: yes", ""], CLEANUP_EXTERNAL, { requiretls_enable: "false" }, 0, true],
    ] as const
  ) {
    using host = new CleanupHost({ settings });
    assert.deepEqual(await submit(host, { lines }, flags), ACCEPTED);
    const { envelope, text } = host.message();
    assert.equal(envelope.size.sendOptions, options, JSON.stringify([lines, settings]));
    assert.equal(text.split(noted).length - 1, header ? 1 : 0, text);
  }
});

Deno.test("RFC 8689 section 3: cleanup: TLS-Required: no is heard where it stands in the message's own header", async () => {
  for (
    const [lines, options] of [
      [["TLS-Required: No", ""], 16],
      [["TLS-Required: yes", ""], 0],
      [["X-TLS-Required: no", ""], 0],
      [["Subject: x", "", "TLS-Required: no"], 0],
    ] as const
  ) {
    using host = new CleanupHost();
    await submit(host, { lines });
    assert.equal(host.message().envelope.size.sendOptions, options, lines[0]);
    using deaf = new CleanupHost({ settings: { tls_required_enable: "false" } });
    await submit(deaf, { lines });
    assert.equal(deaf.message().envelope.size.sendOptions, 0);
  }
});

Deno.test("cleanup: what a check logs of a header is printable and short, however long that is", async () => {
  const { host } = checking();
  using _ = host;
  const half = "x".repeat(50_000);
  const lines = [
    [RECORD.CONTINUED, `X: \x1b[2J\u202e${half}`],
    [RECORD.NORMAL, `${half} do WARN`],
    "",
  ] as const;
  assert.deepEqual(await submit(host, { lines }), ACCEPTED);
  const [line] = host.log.filter((one) => one.includes("warning: header X:"));
  assert.ok(line!.length < 300, `${line!.length} characters`);
  assert.equal(line!.includes("\x1b"), false);
  assert.equal(line!.includes("\u202e"), false);
});

Deno.test("cleanup: a chunk of a message takes one request for each parameter, whatever is in it", async () => {
  const requests: string[] = [];
  using host = new CleanupHost({
    settings: TABLES,
    checks: (parameter) => {
      if (requests.at(-1) !== parameter) requests.push(parameter);
      return undefined;
    },
  });
  const part = ["--b", "Content-Type: text/plain", "", "line", "line"];
  const parts = Array.from({ length: 500 }, () => part).flat();
  await submit(host, { lines: ["A: b", 'Content-Type: multipart/mixed; boundary="b"', "", ...parts] });
  assert.deepEqual(requests, ["header_checks", "mime_header_checks", "body_checks"]);
});
