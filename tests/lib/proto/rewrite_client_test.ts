import assert from "node:assert/strict";
import { IpcError } from "../../../lib/ipc/client.ts";
import type { Reply, RequestValues } from "../../../lib/ipc/protocol.ts";
import { ADDRESS_LIMIT, type REWRITE } from "../../../lib/proto/protocols.ts";
import { ReplyCache } from "../../../lib/proto/reply_cache.ts";
import { RewriteClient } from "../../../lib/proto/rewrite_client.ts";
import { RewriteService } from "../../../lib/rewrite/rewrite_service.ts";
import { makeService } from "../../daemons/trivial-rewrite/rewrite_fixture.ts";

type Requests = (typeof REWRITE)["requests"];
type Fields<K extends keyof Requests> = RequestValues<typeof REWRITE, K>;

/** The service behind a connection that counts what passes and can fail. */
class FakeConnection {
  readonly asked: string[] = [];
  failure: Error | undefined;
  retry = false;
  readonly #service: RewriteService = makeService().service;

  async call<K extends keyof Requests & string>(type: K, fields: Fields<K>): Promise<Reply<typeof REWRITE>> {
    this.asked.push(type);
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    if (this.retry) return { is: "retry", reason: "table is away" };
    if (type === "rewrite") {
      const { context, address } = fields as Fields<"rewrite">;
      return { is: "rewritten", address: this.#service.rewrite(context, address) };
    }
    const { sender, address } = fields as Fields<"resolve">;
    const answer = await this.#service.resolve(sender, address);
    assert.ok(answer.kind === "resolved");
    return { is: "resolved", ...answer.resolution };
  }
}

function makeClient(options: { senderMatters?: boolean; localpartMatters?: boolean } = {}) {
  const connection = new FakeConnection();
  let now = 0;
  const client = new RewriteClient(connection, { ...options, now: () => now });
  return { connection, client, wait: (seconds: number) => now += seconds * 1000 };
}

Deno.test("an address is rewritten in external and in internal form", async () => {
  const { client } = makeClient();
  assert.deepEqual(await client.rewrite("local", "user"), { kind: "rewritten", address: "user@mx.test" });
  assert.deepEqual(await client.rewriteInternal("local", "a b"), {
    kind: "rewritten",
    address: "a b@mx.test",
  });
  assert.deepEqual(await client.rewriteInternal("local", ""), { kind: "rewritten", address: "" });
  assert.deepEqual(await client.rewriteInternal("local", "@"), { kind: "rewritten", address: "@" });
  assert.deepEqual(await client.rewriteInternal("remote", "user"), { kind: "rewritten", address: "user" });
});

Deno.test("an address in its standard form needs no request and no promise", async () => {
  const { client, connection } = makeClient();
  for (const address of ["user@dom.test", "a b@dom.test", "a!b%c@dom.test", "", "a@b@dom.test"]) {
    assert.equal(client.cachedRewrite("local", address), address);
    assert.deepEqual(await client.rewriteInternal("local", address), { kind: "rewritten", address });
  }
  assert.deepEqual(connection.asked, []);
  for (const address of ["user", "user@dom", "user@dom.test.", "@a.test", "u@[192.0.2.1]", "u@a.test "]) {
    assert.equal(client.cachedRewrite("local", address), undefined, address);
  }
});

Deno.test("a resolution is remembered for ten seconds and answered at once", async () => {
  const { client, connection, wait } = makeClient();
  assert.equal(client.cachedResolve("", "user@evil.test"), undefined);
  const resolved = await client.resolve("", "user@evil.test");
  assert.ok(resolved.kind === "resolved");
  assert.deepEqual([resolved.transport, resolved.nexthop, resolved.class], ["smtp", "evil.test", "default"]);
  assert.equal(client.cachedResolve("", "user@evil.test"), resolved);
  await client.resolve("", "user@evil.test");
  assert.equal(connection.asked.length, 1);
  wait(9.9);
  assert.equal(client.cachedResolve("", "user@evil.test"), resolved);
  wait(0.2);
  assert.equal(client.cachedResolve("", "user@evil.test"), undefined);
  await client.resolve("", "user@evil.test");
  assert.equal(connection.asked.length, 2);
});

Deno.test("a rewritten address is remembered", async () => {
  const { client, connection } = makeClient();
  await client.rewriteInternal("local", "user");
  assert.equal(client.cachedRewrite("local", "user"), "user@mx.test");
  assert.equal(client.cachedRewrite("remote", "user"), undefined);
  await client.rewriteInternal("local", "user");
  assert.equal(connection.asked.length, 1);
});

Deno.test("senders are told apart, unless they make no difference", async () => {
  const apart = makeClient();
  await apart.client.resolve("a", "b@evil.test");
  assert.equal(apart.client.cachedResolve("", "b@evil.test"), undefined);
  assert.equal(apart.client.cachedResolve("ab", "@evil.test"), undefined);
  assert.ok(apart.client.cachedResolve("a", "b@evil.test"));
  const together = makeClient({ senderMatters: false });
  await together.client.resolve("a", "b@evil.test");
  assert.ok(together.client.cachedResolve("other", "b@evil.test"));
});

Deno.test("where no table asks for whole addresses, the plain ones of a domain share an answer, each with its own recipient", async () => {
  const { client, connection, wait } = makeClient({ localpartMatters: false });
  for (const address of ["a@far.test", "b.c@far.test", "d-e_1@far.test"]) {
    const answer = await client.resolve("", address);
    assert.ok(answer.kind === "resolved");
    assert.equal(answer.recipient, address);
    assert.equal(answer.nexthop, "far.test");
    assert.equal(client.cachedResolve("", address)?.recipient, address);
  }
  assert.equal(connection.asked.length, 1);
  await client.resolve("", "a@other.test");
  assert.equal(connection.asked.length, 2);
  wait(11);
  assert.equal(client.cachedResolve("", "a@far.test"), undefined);
});

Deno.test("an address whose local part some rule may look into never shares an answer", async () => {
  const { client, connection } = makeClient({ localpartMatters: false });
  await client.resolve("", "a@far.test");
  const special = [
    "-f@far.test",
    "a%b@far.test",
    "a!b@far.test",
    "a b@far.test",
    "a@b@far.test",
    "a@far",
    "a",
  ];
  for (const address of special) {
    assert.equal(client.cachedResolve("", address), undefined, address);
    const alone = await makeClient().client.resolve("", address);
    assert.deepEqual(await client.resolve("", address), alone);
  }
  assert.equal(connection.asked.length, 1 + special.length);
  const minus = await client.resolve("", "-f@far.test");
  assert.ok(minus.kind === "resolved" && minus.bad);
});

Deno.test("identical questions at the same time are one request", async () => {
  const { client, connection } = makeClient();
  const answers = await Promise.all([1, 2, 3].map(() => client.resolve("", "user@evil.test")));
  assert.equal(connection.asked.length, 1);
  assert.equal(answers[0], answers[2]);
});

Deno.test("trouble is retry and is not remembered", async () => {
  const { client, connection } = makeClient();
  connection.failure = new IpcError("lost", "Service rewrite closed the connection");
  const lost = { kind: "retry", why: "Service rewrite closed the connection" };
  assert.deepEqual(await client.resolve("", "user@evil.test"), lost);
  assert.deepEqual(await client.rewrite("local", "user"), lost);
  connection.failure = undefined;
  connection.retry = true;
  assert.deepEqual(await client.resolve("", "user@evil.test"), { kind: "retry", why: "table is away" });
  connection.retry = false;
  assert.equal((await client.resolve("", "user@evil.test")).kind, "resolved");
  connection.failure = new TypeError("ours");
  await assert.rejects(client.resolve("", "other@evil.test"), TypeError);
});

Deno.test("an address longer than the protocol carries is bad without a request", async () => {
  const { client, connection } = makeClient();
  const longest = `${"a".repeat(ADDRESS_LIMIT - 10)}@evil.test`;
  assert.equal((await client.resolve("", longest)).kind, "resolved");
  const longer = await client.resolve("", `a${longest}`);
  assert.ok(longer.kind === "resolved" && longer.bad && longer.transport === "error");
  const user = "u".repeat(ADDRESS_LIMIT + 1);
  assert.deepEqual(await client.rewrite("local", user), { kind: "rewritten", address: user });
  assert.deepEqual(connection.asked, ["resolve"]);
});

Deno.test("the cache holds its limit and forgets what was not used for longest", async () => {
  const cache = new ReplyCache<string>(3, 10, () => 0);
  const put = (key: string) => cache.ask(key, () => Promise.resolve(key), () => true);
  for (const key of ["a", "b", "c"]) await put(key);
  cache.get("a");
  await put("d");
  assert.equal(cache.size, 3);
  assert.deepEqual(["a", "b", "c", "d"].map((key) => cache.get(key)), ["a", undefined, "c", "d"]);
  const many = new ReplyCache<string>(1000, 10, () => 0);
  for (let i = 0; i < 5000; i++) await many.ask(`${i}`, () => Promise.resolve(""), () => true);
  assert.equal(many.size, 1000);
});
