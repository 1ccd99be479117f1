import assert from "node:assert/strict";
import {
  appendBounceRecord,
  BOUNCE_LINE_LIMIT,
  BounceLogReader,
  type BounceRecord,
} from "../../../lib/mail/bounce_log.ts";
import { ByteBuilder, decodeText } from "../../../lib/vstring/byte_builder.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

const PLAIN: BounceRecord = {
  recipient: "temp@smtp.test",
  originalRecipient: "",
  dsnOriginalRecipient: "rfc822;temp@smtp.test",
  offset: 726,
  notify: 0,
  status: "4.2.1",
  action: "delayed",
  diagnosticType: "smtp",
  diagnosticText: "450 4.2.1 busy",
  remoteMtaType: "dns",
  remoteMta: "127.0.0.24",
  reason: "host 127.0.0.24[127.0.0.24] said: 450 4.2.1 busy (in reply to RCPT TO command)",
};

/** What Debian's Postfix wrote into defer/ for the same outcome. */
const PLAIN_TEXT = `
<temp@smtp.test>: host 127.0.0.24[127.0.0.24] said: 450 4.2.1 busy (in reply to RCPT TO command)
recipient=temp@smtp.test
offset=726
dsn_orig_rcpt=rfc822;temp@smtp.test
status=4.2.1
action=delayed
diag_type=smtp
diag_text=450 4.2.1 busy
mta_type=dns
mta_mname=127.0.0.24
reason=host 127.0.0.24[127.0.0.24] said: 450 4.2.1 busy (in reply to RCPT TO command)

`;

const DEFAULTS = { status: "5.0.0", action: "failed" };

function write(records: readonly BounceRecord[], compatible = true): Uint8Array {
  const out = new ByteBuilder(1 << 22);
  for (const record of records) appendBounceRecord(out, record, compatible);
  return out.copy();
}

function read(log: Uint8Array): { records: BounceRecord[]; damaged: boolean } {
  const reader = new BounceLogReader((buffer, offset) => {
    // One piece is never all: the reader may not count on it.
    const piece = log.subarray(offset, offset + Math.min(buffer.length, 1000));
    buffer.set(piece);
    return piece.length;
  }, DEFAULTS);
  const records: BounceRecord[] = [];
  for (let record = reader.next(); record !== undefined; record = reader.next()) records.push(record);
  return { records, damaged: reader.damaged };
}

Deno.test("a record is written byte for byte as Postfix writes it", () => {
  assert.equal(decodeText(write([PLAIN])), PLAIN_TEXT);
});

Deno.test("a log of Postfix is read whole", () => {
  assert.deepEqual(read(utf8(PLAIN_TEXT + PLAIN_TEXT)), { records: [PLAIN, PLAIN], damaged: false });
});

const ROUND_TRIPS: Readonly<Record<string, BounceRecord>> = {
  "quoted addresses": { ...PLAIN, recipient: 'te mp">: x@smtp.test', originalRecipient: "an other@a.test" },
  "the null recipient": { ...PLAIN, recipient: "" },
  "bytes that are no UTF-8": { ...PLAIN, recipient: "caf\udce9@smtp.test" },
  "UTF-8": { ...PLAIN, recipient: "é@smtp.test", reason: "ünbekannt" },
  "no offset, no diagnostic, no remote MTA": {
    ...PLAIN,
    offset: 0,
    dsnOriginalRecipient: "",
    diagnosticType: "",
    diagnosticText: "",
    remoteMtaType: "",
    remoteMta: "",
  },
  "NOTIFY": { ...PLAIN, notify: 12 },
};

for (const [name, record] of Object.entries(ROUND_TRIPS)) {
  Deno.test(`${name}: written and read again is the same`, () => {
    for (const compatible of [true, false]) {
      assert.deepEqual(read(write([record, PLAIN], compatible)), {
        records: [record, PLAIN],
        damaged: false,
      });
    }
  });
}

Deno.test("the original recipient is left out where it is the recipient", () => {
  assert.ok(
    !decodeText(write([{ ...PLAIN, originalRecipient: PLAIN.recipient }])).includes("original_recipient"),
  );
});

