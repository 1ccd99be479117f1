import assert from "node:assert/strict";
import {
  ContentReader,
  type Envelope,
  EnvelopeReader,
  type EnvelopeRecipient,
  formatSizeRecord,
  formatTime,
  parseSizeRecord,
} from "../../../lib/mail/queue_file.ts";
import { BadRecordError, RECORD } from "../../../lib/mail/record.ts";
import { decodeText } from "../../../lib/vstring/byte_builder.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";
import { ARRIVAL, content, FileWriter, readerOf, SAMPLE, sampleFile } from "./queue_file_support.ts";

interface Whole {
  readonly envelope: Envelope;
  readonly recipients: EnvelopeRecipient[];
}

/** Reads a file's envelope to its end, so many recipients at once. */
function readEnvelope(file: Uint8Array, batch = 1000): Whole {
  const reader = new EnvelopeReader(readerOf(file));
  const recipients: EnvelopeRecipient[] = [];
  while (!reader.finished) recipients.push(...reader.recipients(batch));
  return { envelope: reader.envelope(), recipients };
}

function readContent(file: Uint8Array, dataOffset: number): string[] {
  const reader = new ContentReader(readerOf(file), dataOffset, 64);
  const lines: string[] = [];
  let line = "";
  while (reader.next()) {
    line += decodeText(reader.data);
    if (!reader.endsLine) continue;
    lines.push(line);
    line = "";
  }
  return lines;
}

Deno.test("an envelope comes back as it was written, in batches of any size", () => {
  const file = sampleFile().bytes();
  for (const batch of [1, 2, 3, 100]) {
    const { envelope, recipients } = readEnvelope(file, batch);
    assert.equal(envelope.sender, "sender@example.com");
    assert.equal(envelope.arrivalTime, ARRIVAL);
    assert.equal(envelope.createTime, 1_700_000_000);
    assert.deepEqual([...envelope.attributes], [
      ["rewrite_context", "local"],
      ["log_client_name", "client.example"],
      ["log_client_address", "192.0.2.1"],
    ]);
    assert.deepEqual(recipients.map(({ address }) => address), SAMPLE.recipients);
    for (const recipient of recipients) {
      assert.equal(recipient.originalRecipient, `orig-${recipient.address}`);
      assert.equal(recipient.dsnOriginalRecipient, `rfc822;${recipient.address}`);
      assert.equal(recipient.notify, 12);
      assert.equal(file[recipient.offset], RECORD.RECIPIENT, "its offset is where D will be written");
    }
    assert.equal(envelope.size.recipientCount, 3);
    assert.deepEqual(readContent(file, envelope.size.dataOffset), SAMPLE.lines);
  }
});

Deno.test("a file cut at any byte is a BadRecordError, whatever had been read: never a success", () => {
  const file = sampleFile().bytes();
  const { dataOffset } = readEnvelope(file).envelope.size;
  const endOfContent = dataOffset + readEnvelope(file).envelope.size.contentSize;
  for (let cut = 0; cut < file.length; cut++) {
    assert.throws(() => readEnvelope(file.slice(0, cut)), BadRecordError, `envelope cut at ${cut}`);
    if (cut < endOfContent + 2) {
      assert.throws(
        () => readContent(file.slice(0, cut), dataOffset),
        BadRecordError,
        `content cut at ${cut}`,
      );
    }
  }
});

Deno.test("recipients that are done or cancelled are passed over, and what belonged to them with them", () => {
  const file = sampleFile().bytes();
  const first = readEnvelope(file).recipients[0]!;
  for (const type of [RECORD.DONE, RECORD.CANCELLED]) {
    const done = file.slice();
    done[first.offset] = type;
    const { recipients } = readEnvelope(done);
    assert.deepEqual(recipients.map(({ address }) => address), SAMPLE.recipients.slice(1));
    assert.equal(recipients[0]!.originalRecipient, `orig-${SAMPLE.recipients[1]}`);
  }
  const plain = new FileWriter().size().put(RECORD.TIME, "1 0").put(RECORD.FROM)
    .put(RECORD.ORIGINAL, "o").attribute("notify_flags", "3").put(RECORD.DONE, "done@x").put(
      RECORD.RECIPIENT,
      "r@x",
    );
  const [left] =
    readEnvelope(content(plain, SAMPLE).put(RECORD.EXTRACTED).put(RECORD.END).bytes()).recipients;
  assert.deepEqual([left!.address, left!.originalRecipient, left!.notify], ["r@x", "", 0]);
});

