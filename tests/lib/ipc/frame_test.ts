import assert from "node:assert/strict";
import { CodecError } from "../../../lib/ipc/codec.ts";
import {
  decodeCredit,
  encodeCredit,
  FRAME,
  FRAME_LIMIT,
  FrameReader,
  FrameWriter,
  HEAD_LENGTH,
  helloText,
  MessageIndex,
} from "../../../lib/ipc/frame.ts";
import { bytes, integer, protocol, text } from "../../../lib/ipc/protocol.ts";
import type { Channel } from "../../../lib/safe/channel.ts";
import { concat } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

interface Seen {
  kind: number;
  exchange: number;
  payload: number[];
}

function read(most: number, ...chunks: readonly Uint8Array[]): Seen[] {
  const seen: Seen[] = [];
  const reader = new FrameReader(most, (kind, exchange, data, start, end) => {
    seen.push({ kind, exchange, payload: [...data.subarray(start, end)] });
  });
  for (const chunk of chunks) reader.push(chunk);
  return seen;
}

function frame(kind: number, exchange: number, payload: Uint8Array): Uint8Array {
  const head = new DataView(new ArrayBuffer(9));
  head.setUint32(0, HEAD_LENGTH + payload.length);
  head.setUint8(4, kind);
  head.setUint32(5, exchange);
  return concat(new Uint8Array(head.buffer), payload);
}

/** A channel that keeps what is written. */
function keepingChannel(): { channel: Channel; written: Uint8Array[] } {
  const written: Uint8Array[] = [];
  const channel = { write: (data: Uint8Array) => (written.push(data.slice()), true) } as unknown as Channel;
  return { channel, written };
}

const FRAMES = [
  { kind: 16, exchange: 1, payload: [1, 2, 3] },
  { kind: 2, exchange: 0xffffffff, payload: [] },
  { kind: 255, exchange: 0x80000000, payload: [0, 13, 10, 0] },
];
const WIRE = concat(
  ...FRAMES.map(({ kind, exchange, payload }) => frame(kind, exchange, Uint8Array.from(payload))),
);

Deno.test("frames are the same wherever the stream is cut in two, and byte by byte", () => {
  for (let cut = 0; cut <= WIRE.length; cut++) {
    assert.deepEqual(read(100, WIRE.subarray(0, cut), WIRE.subarray(cut)), FRAMES, `cut at ${cut}`);
  }
  assert.deepEqual(read(100, ...Array.from(WIRE, (byte) => Uint8Array.of(byte))), FRAMES);
});

Deno.test("what was handed over as a chunk may be used again by its owner", () => {
  const seen: Seen[] = [];
  const reader = new FrameReader(100, (kind, exchange, data, start, end) => {
    seen.push({ kind, exchange, payload: [...data.subarray(start, end)] });
  });
  const buffer = new Uint8Array(5);
  for (let at = 0; at < WIRE.length; at += 5) {
    const piece = WIRE.subarray(at, at + 5);
    buffer.set(piece);
    reader.push(buffer.subarray(0, piece.length));
    buffer.fill(0xee);
  }
  assert.deepEqual(seen, FRAMES);
});

/** Gives a stream to a reader as a channel does that reads into the reader's memory. */
function readInPlace(reader: FrameReader, wire: Uint8Array, most: () => number): void {
  for (let at = 0; at < wire.length;) {
    const { room } = reader;
    assert.ok(room.length > 0, "there is always room");
    const piece = wire.subarray(at, at + Math.min(room.length, most()));
    room.set(piece);
    reader.push(room.subarray(0, piece.length));
    at += piece.length;
  }
}

Deno.test("frames that are read in place are the same, long and short ones, however the stream is cut", () => {
  const random = new Random(11);
  for (let round = 0; round < 60; round++) {
    const lengths = Array.from(
      { length: 1 + random.below(30) },
      () => random.below(10) === 0 ? random.below(300_000) : random.below(200),
    );
    const wire = concat(
      ...lengths.map((length, i) => frame(16, i, new Uint8Array(length).fill(i))),
    );
    let seen = 0;
    const reader = new FrameReader(300_000, (_, exchange, bytes, start, end) => {
      assert.equal(exchange, seen);
      assert.equal(end - start, lengths[seen]);
      assert.ok(bytes.subarray(start, end).every((byte) => byte === seen));
      seen++;
    });
    readInPlace(reader, wire, () => 1 + random.below(round % 2 === 0 ? 50 : 100_000));
    assert.equal(seen, lengths.length);
  }
});

