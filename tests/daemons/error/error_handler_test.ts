import assert from "node:assert/strict";
import { errorHandler } from "../../../daemons/error/error_handler.ts";
import { settle } from "./settled.ts";

/** Service, soft_bounce, next hop; then result, status and text. */
const TABLE: readonly (readonly [service: string, soft: boolean, nexthop: string, outcome: string])[] = [
  ["error", false, "5.1.1 User unknown", "bounced 5.1.1 failed User unknown"],
  ["error", false, "User unknown", "bounced 5.0.0 failed User unknown"],
  ["error", false, "4.2.1 mailbox is closed", "bounced 5.2.1 failed mailbox is closed"],
  ["error", false, "", "bounced 5.0.0 failed Address is undeliverable"],
  ["error", false, "5.7.1", "bounced 5.7.1 failed Address is undeliverable"],
  ["error", true, "5.1.1 User unknown", "deferred 4.1.1 delayed User unknown"],
  ["retry", false, "4.3.2 deferred transport", "deferred 4.3.2 delayed deferred transport"],
  ["retry", false, "5.1.1 User unknown", "deferred 4.1.1 delayed User unknown"],
  ["retry", false, "not now", "deferred 4.0.0 delayed not now"],
  ["retry", true, "not now", "deferred 4.0.0 delayed not now"],
];

for (const [service, soft, nexthop, outcome] of TABLE) {
  Deno.test(`${service}: next hop "${nexthop}"${soft ? " with soft_bounce" : ""} is ${outcome}`, () => {
    const settings = { delay_logging_resolution_limit: 2, soft_bounce: soft };
    const settled = settle((log) => errorHandler(service, settings, log), nexthop, [
      "a b@example.com",
      "c@example.com",
    ]);
    assert.deepEqual(settled.outcomes, [`100 ${outcome}`, `101 ${outcome}`]);
    assert.equal(settled.finished, 1);
    const [result, status, , ...text] = outcome.split(" ");
    const shown = soft && service === "error" ? "SOFTBOUNCE" : result;
    assert.match(
      settled.log[0]!,
      /^4F2A: to=<"a b"@example\.com>, orig_to=<first@example\.com>, relay=none, delay=2(\.\d+)?, delays=1(\.\d+)?\/1(\.\d+)?\/0\/0, dsn=/,
    );
    assert.ok(
      settled.log[1]!.endsWith(`, dsn=${status}, status=${shown} (${text.join(" ")})`),
      settled.log[1]!,
    );
  });
}

Deno.test("error: a request without recipients is finished", () => {
  const settings = { delay_logging_resolution_limit: 2, soft_bounce: false };
  assert.deepEqual(settle((log) => errorHandler("error", settings, log), "x", []), {
    outcomes: [],
    finished: 1,
    log: [],
  });
});

Deno.test("a probe: undeliverable, whatever soft_bounce says", () => {
  for (
    const [service, outcome] of [["error", "bounced 5.1.1 failed"], [
      "retry",
      "deferred 4.1.1 delayed",
    ]] as const
  ) {
    const settings = { delay_logging_resolution_limit: 2, soft_bounce: true };
    const handler = (log: Parameters<typeof errorHandler>[2]) => errorHandler(service, settings, log);
    const settled = settle(handler, "5.1.1 User unknown", ["a@example.com"], true);
    assert.deepEqual(settled.outcomes, [`100 ${outcome} User unknown`]);
    assert.match(settled.log[0]!, /, status=undeliverable \(User unknown\)$/);
  }
});
