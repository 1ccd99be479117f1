/** Replies of servers, cut and twisted. @module */
import assert from "node:assert/strict";
import {
  leadingStatus,
  type Reply,
  REPLY_LIMIT,
  REPLY_LINE_LIMIT,
  ReplyError,
  ReplyParser,
} from "../../../lib/smtp/reply.ts";

const encoder = new TextEncoder();

/** All replies of the bytes, fed in pieces of `size`. */
function parseAll(bytes: Uint8Array, size = bytes.length): Reply[] {
  const parser = new ReplyParser();
  const replies: Reply[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const end = Math.min(bytes.length, at + size);
    for (let from = at; from < end;) {
      from = parser.push(bytes, from, end);
      const reply = parser.take();
      if (reply !== undefined) replies.push(reply);
    }
  }
  return replies;
}

const GOOD: readonly (readonly [bytes: string, code: number, status: string, text: string])[] = [
  ["250 2.1.0 Ok\r\n", 250, "2.1.0", "250 2.1.0 Ok"],
  ["250\r\n", 250, "2.0.0", "250"],
  ["250 \r\n", 250, "2.0.0", "250 "],
  ["250 Ok\n", 250, "2.0.0", "250 Ok"],
  ["250-a\r\n250-b\r\n250 2.0.0 c\r\n", 250, "2.0.0", "250-a 250-b 250 2.0.0 c"],
  ["550 5.1.1 no\r\n", 550, "5.1.1", "550 5.1.1 no"],
  ["550 4.1.1 no\r\n", 550, "5.0.0", "550 4.1.1 no"],
  ["550 5.1 no\r\n", 550, "5.0.0", "550 5.1 no"],
  ["550 5.1.1234 no\r\n", 550, "5.0.0", "550 5.1.1234 no"],
  ["354 go\r\n", 354, "5.5.0", "354 go"],
  ["299 x\r\n", 299, "2.0.0", "299 x"],
  ["421-4.3.2 a\r\n421 4.3.2 b\r\n", 421, "4.3.2", "421-4.3.2 a 421 4.3.2 b"],
  ["553-\r\n553 \r\n", 553, "5.0.0", "553- 553 "],
  ["250 a\0b\x1b[0m\r\n", 250, "2.0.0", "250 a?b?[0m"],
  ["250 a\rb\r\n", 250, "2.0.0", "250 a?b"],
];

for (const [bytes, code, status, text] of GOOD) {
  Deno.test(`RFC 5321 section 4.2: ${JSON.stringify(bytes)} is a reply, cut anywhere`, () => {
    const input = encoder.encode(bytes);
    for (let size = 1; size <= input.length; size++) {
      const replies = parseAll(input, size);
      assert.deepEqual(
        replies.map((r) => [r.code, r.status, r.text]),
        [[code, status, text]],
        `pieces of ${size}`,
      );
    }
    for (let length = 0; length < input.length; length++) {
      assert.deepEqual(parseAll(input.subarray(0, length)), []);
    }
  });
}

const NOISE = [
  "hello\r\n",
  "2 50 x\r\n",
  "250x\r\n",
  "2500 x\r\n",
  "25\r\n",
  "\r\n",
  "-250 x\r\n",
  " 250 x\r\n",
  "２50 x\r\n",
];

for (const bytes of NOISE) {
  Deno.test(`${JSON.stringify(bytes)} is no reply: it is passed over and marked`, () => {
    for (const size of [1, 100]) {
      assert.deepEqual(parseAll(encoder.encode(bytes), size), []);
      const [reply, ...more] = parseAll(encoder.encode(`${bytes}250 ok\r\n250 again\r\n`), size);
      assert.equal(reply?.code, 250);
      assert.ok(reply.text.endsWith("250 ok"));
      assert.notEqual(reply.noise, undefined);
      assert.deepEqual(more.map(({ code, noise }) => [code, noise]), [[250, undefined]]);
    }
  });
}

Deno.test("a line of noise inside a reply is marked too", () => {
  const [reply] = parseAll(encoder.encode("250-a\r\nb\r\n250 c\r\n"));
  assert.deepEqual([reply?.code, reply?.noise, reply?.text], [250, "b", "250-a b 250 c"]);
});

