/** Who may post mail, and with which senders. @module */
import assert from "node:assert/strict";
import type { MapLookup, MapOutcome } from "../../../lib/proto/proxymap_client.ts";
import {
  allowsEverybody,
  mayPost,
  maySendAs,
  type SubmitAccessSettings,
  type Submitter,
} from "../../../lib/server/submit_access.ts";

const SETTINGS: SubmitAccessSettings = {
  authorized_submit_users: ["list"],
  double_bounce_sender: "double-bounce",
  empty_address_local_login_sender_maps_lookup_key: "<>",
  local_login_sender_maps: ["inline:{x=y}"],
  owner_request_special: true,
  recipient_delimiter: "+",
};
const ALICE: Submitter = { uid: 1000, login: "alice", privileged: false };

/** Tables that have these values, and fail for "broken". */
function tables(values: Readonly<Record<string, string>>, asked: string[] = []): MapLookup {
  return {
    find: (parameter, search, key): Promise<MapOutcome> => {
      asked.push(`${parameter} ${search} ${key}`);
      if (key === "broken") return Promise.resolve({ kind: "retry", why: "table is away" });
      const value = values[key];
      return Promise.resolve(
        value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
      );
    },
  };
}

Deno.test("the defaults let everybody post as anybody, and ask no table", async () => {
  const settings = {
    ...SETTINGS,
    authorized_submit_users: ["static:anyone"],
    local_login_sender_maps: ["static:*"],
  };
  assert.equal(allowsEverybody(settings), true);
  assert.equal(allowsEverybody(SETTINGS), false);
  const asked: string[] = [];
  assert.equal((await mayPost(ALICE, tables({}, asked), settings)).kind, "allowed");
  assert.equal((await maySendAs(ALICE, "root@x.test", tables({}, asked), settings)).kind, "allowed");
  assert.deepEqual(asked, []);
});

Deno.test("authorized_submit_users has the login name, or unknown; root and the queue's owner need no mention", async () => {
  const maps = tables({ alice: "" });
  assert.equal((await mayPost(ALICE, maps, SETTINGS)).kind, "allowed");
  assert.deepEqual(await mayPost({ ...ALICE, login: "bob" }, maps, SETTINGS), {
    kind: "refused",
    why: "User bob(1000) is not allowed to submit mail",
  });
  assert.deepEqual(await mayPost({ ...ALICE, login: undefined }, maps, SETTINGS), {
    kind: "refused",
    why: "User unknown(1000) is not allowed to submit mail",
  });
  assert.equal((await mayPost({ uid: 0, login: "root", privileged: true }, maps, SETTINGS)).kind, "allowed");
  assert.deepEqual(await mayPost({ ...ALICE, login: "broken" }, maps, SETTINGS), {
    kind: "retry",
    why: "authorized_submit_users: table is away",
  });
});

Deno.test("local_login_sender_maps has patterns for a login", async () => {
  const table: readonly (readonly [patterns: string, sender: string, allowed: boolean])[] = [
    ["*", "anybody@x.test", true],
    ["*", "", true],
    ["<>", "", true],
    ["<>", "alice", false],
    ["alice", "", false],
    ["alice", "alice", true],
    ["alice", "Alice", true],
    ["alice", "alice@x.test", false],
    ["alice, alice@x.test", "alice@x.test", true],
    ["alice alice@x.test", "alice@X.TEST", true],
    ["alice@x.test", "alice+list@x.test", true],
    ["alice+list@x.test", "alice+list@x.test", true],
    ["alice+list@x.test", "alice@x.test", false],
    ["@x.test", "bob@x.test", true],
    ["@x.test", "bob@sub.x.test", false],
    ["@x.test", "bob", false],
    ["*@x.test", "bob@x.test", false],
    ["bob@x.test", "alice@x.test", false],
  ];
  for (const [patterns, sender, allowed] of table) {
    const verdict = await maySendAs(ALICE, sender, tables({ alice: patterns }), SETTINGS);
    assert.equal(verdict.kind, allowed ? "allowed" : "refused", `${patterns} for <${sender}>`);
  }
});

Deno.test("who has no login name is asked for as uid:NUMBER, and root is asked for like others", async () => {
  const asked: string[] = [];
  const nobody = { ...ALICE, login: undefined };
  assert.equal((await maySendAs(nobody, "a", tables({ "uid:1000": "a" }, asked), SETTINGS)).kind, "allowed");
  assert.deepEqual(asked, ["local_login_sender_maps key uid:1000"]);
  const root = { uid: 0, login: "root", privileged: true };
  assert.deepEqual(await maySendAs(root, "a@x.test", tables({}), SETTINGS), {
    kind: "refused",
    why: "User root(0) is not allowed to send as <a@x.test>",
  });
  assert.deepEqual(await maySendAs({ ...root, login: "broken" }, "a", tables({}), SETTINGS), {
    kind: "retry",
    why: "local_login_sender_maps: table is away",
  });
});

Deno.test("the null sender has a pattern of its own", async () => {
  const settings = { ...SETTINGS, empty_address_local_login_sender_maps_lookup_key: "nobody" };
  assert.equal((await maySendAs(ALICE, "", tables({ alice: "nobody" }), settings)).kind, "allowed");
  assert.equal((await maySendAs(ALICE, "", tables({ alice: "<>" }), settings)).kind, "refused");
});
