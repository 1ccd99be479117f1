/** Packets of the milter protocol, as bytes. @module */
import assert from "node:assert/strict";
import {
  COMMAND,
  encodeNumbers,
  encodePacket,
  encodeStrings,
  FieldReader,
  MilterFormatError,
  type Packet,
  PACKET_LIMIT,
  PacketReader,
} from "../../../lib/milter/milter_codec.ts";
import { readEdit } from "../../../lib/milter/milter_content.ts";
import { readReplyCode } from "../../../lib/milter/milter_reply.ts";
import { concat, utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";
import { latin1 } from "../../daemons/smtpd/queued_message.ts";

const PACKETS: readonly Uint8Array[] = [
  encodePacket(0x63),
  encodePacket(0x68, encodeStrings(utf8("X-A"), utf8("b"))),
  encodePacket(0x62, new Uint8Array(3000).fill(0x61)),
  encodePacket(0x6d, encodeNumbers(7), encodeStrings(utf8("Subject"), utf8(""))),
];

function read(pieces: readonly Uint8Array[]): Packet[] {
  const reader = new PacketReader();
  const packets: Packet[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) packets.push(packet);
  }
  return packets;
}

Deno.test("a packet is a length, a code and data", () => {
  assert.deepEqual([...encodePacket(COMMAND.HELO, encodeStrings(utf8("a")))], [0, 0, 0, 3, 0x48, 0x61, 0]);
  assert.deepEqual([...encodePacket(COMMAND.ABORT)], [0, 0, 0, 1, 0x41]);
});

Deno.test("a string that holds a NUL is cut there: what follows would be taken for the next one", () => {
  assert.deepEqual(latin1(encodeStrings(utf8("a\0b"), utf8("c"))), "a\0c\0");
});

Deno.test("packets are found however their bytes are cut", () => {
  const stream = concat(...PACKETS);
  const whole = read([stream]);
  assert.deepEqual(whole.map(({ code }) => code), [0x63, 0x68, 0x62, 0x6d]);
  for (let cut = 0; cut <= stream.length; cut++) {
    assert.deepEqual(read([stream.subarray(0, cut), stream.subarray(cut)]), whole);
  }
  assert.deepEqual(read([...stream].map((byte) => new Uint8Array([byte]))), whole);
});

Deno.test("the reader keeps nothing of the caller's buffer", () => {
  const reader = new PacketReader();
  const buffer = concat(PACKETS[1]!, PACKETS[1]!);
  reader.push(buffer);
  buffer.fill(0xff);
  assert.equal(latin1(reader.next()!.data), "X-A\0b\0");
  assert.equal(latin1(reader.next()!.data), "X-A\0b\0");
  assert.equal(reader.pending, false);
});

Deno.test("a packet of the greatest length is taken, one byte more is refused before it comes", () => {
  const head = (length: number) => encodeNumbers(length);
  const reader = new PacketReader();
  reader.push(concat(head(PACKET_LIMIT), new Uint8Array([0x62])));
  assert.equal(reader.next(), undefined);
  reader.push(new Uint8Array(PACKET_LIMIT - 1));
  assert.equal(reader.next()!.data.length, PACKET_LIMIT - 1);
  reader.push(head(PACKET_LIMIT + 1));
  assert.throws(() => reader.next(), MilterFormatError);
  const empty = new PacketReader();
  empty.push(head(0));
  assert.throws(() => empty.next(), /no data/);
});