Deno.test("CLI-05: a code of no class is a reply, whose status means a fault of the protocol", () => {
  for (const code of [0, 20, 100, 199, 354, 600, 999]) {
    const [reply] = parseAll(encoder.encode(`${String(code).padStart(3, "0")} 2.0.0 x\r\n`));
    assert.deepEqual([reply?.code, reply?.status], [code, "5.5.0"]);
  }
});

Deno.test("a parser that holds lines goes on with what takes their place", () => {
  const parser = new ReplyParser(true);
  const input = encoder.encode("250-one\r\n250 two\r\n250 next\r\n");
  let at = parser.push(input, 0, input.length);
  assert.equal(new TextDecoder().decode(parser.held), "250-one");
  parser.accept(encoder.encode("550-no"));
  at = parser.push(input, at, input.length);
  assert.equal(new TextDecoder().decode(parser.held), "250 two");
  parser.accept(encoder.encode("550 5.7.1 changed"));
  const rest = "250 next\r\n".length;
  assert.deepEqual([parser.take()?.text, input.length - at], ["550-no 550 5.7.1 changed", rest]);
});

Deno.test("several replies in one piece come one by one", () => {
  const replies = parseAll(encoder.encode("250 a\r\n250 b\r\n354 c\r\n"));
  assert.deepEqual(replies.map((r) => r.text), ["250 a", "250 b", "354 c"]);
});

Deno.test("a line is kept up to its limit and the rest is dropped", () => {
  for (const length of [REPLY_LINE_LIMIT - 1, REPLY_LINE_LIMIT, REPLY_LINE_LIMIT + 1, 10_000]) {
    const [reply] = parseAll(encoder.encode(`250 ${"x".repeat(length - 4)}\r\n`));
    assert.equal(reply?.code, 250);
    assert.ok(reply.lines[0]!.length <= REPLY_LINE_LIMIT - 4);
    assert.ok(reply.text.length <= 2003);
  }
});

Deno.test("a reply may be as long as the limit and no longer", () => {
  const fill = (total: number) => encoder.encode(`250 ${"x".repeat(total - 6)}\r\n`);
  // The limit counts what comes before the end of the last line.
  assert.equal(parseAll(fill(REPLY_LIMIT)).length, 1);
  assert.throws(() => parseAll(fill(REPLY_LIMIT + 3)), ReplyError);
  assert.throws(() => parseAll(encoder.encode("250-x\r\n".repeat(REPLY_LIMIT / 7 + 1))), ReplyError);
});

Deno.test("of many lines the first hundred and the last are kept", () => {
  const [reply] = parseAll(encoder.encode(`${"250-a\r\n".repeat(500)}250 last\r\n`));
  assert.equal(reply?.lines.length, 101);
  assert.equal(reply?.lines.at(-1), "last");
});

Deno.test("random bytes are a reply or an error, and never anything else", () => {
  let seed = 12345;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
  const alphabet = encoder.encode("0123456789- \r\n\0.aé");
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: next() % 60 }, () => alphabet[next() % alphabet.length]!);
    try {
      for (const reply of parseAll(bytes, 1 + next() % 7)) assert.ok(reply.code >= 0 && reply.code <= 999);
    } catch (error) {
      assert.ok(error instanceof ReplyError);
    }
  }
});

Deno.test("RFC 2034 section 4: an enhanced code whose class is not the reply's is not believed", () => {
  for (const code of ["250", "450", "550"]) {
    for (const family of ["2", "4", "5"]) {
      const [reply] = parseAll(encoder.encode(`${code} ${family}.1.1 x\r\n`));
      assert.equal(reply?.status, code.startsWith(family) ? `${family}.1.1` : `${code[0]}.0.0`);
    }
  }
});

Deno.test("RFC 3463 section 2: an enhanced status code is three numbers of which the first is 2, 4 or 5", () => {
  for (
    const [text, status] of [["2.0.0 ok", "2.0.0"], ["5.7.123 x", "5.7.123"], ["4.0.0", "4.0.0"]] as const
  ) {
    assert.equal(leadingStatus(text), status);
  }
  for (
    const text of [
      "",
      "3.0.0 x",
      "2.0 x",
      "2.0.0.0",
      "2..0",
      "2.0.1234",
      "2.0.0x",
      "x2.0.0",
      "2.-1.0",
      "12.0.0",
    ]
  ) {
    assert.equal(leadingStatus(text), undefined, text);
  }
});
