import assert from "node:assert/strict";
import { IpcError } from "../../../lib/ipc/client.ts";
import type { RequestValues } from "../../../lib/ipc/protocol.ts";
import { MapClient, type MapConnection } from "../../../lib/proto/proxymap_client.ts";
import type { PROXYMAP } from "../../../lib/proto/protocols.ts";
import { makeService } from "../../daemons/proxymap/proxymap_support.ts";

/** The real service behind a connection that counts and can fail. */
function setUp(settings: Readonly<Record<string, unknown>>) {
  const { service } = makeService(
    {
      virtual_alias_maps: ["inline:{a@b=c}"],
      relay_domains: ["lit.test", "inline:{tab.test=x}", "!late.test"],
    },
  );
  const state = { asked: 0, failure: undefined as Error | undefined, now: 0 };
  const connection = {
    call: async (_type: string, fields: RequestValues<typeof PROXYMAP, "find">) => {
      state.asked++;
      await Promise.resolve();
      if (state.failure !== undefined) throw state.failure;
      const outcome = await service.find(fields);
      if (outcome.kind === "found") {
        return { is: "found", value: outcome.value, extension: outcome.extension, place: "" };
      }
      return outcome.kind === "missing" ? { is: "missing" } : { is: "retry", reason: outcome.why };
    },
  } as unknown as MapConnection;
  return { state, client: new MapClient(connection, settings, () => state.now) };
}

const FOUND = { kind: "found", value: "c", extension: "" };

Deno.test("answers are remembered for five seconds, and equal questions at once are one request", async () => {
  const { state, client } = setUp({});
  const both = [
    client.find("virtual_alias_maps", "address", "a@b"),
    client.find("virtual_alias_maps", "address", "a@b"),
  ];
  assert.deepEqual(await Promise.all(both), [FOUND, FOUND]);
  state.now = 4999;
  assert.deepEqual(await client.find("virtual_alias_maps", "address", "a@b"), FOUND);
  assert.equal(state.asked, 1);
  state.now = 5000;
  await client.find("virtual_alias_maps", "address", "a@b");
  assert.equal(state.asked, 2);
  await client.find("virtual_alias_maps", "key", "a@b");
  assert.equal(state.asked, 3);
});

Deno.test("an empty parameter, a key too long and a key that is no text need no request", async () => {
  const { state, client } = setUp({ relocated_maps: [] });
  assert.deepEqual(await client.find("relocated_maps", "address", "a@b"), { kind: "missing" });
  assert.deepEqual(await client.find("virtual_alias_maps", "address", "é".repeat(545)), { kind: "missing" });
  assert.deepEqual(await client.find("virtual_alias_maps", "address", "a\uDC80@b"), { kind: "missing" });
  assert.equal(state.asked, 0);
  await client.find("virtual_alias_maps", "address", "é".repeat(544));
  assert.equal(state.asked, 1);
});

Deno.test("what a list's literal items decide needs no request", async () => {
  const settings = {
    relay_domains: ["lit.test", "inline:{tab.test=x}", "!late.test"],
    parent_domain_matches_subdomains: ["relay_domains"],
    mynetworks: ["127.0.0.0/8"],
  };
  const { state, client } = setUp(settings);
  const yes = { kind: "found", value: "", extension: "" };
  assert.deepEqual(await client.find("relay_domains", "list", "sub.lit.test"), yes);
  assert.deepEqual(await client.find("mynetworks", "list", "localhost 127.0.0.1"), yes);
  assert.deepEqual(await client.find("mynetworks", "list", "::ffff:127.0.0.1"), yes);
  assert.deepEqual(await client.find("mynetworks", "list", "192.0.2.1"), { kind: "missing" });
  assert.equal(state.asked, 0);
  assert.deepEqual(await client.find("relay_domains", "list", "tab.test"), yes);
  assert.deepEqual(await client.find("relay_domains", "list", "late.test"), { kind: "missing" });
  assert.equal(state.asked, 2);
});

Deno.test("without the settings proxymap decides", async () => {
  const { state, client } = setUp({});
  assert.equal((await client.find("relay_domains", "list", "sub.lit.test")).kind, "found");
  assert.equal(state.asked, 1);
});

Deno.test("a proxymap that is away is trouble that may pass, and is asked again", async () => {
  const { state, client } = setUp({});
  state.failure = new IpcError("lost", "Cannot reach proxymap");
  assert.deepEqual(await client.find("virtual_alias_maps", "key", "a@b"), {
    kind: "retry",
    why: "Cannot reach proxymap",
  });
  state.failure = undefined;
  assert.deepEqual(await client.find("virtual_alias_maps", "key", "a@b"), FOUND);
  assert.equal(state.asked, 2);
});

Deno.test("a refusal is trouble, and is not remembered", async () => {
  const { state, client } = setUp({});
  assert.equal((await client.find("virtual_uid_maps", "key", "a")).kind, "retry");
  assert.equal((await client.find("virtual_alias_maps", "key", "a", "texthash:/etc/passwd")).kind, "retry");
  assert.equal((await client.find("virtual_alias_maps", "key", "a", "x".repeat(16385))).kind, "retry");
  assert.equal(state.asked, 2);
});

Deno.test("an error of our own is not hidden", async () => {
  const { state, client } = setUp({});
  state.failure = new TypeError("fault");
  await assert.rejects(client.find("virtual_alias_maps", "key", "a@b"), TypeError);
});