const BAD_EDITS: readonly (readonly [string, number, Uint8Array])[] = [
  ["a header without an end", 0x68, utf8("X-A")],
  ["a header without a value", 0x68, utf8("X-A\0")],
  ["a header whose value has no end", 0x68, utf8("X-A\0v")],
  ["a header and more", 0x68, utf8("X-A\0v\0more")],
  ["a header without a name", 0x68, utf8("\0v\0")],
  ["a name with a colon", 0x68, utf8("X:A\0v\0")],
  ["a name with a line end", 0x68, utf8("X\nA\0v\0")],
  ["a name with a blank", 0x68, utf8("X A\0v\0")],
  ["a name that is not ASCII", 0x68, utf8("Ä\0v\0")],
  ["an index that is cut", 0x69, new Uint8Array([0, 0, 0])],
  ["an inserted header without its name", 0x69, new Uint8Array([0, 0, 0, 1])],
  ["a recipient without an end", 0x2b, utf8("<a@b>")],
  ["a recipient and parameters where none may be", 0x2b, utf8("<a@b>\0NOTIFY=NEVER\0")],
  ["three strings for a sender", 0x65, utf8("<a@b>\0x\0y\0")],
  ["something else", 0x7a, utf8("")],
];

for (const [name, code, data] of BAD_EDITS) {
  Deno.test(`an edit is refused: ${name}`, () => {
    assert.throws(() => readEdit({ code, data }), MilterFormatError);
  });
}

Deno.test("edits are read field by field", () => {
  assert.deepEqual(readEdit({ code: 0x6d, data: concat(encodeNumbers(2), utf8("A\0\0")) }), {
    kind: "changeHeader",
    index: 2,
    name: utf8("A"),
    value: utf8(""),
  });
  assert.deepEqual(readEdit({ code: 0x65, data: utf8("<a@b>\0RET=HDRS\0") }), {
    kind: "changeFrom",
    address: "<a@b>",
    args: "RET=HDRS",
  });
  assert.deepEqual(readEdit({ code: 0x32, data: utf8("<a@b>\0") }), {
    kind: "addRecipient",
    address: "<a@b>",
    args: "",
  });
});

const REPLIES: readonly (readonly [string, string | undefined])[] = [
  ["550 5.7.1 no", "550 5.7.1 no"],
  ["451 4.7.1 100%% sure", "451 4.7.1 100% sure"],
  ["550-5.7.1 one\r\n550 5.7.1 two", "550-5.7.1 one\r\n550 5.7.1 two"],
  ["550-5.7.1 one\n550 5.7.1 two\n", "550-5.7.1 one\r\n550 5.7.1 two"],
  ["550 5.7.1 a\x1b[2Jb", "550 5.7.1 a?[2Jb"],
  ["550 5.7.1 a\rQUIT", "550 5.7.1 a?QUIT"],
  [`550 5.7.1 ${"x".repeat(600)}`, `550 5.7.1 ${"x".repeat(490)}...`],
  ["250 2.0.0 fine", undefined],
  ["550 no status", undefined],
  ["550 4.7.1 other class", undefined],
  ["5505.7.1 no", undefined],
  ["55", undefined],
  ["", undefined],
  ["550-5.7.1 one\r\n451 4.7.1 two", undefined],
  ["550-5.7.1 one\r\n250 2.0.0 two", undefined],
  [Array.from({ length: 33 }, () => "550-5.7.1 x").join("\r\n"), undefined],
];

for (const [text, expected] of REPLIES) {
  Deno.test(`a filter's reply ${JSON.stringify(text.slice(0, 40))} is ${expected === undefined ? "refused" : "taken"}`, () => {
    const reply = () => readReplyCode({ code: 0x79, data: utf8(`${text}\0`) });
    if (expected === undefined) assert.throws(reply, MilterFormatError);
    else assert.equal(reply(), expected);
  });
}

Deno.test("random bytes are packets or an error, never anything else", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const data = new Random(seed).bytes(200);
    // Short lengths, so that some packets are whole.
    data.fill(0, 0, 3);
    try {
      for (const packet of read([data])) {
        try {
          readEdit(packet);
        } catch (error) {
          assert.ok(error instanceof MilterFormatError);
        }
      }
    } catch (error) {
      assert.ok(error instanceof MilterFormatError, String(error));
    }
  }
});

Deno.test("a number that is cut is an error", () => {
  assert.throws(() => new FieldReader(new Uint8Array(3)).number(), MilterFormatError);
});
