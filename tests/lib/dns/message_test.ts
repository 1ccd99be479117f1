/** DNS messages: honest ones made by `dns-packet`, which shares no code with the reader, and hostile ones. @module */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import packet from "dns-packet";
import {
  decodeMessage,
  encodeQuery,
  MalformedMessageError,
  peekId,
  RECORD_COUNT_LIMIT,
  RECORD_TYPE,
  UNSPEAKABLE,
} from "../../../lib/dns/message.ts";

const QUESTION = { name: "d.test", type: "MX", class: "IN" } as const;

function response(answers: packet.Answer[], more: Partial<packet.Packet> = {}): Uint8Array {
  return new Uint8Array(
    packet.encode({ id: 7, type: "response", flags: 0, questions: [QUESTION], answers, ...more }),
  );
}

Deno.test("a query is what dns-packet reads", () => {
  for (const edns of [true, false]) {
    const read = packet.decode(Buffer.from(encodeQuery(0xabcd, "_25._tcp.mx.example", "TLSA", edns)));
    assert.equal(read.id, 0xabcd);
    assert.equal(read.type, "query");
    assert.deepEqual(read.questions, [{ name: "_25._tcp.mx.example", type: "TLSA", class: "IN" }]);
    assert.equal(read.additionals?.length, edns ? 1 : 0);
    assert.equal((read as { flag_rd?: boolean }).flag_rd, true);
  }
});

Deno.test("RFC 6840 section 5.7: a query sets AD, with EDNS and without", () => {
  for (const edns of [true, false]) {
    const read = packet.decode(Buffer.from(encodeQuery(1, "d.test", "MX", edns)));
    assert.equal((read as { flag_ad?: boolean }).flag_ad, true);
  }
});

Deno.test("every type that is asked for is read as dns-packet wrote it", () => {
  const message = decodeMessage(response([
    { name: "D.Test", type: "MX", ttl: 60, data: { preference: 10, exchange: "MX.d.test" } },
    { name: "d.test", type: "MX", ttl: 60, data: { preference: 0, exchange: "." } },
    { name: "d.test", type: "A", ttl: 1, data: "192.0.2.1" },
    { name: "d.test", type: "AAAA", ttl: 2, data: "2001:db8::1" },
    { name: "d.test", type: "CNAME", ttl: 3, data: "e.test" },
    { name: "d.test", type: "PTR", ttl: 4, data: "f.test" },
    { name: "d.test", type: "TXT", ttl: 5, data: ["v=spf1 ", "-all"] },
    { name: "d.test", type: "SRV", ttl: 6, data: { priority: 1, weight: 2, port: 3, target: "g.test" } },
    {
      name: "d.test",
      type: "TLSA",
      ttl: 7,
      data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from([9, 9]) },
    },
    { name: "d.test", type: "SOA", ttl: 8, data: { mname: "a", rname: "b", minimum: 99 } },
    { name: "d.test", type: "CAA", ttl: 9, data: { flags: 0, tag: "issue", value: "x" } },
  ] as packet.Answer[]));
  assert.deepEqual(message.answers.map((record) => record.data), [
    { kind: "mx", preference: 10, host: "mx.d.test" },
    { kind: "mx", preference: 0, host: "" },
    { kind: "address", address: "192.0.2.1" },
    { kind: "address", address: "2001:db8::1" },
    { kind: "host", host: "e.test" },
    { kind: "host", host: "f.test" },
    { kind: "text", text: "v=spf1 -all" },
    { kind: "srv", priority: 1, weight: 2, port: 3, host: "g.test" },
    { kind: "tlsa", bytes: new Uint8Array([3, 1, 1, 9, 9]) },
    { kind: "soa", minimum: 99 },
    { kind: "other" },
  ]);
  assert.deepEqual(message.answers.map((record) => record.ttl), [60, 60, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.ok(message.answers.every((record) => record.name === "d.test"));
  assert.deepEqual(message.question, { name: "d.test", type: 15, class: 1 });
  assert.equal(message.malformed, 0);
});

Deno.test("flags and codes are read", () => {
  const flags = packet.AUTHENTIC_DATA | packet.TRUNCATED_RESPONSE | 3;
  const message = decodeMessage(response([], { flags }));
  assert.deepEqual([message.isResponse, message.truncated, message.authenticated, message.rcode], [
    true,
    true,
    true,
    3,
  ]);
});

Deno.test("a message cut at any byte is malformed, and the reader stays inside it", () => {
  const whole = response([
    { name: "d.test", type: "MX", ttl: 60, data: { preference: 10, exchange: "mx.d.test" } },
    { name: "d.test", type: "TXT", ttl: 60, data: ["abc"] },
  ]);
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => decodeMessage(whole.subarray(0, length)), MalformedMessageError, `${length}`);
  }
  assert.equal(decodeMessage(whole).answers.length, 2);
  assert.equal(peekId(whole.subarray(0, 11)), undefined);
  assert.equal(peekId(whole), 7);
});

