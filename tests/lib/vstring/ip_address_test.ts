/** IP addresses as text and bytes. @module */
import assert from "node:assert/strict";
import { formatIpAddress, parseIpAddress } from "../../../lib/vstring/ip_address.ts";

const GOOD: readonly (readonly [text: string, usual: string])[] = [
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["192.0.2.1", "192.0.2.1"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["2001:db8::0001", "2001:db8::1"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
  ["1:0:0:4:0:0:0:8", "1:0:0:4::8"],
  ["1:0:0:4:5:0:0:8", "1::4:5:0:0:8"],
  ["::ffff:192.0.2.1", "::ffff:c000:201"],
  ["1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
];

for (const [text, usual] of GOOD) {
  Deno.test(`RFC 5952 section 4.2: ${text} is written ${usual}`, () => {
    const bytes = parseIpAddress(text);
    assert.ok(bytes !== undefined);
    assert.equal(formatIpAddress(bytes), usual);
    assert.deepEqual(parseIpAddress(usual), bytes);
  });
}

const BAD = [
  "",
  ".",
  ":",
  ":::",
  "1.2.3",
  "1.2.3.4.5",
  "01.2.3.4",
  "1.2.3.256",
  "1.2.3.-1",
  "1.2.3. 4",
  " 1.2.3.4",
  "1.2.3.4 ",
  "1.2.3.4\n",
  "0x1.2.3.4",
  "1..2.3",
  "127.1",
  "2130706433",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1::2::3",
  "::12345",
  "::g",
  "1:2:3:4:5:6:7::8:9",
  "1:2:3:4:5:6:7:8::",
  ":1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:",
  "::1.2.3",
  "1.2.3.4::",
  "::1%lo",
  "[::1]",
  "::ffff:1.2.3.4:5",
  "1:2:3:4:5:6:7:1.2.3.4",
  "x".repeat(100),
  "é",
];

for (const text of BAD) {
  Deno.test(`${JSON.stringify(text)} is no address`, () => assert.equal(parseIpAddress(text), undefined));
}

Deno.test("random addresses survive the way to text and back", () => {
  let seed = 3;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: round % 2 ? 4 : 16 }, () => next() % 3 === 0 ? next() & 255 : 0);
    assert.deepEqual(parseIpAddress(formatIpAddress(bytes)), bytes);
  }
  assert.throws(() => formatIpAddress(new Uint8Array(5)), RangeError);
});
