import assert from "node:assert/strict";
import { rewriteHandler } from "../../../lib/rewrite/rewrite_service.ts";
import type { ServerExchange } from "../../../lib/ipc/server.ts";
import type { REWRITE } from "../../../lib/proto/protocols.ts";
import { makeService, type Overrides } from "./rewrite_fixture.ts";

/** The replies that a request gets. */
async function ask(
  message: Parameters<ReturnType<typeof rewriteHandler>>[1],
  overrides: Overrides = {},
  failing: string[] = [],
) {
  const replies: unknown[] = [];
  const exchange: ServerExchange<typeof REWRITE> = {
    reply: (type, fields) => void replies.push([type, fields]),
    state: undefined,
    onCancel: undefined,
    cancelled: false,
  };
  await rewriteHandler(makeService(overrides, failing).service)(exchange, message);
  return replies;
}

Deno.test("each request gets one reply", async () => {
  assert.deepEqual(await ask({ is: "rewrite", context: "local", address: "user" }), [
    ["rewritten", { address: "user@mx.test" }],
  ]);
  const resolved = { transport: "smtp", nexthop: "evil.test", recipient: "user@evil.test", class: "default" };
  assert.deepEqual(await ask({ is: "resolve", sender: "", address: "user@evil.test" }), [
    ["resolved", { ...resolved, routed: false, bad: false }],
  ]);
  const failing = ["mydestination"];
  assert.deepEqual(await ask({ is: "resolve", sender: "", address: "user@evil.test" }, {}, failing), [
    ["retry", { reason: "mydestination lookup failure: table is away" }],
  ]);
});

Deno.test("what a table says is held to the limits of the protocol", async () => {
  const request = { is: "resolve", sender: "", address: "user@evil.test" } as const;
  const first = async (overrides: Overrides) =>
    (await ask(request, overrides))[0] as [string, Record<string, string>];
  const nexthop = (length: number) => ({ transport_maps: [`inline:{evil.test=:${"x".repeat(length)}}`] });
  assert.equal((await first(nexthop(1024)))[0], "resolved");
  assert.equal((await first(nexthop(1025)))[0], "retry");
  const transport = (length: number) => ({ transport_maps: [`inline:{evil.test=${"x".repeat(length)}:}`] });
  assert.equal((await first(transport(100)))[0], "resolved");
  assert.equal((await first(transport(101)))[0], "retry");
  const [, moved] = await first({ relocated_maps: [`inline:{user@evil.test=${"x".repeat(5000)}}`] });
  assert.ok(moved["nexthop"]!.length < 400);
});

Deno.test("a recipient that its domain makes too long is bad", async () => {
  const address = "a".repeat(1020);
  const [[type, fields]] = await ask({ is: "resolve", sender: "", address }) as [
    [string, Record<string, unknown>],
  ];
  assert.deepEqual([type, fields["bad"], fields["recipient"], fields["transport"]], [
    "resolved",
    true,
    address,
    "error",
  ]);
});
