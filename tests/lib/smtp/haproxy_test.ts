import assert from "node:assert/strict";
import {
  formatProxyHeader,
  HEADER_LIMIT,
  parseProxyHeader,
  type ProxiedEnds,
} from "../../../lib/smtp/haproxy.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const V4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 25];
const V6 = [...Array(15).fill(0), 1, 0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 2, 1, 2, 0, 25];

/** A header of version 2. */
function binary(command: number, family: number, body: readonly number[], length = body.length): Uint8Array {
  return Uint8Array.from([...SIGNATURE, command, family, length >> 8, length & 255, ...body]);
}

const ENDS: ProxiedEnds = {
  clientAddress: "192.0.2.7",
  clientPort: 40_000,
  serverAddress: "198.51.100.1",
  serverPort: 25,
};
const ENDS6: ProxiedEnds = {
  clientAddress: "::1",
  clientPort: 258,
  serverAddress: "2001:db8::2",
  serverPort: 25,
};

const GOOD: readonly [name: string, header: Uint8Array, ends: ProxiedEnds | undefined][] = [
  ["version 1, IPv4", utf8("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"), ENDS],
  ["version 1, IPv6", utf8("PROXY TCP6 ::1 2001:db8::2 258 25\r\n"), ENDS6],
  ["version 1, unknown", utf8("PROXY UNKNOWN\r\n"), undefined],
  ["version 1, unknown with text", utf8("PROXY UNKNOWN ffff::1 x y z\r\n"), undefined],
  ["version 2, IPv4", binary(0x21, 0x11, V4), ENDS],
  ["version 2, IPv6", binary(0x21, 0x21, V6), ENDS6],
  ["version 2 with more than we look at", binary(0x21, 0x11, [...V4, 3, 0, 1, 9]), ENDS],
  ["version 2, local", binary(0x20, 0x11, V4), undefined],
  ["version 2, local and empty", binary(0x20, 0, []), undefined],
  ["version 2, unspecified", binary(0x21, 0, [1, 2, 3]), undefined],
];

for (const [name, header, ends] of GOOD) {
  Deno.test(`PROXY protocol: ${name}, cut at every byte, and with the client's bytes behind it`, () => {
    const whole = ends === undefined
      ? { kind: "direct", length: header.length }
      : { kind: "proxied", length: header.length, ends };
    for (let cut = 0; cut < header.length; cut++) {
      assert.deepEqual(parseProxyHeader(header.subarray(0, cut)), { kind: "more" }, `cut at ${cut}`);
    }
    assert.deepEqual(parseProxyHeader(header), whole);
    assert.deepEqual(parseProxyHeader(Uint8Array.from([...header, ...utf8("EHLO x\r\n")])), whole);
  });
}

const BAD: readonly [header: Uint8Array | string, why: string][] = [
  ["EHLO x\r\n", "unexpected protocol header"],
  ["PROXY\r\n", "unexpected protocol header"],
  ["proxy TCP4 192.0.2.7 198.51.100.1 1 25\r\n", "unexpected protocol header"],
  ["PROXY TCP4 192.0.2.7 198.51.100.1 1 25\n", "missing protocol header terminator"],
  ["PROXY TCP5 192.0.2.7 198.51.100.1 1 25\r\n", "bad or missing protocol type"],
  ["PROXY \r\n", "bad or missing protocol type"],
  ["PROXY TCP4 ::1 198.51.100.1 1 25\r\n", "bad or missing client address"],
  ["PROXY TCP4 192.0.2.07 198.51.100.1 1 25\r\n", "bad or missing client address"],
  ["PROXY TCP4\r\n", "bad or missing client address"],
  ["PROXY TCP6 192.0.2.7 ::1 1 25\r\n", "bad or missing client address"],
  ["PROXY TCP4 192.0.2.7 x 1 25\r\n", "bad or missing server address"],
  ["PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", "bad or missing client port"],
  ["PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n", "bad or missing client port"],
  ["PROXY TCP4  192.0.2.7 198.51.100.1 1 25\r\n", "bad or missing client address"],
  ["PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "bad or missing server port"],
  ["PROXY TCP4 192.0.2.7 198.51.100.1 1 25 x\r\n", "unexpected text behind the server port"],
  ["PROXY TCP4 192.0.2.7 198.51.100.1 1 000025\r\n", "bad or missing server port"],
  [binary(0x11, 0x11, V4), "unsupported protocol version"],
  [binary(0x22, 0x11, V4), "bad protocol command"],
  [binary(0x21, 0x12, V4), "unsupported network protocol"],
  [binary(0x21, 0x31, V4), "unsupported network protocol"],
  [binary(0x21, 0x11, V4.slice(1)), "short protocol header"],
  [binary(0x21, 0x21, V6.slice(1)), "short protocol header"],
];

for (const [header, why] of BAD) {
  const bytes = typeof header === "string" ? utf8(header) : header;
  Deno.test(`PROXY protocol: ${why}: ${JSON.stringify(String.fromCharCode(...bytes))}`, () => {
    assert.deepEqual(parseProxyHeader(bytes), { kind: "bad", why });
  });
}

Deno.test("PROXY protocol: a line of version 1 has 107 bytes at most, a header of version 2 has 536", () => {
  const line = (length: number) => utf8(`PROXY UNKNOWN ${"x".repeat(length - 16)}\r\n`);
  assert.equal(parseProxyHeader(line(107)).kind, "direct");
  assert.equal(parseProxyHeader(line(108)).kind, "bad");
  assert.equal(parseProxyHeader(line(5000).subarray(0, 107)).kind, "bad");
  const most = HEADER_LIMIT - 16;
  assert.equal(parseProxyHeader(binary(0x20, 0, Array(most).fill(7))).kind, "direct");
  assert.equal(parseProxyHeader(binary(0x20, 0, [], most + 1)).kind, "bad");
});

Deno.test("PROXY protocol: what we write is what we read", () => {
  for (const ends of [ENDS, ENDS6]) {
    const header = formatProxyHeader(ends);
    assert.deepEqual(parseProxyHeader(header), { kind: "proxied", length: header.length, ends });
  }
});

Deno.test("PROXY protocol: damaged headers and noise are read or refused, and never past their end", () => {
  const random = new Random(3);
  for (let i = 0; i < 20_000; i++) {
    const [, header] = random.pick(GOOD);
    const bytes = i % 4 === 0 ? random.bytes(random.below(600)) : random.damage(header);
    const read = parseProxyHeader(bytes);
    if (read.kind === "proxied" || read.kind === "direct") assert.ok(read.length <= bytes.length);
    else if (read.kind === "more") assert.ok(bytes.length < HEADER_LIMIT);
  }
});
