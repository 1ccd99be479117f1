import assert from "node:assert/strict";
import { type ConcurrencyRules, DestinationQueue, parseFeedback } from "../../../daemons/qmgr/qmgr_queue.ts";

/** Concurrency feedback (postfix-map section 3.5): the numbers are those of Postfix's qmgr_queue.c. */

function queue(
  rules:
    & Partial<Record<"positive" | "negative", string>>
    & Partial<Omit<ConcurrencyRules, "positive" | "negative">> = {},
) {
  return new DestinationQueue("example.test", "example.test", {
    initial: rules.initial ?? 5,
    limit: rules.limit ?? 20,
    positive: parseFeedback(rules.positive ?? "1")!,
    negative: parseFeedback(rules.negative ?? "1")!,
    failedCohortLimit: rules.failedCohortLimit ?? 1,
  });
}

for (
  const [text, window, value] of [
    ["1", 7, 1],
    ["0", 7, 0],
    ["0.5", 7, 0.5],
    ["1/3", 7, 1 / 3],
    ["1/concurrency", 8, 1 / 8],
    ["0.5/concurrency", 8, 1 / 16],
    ["1/sqrt_concurrency", 16, 1 / 4],
  ] as const
) {
  Deno.test(`feedback ${text} at a window of ${window} is ${value}`, () => {
    assert.equal(parseFeedback(text)!(window), value);
  });
}

Deno.test("feedback that is no number from 0 to 1 is refused", () => {
  for (
    const text of [
      "",
      "x",
      "1.1",
      "-0.1",
      "2/concurrency",
      "1/",
      "1/0",
      "1/0.5",
      "1/x",
      "/3",
      "NaN",
      "Infinity",
    ]
  ) {
    assert.equal(parseFeedback(text), undefined, text);
  }
});

Deno.test("the window starts at the initial concurrency, capped by the limit; 0 is no limit", () => {
  assert.equal(queue().window, 5);
  assert.equal(queue({ limit: 2 }).window, 2);
  assert.equal(queue({ limit: 0, initial: 50 }).window, 50);
});

/** The window after each of so many good deliveries, all slots in use. */
function grow(one: DestinationQueue, times: number): number[] {
  return Array.from({ length: times }, () => {
    one.busy = one.window;
    one.succeeded();
    return one.window;
  });
}

for (
  const [positive, windows] of [
    ["1", [6, 7, 8, 9]],
    ["1/2", [5, 6, 6, 7, 7]],
    ["1/3", [5, 5, 6, 6, 6, 7]],
    // 5 x 1/5, then 6 x 1/6, half a step early at the first turn.
    ["1/concurrency", [5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7]],
    ["1/sqrt_concurrency", [5, 6, 6, 6, 7]],
    ["0", [5, 5, 5]],
  ] as const
) {
  Deno.test(`good deliveries with feedback ${positive} grow the window ${windows.join(" ")}`, () => {
    assert.deepEqual(grow(queue({ positive }), windows.length), windows);
  });
}

Deno.test("the window grows to the limit and no further, and without a limit beyond it", () => {
  assert.equal(grow(queue({ limit: 7 }), 10).at(-1), 7);
  assert.equal(grow(queue({ limit: 0 }), 100).at(-1), 105);
});

Deno.test("the window grows only while it is used: up to the initial concurrency beyond what is busy", () => {
  const one = queue();
  one.busy = 1;
  for (let i = 0; i < 20; i++) one.succeeded();
  assert.equal(one.window, 6);
});

for (
  const [negative, windows] of [
    // One step would leave the count at exactly 0, which is not yet above half a step: Postfix takes the second too.
    ["1", [8, 7, 6, 5]],
    ["1/2", [9, 8, 8, 7]],
    ["1/3", [9, 9, 8, 8]],
    ["0", [10, 10, 10]],
  ] as const
) {
  Deno.test(`site failures with feedback ${negative} shrink the window ${windows.join(" ")}`, () => {
    const one = queue({ initial: 10, negative, failedCohortLimit: 0 });
    const seen = windows.map(() => (one.failed(), one.window));
    assert.deepEqual(seen, windows);
  });
}

Deno.test("the window never shrinks below 1, and at 1 failures still outweigh later successes", () => {
  const one = queue({ initial: 1, failedCohortLimit: 0, positive: "1/2", negative: "1" });
  for (let i = 0; i < 10; i++) one.failed();
  assert.equal(one.window, 1);
  one.busy = 1;
  one.succeeded();
  assert.equal(one.window, 1);
  one.succeeded();
  assert.equal(one.window, 2);
});

for (const [limit, window, failures] of [[1, 5, 5], [1, 1, 1], [2, 5, 10], [1, 10, 10]] as const) {
  Deno.test(`a destination with a window of ${window} is dead after ${failures} failures, cohort limit ${limit}`, () => {
    // Without shrinking, each failure is one part of a cohort.
    const one = queue({ initial: window, negative: "0", failedCohortLimit: limit });
    for (let i = 1; i < failures; i++) assert.equal(one.failed(), false, `failure ${i}`);
    // Fractions do not add up exactly: one more is allowed.
    assert.ok(one.failed() || one.failed());
  });
}

Deno.test("with the default feedback a destination of 5 is dead at the third failure: 1/5 + 1/3 + 1/2", () => {
  const one = queue();
  assert.deepEqual([one.failed(), one.failed(), one.failed()], [false, false, true]);
});

Deno.test("a good delivery makes earlier failures forgotten", () => {
  const one = queue({ initial: 2, negative: "0" });
  for (let i = 0; i < 10; i++) {
    assert.equal(one.failed(), false);
    one.busy = 2;
    one.succeeded();
  }
});

Deno.test("cohort limit 0: a destination never dies", () => {
  const one = queue({ failedCohortLimit: 0 });
  for (let i = 0; i < 1000; i++) assert.equal(one.failed(), false);
});

Deno.test("a revived destination starts at what it has in hand, else at the initial concurrency", () => {
  for (const [busy, window] of [[0, 5], [3, 3], [9, 9]] as const) {
    const one = queue();
    grow(one, 10);
    one.deadUntil = Date.now() + 1000;
    one.busy = busy;
    one.revive();
    assert.equal(one.window, window);
    assert.equal(one.dead, false);
  }
});

Deno.test("a good delivery that was under way when the destination died revives it", () => {
  const one = queue();
  one.busy = 2;
  one.deadUntil = Date.now() + 100_000;
  one.succeeded();
  assert.equal(one.dead, false);
  assert.equal(one.window, 2);
});

Deno.test("entries come out in the order in which they went in, also past the point where the list is cut", () => {
  const one = queue();
  const entry = (id: number) => ({ id }) as never;
  let next = 0;
  const ids = () => (one.shift() as unknown as { id: number } | undefined)?.id;
  for (let i = 0; i < 5000; i++) one.push(entry(i));
  for (; next < 4000; next++) assert.equal(ids(), next);
  one.unshift(entry(-1));
  assert.equal(one.waiting, 1001);
  assert.equal(ids(), -1);
  one.push(entry(5000));
  for (; next <= 5000; next++) assert.equal(ids(), next);
  assert.equal(ids(), undefined);
  assert.equal(one.waiting, 0);
  assert.equal(one.last, undefined);
});
