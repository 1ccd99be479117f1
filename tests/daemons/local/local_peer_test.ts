import assert from "node:assert/strict";
import { testNeeding } from "../../support/tools.ts";
import { PEER_CASES } from "./local_peer_cases.ts";
import { idOf, type PeerResult, PeerUsers, runOnPostern, runOnPostfix } from "./local_peer_support.ts";

testNeeding(
  ["root", "postfix", "python3"],
  "local and pipe do with mail what Debian's Postfix does: deliveries, files, statuses and reports",
  async (t) => {
    await using users = await PeerUsers.make();
    const theirs = await runOnPostfix(users, PEER_CASES);
    const ours = await runOnPostern(users, PEER_CASES);
    for (const [index, one] of PEER_CASES.entries()) {
      await t.step(one.name, () => {
        const otherText = one.otherText === true;
        const [mine, wanted] = [ours[index]!, theirs[index]!];
        if (one.ours === undefined) assert.deepEqual(compared(mine, otherText), compared(wanted, otherText));
        else {
          const expected = one.ours.map((line) => line.replaceAll("$id", idOf(index)));
          assert.deepEqual(compared(mine, true).lines, expected);
          assert.notDeepEqual(compared(wanted, true).lines, expected, "no difference is left");
        }
      });
    }
  },
);

/** What is compared; where texts may differ, who got what with which status. */
function compared({ lines, files, bounces }: PeerResult, otherText: boolean) {
  return {
    lines: otherText ? lines.map((line) => line.slice(0, line.indexOf(" ("))) : lines,
    files,
    bounces,
  };
}
