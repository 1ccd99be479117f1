import assert from "node:assert/strict";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { concat, utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";
import { latin1 } from "../smtpd/queued_message.ts";
import {
  ACCEPTED,
  CleanupHost,
  type CleanupOptions,
  type Draft,
  records,
  Submission,
  submit,
} from "./cleanup_support.ts";

const { BAD, DEFER, HOPS, RECIPIENT, SIZE, WRITE } = CLEANUP_STATUS;

/** A message as it comes, and the content as it is stored behind its Received header. */
const CONTENTS: Readonly<
  Record<string, { draft: Draft; options?: CleanupOptions; content: string | RegExp }>
> = {
  "mail from elsewhere stays as it is, byte for byte": {
    draft: {
      lines: ["From: A <alice>,", "\tbob@host", "to:bob (x)", "X-A: \xff\x80", "", "body", "From: alice"],
    },
    content: "From: A <alice>,\n\tbob@host\nto:bob (x)\nX-A: \xc3\xbf\xc2\x80\n\nbody\nFrom: alice\n",
  },
  "addresses in headers of mail from here are completed, everything else of them stays": {
    draft: {
      local: true,
      lines: [
        'From: A "q,q" <alice>,',
        "\tbob@host (c (d) c),   carol@full.example",
        "To: grp: x, y@z ;",
        "Subject: alice",
        "Message-Id: <x>",
        "Date: d",
        "",
        "To: alice",
      ],
    },
    content:
      'From: A "q,q" <alice@mx.test>,\n\tbob@host.test (c (d) c),   carol@full.example\nTo: grp: x@mx.test, y@z.test ;\nSubject: alice\nMessage-Id: <x>\nDate: d\n\nTo: alice\n',
  },
  "headers that name nobody stay": {
    draft: {
      local: true,
      lines: ["From: ", "To: undisclosed-recipients:;", "Cc: ,,", "Message-Id: <x>", "Date: d", ""],
    },
    content: "From: \nTo: undisclosed-recipients:;\nCc: ,,\nMessage-Id: <x>\nDate: d\n\n",
  },
  "missing headers are made for mail from here": {
    draft: {
      local: true,
      sender: "alice@mx.test",
      fullName: "Alice A",
      lines: ["To: bob@local.test", "", "b"],
    },
    content:
      /^To: bob@local\.test\nMessage-Id: <\d{14}\.[0-9A-F]+@mx\.test>\nDate: \w{3}, +\d+ \w{3} \d{4} [\d:]{8} [+-]\d{4} \(\w+\)\nFrom: Alice A <alice@mx\.test>\n\nb\n$/,
  },
  "a message of here without any header": {
    draft: { local: true, sender: "alice@mx.test", lines: ["just text"] },
    content: /^Message-Id: <.*>\nDate: .*\nFrom: alice@mx\.test\n\njust text\n$/,
  },
  "a message of here without any text": {
    draft: { local: true, sender: "alice@mx.test", lines: [] },
    content: /^Message-Id: <.*>\nDate: .*\nFrom: alice@mx\.test\n$/,
  },
  "missing headers are not made for mail from elsewhere": {
    draft: { lines: ["X: y", "", "b"] },
    content: "X: y\n\nb\n",
  },
  "unless the configuration says so": {
    draft: { lines: ["X: y", "From: a", "", "b"] },
    options: {
      settings: {
        always_add_missing_headers: "true",
        undisclosed_recipients_header: '"To: undisclosed-recipients:;"',
      },
    },
    content: /^X: y\nFrom: a\nMessage-Id: <.*>\nDate: .*\nTo: undisclosed-recipients:;\n\nb\n$/,
  },
  "a resent message gets the headers of the resending": {
    draft: {
      local: true,
      sender: "alice@mx.test",
      lines: ["Resent-To: bob@x.test", "Date: d", "From: a@x.test", ""],
    },
    content:
      /^Resent-To: bob@x\.test\nDate: d\nFrom: a@x\.test\nResent-Message-Id: <.*>\nResent-Date: .*\nResent-From: alice@mx\.test\n\n$/,
  },
  "headers that are dropped": {
    draft: {
      lines: [
        "Bcc: secret@x.test,",
        " other@x.test",
        "bCC: x",
        "Content-Length: 5",
        "Return-Path: <x>",
        "Resent-Bcc: y",
        "Subject: s",
        "",
        "Bcc: z",
      ],
    },
    content: "Subject: s\n\nBcc: z\n",
  },
  "a missing empty line before the body is put in": {
    draft: { lines: ["A: b", "no header"] },
    content: "A: b\n\nno header\n",
  },
  "a blank line with spaces ends no header of its own": {
    draft: { lines: ["A: b", " ", "C: d", "", "x"] },
    content: "A: b\n \nC: d\n\nx\n",
  },
  "a header without a name is body": { draft: { lines: ["A: b", ": v", ""] }, content: "A: b\n\n: v\n\n" },
  "a name with a blank before the colon is a header, and loses it as in Postfix": {
    draft: { lines: ["A : b", "Received\t: c", "", "x"] },
    content: "A: b\nReceived: c\n\nx\n",
  },
  "an empty message": { draft: { lines: [] }, content: "" },
  "names that objects have are ordinary headers": {
    draft: { lines: ["__proto__: x", "constructor: y", "toString: z", "", "b"] },
    content: "__proto__: x\nconstructor: y\ntoString: z\n\nb\n",
  },
  "a stray CR or LF becomes a space, in headers and body": {
    draft: { lines: ["Subject: a\rX-Inj: 1", "A: b\nC: d", "", "x\r.\ry", "\r", "\n.\n", "z\r\n"] },
    content: "Subject: a X-Inj: 1\nA: b C: d\n\nx . y\n \n . \nz  \n",
  },
  "a line in pieces is one line": {
    draft: {
      lines: [[RECORD.CONTINUED, "Subject: a"], [RECORD.CONTINUED, "b"], [RECORD.NORMAL, "c"], "", [
        RECORD.CONTINUED,
        "x",
      ], [RECORD.NORMAL, "y"]],
    },
    content: "Subject: abc\n\nxy\n",
  },
  "a header name in pieces is a name": {
    draft: { lines: [[RECORD.CONTINUED, "Bc"], [RECORD.NORMAL, "c: x"], "", "y"] },
    content: /^\nBcc: x\n\ny\n$|^\ny\n$/,
  },
};

for (const [name, { draft, options, content }] of Object.entries(CONTENTS)) {
  Deno.test(`cleanup: ${name}`, async () => {
    using host = new CleanupHost(options);
    assert.deepEqual(await submit(host, draft), ACCEPTED);
    const text = host.message().text;
    assert.ok(text.startsWith("Received: by test\n"));
    const rest = text.slice("Received: by test\n".length);
    if (typeof content === "string") assert.equal(rest, content);
    else assert.match(rest, content);
    assert.equal(host.message().envelope.size.contentLength, host.message().content.length);
  });
}

Deno.test("cleanup: the envelope holds what was sent, times, and each recipient with what it was", async () => {
  using host = new CleanupHost();
  const draft: Draft = {
    sender: "a",
    recipients: ["bob", "carol@host"],
    attributes: [["client_name", "c.test"], ["encoding", "8bit"], ["ret_flags", "1"], [
      "envelope_id",
      "E+3D",
    ]],
    envelope: [[RECORD.ATTRIBUTE, "notify_flags=2"], [RECORD.ATTRIBUTE, "dsn_orig_rcpt=rfc822;b"], [
      RECORD.ORIGINAL,
      "B",
    ]],
  };
  assert.deepEqual(await submit(host, draft), ACCEPTED);
  const { envelope, recipients, originalRecipients, sender, time } = host.message();
  assert.equal(sender, "a@mx.test");
  assert.deepEqual(recipients, ["bob@mx.test", "carol@host.test"]);
  assert.deepEqual(originalRecipients, ["B", "carol@host"]);
  assert.equal(time, 1_700_000_000_250);
  assert.ok(Math.abs(envelope.createTime - Date.now() / 1000) < 60);
  assert.equal(envelope.attributes.get("client_name"), "c.test");
  assert.equal(envelope.ret, 1);
  assert.equal(envelope.envelopeId, "E+3D");
  assert.equal(envelope.size.recipientCount, 2);
  assert.equal(envelope.warnTime, 0);
});

Deno.test("cleanup: the time of the delay warning stands in the file where it is asked for, and not for the null sender", async () => {
  for (
    const [settings, sender, warns] of [
      [{ delay_warning_time: '"4h"' }, "a@ext.test", true],
      [{ delay_warning_time: '"4h"' }, "", false],
      [{}, "a@ext.test", false],
    ] as const
  ) {
    using host = new CleanupHost({ settings });
    await submit(host, { sender });
    assert.equal(host.message().envelope.warnTime, warns ? 1_700_000_000 + 4 * 3600 : 0);
  }
});

Deno.test("cleanup: the encoding comes from the client, else from the header", async () => {
  for (
    const [attribute, line, expected] of [
      ["8bit", "X: y", "8bit"],
      [undefined, "Content-Transfer-Encoding: 8BIT", "8bit"],
      [undefined, "Content-Transfer-Encoding: binary", "8bit"],
      [undefined, "Content-Transfer-Encoding: 7bit", "7bit"],
      [undefined, "Content-Transfer-Encoding: base64", undefined],
      ["7bit", "Content-Transfer-Encoding: 8bit", "7bit"],
    ] as const
  ) {
    using host = new CleanupHost();
    await submit(host, {
      lines: [line, ""],
      attributes: attribute === undefined ? [] : [["encoding", attribute]],
    });
    assert.equal(host.message().attributes.get("encoding"), expected, line);
  }
});

Deno.test("cleanup: qmgr hears of a message once it is committed, and the log of its id", async () => {
  using host = new CleanupHost();
  await submit(host, { lines: ["Message-ID:  <x@y>", "", "b"] });
  const { id } = host.message();
  assert.deepEqual(host.hints, [id]);
  assert.deepEqual(host.log, [`${id}: message-id=<x@y>`]);
});

/** Messages that are refused, and why. */
const REFUSED: Readonly<
  Record<
    string,
    { draft?: Draft; raw?: Uint8Array; options?: CleanupOptions; answer: { status: number; reason: string } }
  >
> = {
  "without a sender": {
    raw: withoutType(records(), RECORD.FROM),
    answer: { status: BAD, reason: "recipient before sender" },
  },
  "with two senders": {
    draft: { envelope: [[RECORD.FROM, "b@ext.test"]] },
    answer: { status: BAD, reason: "second sender" },
  },
  "without recipients": {
    draft: { recipients: [] },
    answer: { status: RECIPIENT, reason: "no recipients specified" },
  },
  "with an empty recipient": {
    draft: { recipients: [""] },
    answer: { status: BAD, reason: "malformed recipient" },
  },
  "with a line end in the sender": {
    draft: { sender: "a@b\nR x" },
    answer: { status: BAD, reason: "control character in sender" },
  },
  "with a NUL in a recipient": {
    draft: { recipients: ["a\0@b"] },
    answer: { status: BAD, reason: "malformed recipient" },
  },
  "with a DEL in a recipient": {
    draft: { recipients: ["a\x7f@b"] },
    answer: { status: BAD, reason: "malformed recipient" },
  },
  "with an attribute that no client may set": {
    draft: { attributes: [["create_time", "1"]] },
    answer: { status: BAD, reason: 'attribute "create_time"' },
  },
  "with an attribute that objects have": {
    draft: { attributes: [["__proto__", "1"]] },
    answer: { status: BAD, reason: 'attribute "__proto__"' },
  },
  "with a line end in an attribute": {
    draft: { attributes: [["helo_name", "x\ny"]] },
    answer: { status: BAD, reason: 'attribute "helo_name"' },
  },
  "with an attribute without a value": {
    draft: { envelope: [[RECORD.ATTRIBUTE, "helo_name"]] },
    answer: { status: BAD, reason: 'attribute ""' },
  },
  "with too many attributes": {
    draft: { attributes: Array.from({ length: 100 }, (): [string, string] => ["helo_name", "x"]) },
    answer: { status: BAD, reason: 'attribute "helo_name"' },
  },
  "with a content filter that could end a line": {
    draft: { envelope: [[RECORD.FILTER, "smtp:x\ny"]] },
    answer: { status: BAD, reason: "malformed decision about the message" },
  },
  "with flags that are not for a client to set": {
    draft: { envelope: [[RECORD.FLAGS, "1"]] },
    answer: { status: BAD, reason: "malformed decision about the message" },
  },
  "with a pointer in the envelope": {
    draft: { envelope: [[RECORD.POINTER, "5"]] },
    answer: { status: BAD, reason: `record type ${RECORD.POINTER} in the envelope` },
  },
  "with a recipient in the content": {
    draft: { lines: [[RECORD.RECIPIENT, "x"]] },
    answer: { status: BAD, reason: `record type ${RECORD.RECIPIENT} in the content` },
  },
  "without a Received header": {
    draft: { received: false, lines: ["A: b", "", "x"] },
    answer: { status: BAD, reason: "message without Received header" },
  },
  "without an end": { draft: { ends: false }, answer: { status: BAD, reason: "message without end" } },
  "with something behind the end": {
    raw: concat(records(), records()),
    answer: { status: BAD, reason: "record after the end" },
  },
  "with something behind the content": {
    raw: concat(records({ ends: false }), utf8("N\x03a=b"), utf8("E\0")),
    answer: { status: BAD, reason: `record type ${RECORD.NORMAL} behind the content` },
  },
  "with aliases that cannot be looked up": {
    options: { tableFails: true },
    answer: { status: WRITE, reason: "" },
  },
  "with addresses that cannot be completed": {
    options: { rewriteFails: true },
    draft: { recipients: ["bob"] },
    answer: { status: WRITE, reason: "" },
  },
  "with a sender that cannot be completed": {
    options: { rewriteFails: true },
    draft: { sender: "bob" },
    answer: { status: WRITE, reason: "" },
  },
};

function withoutType(bytes: Uint8Array, type: number): Uint8Array {
  const cursor = new RecordCursor(bytes);
  const parts: Uint8Array[] = [];
  while (cursor.next()) if (cursor.type !== type) parts.push(bytes.slice(cursor.offset, cursor.position));
  return concat(...parts);
}

for (const [name, { draft, raw, options, answer }] of Object.entries(REFUSED)) {
  Deno.test(`cleanup: a message ${name} is refused, read to its end, and leaves nothing`, async () => {
    using host = new CleanupHost(options);
    const submission = new Submission(host);
    await submission.begin();
    await submission.send(raw ?? records(draft));
    assert.deepEqual(submission.answers, []);
    // What comes behind the fault is read and dropped.
    if (name !== "without an end") await submission.send(records({ lines: ["x".repeat(1000)] }));
    assert.deepEqual(await submission.finish(), answer);
    assert.deepEqual(host.files(), []);
    assert.deepEqual(host.hints, []);
    assert.deepEqual(await submit(host), options?.tableFails ? answer : ACCEPTED);
  });
}

Deno.test("cleanup: bytes that are no records end the message at once, and the next one goes through", async () => {
  for (
    const bytes of [
      utf8("N"),
      utf8("N\x05abc"),
      Uint8Array.of(0x4e, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x4e, 0x80),
    ]
  ) {
    using host = new CleanupHost();
    const submission = new Submission(host);
    await submission.begin();
    await submission.send(bytes);
    assert.deepEqual(submission.answers, [{ status: BAD, reason: "" }]);
    assert.deepEqual(host.files(), []);
    assert.deepEqual(await submit(host), ACCEPTED);
  }
});

Deno.test("cleanup: random records never do more than refuse a message", async () => {
  const random = new Random(31);
  const good = records({ lines: ["A: b", " c", "", "body", "more"] });
  using host = new CleanupHost({ aliases: { "alice@local.test": "bob@local.test" } });
  for (let round = 0; round < 300; round++) {
    const submission = new Submission(host);
    await submission.begin();
    await submission.send(random.damage(good));
    const { status } = submission.answers[0] ?? await submission.finish();
    for (const [path, mode] of host.files()) {
      assert.equal(mode, 0o700);
      assert.equal(status, 0);
      Deno.removeSync(path);
    }
  }
});

Deno.test("cleanup: records may come cut between any two of them", async () => {
  const bytes = records({ local: true, lines: ["From: alice", "A: b", "\tc", "", "body"] });
  const ends: number[] = [];
  for (const cursor = new RecordCursor(bytes); cursor.next();) ends.push(cursor.position);
  let expected: string | undefined;
  for (const end of ends) {
    using host = new CleanupHost();
    const submission = new Submission(host);
    await submission.begin();
    await submission.send(bytes.slice(0, end));
    await submission.send(bytes.slice(end));
    assert.deepEqual(await submission.finish(), ACCEPTED);
    const text = host.message().text.replace(/Message-Id: <.*>\nDate: .*\n/, "");
    expected ??= text;
    assert.equal(text, expected);
  }
});

Deno.test("attributes of recipients do not count as the message's own, however many recipients there are", async () => {
  using host = new CleanupHost();
  const envelope = Array.from({ length: 150 }, () => [RECORD.ATTRIBUTE, "notify_flags=2"] as const);
  const answer = await submit(host, {
    envelope: [...envelope, [RECORD.ATTRIBUTE, "log_message_origin=local"]],
  });
  assert.deepEqual(answer, ACCEPTED);
});

Deno.test("RFC 5321 section 6.3: a message with too many Received headers goes round and is refused", async () => {
  for (const [count, status] of [[48, 0], [49, HOPS], [200, HOPS]] as const) {
    using host = new CleanupHost({ settings: { hopcount_limit: "50" } });
    const lines = Array.from({ length: count }, () => "received: x");
    assert.equal((await submit(host, { lines })).status, status);
    assert.equal(host.files().length, status === 0 ? 1 : 0);
  }
});

Deno.test("cleanup: the size limit holds to the byte, with room for the headers of the mail system", async () => {
  const limit = 10_000;
  const most = limit + 4096 - "Received: by test\r\n\r\n".length;
  for (const lineLength of [10, 127, 128, 900]) {
    for (const [excess, status] of [[0, 0], [1, SIZE]] as const) {
      using host = new CleanupHost({ settings: { message_size_limit: String(limit) } });
      const lines = [""];
      let left = most + excess;
      while (left > lineLength + 4) {
        lines.push("x".repeat(lineLength));
        left -= lineLength + 2;
      }
      lines.push("x".repeat(left - 2));
      assert.equal((await submit(host, { lines })).status, status, `${lineLength} ${excess}`);
    }
  }
});

Deno.test("cleanup: without a size limit there is none", async () => {
  using host = new CleanupHost({ settings: { message_size_limit: "0" } });
  assert.deepEqual(
    await submit(host, { lines: ["", ...Array.from({ length: 4000 }, () => "x".repeat(1000))] }),
    ACCEPTED,
  );
  assert.ok(host.message().content.length > 4_000_000);
});

Deno.test("cleanup: a header of the size limit is whole, what is beyond is dropped, and every reader can read it", async () => {
  const limit = 102_400;
  for (const length of [limit - 1, limit, limit + 1, 5 * limit]) {
    using host = new CleanupHost({ settings: { header_size_limit: String(limit) } });
    const value = "v".repeat(length - 3);
    const pieces: [number, string][] = [];
    const line = `X: ${value}`;
    for (let at = 0; at < line.length; at += 2048) {
      pieces.push([at + 2048 < line.length ? RECORD.CONTINUED : RECORD.NORMAL, line.slice(at, at + 2048)]);
    }
    assert.deepEqual(await submit(host, { lines: [...pieces, "Y: z", "", "b"] }), ACCEPTED);
    const [, x, y] = host.message().text.split("\n");
    assert.equal(x, line.slice(0, limit));
    assert.equal(y, "Y: z");
    const bytes = Deno.readFileSync(host.files()[0]![0]);
    for (const cursor = new RecordCursor(bytes); cursor.next();) assert.ok(cursor.end - cursor.start <= 2048);
  }
});

Deno.test("cleanup: a recipient comes once, as far as the filter remembers", async () => {
  using host = new CleanupHost();
  await submit(host, { recipients: ["a@x.test", "A@X.TEST", "b@x.test", "a@x.test"] });
  assert.deepEqual(host.message().recipients, ["a@x.test", "b@x.test"]);
  for (const [limit, count] of [["2", 4], ["3", 3], ["0", 3]] as const) {
    using other = new CleanupHost({ settings: { duplicate_filter_limit: limit } });
    await submit(other, { recipients: ["a@x.test", "b@x.test", "c@x.test", "c@x.test"] });
    assert.equal(other.message().recipients.length, count, limit);
  }
});

Deno.test("cleanup: what a bounce would say of a recipient tells two apart, unless originals are not kept", async () => {
  const aliases = { "a@x.test": "c@x.test", "b@x.test": "c@x.test" };
  for (
    const [keep, recipients, originals] of [
      ["true", ["c@x.test", "c@x.test"], ["a@x.test", "b@x.test"]],
      ["false", ["c@x.test"], ["a@x.test"]],
    ] as const
  ) {
    using host = new CleanupHost({ aliases, settings: { enable_original_recipient: keep } });
    await submit(host, { recipients: ["a@x.test", "b@x.test"] });
    assert.deepEqual(host.message().recipients, recipients);
    assert.deepEqual(host.message().originalRecipients, originals);
  }
});

/** Aliases, and what one recipient becomes. */
const EXPANSIONS: Readonly<
  Record<
    string,
    {
      aliases: Record<string, string>;
      settings?: Record<string, string>;
      recipient?: string;
      recipients: readonly string[] | number;
    }
  >
> = {
  "one for another": { aliases: { "a@x.test": "b@y.test" }, recipients: ["b@y.test"] },
  "several": {
    aliases: { "a@x.test": 'b@y.test, "c d"@y.test e' },
    recipients: ["b@y.test", "c d@y.test", "e@mx.test"],
  },
  "of aliases": { aliases: { "a@x.test": "b@x.test", "b@x.test": "c@x.test" }, recipients: ["c@x.test"] },
  "one that keeps itself": {
    aliases: { "a@x.test": "a@x.test, b@x.test" },
    recipients: ["a@x.test", "b@x.test"],
  },
  "two that lead to each other": {
    aliases: { "a@x.test": "b@x.test", "b@x.test": "a@x.test" },
    recipients: DEFER,
  },
  "the same twice": {
    aliases: { "a@x.test": "b@x.test, c@x.test", "b@x.test": "d@x.test", "c@x.test": "d@x.test" },
    recipients: ["d@x.test"],
  },
  "an extension goes along": {
    aliases: { "a@x.test": "b@x.test" },
    recipient: "a+ext@x.test",
    recipients: ["b+ext@x.test"],
  },
  "or not": {
    aliases: { "a@x.test": "b@x.test" },
    settings: { propagate_unmatched_extensions: '["canonical"]' },
    recipient: "a+ext@x.test",
    recipients: ["b@x.test"],
  },
  "as many as the limit": {
    aliases: { "a@x.test": many(10) },
    settings: { virtual_alias_expansion_limit: "10" },
    recipients: many(10).split(", "),
  },
  "more than the limit": {
    aliases: { "a@x.test": many(11) },
    settings: { virtual_alias_expansion_limit: "10" },
    recipients: DEFER,
  },
  "a chain of the limit": {
    aliases: chain(9),
    settings: { virtual_alias_recursion_limit: "10" },
    recipients: ["n9@x.test"],
  },
  "a longer chain": {
    aliases: chain(10),
    settings: { virtual_alias_recursion_limit: "10" },
    recipients: DEFER,
  },
  "a chain of two thousand": { aliases: chain(2000), recipients: DEFER },
  "ten levels of ten": { aliases: tree(10), recipients: DEFER },
  "an address of the longest": {
    aliases: { "a@x.test": `${"b".repeat(94)}@x.test` },
    settings: { virtual_alias_address_length_limit: "101" },
    recipients: [`${"b".repeat(94)}@x.test`],
  },
  "a longer address": {
    aliases: { "a@x.test": `${"b".repeat(95)}@x.test` },
    settings: { virtual_alias_address_length_limit: "101" },
    recipients: DEFER,
  },
  "an alias that grows for ever": {
    aliases: { "a@x.test": "a+x@x.test" },
    settings: { recipient_delimiter: '"+"' },
    recipients: DEFER,
  },
};

function many(count: number): string {
  return Array.from({ length: count }, (_, i) => `m${i}@y.test`).join(", ");
}

function chain(length: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length }, (_, i) => [i === 0 ? "a@x.test" : `n${i}@x.test`, `n${i + 1}@x.test`]),
  );
}

