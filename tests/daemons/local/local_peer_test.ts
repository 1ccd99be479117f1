import assert from "node:assert/strict";
import { testNeeding } from "../../support/tools.ts";
import { PEER_CASES } from "./local_peer_cases.ts";
import { askSpawned, spawnProcesses } from "../spawn/spawn_peer_support.ts";
import { idOf, type PeerResult, PeerUsers, runOnPostern, runOnPostfix } from "./local_peer_support.ts";

testNeeding(
  ["root", "postfix", "python3"],
  "local, pipe and spawn do with mail and programs what Debian's Postfix does: deliveries, files, statuses and reports",
  async (t) => {
    await using users = await PeerUsers.make();
    const [theirRights, ourRights]: [string[], string[]] = [[], []];
    const spawns: { readonly uid: number; readonly flags: readonly string[] }[] = [];
    const theirs = await runOnPostfix(users, PEER_CASES, async (queue) => {
      theirRights.push(...await askSpawned(users, queue));
    });
    const ours = await runOnPostern(users, PEER_CASES, {
      look: async (installation) => {
        ourRights.push(...await askSpawned(users, installation.queue));
        spawns.push(...spawnProcesses(installation));
      },
    });
    await t.step("spawn gives its program the rights that Debian's gives", () => {
      assert.deepEqual(ourRights, theirRights);
      assert.match(ourRights[0]!, /^spawn: alice\nalice\nalice\n/);
      assert.match(ourRights[1]!, /^spawn2: bob\nnogroup\nnogroup\n/);
    });
    await t.step(
      "a spawn process has its program's user, and may start that program and nothing else",
      () => {
        const uids = ["alice", "bob"].map((user) => users.ids(user)[0]);
        assert.deepEqual(spawns.map(({ uid }) => uid).sort(), uids.sort());
        for (const { flags } of spawns) {
          assert.deepEqual(flags.filter((flag) => flag.startsWith("--allow-") || flag === "-A"), [
            "--allow-import=deny.invalid",
            "--allow-run=/bin/sh",
          ]);
        }
      },
    );
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
