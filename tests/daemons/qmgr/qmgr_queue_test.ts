import assert from "node:assert/strict";
import {
  type ConcurrencyRules,
  destinationName,
  DestinationQueue,
  parseFeedback,
} from "../../../daemons/qmgr/qmgr_queue.ts";

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

for (
  const [address, perRecipient, name] of [
    ["User@Example.Test", false, "hub.test"],
    ["User@Example.Test", true, "user@hub.test"],
    ["user+lists@example.test", true, "user@hub.test"],
    ["+lists@example.test", true, "+lists@hub.test"],
    ["a@b@example.test", true, "a@b@hub.test"],
    ["user", true, "user@hub.test"],
    ["Postmaster+x@example.test", true, "postmaster@hub.test"],
  ] as const
) {
  const kind = perRecipient ? "one recipient" : "many recipients";
  Deno.test(`with ${kind} to a delivery, ${address} by way of Hub.Test has the destination ${name}`, () => {
    const rule = {
      recipient_delimiter: "+",
      owner_request_special: true,
      double_bounce_sender: "double-bounce",
    };
    assert.equal(destinationName(address, "Hub.Test", perRecipient, rule), name);
  });
}

/** A destination with feedback 1/3, an initial concurrency of 3 and a limit of 4, and what it tells. */
function talkative() {
  const lines: string[] = [];
  const one = new DestinationQueue("[127.0.0.1]:25", "[127.0.0.1]:25", {
    initial: 3,
    limit: 4,
    positive: parseFeedback("1/3")!,
    negative: parseFeedback("1/3")!,
    failedCohortLimit: 2,
    debug: (text) => lines.push(text.replace("queue [127.0.0.1]:25: limit 4 ", "")),
  });
  return { one, lines };
}

// The lines are those that Postfix 3.7 logged with the same settings.
Deno.test("destination_concurrency_feedback_debug: success, in the words and numbers of Postfix", () => {
  const { one, lines } = talkative();
  for (let i = 0; i < 4; i++) {
    one.busy = one.window;
    one.succeeded();
  }
  assert.deepEqual(lines, [
    "qmgr_queue_unthrottle: feedback 0.333333",
    "qmgr_queue_unthrottle: window 3 success 0.333333 failure 0 fail_cohorts 0",
    "qmgr_queue_unthrottle: feedback 0.333333",
    "qmgr_queue_unthrottle: window 3 success 0.666667 failure 0 fail_cohorts 0",
    "qmgr_queue_unthrottle: feedback 0.333333",
    "qmgr_queue_unthrottle: window 4 success 0 failure 0 fail_cohorts 0",
    "qmgr_queue_unthrottle: window 4 success 0 failure 0 fail_cohorts 0",
  ]);
});

Deno.test("destination_concurrency_feedback_debug: failure, in the words and numbers of Postfix", () => {
  const { one, lines } = talkative();
  assert.deepEqual([1, 2, 3, 4].map(() => one.failed()), [false, false, false, true]);
  assert.deepEqual(lines, [
    "qmgr_queue_throttle: feedback 0.333333",
    "qmgr_queue_throttle: window 2 success 0 failure 0.666667 fail_cohorts 0.333333",
    "qmgr_queue_throttle: feedback 0.333333",
    "qmgr_queue_throttle: window 2 success 0 failure 0.333333 fail_cohorts 0.833333",
    "qmgr_queue_throttle: feedback 0.333333",
    "qmgr_queue_throttle: window 1 success 0 failure 1 fail_cohorts 1.33333",
    "qmgr_queue_throttle: window 0 success 0 failure 1 fail_cohorts 2.33333",
  ]);
});
