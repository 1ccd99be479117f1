import assert from "node:assert/strict";
import { CodecError, decodeFields, encodeFields } from "../../../lib/ipc/codec.ts";
import {
  bytes,
  choice,
  type Field,
  type Fields,
  flag,
  integer,
  list,
  text,
} from "../../../lib/ipc/protocol.ts";
import * as PROTOCOLS from "../../../lib/proto/protocols.ts";
import { ByteBuilder, decodeText } from "../../../lib/vstring/byte_builder.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

type Group = Record<string, unknown>;

function encode(fields: Fields, values: Group): Uint8Array {
  const out = new ByteBuilder(1 << 20);
  encodeFields(out, fields, values);
  return out.copy();
}

function decode(fields: Fields, data: Uint8Array): Group {
  return decodeFields(data, 0, data.length, fields);
}

const GROUP = { name: text(100), code: integer(599) };
const ALL = {
  word: text(200),
  data: bytes(300),
  count: integer(),
  yes: flag(),
  result: choice("sent", "bounced", "deferred"),
  items: list(3, GROUP),
};
const SAMPLE: Group = {
  word: "käse",
  data: Uint8Array.from([0, 13, 10, 255]),
  count: 300,
  yes: true,
  result: "deferred",
  items: [{ name: "a", code: 0 }, { name: "", code: 599 }],
};

Deno.test("a message of every kind of field comes back as it was", () => {
  assert.deepEqual(decode(ALL, encode(ALL, SAMPLE)), SAMPLE);
  assert.deepEqual(decode({}, encode({}, {})), {});
});

Deno.test("the bytes on the wire: tag, value, and a zero at the end of the group", () => {
  const table = { a: text(10), b: integer(), c: flag(), d: choice("x", "y"), e: list(2, { f: bytes(9) }) };
  const values = { a: "hi", b: 200, c: false, d: "y", e: [{ f: Uint8Array.from([9]) }] };
  const wire = [1, 2, 0x68, 0x69, 2, 0xc8, 1, 3, 0, 4, 1, 5, 1, 1, 1, 9, 0, 0];
  assert.deepEqual([...encode(table, values)], wire);
});

const AT_BOUND: readonly [string, Field, unknown, unknown][] = [
  ["text", text(3), "abc", "abcd"],
  ["text counts bytes", text(3), "aé", "éé"],
  ["long text", text(100), "x".repeat(100), "x".repeat(101)],
  ["long text of two bytes a character", text(100), "é".repeat(50), "é".repeat(50) + "a"],
  ["empty text", text(0), "", "a"],
  ["bytes", bytes(2), new Uint8Array(2), new Uint8Array(3)],
  ["integer", integer(255), 255, 256],
  ["largest integer", integer(), Number.MAX_SAFE_INTEGER, 2 ** 53],
  ["integer is not negative", integer(5), 0, -1],
  ["integer is whole", integer(5), 1, 1.5],
  ["integer is a number", integer(5), 1, NaN],
  ["choice", choice("a", "b"), "b", "c"],
  ["list", list(1, { f: flag() }), [{ f: true }], [{ f: true }, { f: true }]],
];

for (const [name, field, fits, over] of AT_BOUND) {
  Deno.test(`the bound of a field holds at n and n+1 when sending: ${name}`, () => {
    assert.deepEqual(decode({ field }, encode({ field }, { field: fits })), { field: fits });
    assert.throws(() => encode({ field }, { field: over }), RangeError);
  });
}

Deno.test("the bound of a field holds when receiving, whatever the sender's table said", () => {
  const pairs: readonly [Field, Field, unknown][] = [
    [text(4), text(3), "abcd"],
    [bytes(4), bytes(3), new Uint8Array(4)],
    [integer(256), integer(255), 256],
    [choice("a", "b", "c"), choice("a", "b"), "c"],
    [list(2, { f: flag() }), list(1, { f: flag() }), [{ f: true }, { f: true }]],
  ];
  for (const [wide, narrow, value] of pairs) {
    assert.throws(() => decode({ field: narrow }, encode({ field: wide }, { field: value })), CodecError);
  }
});

