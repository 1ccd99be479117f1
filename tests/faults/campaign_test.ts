import assert from "node:assert/strict";
import { describe, faultsOf, runCampaign } from "./campaign.ts";

/** The short run of the fault campaign; the long one is `deno task faults`. */

const SEED = Number(Deno.env.get("POSTERN_SEED") ?? 20261123);

Deno.test("whatever is killed, nothing that got its 250 is lost, and each duplicate has its cause", async () => {
  const outcome = await runCampaign({
    kills: 15,
    messages: 300,
    minutes: 0.8,
    seed: SEED,
    first: ["kill", "point", "master", "everything", "stop"],
    pace: 400,
  });
  console.info(describe(outcome, SEED));
  assert.deepEqual(faultsOf(outcome), []);
  assert.ok(outcome.kills >= 5, `${outcome.kills} kills`);
  assert.ok(outcome.account.accepted >= 100, `${outcome.account.accepted} messages`);
});
