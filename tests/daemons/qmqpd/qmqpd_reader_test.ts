import assert from "node:assert/strict";
import { readEnvelope } from "../../../daemons/qmqpd/qmqpd_message.ts";
import { PacketReader, type Reading } from "../../../daemons/qmqpd/qmqpd_reader.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

const LIMITS = { message: 1000, address: 50, recipients: 200 };

/** A netstring. */
function netstring(...parts: string[]): string {
  const text = parts.join("");
  return `${new TextEncoder().encode(text).length}:${text},`;
}

function packet(message: string, sender: string, ...recipients: string[]): string {
  return netstring(netstring(message), netstring(sender), ...recipients.map((one) => netstring(one)));
}

/** What a reader says of pieces, with the message as text. */
function read(pieces: readonly Uint8Array[]) {
  const reader = new PacketReader(LIMITS);
  let reading: Reading = { kind: "more" };
  for (const piece of pieces) {
    reading = reader.push(piece);
    if (reading.kind !== "more") break;
  }
  if (reading.kind !== "packet") return { ...reading, stage: reader.stage };
  const { message, sender, recipients } = reading.packet;
  return { message: message.map((one) => new TextDecoder().decode(one)).join(""), sender, recipients };
}

const WHOLE = packet("Subject: x\n\ntext\n", "a@x.test", "b@x.test", "c@x.test");
const EXPECTED = {
  message: "Subject: x\n\ntext\n",
  sender: "a@x.test",
  recipients: ["b@x.test", "c@x.test"],
};

Deno.test("qmqp: a packet is the same however it is cut, and not before its last byte", () => {
  const bytes = utf8(WHOLE);
  for (let cut = 0; cut < bytes.length; cut++) {
    assert.deepEqual(read([bytes.subarray(0, cut), bytes.subarray(cut)]), EXPECTED, `cut at ${cut}`);
    const partly = read([bytes.subarray(0, cut)]);
    assert.equal("kind" in partly && partly.kind, "more", `cut at ${cut}`);
  }
  assert.deepEqual(read([...bytes].map((byte) => Uint8Array.of(byte))), EXPECTED);
});

const BAD: readonly [name: string, text: string, why: string][] = [
  ["another protocol", "GET / HTTP/1.0\r\n", "netstring format error"],
  ["no length", ":x,", "netstring format error"],
  ["a negative length", "-1:x,", "netstring format error"],
  ["a length that never ends", "00000000001:", "netstring length exceeds storage limit"],
  ["a packet that is too long", "99999999:", "netstring length exceeds storage limit"],
  ["a message that is too long", netstring("1001:"), "netstring length exceeds storage limit"],
  ["a part that is longer than the packet", netstring("10:abc,"), "netstring format error"],
  ["a part without its comma", netstring("3:abc;"), "netstring format error"],
  [
    "a packet without its comma",
    netstring(netstring("m"), netstring("s"), netstring("r")).replace(/,$/, ";"),
    "netstring format error",
  ],
  ["no sender", netstring(netstring("m")), "netstring format error"],
  ["an empty packet", "0:,", "netstring format error"],
  ["a sender that is too long", packet("m", "x".repeat(51)), "netstring length exceeds storage limit"],
];

for (const [name, text, why] of BAD) {
  Deno.test(`qmqp: ${name} is refused`, () => {
    const found = read([utf8(text)]);
    assert.deepEqual("kind" in found && found.kind === "bad" && found.why, why, JSON.stringify(found));
  });
}

Deno.test("qmqp: limits hold at n and not at n+1", () => {
  const good = (text: string) => !("kind" in read([utf8(text)]));
  assert.deepEqual([1000, 1001].map((n) => good(packet("x".repeat(n), "s", "r"))), [true, false]);
  assert.deepEqual([50, 51].map((n) => good(packet("m", "s", "r".repeat(n)))), [true, false]);
  const many = (count: number) => packet("m", "s", ...Array<string>(count).fill("123"));
  assert.deepEqual([50, 51].map((n) => good(many(n))), [true, false]);
});

Deno.test("qmqp: damaged packets and noise are read or refused, and nothing is kept beyond the limits", () => {
  const random = new Random(21);
  for (let i = 0; i < 20_000; i++) {
    const bytes = i % 4 === 0 ? random.bytes(random.below(100)) : random.damage(utf8(WHOLE));
    const reader = new PacketReader(LIMITS);
    for (let at = 0; at < bytes.length;) {
      const next = at + 1 + random.below(20);
      if (reader.push(bytes.subarray(at, next)).kind !== "more") break;
      at = next;
    }
    assert.ok(reader.size <= LIMITS.message);
  }
});

Deno.test("qmqp: an envelope, and a sender that asks for VERP", () => {
  const envelope = (sender: string, ...recipients: string[]) =>
    readEnvelope({ message: [], sender, recipients }, "-=+");
  assert.deepEqual(envelope("a@x.test", "b@x.test"), {
    sender: "a@x.test",
    verp: "",
    recipients: ["b@x.test"],
  });
  assert.deepEqual(envelope("list-owner-@x.test-@[]", "b@y.test"), {
    sender: "list-owner@x.test",
    verp: "-=",
    recipients: ["b@y.test"],
  });
  assert.equal(
    envelope("list.@x.test-@[]", "b@y.test"),
    'Invalid VERP delimiters: ".=". Need two characters from "-=+"',
  );
  assert.equal(envelope("a@x.test"), "Error: no recipients specified");
  assert.equal(envelope("a@x.test", "b\nc@x.test"), "Error: bad address");
  assert.equal(envelope("a\0@x.test", "b@x.test"), "Error: bad address");
  assert.equal(envelope("a@x.test", `${"b".repeat(1020)}@x.test`), "Error: bad address");
});
