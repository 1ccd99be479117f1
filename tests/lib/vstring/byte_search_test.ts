import assert from "node:assert/strict";
import { findEither } from "../../../lib/vstring/byte_search.ts";

const [A, B] = [0x0d, 0x0a];

Deno.test("the first of two values is found at every place, length and alignment", () => {
  const store = new Uint8Array(256).fill(0x58);
  for (let offset = 0; offset < 4; offset++) {
    for (let length = 0; length <= 140; length++) {
      const bytes = store.subarray(offset, offset + length);
      assert.equal(findEither(bytes, A, B, 0, length), -1);
      for (let at = 0; at < length; at++) {
        bytes[at] = at % 2 === 0 ? A : B;
        assert.equal(findEither(bytes, A, B, 0, length), at);
        assert.equal(findEither(bytes, A, B, at, length), at);
        assert.equal(findEither(bytes, A, B, at + 1, length), -1);
        assert.equal(findEither(bytes, A, B, 0, at), -1);
        bytes[at] = 0x58;
      }
    }
  }
});

Deno.test("values that differ from those looked for by one bit or by one are not taken for them", () => {
  // Seeded, so that a failure can be repeated; half of the bytes are near the values.
  let state = 1;
  const random = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 16;
  const near = [A - 1, A + 1, B - 1, B + 1, A ^ 0x80, B ^ 0x80, 0, 1, 0x7f, 0x80, 0xff, A, B];
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from(
      { length: 64 + random() % 200 },
      () => random() % 8 === 0 ? near[random() % near.length]! : 0x41 + random() % 26,
    );
    const start = random() % 64;
    const expected = bytes.findIndex((byte, i) => i >= start && (byte === A || byte === B));
    assert.equal(findEither(bytes, A, B, start, bytes.length), expected);
  }
});