Deno.test("what a frame's taker keeps is not overwritten, and else memory is used again", () => {
  for (const keeps of [true, false]) {
    const kept: Uint8Array[] = [];
    const memories = new Set<ArrayBufferLike>();
    const reader = new FrameReader(100, (_kind, _exchange, bytes, start, end) => {
      kept.push(bytes.subarray(start, end));
      memories.add(bytes.buffer);
      if (keeps) reader.keep();
    });
    const wire = concat(...Array.from({ length: 50 }, (_, i) => frame(16, i, new Uint8Array(40).fill(i))));
    readInPlace(reader, wire, () => 30);
    assert.equal(kept.length, 50);
    if (keeps) {
      for (const [i, bytes] of kept.entries()) assert.ok(bytes.every((byte) => byte === i), `${i}`);
    } else assert.equal(memories.size, 1);
  }
});

Deno.test("a reader's memory grows with what comes at once and with a long frame, and shrinks behind it", () => {
  const reader = new FrameReader(FRAME_LIMIT, () => {});
  const first = reader.room.length;
  readInPlace(reader, frame(16, 1, new Uint8Array(1 << 20)), () => Infinity);
  const grown = reader.room.length;
  assert.ok(grown > first && grown <= 128 * 1024, `${first} to ${grown}`);
});

Deno.test("the length of a frame has a limit at n and n+1, and a least value", () => {
  const most = 50;
  assert.equal(read(most, frame(16, 1, new Uint8Array(most))).length, 1);
  const lengths = [HEAD_LENGTH + most + 1, HEAD_LENGTH - 1, 0, 0x7fffffff, 0x80000000, 0xffffffff];
  for (const length of lengths) {
    const head = new DataView(new ArrayBuffer(4));
    head.setUint32(0, length);
    // Refused as soon as the length is known: nothing is gathered for it.
    assert.throws(() => read(most, new Uint8Array(head.buffer)), CodecError, String(length));
  }
});

Deno.test("random bytes give frames within the limit or a CodecError", () => {
  const random = new Random(6);
  for (let round = 0; round < 5000; round++) {
    const wire = round % 2 === 0 ? random.bytes(random.below(80)) : random.damage(WIRE);
    try {
      for (const { payload } of read(64, wire)) assert.ok(payload.length <= 64);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
    }
  }
});

Deno.test("the writer gathers the frames of one turn into one write", async () => {
  const { channel, written } = keepingChannel();
  const writer = new FrameWriter(channel);
  writer.control(FRAME.CREDIT, 3, encodeCredit(70_000));
  writer.message(16, 0xfffffff0, { word: text(10) }, { word: "hi" });
  assert.equal(written.length, 0);
  await Promise.resolve();
  assert.equal(written.length, 1);
  const [credit, message] = read(100, ...written);
  assert.deepEqual(credit, { kind: FRAME.CREDIT, exchange: 3, payload: [...encodeCredit(70_000)] });
  assert.deepEqual(message, { kind: 16, exchange: 0xfffffff0, payload: [1, 2, 0x68, 0x69, 0] });
});

