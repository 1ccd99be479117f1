import assert from "node:assert/strict";
import {
  appendRecord,
  appendRecordSlice,
  BadRecordError,
  type ReadAt,
  RECORD,
  RECORD_LIMIT,
  RecordCursor,
  RecordReader,
  recordSize,
} from "../../../lib/mail/record.ts";
import { ByteBuilder, decodeText } from "../../../lib/vstring/byte_builder.ts";
import { concat } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

type Read = readonly [type: number, data: number[]];

function record(type: number, data: Uint8Array | string): Uint8Array {
  const out = new ByteBuilder(1 << 20);
  appendRecord(out, type, data);
  return out.copy();
}

/** Reads a file in memory, at most `most` bytes at once as a slow disk may. */
function readerOf(file: Uint8Array, most = Infinity): ReadAt {
  return (buffer, offset) => {
    const piece = file.subarray(offset, offset + Math.min(buffer.length, most));
    buffer.set(piece);
    return piece.length;
  };
}

function readAll(file: Uint8Array, window: number, most = Infinity): Read[] {
  const reader = new RecordReader(readerOf(file, most), 0, window);
  const out: Read[] = [];
  while (reader.next()) out.push([reader.type, [...reader.data]]);
  return out;
}

function cursorAll(file: Uint8Array): Read[] {
  const cursor = new RecordCursor(file);
  const out: Read[] = [];
  while (cursor.next()) out.push([cursor.type, [...cursor.data]]);
  return out;
}

const LENGTHS: readonly [number, readonly number[]][] = [
  [0, [0]],
  [1, [1]],
  [127, [0x7f]],
  [128, [0x80, 0x01]],
  [300, [0xac, 0x02]],
  [16383, [0xff, 0x7f]],
  [16384, [0x80, 0x80, 0x01]],
  [65536, [0x80, 0x80, 0x04]],
];

for (const [length, digits] of LENGTHS) {
  Deno.test(`a record of ${length} bytes: type, length in base 128 with the least digit first, data`, () => {
    const data = new Uint8Array(length).map((_, i) => i & 255);
    const bytes = record(RECORD.NORMAL, data);
    assert.deepEqual([...bytes.subarray(0, 1 + digits.length)], [0x4e, ...digits]);
    assert.equal(bytes.length, recordSize(length));
    assert.deepEqual(cursorAll(bytes), [[0x4e, [...data]]]);
    for (const window of [8, 100, 8192, 65536]) assert.deepEqual(readAll(bytes, window), [[0x4e, [...data]]]);
    const out = new ByteBuilder(1 << 20);
    appendRecordSlice(out, RECORD.NORMAL, concat(new Uint8Array(3), data), 3, 3 + length);
    assert.deepEqual(out.copy(), bytes);
  });
}

const BAD: readonly [string, readonly number[]][] = [
  ["a byte over the limit", [0x4e, 0x81, 0x80, 0x04, ...new Array(RECORD_LIMIT + 1).fill(0)]],
  ["a length of four digits", [0x4e, 0x80, 0x80, 0x80, 0x01, ...new Array(10).fill(0)]],
  ["a length that goes on and on", [0x4e, ...new Array(100).fill(0xff)]],
  ["the largest length of three digits", [0x4e, 0xff, 0xff, 0x7f]],
  ["no length", [0x4e]],
  ["half a length", [0x4e, 0x80]],
  ["no data", [0x4e, 5]],
];

for (const [name, bytes] of BAD) {
  Deno.test(`refused: ${name}`, () => {
    const file = Uint8Array.from(bytes);
    assert.throws(() => cursorAll(file), BadRecordError);
    for (const window of [1, 8, 8192]) assert.throws(() => readAll(file, window), BadRecordError);
  });
}

const SAMPLE = concat(
  record(RECORD.FROM, "sender@example.com"),
  record(RECORD.ATTRIBUTE, ""),
  record(RECORD.NORMAL, new Uint8Array(200).fill(0x41)),
  record(RECORD.END, ""),
);

