import assert from "node:assert/strict";
import { outcomeOf } from "../../../lib/mail/mailbox_outcome.ts";
import { statusFilter } from "../../../lib/server/status_filter.ts";
import { openTable } from "../../../lib/table/open.ts";

const TABLE =
  "inline:{ {5.1.1 no such user=4.1.1 come back}, {4.2.0 full=5.2.2 full for good}, {2.0.0 done=2.1.0 done}, " +
  "{5.0.0 a=2.0.0 fine}, {2.0.0 b=5.0.0 wrong}, {5.0.0 c=no code} }";

const CASES: readonly (readonly [status: string, reason: string, expected: string, warnings: number])[] = [
  ["5.1.1", "no such user", "deferred 4.1.1 come back", 0],
  ["4.2.0", "full", "bounced 5.2.2 full for good", 0],
  ["2.0.0", "done", "sent 2.1.0 done", 0],
  ["5.1.1", "other", "bounced 5.1.1 other", 0],
  ["5.0.0", "a", "bounced 5.0.0 a", 1],
  ["2.0.0", "b", "sent 2.0.0 b", 1],
  ["5.0.0", "c", "bounced 5.0.0 c", 1],
];

for (const [status, reason, expected, warnings] of CASES) {
  Deno.test(`A status filter makes of "${status} ${reason}" ${expected}`, async () => {
    const warned: string[] = [];
    const filter = statusFilter(
      "pipe_delivery_status_filter",
      [openTable(TABLE)],
      (text) => warned.push(text),
    )!;
    const { result, ...told } = await filter(outcomeOf(status, reason));
    assert.equal(`${result} ${told.status} ${told.reason}`, expected);
    assert.equal(warned.length, warnings);
  });
}

Deno.test("Without tables there is no filter; one that fails changes nothing", async () => {
  assert.equal(statusFilter("x", [], () => {}), undefined);
  const broken = openTable("fail:x");
  const warned: string[] = [];
  const filter = statusFilter("x", [broken], (text) => warned.push(text))!;
  assert.deepEqual(await filter(outcomeOf("5.1.1", "no")), outcomeOf("5.1.1", "no"));
  assert.equal(warned.length, 1);
});