Deno.test("every envelope record has its place", () => {
  const file = new FileWriter().size().put(RECORD.TIME, "1700000000").put(RECORD.FULL, "Full Name")
    .put(RECORD.FILTER, "smtp:[127.0.0.1]:10025").put(RECORD.DSN_ENVELOPE_ID, "id").put(RECORD.DSN_RET, "1")
    .put(RECORD.FROM, "s@x").put(RECORD.VERP, "+=").put(RECORD.KILLED, "gone").put(RECORD.PADDING, "   ")
    .put(RECORD.REDIRECT, "other@x").put(RECORD.DSN_ORIGINAL_RECIPIENT, "rfc822;r@x").put(
      RECORD.DSN_NOTIFY,
      "1",
    )
    .put(RECORD.RECIPIENT, "r@x").put(RECORD.WARN, "1700003600".padStart(15));
  const warnEnd = file.position;
  const { envelope, recipients } = readEnvelope(
    content(file, SAMPLE).put(RECORD.EXTRACTED).attribute("envelope_id", "later").attribute("ret_flags", "2")
      .put(RECORD.RECIPIENT, "extracted@x").put(RECORD.END).bytes(),
  );
  assert.equal(envelope.arrivalTime, 1_700_000_000_000);
  assert.equal(envelope.createTime, 1_700_000_000, "the arrival stands in for it");
  const { fullName, filter, verp, redirect, envelopeId, ret, warnTime, warnOffset } = envelope;
  assert.deepEqual([fullName, filter, verp, redirect], [
    "Full Name",
    "smtp:[127.0.0.1]:10025",
    "+=",
    "other@x",
  ]);
  assert.deepEqual([envelopeId, ret], ["later", 2]);
  assert.deepEqual([warnTime, warnOffset], [1_700_003_600, warnEnd - 15]);
  assert.deepEqual(
    recipients.map(({ address, notify, dsnOriginalRecipient }) => [address, notify, dsnOriginalRecipient]),
    [
      ["r@x", 1, "rfc822;r@x"],
      ["extracted@x", 0, ""],
    ],
  );
});

Deno.test("a warning that was sent is -1", () => {
  const file = new FileWriter().size().put(RECORD.TIME, "1").put(RECORD.WARN, "-1".padStart(15)).put(
    RECORD.FROM,
  );
  assert.equal(readEnvelope(content(file, SAMPLE).put(RECORD.END).bytes()).envelope.warnTime, -1);
});

Deno.test("addresses of any bytes come back", () => {
  const random = new Random(13);
  for (let round = 0; round < 200; round++) {
    const raw = random.bytes(random.below(40));
    const file = new FileWriter().size().put(RECORD.TIME, "1 0").put(RECORD.FROM, raw).put(
      RECORD.RECIPIENT,
      raw,
    );
    const { envelope, recipients } = readEnvelope(content(file, SAMPLE).put(RECORD.END).bytes());
    assert.equal(envelope.sender, decodeText(raw));
    assert.equal(recipients[0]!.address, decodeText(raw));
  }
});

const HEAD = () => new FileWriter().size().put(RECORD.TIME, "1 0").put(RECORD.FROM, "s@x");

