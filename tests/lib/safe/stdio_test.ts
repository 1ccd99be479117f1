import assert from "node:assert/strict";
import { INPUT_LINE_LIMIT, linesOf } from "../../../lib/safe/stdio.ts";
import { concat, utf8 } from "../../support/bytes.ts";

/** The lines of a stream that comes in these pieces. */
async function lines(...pieces: readonly Uint8Array[]): Promise<string[]> {
  const stream = (async function* () {
    for (const piece of pieces) {
      yield await Promise.resolve(piece);
      piece.fill(0x58); // the buffer belongs to the stream again
    }
  })();
  return await Array.fromAsync(linesOf(stream));
}

Deno.test("lines are the same wherever the stream is cut", async () => {
  const text = utf8("one\n\nthrée\r\nlast\n");
  for (let cut = 0; cut <= text.length; cut++) {
    assert.deepEqual(
      await lines(text.slice(0, cut), text.slice(cut)),
      ["one", "", "thrée\r", "last"],
      `cut at ${cut}`,
    );
  }
  assert.deepEqual(await lines(...Array.from(text, (byte) => Uint8Array.of(byte))), [
    "one",
    "",
    "thrée\r",
    "last",
  ]);
});

Deno.test("a last line without its end counts, nothing at all does not", async () => {
  assert.deepEqual(await lines(utf8("one\ntwo")), ["one", "two"]);
  assert.deepEqual(await lines(), []);
  assert.deepEqual(await lines(new Uint8Array(0)), []);
});

Deno.test("bytes that are no UTF-8 come as they are", async () => {
  assert.deepEqual(await lines(concat(Uint8Array.of(0x41, 0xff), utf8("\n"))), ["A\udcff"]);
});

Deno.test("a line without end is given up at the limit", async () => {
  const piece = () => new Uint8Array(INPUT_LINE_LIMIT / 4).fill(0x41);
  assert.equal((await lines(piece(), piece(), piece(), piece()))[0]!.length, INPUT_LINE_LIMIT);
  await assert.rejects(lines(piece(), piece(), piece(), piece(), utf8("x")), /too long/);
});
