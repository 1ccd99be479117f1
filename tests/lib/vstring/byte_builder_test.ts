import assert from "node:assert/strict";
import {
  ByteBuilder,
  ByteLimitError,
  decodeText,
  encodeText,
  isUtf8,
} from "../../../lib/vstring/byte_builder.ts";
import { concat, utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

const APPENDS: readonly [string, number, (out: ByteBuilder) => unknown][] = [
  ["byte", 1, (out) => out.byte(0x41)],
  ["bytes", 3, (out) => out.bytes(new Uint8Array([1, 2, 3]))],
  ["no bytes", 0, (out) => out.bytes(new Uint8Array(0))],
  ["slice", 2, (out) => out.slice(new Uint8Array([1, 2, 3, 4]), 1, 3)],
  ["text", 3, (out) => out.text("abc")],
  ["text of two bytes a character", 4, (out) => out.text("éé")],
  ["text outside the basic plane", 4, (out) => out.text("\u{1F600}")],
  ["text with an escaped byte", 3, (out) => out.text("a\udcffb")],
  ["claim", 5, (out) => out.claim(5)],
];

for (const [name, size, append] of APPENDS) {
  Deno.test(`ByteBuilder: ${name} fits at the limit, and one byte less refuses it and changes nothing`, () => {
    for (const before of [0, 1, 300]) {
      const fits = new ByteBuilder(before + size);
      for (let i = 0; i < before; i++) fits.byte(7);
      append(fits);
      assert.equal(fits.length, before + size);
      assert.equal(fits.room, 0);
      if (size === 0) continue;
      const tight = new ByteBuilder(before + size - 1);
      for (let i = 0; i < before; i++) tight.byte(7);
      assert.throws(
        () => append(tight),
        (error) => error instanceof ByteLimitError && error.limit === before + size - 1,
      );
      assert.deepEqual(tight.copy(), new Uint8Array(before).fill(7));
    }
  });
}

Deno.test("ByteBuilder: a limit must be a whole number that is not negative", () => {
  for (const limit of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(() => new ByteBuilder(limit), RangeError, String(limit));
  }
  assert.throws(() => new ByteBuilder(0).byte(1), ByteLimitError);
});

Deno.test("ByteBuilder: what was appended is what is there, whatever the order and the growth", () => {
  const random = new Random(1);
  for (let round = 0; round < 50; round++) {
    const out = new ByteBuilder(100_000, random.below(3));
    let expected = new Uint8Array(0);
    for (let step = 0; step < 40; step++) {
      const piece = random.bytes(random.below(200));
      const kind = random.below(4);
      if (kind === 0) out.bytes(piece);
      else if (kind === 1) piece.forEach((value) => out.byte(value));
      else if (kind === 2) out.text(decodeText(piece));
      else {
        const start = out.claim(piece.length); // may move the store: `raw` is asked for afterwards
        out.raw().set(piece, start);
      }
      expected = concat(expected, piece);
    }
    assert.deepEqual(out.copy(), expected);
    assert.deepEqual(Uint8Array.from(out.view()), expected);
  }
});

Deno.test("ByteBuilder: truncate, clear and patch", () => {
  const out = new ByteBuilder(10).text("abcdef");
  assert.equal(decodeText(out.truncate(4).copy()), "abcd");
  assert.equal(decodeText(out.truncate(9).copy()), "abcd");
  assert.equal(decodeText(out.patch(2, utf8("XY")).copy()), "abXY");
  for (const [at, text] of [[3, "XY"], [-1, "X"], [5, ""]] as const) {
    assert.throws(() => out.patch(at, utf8(text)), RangeError);
  }
  assert.equal(out.truncate(-1).length, 0);
  assert.equal(out.text("z").clear().length, 0);
  assert.equal(out.room, 10);
});

Deno.test("ByteBuilder: a copy stays when the builder goes on", () => {
  const out = new ByteBuilder(10).text("ab");
  const copy = out.copy();
  out.clear().text("zz");
  assert.equal(decodeText(copy), "ab");
});

Deno.test("decodeText and encodeText: every string of one and of two bytes comes back as it was", () => {
  const one = new Uint8Array(1);
  const two = new Uint8Array(2);
  for (let first = 0; first < 256; first++) {
    one[0] = two[0] = first;
    assert.deepEqual(encodeText(decodeText(one)), one);
    for (let second = 0; second < 256; second++) {
      two[1] = second;
      const back = encodeText(decodeText(two));
      if (back.length !== 2 || back[0] !== first || back[1] !== second) assert.deepEqual(back, two);
    }
  }
});

const HARD: readonly (readonly [string, readonly number[]])[] = [
  ["byte-order mark", [0xef, 0xbb, 0xbf, 0x41]],
  ["overlong NUL", [0xc0, 0x80]],
  ["overlong slash in three bytes", [0xe0, 0x80, 0xaf]],
  ["UTF-8 of a surrogate", [0xed, 0xb2, 0x80]],
  ["UTF-8 of two surrogates", [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
  ["above U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
  ["five-byte form", [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ["lone continuation", [0x80, 0xbf]],
  ["NUL, CR and LF", [0x00, 0x0d, 0x0a]],
  ["last character of Unicode", [0xf4, 0x8f, 0xbf, 0xbf]],
];

for (const [name, bytes] of HARD) {
  Deno.test(`decodeText: ${name} comes back, whole and cut at every byte`, () => {
    const whole = Uint8Array.from([0x61, ...bytes, 0x7a]);
    for (let cut = 0; cut <= whole.length; cut++) {
      const part = whole.subarray(0, cut);
      const text = decodeText(part);
      assert.deepEqual(encodeText(text), Uint8Array.from(part));
      assert.deepEqual(new ByteBuilder(100).text(text).copy(), Uint8Array.from(part));
    }
  });
}

Deno.test("decodeText: random and damaged bytes come back; valid UTF-8 is what TextDecoder says", () => {
  const random = new Random(2);
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const sample = utf8("Grüße, \u{1F600} 日本 a\u0000b");
  for (let round = 0; round < 3000; round++) {
    const bytes = round % 2 === 0 ? random.bytes(random.below(40)) : random.damage(sample);
    const text = decodeText(bytes);
    assert.deepEqual(encodeText(text), bytes);
    let valid: string | undefined;
    try {
      valid = strict.decode(bytes);
    } catch {
      valid = undefined;
    }
    assert.equal(isUtf8(bytes), valid !== undefined);
    if (valid !== undefined) assert.equal(text, valid);
  }
});

Deno.test("decodeText: different bytes never become the same text", () => {
  // U+DC80 itself cannot be written in UTF-8: its three bytes are three escapes, not the escape of 0x80.
  const texts = [[0x80], [0xed, 0xb2, 0x80], [0xc2, 0x80]].map((bytes) => decodeText(Uint8Array.from(bytes)));
  assert.equal(new Set(texts).size, 3);
});
