/** Text on its way into DATA. @module */
import assert from "node:assert/strict";
import { appendRecord, RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { DotStuffer } from "../../../lib/smtp/dot_stuffing.ts";
import { ByteBuilder } from "../../../lib/vstring/byte_builder.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

/** Pieces with "|" where a line goes on; the result as latin1 text. */
function stuff(lines: readonly string[], limit = 0): string {
  const out = new ByteBuilder(1 << 20);
  const stuffer = new DotStuffer(out, limit);
  for (const line of lines) {
    const pieces = line.split("|");
    pieces.forEach((piece, i) => {
      const bytes = encoder.encode(piece);
      const before = out.length;
      const ends = i === pieces.length - 1 && !line.endsWith("|");
      if (bytes.length > 0 || ends) stuffer.piece(bytes, ends);
      assert.ok(out.length - before <= stuffer.room(bytes.length), "room was too small");
    });
  }
  stuffer.finish();
  return decoder.decode(out.view());
}

const CASES: readonly (readonly [name: string, lines: readonly string[], expected: string])[] = [
  ["nothing", [], ".\r\n"],
  ["an empty line", [""], "\r\n.\r\n"],
  ["text", ["a", "b"], "a\r\nb\r\n.\r\n"],
  ["a lone dot", ["."], "..\r\n.\r\n"],
  ["dots inside", ["a.b", ".a", "..", "a."], "a.b\r\n..a\r\n...\r\na.\r\n.\r\n"],
  ["a dot that begins a piece but not a line", ["a|.b", "|.c"], "a.b\r\n..c\r\n.\r\n"],
  ["a line that never ends", ["a|"], "a\r\n.\r\n"],
];

for (const [name, lines, expected] of CASES) {
  Deno.test(`RFC 5321 section 4.5.2: ${name}`, () => assert.equal(stuff(lines), expected));
}

Deno.test("RFC 5321 section 2.3.8: stray CR and LF become spaces", () => {
  assert.equal(
    stuff(["a\rb\nc\r\nd", "\r", "\n.", "\r.\r"]),
    "a b c  d\r\n \r\n .\r\n . \r\n.\r\n",
  );
});

Deno.test("no input whatever makes an end of data before the end", () => {
  let seed = 99;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
  for (let round = 0; round < 3000; round++) {
    const out = new ByteBuilder(1 << 16);
    const stuffer = new DotStuffer(out, [0, 16, 20][round % 3]!);
    for (let i = 0; i < 12; i++) {
      const piece = Uint8Array.from(
        { length: next() % 8 },
        () => [0x2e, 13, 10, 0x61, 0x20, 0xc3][next() % 6]!,
      );
      stuffer.piece(piece, next() % 2 === 0);
    }
    stuffer.finish();
    const text = decoder.decode(out.view());
    assert.ok(text.endsWith(".\r\n"));
    assert.equal(`\r\n${text}`.indexOf("\r\n.\r\n"), text.length - 3);
    for (const line of text.split("\r\n")) assert.ok(!line.includes("\r") && !line.includes("\n"));
  }
});

Deno.test("lines fold at the limit, not before it, and never inside a UTF-8 character", () => {
  assert.equal(stuff(["x".repeat(16)], 16), `${"x".repeat(16)}\r\n.\r\n`);
  assert.equal(stuff(["x".repeat(17)], 16), `${"x".repeat(16)}\r\n x\r\n.\r\n`);
  assert.equal(
    stuff([`${"x".repeat(10)}|${"y".repeat(10)}`], 16),
    `${"x".repeat(10)}${"y".repeat(6)}\r\n ${"y".repeat(4)}\r\n.\r\n`,
  );
  const folded = stuff([`${"x".repeat(15)}é`], 16);
  assert.equal(folded, `${"x".repeat(15)}\r\n \xc3\xa9\r\n.\r\n`);
  // A limit that leaves no room for progress is raised.
  assert.equal(stuff(["x".repeat(40)], 1).split("\r\n")[0]!.length, 16);
});

Deno.test("a dot that folding brings to the front of a line has a space before it", () => {
  assert.equal(stuff([`${"x".repeat(16)}.`], 16), `${"x".repeat(16)}\r\n .\r\n.\r\n`);
});

/** What stands in records of text, a record at a time or as many at once as are taken. */
function stuffRecords(records: Uint8Array, limit: number, atOnce: boolean): string {
  const out = new ByteBuilder(1 << 20);
  const stuffer = new DotStuffer(out, limit);
  for (let from = 0; from < records.length;) {
    if (atOnce) from = stuffer.records(records, from, records.length);
    const next = new RecordCursor(records, from);
    if (!next.next()) break;
    stuffer.slice(records, next.start, next.end, next.type === RECORD.NORMAL);
    from = next.position;
  }
  stuffer.finish();
  return decoder.decode(out.view());
}

Deno.test("records taken at once become what they become one by one", () => {
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
  const bytes = [0x2e, 13, 10, 0x4e, 0x4c, 0x61, 0x62, 0x63];
  // Lengths that look like CR and LF, those around one digit, and those beyond a limit.
  const lengths = [0, 1, 2, 9, 10, 11, 12, 13, 14, 60, 78, 126, 127, 128, 129, 300];
  let taken = 0;
  for (let round = 0; round < 2000; round++) {
    const out = new ByteBuilder(1 << 20);
    // In every other round text has no dots and stray bytes: then many are taken at once.
    const kinds = round % 2 === 0 ? bytes : bytes.slice(3);
    for (let i = next() % 40; i > 0; i--) {
      const length = lengths[next() % lengths.length]!;
      const data = Uint8Array.from({ length }, () => kinds[next() % kinds.length]!);
      appendRecord(out, next() % 8 === 0 ? RECORD.CONTINUED : RECORD.NORMAL, data);
    }
    const records = out.copy();
    const limit = [0, 40, 998][round % 3]!;
    const expected = stuffRecords(records, limit, false);
    assert.equal(stuffRecords(records, limit, true), expected);
    taken += new DotStuffer(new ByteBuilder(1 << 20), limit).records(records, 0, records.length);
  }
  assert.ok(taken > 2000, "some are taken at once");
});

Deno.test("a record that is cut off, and those that the buffer has no room for, are not taken", () => {
  const out = new ByteBuilder(1 << 10);
  for (let i = 0; i < 3; i++) appendRecord(out, RECORD.NORMAL, "abcdef");
  const records = out.copy();
  assert.equal(new DotStuffer(new ByteBuilder(100)).records(records, 0, records.length), 24);
  assert.equal(new DotStuffer(new ByteBuilder(100)).records(records, 0, 23), 16);
  assert.equal(new DotStuffer(new ByteBuilder(100)).records(records, 0, 9), 8);
  assert.equal(new DotStuffer(new ByteBuilder(15)).records(records, 0, records.length), 8);
});
