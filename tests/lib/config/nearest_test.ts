import assert from "node:assert/strict";
import { nearestName } from "../../../lib/config/nearest.ts";
import { PARAMETER_NAMES } from "../../../lib/config/parameters.ts";

const CASES: readonly (readonly [string, string | undefined])[] = [
  ["smtpd_bannr", "smtpd_banner"],
  ["smtpd_bannner", "smtpd_banner"],
  ["smtdp_banner", "smtpd_banner"],
  ["mydestinations", "mydestination"],
  ["my_network", "mynetworks"],
  ["myhostname", "myhostname"],
  ["completely_different_thing", undefined],
  ["x", undefined],
  ["", undefined],
  ["a".repeat(101), undefined],
];

for (const [name, expected] of CASES) {
  Deno.test(`"${name.slice(0, 30)}" was meant to be ${expected ?? "nothing known"}`, () => {
    assert.equal(nearestName(name, PARAMETER_NAMES), expected);
  });
}

Deno.test("two neighbours swapped are nearer than a letter too many and one too few", () => {
  assert.equal(nearestName("ab", ["ba"]), "ba");
  assert.equal(nearestName("teh", ["tee", "the"]), "tee");
});
