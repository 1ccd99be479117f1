/** Some seconds of the fuzzer, the same inputs each time, and every input that it ever found something with. @module */
import assert from "node:assert/strict";
import { fuzz, TARGETS } from "./fuzz.ts";

/** Inputs of each target: together some seconds. */
const ROUNDS: Readonly<Record<string, number>> = { smtp: 60, ipc: 1500, record: 400 };
const OTHERS = 3000;

for (const target of TARGETS.keys()) {
  Deno.test(`fuzz: ${target} stands what it is given`, async () => {
    const rounds = ROUNDS[target] ?? OTHERS;
    assert.equal(await fuzz({ target, seed: 1, rounds }), rounds);
  });
}
