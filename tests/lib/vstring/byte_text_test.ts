import assert from "node:assert/strict";
import { bytesOfText, textOfBytes } from "../../../lib/vstring/byte_text.ts";
import { Random } from "../../support/random.ts";

Deno.test("UTF-8 becomes its characters, any other byte one that no UTF-8 can hold", () => {
  const cases: readonly (readonly [bytes: readonly number[], text: string])[] = [
    [[], ""],
    [[0x41, 0x00, 0x7f], "A\0\x7f"],
    [[0xc3, 0xa9], "é"],
    [[0xe2, 0x82, 0xac], "€"],
    [[0xf0, 0x9f, 0x98, 0x80], "😀"],
    [[0xef, 0xbb, 0xbf, 0x41], "\ufeffA"],
    [[0xe9], "\udce9"],
    [[0x41, 0xff, 0xc3, 0xa9, 0xc3], "A\udcffé\udcc3"],
    [[0xc0, 0x80], "\udcc0\udc80"],
    [[0xed, 0xa0, 0x80], "\udced\udca0\udc80"],
    [[0xf5, 0x80, 0x80, 0x80], "\udcf5\udc80\udc80\udc80"],
    [[0xe2, 0x82, 0x41], "\udce2\udc82A"],
  ];
  for (const [bytes, text] of cases) {
    assert.equal(textOfBytes(Uint8Array.from(bytes)), text);
    assert.deepEqual([...bytesOfText(text)], bytes);
  }
});

Deno.test("whatever the bytes are, they come back", () => {
  const random = new Random(7);
  const pieces = [[0x41], [0xc3, 0xa9], [0xe2, 0x82, 0xac], [0xf0, 0x9f, 0x98, 0x80], [0xff], [0xe2, 0x82], [
    0x80,
  ], [0xed, 0xb3, 0xa9]];
  for (let round = 0; round < 2000; round++) {
    const bytes = Array.from({ length: random.below(12) }, () => random.pick(pieces)).flat();
    assert.deepEqual([...bytesOfText(textOfBytes(Uint8Array.from(bytes)))], bytes);
  }
});

Deno.test("a surrogate that stands for no byte becomes the sign for what cannot be written", () => {
  assert.deepEqual([...bytesOfText("\ud83d")], [0xef, 0xbf, 0xbd]);
  assert.deepEqual([...bytesOfText("\udc41")], [0xef, 0xbf, 0xbd]);
  assert.deepEqual([...bytesOfText("😀\udcff")], [0xf0, 0x9f, 0x98, 0x80, 0xff]);
});
