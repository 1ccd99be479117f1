import assert from "node:assert/strict";
import { counts, parseDnsList } from "../../../lib/access/dns_list.ts";
import { Random } from "../../support/random.ts";

const FITS: readonly [pattern: string, fits: readonly string[], others: readonly string[]][] = [
  ["127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2", "2.0.0.127"]],
  ["127.0.0.[2..4]", ["127.0.0.2", "127.0.0.3", "127.0.0.4"], ["127.0.0.1", "127.0.0.5"]],
  ["127.0.[1;3].[0..255]", ["127.0.1.0", "127.0.3.255"], ["127.0.2.7"]],
  ["127.0.0.[1;4..5;9]", ["127.0.0.1", "127.0.0.5", "127.0.0.9"], ["127.0.0.3", "127.0.0.8", "::7f00:1"]],
];

for (const [text, fits, others] of FITS) {
  Deno.test(`pattern ${text} fits what it names, and nothing else`, () => {
    const pattern = parseDnsList(`bl.test=${text}`)!;
    assert.ok(fits.every((address) => counts(pattern, address)));
    assert.ok(!others.some((address) => counts(pattern, address)));
  });
}

for (
  const text of [
    "",
    "127.0.0",
    "127.0.0.2.3",
    "127.0.0.256",
    "127.0.0.x",
    "127.0.0.[3..2]",
    "127.0.0.[1..2..3]",
    "127.0.0.[1;]",
    "127.0.0.[]",
    "127.0.0.[1",
    "127.0.0.1]",
    "127.0.0.[[1]]",
    "127.0.0.[1]2",
    "127.0.0.-1",
    "127.0.[0.0].1",
  ]
) {
  Deno.test(`pattern ${JSON.stringify(text)} is none`, () => {
    assert.equal(parseDnsList(`bl.test=${text}`), undefined);
  });
}

Deno.test("patterns: any text is a pattern or none", () => {
  const random = new Random(11);
  for (let i = 0; i < 20_000; i++) {
    let text = "";
    for (let n = random.below(20); n > 0; n--) text += random.pick([..."0127.;[]..x-"]);
    const pattern = parseDnsList(`bl.test=${text}`);
    assert.ok(pattern === undefined || pattern.filter?.length === 4, text);
  }
});