Deno.test("line ends in a value cannot forge a record", () => {
  const hostile = {
    ...PLAIN,
    recipient: "a\n\nrecipient=b@x\r\n\0@smtp.test",
    originalRecipient: "o\nstatus=2.0.0",
    dsnOriginalRecipient: "rfc822;x\n\nrecipient=c",
    status: "4.2.1\nx",
    reason: "x\n\nrecipient=d\nreason=y",
    diagnosticText: "1\n2",
    remoteMta: "m\nn",
  };
  const { records, damaged } = read(write([hostile, PLAIN]));
  assert.equal(damaged, false);
  assert.equal(records.length, 2);
  assert.equal(records[0]!.recipient, "a??recipient=b@x???@smtp.test");
  assert.deepEqual(records[1], PLAIN);
});

Deno.test("the oldest form, one line per recipient, gives recipient, reason and the log's defaults", () => {
  const { records } = read(utf8('\n<"a b"@x.test>: no such user: gone\n'));
  assert.equal(records[0]!.recipient, "a b@x.test");
  assert.equal(records[0]!.reason, "no such user: gone");
  assert.equal(records[0]!.status, "5.0.0");
  assert.equal(records[0]!.action, "failed");
});

Deno.test("an unknown name is passed over", () => {
  const { records, damaged } = read(utf8(PLAIN_TEXT.replace("status=", "future_name=1\nstatus=")));
  assert.deepEqual({ records, damaged }, { records: [PLAIN], damaged: false });
});

Deno.test("a log cut at any byte still names every recipient whose name is there, and is called damaged", () => {
  for (const compatible of [true, false]) {
    const log = write([PLAIN, { ...PLAIN, recipient: "b@smtp.test" }], compatible);
    const first = write([PLAIN], compatible).length;
    for (let end = 0; end <= log.length; end++) {
      const { records, damaged } = read(log.subarray(0, end));
      if (end >= first) assert.deepEqual(records[0], PLAIN, `cut at ${end}`);
      // A cut between records, or before the second one's first line, leaves nothing to be seen.
      const between = end <= 1 || (end >= first && end <= first + 1) || end >= log.length - 1;
      const torn = end === log.length - 1;
      assert.equal(damaged, torn || !between, `cut at ${end}`);
    }
  }
});

Deno.test("a record behind a torn one is whole, and the torn one is not lost", () => {
  for (const compatible of [true, false]) {
    const torn = write([PLAIN], compatible);
    const next = { ...PLAIN, recipient: "next@smtp.test" };
    const named = decodeText(torn).indexOf("offset=");
    for (let end = named; end < torn.length - 1; end++) {
      const log = new Uint8Array([...torn.subarray(0, end), ...write([next], compatible)]);
      const { records } = read(log);
      assert.deepEqual(
        records.map(({ recipient }) => recipient),
        [PLAIN.recipient, next.recipient],
        `cut at ${end}`,
      );
      assert.deepEqual(records[1], next, `cut at ${end}`);
    }
  }
});

Deno.test("a record without a recipient makes the log damaged and gives no recipient", () => {
  const { records, damaged } = read(utf8("\nstatus=5.1.1\nreason=x\n\n"));
  assert.deepEqual({ records, damaged }, { records: [], damaged: true });
});

Deno.test("a hole of NUL bytes makes the log damaged and hides no other record", () => {
  const log = new Uint8Array([...write([PLAIN]), ...new Uint8Array(500), ...write([PLAIN])]);
  const { records, damaged } = read(log);
  assert.equal(damaged, true);
  assert.equal(records.length, 2);
});

Deno.test("a line of the limit is read whole; one more byte is cut and the log called damaged", () => {
  for (const [length, damaged] of [[BOUNCE_LINE_LIMIT, false], [BOUNCE_LINE_LIMIT + 1, true]] as const) {
    const reason = "x".repeat(length - "reason=".length);
    const result = read(utf8(`\nrecipient=a@b\nreason=${reason}\n\n`));
    assert.equal(result.damaged, damaged);
    assert.equal(result.records[0]!.reason.length, BOUNCE_LINE_LIMIT - "reason=".length);
  }
});

Deno.test("damaged logs from a seed never make the reader throw or run on", () => {
  const random = new Random(1);
  const log = write([PLAIN, { ...PLAIN, recipient: "é x@y" }, PLAIN]);
  for (let i = 0; i < 2000; i++) {
    const { records } = read(i % 4 === 0 ? random.bytes(300) : random.damage(log));
    assert.ok(records.length <= 40);
  }
});