Deno.test("the first hint goes out at once, those behind it together, and none later than what somebody waits for", async () => {
  const { channel, written } = keepingChannel();
  const writer = new FrameWriter(channel);
  const hint = (exchange: number) => writer.message(16, exchange, {}, {}, true);
  const sent = () => written.map((piece) => read(100, piece).map(({ exchange }) => exchange));
  hint(1);
  await Promise.resolve();
  assert.deepEqual(sent(), [[1]]);
  hint(2);
  await Promise.resolve();
  hint(3);
  await Promise.resolve();
  assert.deepEqual(sent(), [[1]]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(sent(), [[1], [2, 3]]);
  // Two in a row, as the first may find that the last are long ago.
  hint(4);
  await Promise.resolve();
  hint(5);
  writer.message(16, 6, {}, {});
  await Promise.resolve();
  assert.deepEqual(sent().flat(), [1, 2, 3, 4, 5, 6]);
});

Deno.test("many bytes of hints wait for nothing", async () => {
  const { channel, written } = keepingChannel();
  const writer = new FrameWriter(channel);
  const fields = { data: bytes(1 << 20) };
  for (let i = 0; i < 2; i++) {
    writer.message(16, i, fields, { data: new Uint8Array(20_000) }, true);
    await Promise.resolve();
  }
  writer.message(16, 2, fields, { data: new Uint8Array(20_000) }, true);
  assert.equal(written.length, 2);
});

Deno.test("a message that cannot be sent leaves no part of itself behind", async () => {
  const { channel, written } = keepingChannel();
  const writer = new FrameWriter(channel);
  const fields = { word: text(10), number: integer(5) };
  writer.message(16, 1, fields, { word: "a", number: 5 });
  assert.throws(() => writer.message(16, 2, fields, { word: "b", number: 6 }), RangeError);
  writer.message(16, 3, fields, { word: "c", number: 0 });
  await Promise.resolve();
  assert.deepEqual(read(100, ...written).map(({ exchange }) => exchange), [1, 3]);
});

Deno.test("a writer that is fed faster than it flushes hands over in pieces that stay within its limit", async () => {
  const { channel, written } = keepingChannel();
  const writer = new FrameWriter(channel);
  const payload = new Uint8Array(1 << 20);
  const count = 70;
  for (let i = 0; i < count; i++) writer.message(16, i, { data: bytes(1 << 20) }, { data: payload });
  await Promise.resolve();
  assert.ok(written.length > 1);
  for (const piece of written) assert.ok(piece.length <= FRAME_LIMIT + 2 * payload.length);
  let frames = 0;
  const reader = new FrameReader(FRAME_LIMIT, () => void frames++);
  for (const piece of written) reader.push(piece);
  assert.equal(frames, count);
});

Deno.test("credit is four bytes, no more and no less", () => {
  for (const count of [0, 1, 0x7fffffff, 0xffffffff]) {
    assert.equal(decodeCredit(encodeCredit(count), 0, 4), count);
  }
  for (const end of [0, 3, 5]) assert.throws(() => decodeCredit(new Uint8Array(8), 0, end), CodecError);
});

Deno.test("the greeting names protocol and version, and tells two tables apart", () => {
  const base = { name: "x", version: 1, requests: { ask: { fields: { a: text(5) } } }, replies: {} } as const;
  const greeting = helloText(protocol(base));
  assert.match(greeting, /^postern x 1 [0-9a-f]{8}$/);
  const others = [
    { ...base, version: 2 },
    { ...base, name: "y" },
    { ...base, requests: { ask: { fields: { a: text(6) } } } },
    { ...base, requests: { ask: { fields: { b: text(5) } } } },
    { ...base, replies: { done: { fields: {}, last: true } } },
  ] as const;
  const texts = others.map((other) => helloText(protocol(other)));
  assert.equal(new Set([greeting, ...texts]).size, others.length + 1);
});

Deno.test("messages are numbered in the order of the table, and other numbers have no name", () => {
  const index = new MessageIndex({ first: { fields: {} }, second: { fields: { data: bytes(1000) } } });
  assert.equal(index.nameOf(index.numberOf("first")), "first");
  assert.equal(index.nameOf(index.numberOf("second")), "second");
  for (const kind of [0, FRAME.FIRST_MESSAGE - 1, FRAME.FIRST_MESSAGE + 2, 255]) {
    assert.equal(index.nameOf(kind), undefined);
  }
  // Room for the largest message with its tags and lengths, and not much more.
  assert.ok(index.most >= 1000 + 4 && index.most < 1100);
});

Deno.test("the largest message of a table fits its own limit", () => {
  const fields = { a: text(300), b: bytes(500), c: integer() };
  const index = new MessageIndex({ big: { fields } });
  const { channel, written } = keepingChannel();
  const writer = new FrameWriter(channel);
  writer.message(16, 1, fields, { a: "x".repeat(300), b: new Uint8Array(500), c: Number.MAX_SAFE_INTEGER });
  writer.flush();
  assert.equal(read(index.most, ...written).length, 1);
});