const DAMAGED: readonly [string, () => Uint8Array][] = [
  ["no record at all", () => new Uint8Array(0)],
  ["no size record", () => new FileWriter().put(RECORD.TIME, "1 0").put(RECORD.FROM).put(RECORD.END).bytes()],
  ["content before the size record", () => new FileWriter().put(RECORD.MESSAGE).put(RECORD.END).bytes()],
  ["two size records", () => HEAD().size().put(RECORD.END).bytes()],
  ["a size record of words", () => new FileWriter().put(RECORD.SIZE, "a b c").put(RECORD.END).bytes()],
  ["a size record of two numbers", () => new FileWriter().put(RECORD.SIZE, "1 2").put(RECORD.END).bytes()],
  ["a negative size", () => new FileWriter().put(RECORD.SIZE, "-1 2 3").put(RECORD.END).bytes()],
  ["no arrival time", () => new FileWriter().size().put(RECORD.FROM).put(RECORD.END).bytes()],
  [
    "an arrival time that is none",
    () => new FileWriter().size().put(RECORD.TIME, "now").put(RECORD.END).bytes(),
  ],
  ["no sender", () => new FileWriter().size().put(RECORD.TIME, "1 0").put(RECORD.END).bytes()],
  ["two senders", () => HEAD().put(RECORD.FROM, "t@x").put(RECORD.END).bytes()],
  ["an attribute without a value", () => HEAD().put(RECORD.ATTRIBUTE, "name").put(RECORD.END).bytes()],
  ["an attribute without a name", () => HEAD().put(RECORD.ATTRIBUTE, "=value").put(RECORD.END).bytes()],
  ["a pointer to nowhere", () => HEAD().pointer(1_000_000).put(RECORD.END).bytes()],
  ["a pointer that is no number", () => HEAD().put(RECORD.POINTER, "x").put(RECORD.END).bytes()],
  ["a pointer into the middle of a record", () => HEAD().pointer(3).put(RECORD.END).bytes()],
  ["content elsewhere than the size record says", () => {
    return HEAD().put(RECORD.MESSAGE).put(RECORD.NORMAL, "x").put(RECORD.EXTRACTED).put(RECORD.END)
      .patchSize({ dataOffset: 5, contentSize: 3 }).bytes();
  }],
  ["content longer than the file", () => {
    const file = HEAD().put(RECORD.MESSAGE);
    return file.patchSize({ dataOffset: file.position, contentSize: 10_000 }).put(RECORD.EXTRACTED).put(
      RECORD.END,
    ).bytes();
  }],
  ["a pointer to itself", () => {
    const file = HEAD();
    return file.pointer(file.position).put(RECORD.END).bytes();
  }],
  ["two pointers to one another", () => {
    const file = HEAD();
    const first = file.position;
    file.pointer(first + 17).pointer(first);
    return file.put(RECORD.END).bytes();
  }],
];

for (const [name, make] of DAMAGED) {
  Deno.test(`a damaged envelope is a BadRecordError: ${name}`, () => {
    assert.throws(() => readEnvelope(make()), BadRecordError);
  });
}

Deno.test("attributes have a limit at n and n+1; those that stand for a record do not count", () => {
  const file = (count: number) => {
    const made = HEAD();
    for (let i = 0; i < count; i++) made.attribute(`a${i}`, "x").attribute("notify_flags", "1");
    return content(made, SAMPLE).put(RECORD.END).bytes();
  };
  assert.equal(readEnvelope(file(100)).envelope.attributes.size, 100);
  assert.throws(() => readEnvelope(file(101)), BadRecordError);
});

Deno.test("an envelope that was edited in place reads in its new order", () => {
  const file = HEAD();
  const pointer = file.position;
  file.pointer(0).put(RECORD.RECIPIENT, "first@x");
  content(file, SAMPLE).put(RECORD.EXTRACTED).put(RECORD.END);
  const added = file.position;
  file.put(RECORD.RECIPIENT, "added@x").pointer(pointer + 17).patchPointer(pointer, added);
  assert.deepEqual(readEnvelope(file.bytes()).recipients.map(({ address }) => address), [
    "added@x",
    "first@x",
  ]);
  // A pointer of 0 is a place kept free.
  file.patchPointer(pointer, 0);
  assert.deepEqual(readEnvelope(file.bytes()).recipients.map(({ address }) => address), ["first@x"]);
});

Deno.test("content: lines in pieces, padding, edits behind the end record", () => {
  const file = new FileWriter().put(RECORD.NORMAL, "one").put(RECORD.PADDING, "xxxx")
    .put(RECORD.CONTINUED, "a long ").put(RECORD.CONTINUED, "line ").put(RECORD.NORMAL, "ends");
  const pointer = file.position;
  file.pointer(0).put(RECORD.NORMAL, "last").put(RECORD.EXTRACTED).put(RECORD.END);
  assert.deepEqual(readContent(file.bytes(), 0), ["one", "a long line ends", "last"]);
  const added = file.position;
  file.put(RECORD.NORMAL, "added").pointer(pointer + 17).patchPointer(pointer, added);
  assert.deepEqual(readContent(file.bytes(), 0), ["one", "a long line ends", "added", "last"]);
});