/** Ten targets of each name, `depth` deep. */
function tree(depth: number): Record<string, string> {
  const names = (level: number) => Array.from({ length: 10 }, (_, i) => `t${level}-${i}@x.test`);
  const table: Record<string, string> = { "a@x.test": names(1).join(", ") };
  for (let level = 1; level < depth; level++) {
    for (const name of names(level)) {
      table[name] = names(level + 1).map((target) => target.replace("@", `+${name[1]}@`)).join(", ");
    }
  }
  return table;
}

for (const [name, { aliases, settings, recipient, recipients }] of Object.entries(EXPANSIONS)) {
  Deno.test(`cleanup: alias: ${name}`, async () => {
    using host = new CleanupHost({ aliases, ...(settings === undefined ? {} : { settings }) });
    const answer = await submit(host, { recipients: [recipient ?? "a@x.test"] });
    if (typeof recipients === "number") {
      assert.deepEqual(answer, { status: recipients, reason: "4.6.0 Alias expansion error" });
      assert.deepEqual(host.files(), []);
      assert.match(
        host.log[0]!,
        /^warning: [0-9A-F]+: unreasonable virtual_alias_maps (map .* for|result) [ab].* -- message not accepted, try again later$/,
      );
    } else {
      assert.deepEqual(answer, ACCEPTED);
      assert.deepEqual(host.message().recipients, recipients);
      assert.ok(host.message().originalRecipients.every((one) => one === (recipient ?? "a@x.test")));
    }
  });
}