/** Header, the question d.test MX, then raw records: name pointer to the question, type, class, ttl, rdata. */
function raw(
  records: readonly (readonly [type: number, rdata: readonly number[], declared?: number])[],
): Uint8Array {
  const head = [0, 7, 0x81, 0x80, 0, 1, records.length >> 8, records.length & 255, 0, 0, 0, 0];
  const question = [1, 0x64, 4, 0x74, 0x65, 0x73, 0x74, 0, 0, 15, 0, 1];
  const body = records.flatMap(([type, rdata, declared = rdata.length]) => [
    ...[0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, declared >> 8, declared & 255],
    ...rdata,
  ]);
  return new Uint8Array([...head, ...question, ...body]);
}

const GOOD_A = [RECORD_TYPE.A, [192, 0, 2, 1]] as const;

Deno.test("DNS-26: a record whose data does not fit its length is left out, and the next one is read", () => {
  const cases: readonly (readonly [type: number, rdata: readonly number[]])[] = [
    [RECORD_TYPE.MX, []],
    [RECORD_TYPE.MX, [0]],
    [RECORD_TYPE.MX, [0, 10]],
    [RECORD_TYPE.MX, [0, 10, 1]],
    [RECORD_TYPE.MX, [0, 10, 0xc0, 12, 0]],
    [RECORD_TYPE.MX, [0, 10, 5, 0x61]],
    [RECORD_TYPE.A, [1, 2, 3]],
    [RECORD_TYPE.A, [1, 2, 3, 4, 5]],
    [RECORD_TYPE.AAAA, [1, 2, 3, 4]],
    [RECORD_TYPE.SRV, [0, 1, 0, 2]],
    [RECORD_TYPE.SRV, [0, 1, 0, 2, 0, 3]],
    [RECORD_TYPE.TLSA, []],
    [RECORD_TYPE.TLSA, [3, 1]],
    [RECORD_TYPE.TLSA, [3, 1, 1]],
    [RECORD_TYPE.TXT, [5, 0x61]],
    [RECORD_TYPE.CNAME, []],
    [RECORD_TYPE.PTR, [0x40, 1]],
    [RECORD_TYPE.SOA, [0, 0, 1, 2, 3]],
  ];
  for (const [type, rdata] of cases) {
    const message = decodeMessage(raw([[type, rdata], GOOD_A]));
    assert.equal(message.malformed, 1, `${type} ${rdata}`);
    assert.deepEqual(message.answers.map((record) => record.data), [{
      kind: "address",
      address: "192.0.2.1",
    }]);
  }
});

Deno.test("a record that claims more than the message holds makes it malformed", () => {
  assert.throws(() => decodeMessage(raw([[RECORD_TYPE.A, [1, 2, 3, 4], 5]])), MalformedMessageError);
  assert.throws(() => decodeMessage(raw([[RECORD_TYPE.TXT, [1], 65535]])), MalformedMessageError);
});

Deno.test("DNS-25: compression pointers that loop, point at themselves or forward are malformed at once", () => {
  const at = 12 + 12 + 12;
  for (
    const name of [[0xc0, at], [0xc0, at + 2, 0xc0, at], [1, 0x61, 0xc0, at], [0xc3, 0xff], [
      0xc0,
      at + 4,
      0,
      0,
      0,
    ]]
  ) {
    const message = decodeMessage(raw([[RECORD_TYPE.CNAME, name]]));
    assert.deepEqual([message.malformed, message.answers.length], [1, 0], `${name}`);
  }
  // In the owner's name it breaks the framing itself.
  const owner = raw([GOOD_A]);
  owner[24] = 0xc0;
  owner[25] = 24;
  assert.throws(() => decodeMessage(owner), MalformedMessageError);
});

