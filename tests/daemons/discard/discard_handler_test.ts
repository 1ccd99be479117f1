import assert from "node:assert/strict";
import { discardHandler } from "../../../daemons/discard/discard_handler.ts";
import { settle } from "../error/settled.ts";

/** Next hop; then status and text. */
const TABLE: readonly (readonly [nexthop: string, outcome: string])[] = [
  ["2.1.5 not wanted", "sent 2.1.5 delivered not wanted"],
  ["not wanted", "sent 2.0.0 delivered not wanted"],
  ["", "sent 2.0.0 delivered "],
];

for (const [nexthop, outcome] of TABLE) {
  Deno.test(`discard: next hop "${nexthop}" is ${outcome}`, () => {
    const settings = { delay_logging_resolution_limit: 2 };
    const settled = settle((log) => discardHandler(settings, log), nexthop, [
      "a@example.com",
      "b@example.com",
    ]);
    assert.deepEqual(settled.outcomes, [`100 ${outcome}`, `101 ${outcome}`]);
    assert.equal(settled.finished, 1);
    const [, status, , ...text] = outcome.split(" ");
    assert.ok(settled.log[1]!.startsWith("4F2A: to=<b@example.com>, relay=none, delay=2"));
    assert.ok(settled.log[1]!.endsWith(`, dsn=${status}, status=sent (${text.join(" ")})`), settled.log[1]!);
  });
}

Deno.test("discard: a probe is deliverable", () => {
  const settings = { delay_logging_resolution_limit: 2 };
  const settled = settle((log) => discardHandler(settings, log), "not wanted", ["a@example.com"], true);
  assert.deepEqual(settled.outcomes, ["100 sent 2.0.0 delivered not wanted"]);
  assert.match(settled.log[0]!, /, status=deliverable \(not wanted\)$/);
});