Deno.test("cleanup: a client that goes away takes its file with it, also while aliases are looked up", async () => {
  for (const step of [0, 1, 2, 3]) {
    using host = new CleanupHost({ aliases: { "alice@local.test": "bob@local.test" } });
    const submission = new Submission(host);
    await submission.begin();
    assert.equal(host.files().length, 1);
    assert.match(host.files()[0]![0], /\/\d+\.\d+$/, "no queue id: nobody takes it for a message");
    let under: void | Promise<void>;
    if (step > 0) {
      under = submission.send(
        records({ lines: ["", ...Array.from({ length: 300 }, () => "x".repeat(1000))] }),
      );
    }
    if (step === 2) await under!;
    submission.cancel();
    await under!;
    submission.cancel();
    assert.deepEqual(host.files(), []);
    assert.deepEqual(host.log.filter((line) => !line.includes("message-id=")), []);
    assert.deepEqual(host.troubles, []);
  }
});

Deno.test("cleanup: an exchange without a message is told so", async () => {
  using host = new CleanupHost();
  const submission = new Submission(host);
  assert.deepEqual(await submission.finish(), { status: BAD, reason: "" });
  const other = new Submission(host);
  await other.send(records());
  assert.deepEqual(other.answers, [{ status: BAD, reason: "" }]);
  const twice = new Submission(host);
  await twice.begin();
  await twice.begin();
  assert.deepEqual(twice.answers, [{ status: BAD, reason: "" }]);
  assert.deepEqual(host.files(), []);
});