Deno.test("a name may be 255 bytes long and no longer", () => {
  const label = (length: number) => [length, ...Array.from({ length }, () => 0x61)];
  const name = (last: number) => [...label(63), ...label(63), ...label(63), ...label(last), 0];
  const read = (rdata: readonly number[]) => decodeMessage(raw([[RECORD_TYPE.CNAME, rdata]])).answers.length;
  assert.equal(name(61).length, 255);
  assert.equal(read(name(61)), 1);
  assert.equal(read(name(62)), 0);
});

Deno.test("DNS-07: a label with a dot, a line end or any other unspeakable byte makes no name that could be taken for another", () => {
  for (const byte of [0x2e, 0x0a, 0x0d, 0, 0x20, 0x7f, 0x80, 0xff]) {
    const message = decodeMessage(
      raw([[RECORD_TYPE.CNAME, [3, 0x61, byte, 0x62, 4, 0x74, 0x65, 0x73, 0x74, 0]]]),
    );
    assert.deepEqual(message.answers[0]?.data, { kind: "host", host: UNSPEAKABLE });
  }
});

Deno.test("DNS-29: thousands of records are cut at the limit, quickly", () => {
  const message = decodeMessage(raw(Array.from({ length: 4000 }, () => GOOD_A)));
  assert.equal(message.answers.length, RECORD_COUNT_LIMIT);
  const text = Array.from({ length: 255 }, () => [255, ...new Uint8Array(255)]).flat();
  const big = decodeMessage(raw([[RECORD_TYPE.TXT, text]])).answers[0]!.data;
  assert.ok(big.kind === "text" && big.text.length === 255 * 255);
});

Deno.test("RFC 1035 section 3.3.14: a TXT record is strings, each with its length before it, to the record's end", () => {
  const read = (rdata: readonly number[]) => decodeMessage(raw([[RECORD_TYPE.TXT, rdata]])).answers[0]?.data;
  const long = Array.from({ length: 255 }, () => 0x78);
  assert.deepEqual(read([1, 0x61]), { kind: "text", text: "a" });
  assert.deepEqual(read([255, ...long, 1, 0x79]), { kind: "text", text: `${"x".repeat(255)}y` });
  assert.deepEqual(read([2, 1, 1]), { kind: "text", text: "\x01\x01" });
  assert.equal(read([2, 0x61]), undefined);
  assert.equal(read([1, 0x61, 1]), undefined);
});

Deno.test("RFC 7208 section 3.3: the strings of a TXT record are one text, with nothing between", () => {
  const read = (rdata: readonly number[]) => decodeMessage(raw([[RECORD_TYPE.TXT, rdata]])).answers[0]?.data;
  assert.deepEqual(read([2, 0x61, 0x62, 0, 1, 0x63]), { kind: "text", text: "abc" });
  assert.deepEqual(read([]), { kind: "text", text: "" });
});

Deno.test("RFC 6698 section 2.1: a TLSA record has three bytes before its data, and some data", () => {
  const read = (rdata: readonly number[]) => decodeMessage(raw([[RECORD_TYPE.TLSA, rdata]])).answers[0]?.data;
  assert.deepEqual(read([3, 1, 1, 9]), { kind: "tlsa", bytes: new Uint8Array([3, 1, 1, 9]) });
  assert.equal(read([3, 1, 1]), undefined);
});

Deno.test("RFC 2181 section 8: a TTL with its top bit set is zero", () => {
  const bytes = raw([GOOD_A]);
  bytes[24 + 6] = 0x80;
  assert.equal(decodeMessage(bytes).answers[0]?.ttl, 0);
});

Deno.test("random and flipped bytes are a message or malformed, and never anything else", () => {
  let seed = 4711;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
  const whole = response([
    { name: "d.test", type: "MX", ttl: 60, data: { preference: 10, exchange: "mx.d.test" } },
    { name: "d.test", type: "SRV", ttl: 6, data: { priority: 1, weight: 2, port: 3, target: "g.test" } },
    { name: "d.test", type: "TXT", ttl: 60, data: ["abc"] },
  ] as packet.Answer[]);
  for (let round = 0; round < 5000; round++) {
    const bytes = round % 2 === 0
      ? Uint8Array.from({ length: next() % 80 }, () => next() & 255)
      : whole.map((byte) => next() % 20 === 0 ? next() & 255 : byte);
    try {
      assert.ok(decodeMessage(bytes).answers.length <= RECORD_COUNT_LIMIT);
    } catch (error) {
      assert.ok(error instanceof MalformedMessageError, String(error));
    }
  }
});
