/** What cleanup does for reports: aliases that expand, original recipients, VERP. @module */
import assert from "node:assert/strict";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { decodeText } from "../../../lib/vstring/byte_builder.ts";
import { CleanupHost, submit } from "./cleanup_support.ts";

const ALIASES = {
  "one@x.test": "a@y.test",
  "two@x.test": "a@y.test, b@y.test",
  "self@x.test": "self@x.test",
};

/** The records of the one queue file that are about recipients, as "type data". */
function recipientRecords(host: CleanupHost): string[] {
  const out: string[] = [];
  const cursor = new RecordCursor(Deno.readFileSync(host.files()[0]![0]));
  while (cursor.next()) {
    const text = decodeText(cursor.data);
    const wanted = cursor.type === RECORD.RECIPIENT || cursor.type === RECORD.VERP ||
      text.startsWith("dsn_orig_rcpt=") || text.startsWith("notify_flags=");
    if (wanted) out.push(`${String.fromCharCode(cursor.type)} ${text}`);
  }
  return out;
}

const envelope = (notify: number, recipient: string, original?: string) =>
  [
    ...(original === undefined ? [] : [[RECORD.ATTRIBUTE, `dsn_orig_rcpt=${original}`]]),
    [RECORD.ATTRIBUTE, `notify_flags=${notify}`],
    [RECORD.RECIPIENT, recipient],
  ] as [number, string][];

const EXPANSIONS: readonly {
  readonly what: string;
  readonly notify: number;
  readonly recipient: string;
  readonly traced: readonly string[];
  readonly records: readonly string[];
}[] = [
  {
    what: "an alias of one, SUCCESS alone: NEVER is left",
    notify: 2,
    recipient: "one@x.test",
    traced: ["one@x.test"],
    records: ["A dsn_orig_rcpt=rfc822;one@x.test", "A notify_flags=1", "R a@y.test"],
  },
  {
    what: "an alias of two, SUCCESS and FAILURE: FAILURE is left",
    notify: 6,
    recipient: "two@x.test",
    traced: ["two@x.test"],
    records: [
      "A dsn_orig_rcpt=rfc822;two@x.test",
      "A notify_flags=4",
      "R a@y.test",
      "A dsn_orig_rcpt=rfc822;two@x.test",
      "A notify_flags=4",
      "R b@y.test",
    ],
  },
  {
    what: "without SUCCESS nothing is traced",
    notify: 4,
    recipient: "one@x.test",
    traced: [],
    records: ["A dsn_orig_rcpt=rfc822;one@x.test", "A notify_flags=4", "R a@y.test"],
  },
  {
    what: "an address that is no alias keeps SUCCESS",
    notify: 2,
    recipient: "else@x.test",
    traced: [],
    records: ["A dsn_orig_rcpt=rfc822;else@x.test", "A notify_flags=2", "R else@x.test"],
  },
  {
    what: "an alias that stands for itself keeps SUCCESS",
    notify: 2,
    recipient: "self@x.test",
    traced: [],
    records: ["A dsn_orig_rcpt=rfc822;self@x.test", "A notify_flags=2", "R self@x.test"],
  },
];

for (const { what, notify, recipient, traced, records } of EXPANSIONS) {
  Deno.test(`RFC 3461 section 5.2.7.1: ${what}`, async () => {
    using host = new CleanupHost({ aliases: ALIASES });
    const result = await submit(host, { recipients: [], envelope: envelope(notify, recipient) });
    assert.equal(result.status, CLEANUP_STATUS.OK);
    assert.deepEqual(recipientRecords(host), records);
    const told = host.traced.map(({ fields }) => fields as Record<string, unknown>);
    assert.deepEqual(told.map((one) => one["recipient"]), traced);
    for (const one of told) {
      assert.deepEqual(
        [one["queueId"], one["action"], one["status"], one["reason"], one["notify"]],
        [host.files()[0]![0].split("/").at(-1), "expanded", "2.0.0", "alias expanded", notify],
      );
    }
  });
}

Deno.test("RFC 3461 section 5.2.1: a recipient without ORCPT gets the address before aliases, one with ORCPT keeps it", async () => {
  using host = new CleanupHost({ aliases: ALIASES });
  const given = envelope(4, "one@x.test", "x400;/S=a b");
  assert.equal((await submit(host, { recipients: ['"odd +n"@x.test'], envelope: given })).status, 0);
  assert.deepEqual(
    recipientRecords(host).filter((line) => line.includes("dsn_orig_rcpt")).sort(),
    [
      'A dsn_orig_rcpt=rfc822;"\\"odd +n\\""@x.test',
      "A dsn_orig_rcpt=x400;/S=a b",
    ].sort(),
  );
});

Deno.test("when an expanded alias cannot be recorded the client must try again, and what was recorded goes", async () => {
  using host = new CleanupHost({ aliases: ALIASES, traceFails: true });
  const { status } = await submit(host, { recipients: [], envelope: envelope(2, "one@x.test") });
  assert.equal(status, CLEANUP_STATUS.WRITE);
  assert.deepEqual(host.files(), []);
  assert.deepEqual(host.traced.map(({ type }) => type), ["append", "drop"]);
});

Deno.test("VERP delimiters go into the queue file, others than the site allows are a protocol error", async () => {
  using host = new CleanupHost();
  assert.equal((await submit(host, { envelope: [[RECORD.VERP, "+="]] })).status, 0);
  assert.equal(recipientRecords(host)[0], "V +=");
  for (const bad of ["", "+", "ab", "+=+"]) {
    using other = new CleanupHost();
    assert.equal((await submit(other, { envelope: [[RECORD.VERP, bad]] })).status, CLEANUP_STATUS.BAD, bad);
  }
});