Deno.test("cleanup: a queue directory that is gone gives WRITE, and it goes on when it is back", async () => {
  using host = new CleanupHost();
  Deno.renameSync(`${host.queue}/incoming`, `${host.queue}/away`);
  const submission = new Submission(host);
  await submission.begin();
  assert.deepEqual(submission.answers, [{ status: WRITE, reason: "" }]);
  assert.equal(host.troubles.length, 1);
  Deno.renameSync(`${host.queue}/away`, `${host.queue}/incoming`);
  assert.deepEqual(await submit(host), ACCEPTED);
});

Deno.test("cleanup: a file that vanishes before the commit gives WRITE", async () => {
  using host = new CleanupHost();
  const submission = new Submission(host);
  await submission.begin();
  await submission.send(records());
  Deno.removeSync(host.files()[0]![0]);
  assert.deepEqual(await submission.finish(), { status: WRITE, reason: "" });
  assert.deepEqual(host.hints, []);
});

Deno.test("cleanup: incoming/ may be hashed", async () => {
  for (const depth of ["1", "2"]) {
    using host = new CleanupHost({ settings: { hash_queue_names: '["incoming"]', hash_queue_depth: depth } });
    assert.deepEqual(await submit(host), ACCEPTED);
    const { id } = host.message();
    const below = [...id].slice(0, Number(depth)).join("/");
    assert.equal(host.files()[0]![0], `${host.queue}/incoming/${below}/${id}`);
  }
});