const BROKEN: readonly [string, Fields, readonly number[]][] = [
  ["nothing at all", {}, []],
  ["a field is missing", { a: flag(), b: flag() }, [1, 1, 0]],
  ["a field is unknown", { a: flag() }, [1, 1, 2, 1, 0]],
  ["fields are out of order", { a: flag(), b: flag() }, [2, 1, 1, 1, 0]],
  ["a field comes twice", { a: flag(), b: flag() }, [1, 1, 1, 1, 0]],
  ["bytes are left over", { a: flag() }, [1, 1, 0, 0]],
  ["a flag that is neither 0 nor 1", { a: flag() }, [1, 2, 0]],
  ["a choice that there is not", { a: choice("x") }, [1, 1, 0]],
  ["a length past the end", { a: bytes(100) }, [1, 50, 1, 2, 0]],
  ["a text length past the end", { a: text(100) }, [1, 50, 1, 2, 0]],
  ["a length over its bound", { a: text(4) }, [1, 5, 1, 2, 3, 4, 5, 0]],
  ["an integer over 2^53", { a: integer() }, [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0]],
  ["an integer without end", { a: integer() }, [1, ...new Array(2000).fill(0x80)]],
  ["a list of more groups than there are bytes", { a: list(1000, {}) }, [1, 0xe8, 0x07, 0, 0, 0]],
  ["a list that ends early", { a: list(9, { b: flag() }) }, [1, 2, 1, 1, 0, 0]],
];

for (const [name, fields, wire] of BROKEN) {
  Deno.test(`refused: ${name}`, () => {
    assert.throws(() => decode(fields, Uint8Array.from(wire)), CodecError);
  });
}

Deno.test("a message cut at any byte is refused, also when more bytes stand behind it in the buffer", () => {
  const whole = encode(ALL, SAMPLE);
  for (let cut = 0; cut < whole.length; cut++) {
    assert.throws(() => decodeFields(whole, 0, cut, ALL), CodecError, `cut at ${cut}`);
    assert.throws(() => decode(ALL, whole.slice(0, cut)), CodecError);
  }
});

Deno.test("random and damaged bytes give a message within its bounds or a CodecError, never another error", () => {
  const random = new Random(4);
  const whole = encode(ALL, SAMPLE);
  let taken = 0;
  for (let round = 0; round < 30_000; round++) {
    const wire = round % 3 === 0 ? random.bytes(random.below(60)) : random.damage(whole, 3);
    try {
      const values = decode(ALL, wire);
      taken++;
      // What is taken can be sent again: all bounds hold.
      assert.deepEqual(decode(ALL, encode(ALL, values)), values);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
    }
  }
  assert.ok(taken > 0, "some damage leaves a good message");
});

Deno.test("text survives whatever its bytes are", () => {
  const random = new Random(5);
  const fields = { a: text(200) };
  for (let round = 0; round < 3000; round++) {
    const raw = round % 2 === 0 ? random.bytes(random.below(120)) : random.damage(utf8("Grüße an alle"));
    const a = decodeText(raw);
    assert.deepEqual(decode(fields, encode(fields, { a })), { a });
  }
});

Deno.test("bytes fields are views of the message, not copies", () => {
  const wire = encode({ a: bytes(10) }, { a: new Uint8Array(10) });
  const { a } = decode({ a: bytes(10) }, wire) as { a: Uint8Array };
  assert.equal(a.buffer, wire.buffer);
});

Deno.test("a field named like a member of every object is a field like others", () => {
  const fields: Fields = { constructor: text(5), toString: flag() };
  const values = { constructor: "x", toString: true };
  assert.deepEqual({ ...decode(fields, encode(fields, values)) }, values);
});

Deno.test("no field of any protocol is called as what a plain object inherits, or `is`", () => {
  for (const table of Object.values(PROTOCOLS)) {
    if (typeof table !== "object" || !("requests" in table)) continue;
    for (const message of [...Object.values(table.requests), ...Object.values(table.replies)]) {
      for (const name of Object.keys(message.fields)) {
        assert.ok(!(name in Object.prototype) && name !== "is", `${table.name} ${name}`);
      }
    }
  }
});
