import assert from "node:assert/strict";
import { failedDelivery, MailboxError } from "../../../lib/mail/mailbox_outcome.ts";
import { GatheredSync } from "../../../lib/mail/mailbox_sync.ts";
import { SystemError } from "../../../lib/safe/error.ts";

const ERRORS: readonly (readonly [code: string, result: string, status: string])[] = [
  ["EAGAIN", "deferred", "4.2.0"],
  ["ESTALE", "deferred", "4.2.0"],
  ["ENOSPC", "deferred", "4.3.0"],
  ["EDQUOT", "bounced", "5.2.2"],
  ["EFBIG", "bounced", "5.2.2"],
  ["EIO", "deferred", "4.3.0"],
  ["EROFS", "deferred", "4.3.0"],
  ["EXDEV", "deferred", "4.2.0"],
  ["ENOENT", "deferred", "4.2.0"],
  ["EACCES", "bounced", "5.2.0"],
  ["", "bounced", "5.2.0"],
];

for (const [code, result, status] of ERRORS) {
  Deno.test(`A system error ${code || "without a code"} is ${result} with ${status}`, () => {
    const cause = Object.assign(new Error("x"), { code });
    const outcome = failedDelivery(new SystemError("write", "/m", cause));
    assert.deepEqual([outcome.result, outcome.status], [result, status]);
  });
}

Deno.test("A refusal of the sandbox, an unknown error and a writer's own 4.x.x are deferred", () => {
  const refusal = new SystemError("write", "/m", new Deno.errors.NotCapable("x"));
  assert.equal(failedDelivery(refusal).status, "4.3.5");
  assert.equal(failedDelivery(new TypeError("x")).result, "deferred");
  assert.equal(failedDelivery(new MailboxError("4.2.0", "x")).result, "deferred");
  assert.equal(failedDelivery(new MailboxError("5.2.2", "x")).result, "bounced");
});

Deno.test("Those who come during a sync share one that begins after it", async () => {
  const waiting: (() => void)[] = [];
  let begun = 0;
  const sync = new GatheredSync(() => {
    begun++;
    return new Promise((resolve) => waiting.push(resolve));
  });
  let done = 0;
  const waits = Array.from({ length: 10 }, () => sync.wait().then(() => done++));
  assert.equal(begun, 1);
  waiting[0]!();
  await waits[0];
  assert.equal(done, 1);
  while (begun < 2) await Promise.resolve();
  waiting[1]!();
  await Promise.all(waits);
  assert.deepEqual([begun, done], [2, 10]);
});

Deno.test("A failed sync is told to those who waited for it and not to the next", async () => {
  let round = 0;
  const sync = new GatheredSync(async () => {
    await Promise.resolve();
    if (round++ === 0) throw new Error("EIO");
  });
  const [first, second, third] = await Promise.allSettled([sync.wait(), sync.wait(), sync.wait()]);
  assert.deepEqual([first!.status, second!.status, third!.status], ["rejected", "fulfilled", "fulfilled"]);
  assert.equal(round, 2);
});