Deno.test("cleanup: queue ids are long where they are asked for, and the Message-Id goes by them", async () => {
  using host = new CleanupHost({ settings: { enable_long_queue_ids: "true" } });
  await submit(host, { local: true });
  const { id, text } = host.message();
  assert.match(id, /^[0-9B-Zb-z]{10,}z[0-9B-Zb-y]+$/);
  assert.ok(text.includes(`Message-Id: <${id}@mx.test>\n`));
});

Deno.test("cleanup: content that is at fault comes back by the error transport where its sender cannot be told", async () => {
  using host = new CleanupHost({ settings: { hopcount_limit: "2" } });
  assert.deepEqual(
    await submit(host, { lines: ["Received: x", "", "b"] }, CLEANUP_FLAG.BOUNCE | CLEANUP_FLAG.MAP),
    ACCEPTED,
  );
  assert.equal(host.message().envelope.filter, "error:5.4.0 too many hops");
});

Deno.test("cleanup: a message of megabytes is written as it comes", async () => {
  using host = new CleanupHost({ settings: { message_size_limit: "0" } });
  const submission = new Submission(host);
  await submission.begin();
  const bytes = records({
    lines: ["A: b", "", ...Array.from({ length: 9000 }, (_, i) => `${i}`.padEnd(1000, "z"))],
  });
  let start = 0;
  const cursor = new RecordCursor(bytes);
  while (cursor.next()) {
    if (cursor.position - start < 40_000) continue;
    await submission.send(bytes.slice(start, cursor.position));
    start = cursor.position;
  }
  const size = Deno.statSync(host.files()[0]![0]).size;
  assert.ok(size > 8_000_000);
  await submission.send(bytes.slice(start));
  assert.deepEqual(await submission.finish(), ACCEPTED);
  const { body } = host.message();
  assert.equal(body.length, 9000 * 1001);
  assert.equal(latin1(utf8(body.slice(-1001))), `${"8999".padEnd(1000, "z")}\n`);
});