const DAMAGED_CONTENT: readonly [string, (file: FileWriter) => FileWriter][] = [
  ["no end", (file) => file.put(RECORD.NORMAL, "x")],
  ["an envelope record", (file) => file.put(RECORD.RECIPIENT, "r@x").put(RECORD.EXTRACTED)],
  ["an unknown record", (file) => file.put(0x00, "").put(RECORD.EXTRACTED)],
  ["a pointer that is no number", (file) => file.put(RECORD.POINTER, "-1").put(RECORD.EXTRACTED)],
  ["a pointer to itself", (file) => file.pointer(0).patchPointer(0, 0).put(RECORD.NORMAL, "x").pointer(17)],
];

for (const [name, make] of DAMAGED_CONTENT) {
  Deno.test(`damaged content is a BadRecordError: ${name}`, () => {
    assert.throws(() => readContent(make(new FileWriter()).bytes(), 0), BadRecordError);
  });
}

Deno.test("random damage gives a message or a BadRecordError, and ends", () => {
  const random = new Random(14);
  const whole = sampleFile().bytes();
  let good = 0;
  for (let round = 0; round < 4000; round++) {
    const file = round % 4 === 0 ? random.bytes(random.below(200)) : random.damage(whole);
    try {
      const { envelope } = readEnvelope(file);
      readContent(file, envelope.size.dataOffset);
      good++;
    } catch (error) {
      if (!(error instanceof BadRecordError)) throw error;
    }
  }
  assert.ok(good > 0);
});

Deno.test("100,000 recipients are read in batches, each with bounded reads", () => {
  const recipients = Array.from({ length: 100_000 }, (_, i) => `user${i}@example.com`);
  const file = sampleFile({ recipients, lines: SAMPLE.lines }).bytes();
  const reads: number[] = [];
  const source = readerOf(file);
  const reader = new EnvelopeReader((buffer, offset) => {
    reads.push(buffer.length);
    return source(buffer, offset);
  });
  let count = 0;
  while (!reader.finished) {
    const batch = reader.recipients(1000);
    assert.ok(batch.length <= 1000);
    count += batch.length;
  }
  assert.equal(count, 100_000);
  assert.ok(Math.max(...reads) <= 65536);
});

Deno.test("the size record has a fixed width, so that it can be written again in place", () => {
  const size = {
    contentSize: 1,
    dataOffset: 22,
    recipientCount: 333,
    qmgrFlags: 1,
    contentLength: 55555,
    sendOptions: 6,
  };
  const text = formatSizeRecord(size);
  assert.equal(text.length, 95);
  assert.equal(
    text,
    "              1              22             333               1           55555               6",
  );
  assert.deepEqual(parseSizeRecord(utf8(text)), size);
  assert.equal(formatSizeRecord({ ...size, contentSize: 999_999_999_999_999 }).length, 95);
});

Deno.test("size records of older releases have fewer numbers", () => {
  assert.deepEqual(parseSizeRecord(utf8("10 20 3")), {
    contentSize: 10,
    dataOffset: 20,
    recipientCount: 3,
    qmgrFlags: 0,
    contentLength: 10,
    sendOptions: 0,
  });
  for (const text of ["", "1 2", "1 2 x", "1 2 -3", "1 2 3.5", "1 2 0x3"]) {
    assert.throws(() => parseSizeRecord(utf8(text)), BadRecordError, text);
  }
});

Deno.test("an arrival time keeps its milliseconds", () => {
  for (const time of [0, 1, 999, 1000, ARRIVAL]) {
    const file = new FileWriter().size().put(RECORD.TIME, formatTime(time)).put(RECORD.FROM);
    assert.equal(readEnvelope(content(file, SAMPLE).put(RECORD.END).bytes()).envelope.arrivalTime, time);
  }
  assert.equal(formatTime(1234.75), "1 234000");
});
