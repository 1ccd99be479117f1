import assert from "node:assert/strict";
import { Deadline } from "../../../lib/stream/deadline.ts";
import { InputBuffer } from "../../../lib/stream/input_buffer.ts";

const encoder = new TextEncoder();

/** A clock that the test moves. */
function clock() {
  const time = { now: 1000 };
  return { time, now: () => time.now };
}

Deno.test("each piece starts the time anew when the deadline is per piece", () => {
  const { time, now } = clock();
  const deadline = new Deadline({ timeout: 300, perRequest: false, minimumRate: 1 }, now);
  time.now += 299;
  assert.equal(deadline.left, 1);
  deadline.progress(1);
  assert.equal(deadline.left, 300);
  time.now += 300;
  assert.equal(deadline.left, 0);
});

Deno.test("a byte now and then does not hold a per-request deadline up", () => {
  const { time, now } = clock();
  const deadline = new Deadline({ timeout: 10_000, perRequest: true, minimumRate: 500 }, now);
  let steps = 0;
  while (deadline.left > 0) {
    time.now += 1000;
    deadline.progress(1); // one byte is worth 2 ms
    steps++;
  }
  assert.equal(steps, 11);
});

Deno.test("data at the minimum rate extends a per-request deadline, never beyond a fresh one", () => {
  const { time, now } = clock();
  const deadline = new Deadline({ timeout: 10_000, perRequest: true, minimumRate: 500 }, now);
  time.now += 5000;
  deadline.progress(500);
  assert.equal(deadline.left, 6000);
  deadline.progress(1_000_000);
  assert.equal(deadline.left, 10_000);
  time.now += 20_000;
  deadline.start();
  assert.equal(deadline.left, 10_000);
});

/** All lines that come when `text` arrives cut at `at`, as "text" or "text!" for a bare LF, "#" for one too long. */
function linesOf(text: string, limit: number, cuts: readonly number[]): string[] {
  const bytes = encoder.encode(text);
  const input = new InputBuffer();
  const lines: string[] = [];
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    input.push(bytes.slice(from, to));
    from = to;
    for (let line = input.line(limit); line.kind !== "more"; line = input.line(limit)) {
      lines.push(
        line.kind === "tooLong" ? "#" : new TextDecoder().decode(line.bytes) + (line.crlf ? "" : "!"),
      );
    }
  }
  return lines;
}

Deno.test("lines are the same wherever the input is cut", () => {
  const text = "HELO a\r\n\r\nbare\nRSET\r\r\nend\r\n";
  const expected = ["HELO a", "", "bare!", "RSET\r", "end"];
  for (let a = 0; a <= text.length; a++) {
    for (let b = a; b <= text.length; b++) {
      assert.deepEqual(linesOf(text, 100, [a, b]), expected, `${a} ${b}`);
    }
  }
});

Deno.test("a line at the limit is taken, one byte more is not, and what follows is", () => {
  for (let cut = 0; cut <= 30; cut++) {
    assert.deepEqual(linesOf("12345\r\nok\r\n", 5, [cut]), ["12345", "ok"], String(cut));
    assert.deepEqual(linesOf("123456\r\nok\r\n", 5, [cut]), ["#", "ok"], String(cut));
    assert.deepEqual(linesOf("123456789012345678\r\nok\r\n", 5, [cut]), ["#", "ok"], String(cut));
  }
});

Deno.test("a line without an end takes no more memory than its limit and one read", () => {
  const input = new InputBuffer();
  for (let i = 0; i < 1000; i++) {
    input.push(new Uint8Array(1000).fill(0x61));
    assert.equal(input.line(2048).kind, "more");
    assert.ok(input.length <= 3048);
  }
  input.push(encoder.encode("\r\nQUIT\r\n"));
  assert.equal(input.line(2048).kind, "tooLong");
  assert.equal(input.line(2048).kind, "line");
});

Deno.test("what is consumed is gone, and what was not stays", () => {
  const input = new InputBuffer();
  input.push(encoder.encode("abcdef"));
  input.consume(2);
  assert.equal(new TextDecoder().decode(input.view()), "cdef");
  assert.equal(input.length, 4);
});

Deno.test("what is kept stays as it is when its giver uses the memory again", () => {
  const input = new InputBuffer();
  const memory = new TextEncoder().encode("first\r\nsecond");
  input.push(memory);
  assert.equal(input.line(100).kind, "line");
  input.keep();
  memory.fill(0xee);
  assert.equal(new TextDecoder().decode(input.view()), "second");
});