Deno.test("a file cut at any byte gives whole records and then an error, or ends between two", () => {
  const whole = readAll(SAMPLE, 8192);
  const ends: number[] = [];
  const reader = new RecordReader(readerOf(SAMPLE));
  while (reader.next()) ends.push(reader.position);
  for (let cut = 0; cut <= SAMPLE.length; cut++) {
    const part = SAMPLE.subarray(0, cut);
    if (cut === 0 || ends.includes(cut)) {
      assert.deepEqual(readAll(part, 16), whole.slice(0, ends.indexOf(cut) + 1));
      assert.deepEqual(cursorAll(part), whole.slice(0, ends.indexOf(cut) + 1));
    } else {
      assert.throws(() => readAll(part, 16), BadRecordError, `cut at ${cut}`);
      assert.throws(() => cursorAll(part), BadRecordError, `cut at ${cut}`);
    }
  }
});

Deno.test("the window, and how much a read gives, change nothing", () => {
  const expected = cursorAll(SAMPLE);
  for (const window of [1, 2, 3, 7, 64, 8192]) {
    for (const most of [1, 2, 5, 100]) {
      assert.deepEqual(readAll(SAMPLE, window, most), expected, `${window} ${most}`);
    }
  }
});

Deno.test("a cursor stays within its part of the buffer", () => {
  const from = record(RECORD.FROM, "sender@example.com").length;
  const cursor = new RecordCursor(SAMPLE, from, from + 2);
  assert.equal(cursor.next(), true);
  assert.equal(cursor.type, RECORD.ATTRIBUTE);
  assert.equal(cursor.position, from + 2);
  assert.equal(cursor.next(), false);
  assert.throws(() => new RecordCursor(SAMPLE, 0, from - 1).next(), BadRecordError);
});

Deno.test("seek goes anywhere in the file, inside the window and out of it", () => {
  const file = concat(
    ...Array.from({ length: 500 }, (_, i) => record(RECORD.RECIPIENT, `user${i}@example.com`)),
  );
  const reader = new RecordReader(readerOf(file), 0, 64);
  const offsets: number[] = [];
  while (reader.next()) offsets.push(reader.offset);
  const random = new Random(11);
  for (let round = 0; round < 500; round++) {
    const index = random.below(offsets.length);
    reader.seek(offsets[index]!);
    assert.equal(reader.next(), true);
    assert.equal(decodeText(reader.data), `user${index}@example.com`);
    assert.equal(reader.offset, offsets[index]);
  }
  reader.seek(file.length + 1000);
  assert.equal(reader.next(), false);
});

Deno.test("random and damaged bytes give records or a BadRecordError, the same from both readers", () => {
  const random = new Random(12);
  const outcome = (read: () => Read[]): string => {
    try {
      return JSON.stringify(read());
    } catch (error) {
      if (!(error instanceof BadRecordError)) throw error;
      return "bad";
    }
  };
  for (let round = 0; round < 3000; round++) {
    const file = round % 2 === 0 ? random.bytes(random.below(100)) : random.damage(SAMPLE);
    assert.equal(
      outcome(() => readAll(file, 1 + random.below(50), 1 + random.below(50))),
      outcome(() => cursorAll(file)),
    );
  }
});

Deno.test("a record type of text is what Postfix calls it", () => {
  // One letter for each, as postfix-map section 2.4 lists them.
  const letters = Object.entries(RECORD).map(([name, type]) => `${String.fromCharCode(type)} ${name}`);
  for (
    const one of [
      "C SIZE",
      "T TIME",
      "S FROM",
      "R RECIPIENT",
      "D DONE",
      "M MESSAGE",
      "N NORMAL",
      "L CONTINUED",
      "p POINTER",
      "X EXTRACTED",
      "E END",
      "w PADDING",
      "A ATTRIBUTE",
      "O ORIGINAL",
      "W WARN",
      "V VERP",
      "/ CANCELLED",
      "> REDIRECT",
      "K KILLED",
    ]
  ) {
    assert.ok(letters.includes(one), one);
  }
});
