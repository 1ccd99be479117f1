/** Connections that are used again, several hosts, fallbacks, and who is tried after whom. @module */
import assert from "node:assert/strict";
import { testNeeding } from "../../support/tools.ts";
import { destinationKey, endpointKey, PLAIN_TERMS } from "../../../lib/smtp/client_key.ts";
import { makeBench } from "./delivery_bench.ts";
import { fakeServer } from "./fake_server.ts";

Deno.test("back-to-back deliveries share a connection, and the log counts its uses", async () => {
  const server = fakeServer();
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([nexthop]) });
    for (let i = 0; i < 4; i++) {
      assert.equal((await bench.deliver({ nexthop })).recipients[0]?.result, "sent");
    }
    // The first delivery to a destination does not keep its connection: nothing says that there will be another.
    assert.equal(server.connections, 2);
    assert.equal(server.texts.length, 4);
    assert.ok(!bench.lines[1]?.includes("conn_use"));
    assert.ok(bench.lines[2]?.includes(`:${server.port}, conn_use=2, delay=`), String(bench.lines[2]));
    assert.ok(bench.lines[3]?.includes("conn_use=3"));
    assert.equal(bench.cache.size, 1);
    assert.ok(!server.commands.includes("RSET"));
  } finally {
    await server.stop();
  }
});

Deno.test("a kept connection is given up after its idle time, with QUIT", async () => {
  const server = fakeServer();
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({
      trusted: new Set([nexthop]),
      reuse: { enabled: true, idleMs: 40, ageMs: 300_000, count: 0 },
    });
    await bench.deliver({ nexthop });
    await bench.deliver({ nexthop });
    assert.equal(bench.cache.size, 1);
    await server.idle();
    assert.equal(bench.cache.size, 0);
    assert.equal(server.commands.at(-1), "QUIT");
  } finally {
    await server.stop();
  }
});

Deno.test("each kept connection waits its own idle time", async () => {
  const servers = [fakeServer(), fakeServer()];
  const nexthops = servers.map(({ port }) => `[127.0.0.1]:${port}`);
  try {
    await using bench = makeBench({
      trusted: new Set(nexthops),
      reuse: { enabled: true, idleMs: 400, ageMs: 300_000, count: 0 },
    });
    const kept: number[] = [];
    for (const [i, nexthop] of nexthops.entries()) {
      await bench.deliver({ nexthop });
      await bench.deliver({ nexthop });
      kept[i] = performance.now();
      if (i === 0) await new Promise((resolve) => setTimeout(resolve, 200));
    }
    for (const [i, server] of servers.entries()) {
      await server.idle();
      assert.ok(performance.now() - kept[i]! >= 390, `connection ${i} was given up too early`);
      assert.equal(server.commands.at(-1), "QUIT");
    }
    assert.equal(bench.cache.size, 0);
  } finally {
    for (const server of servers) await server.stop();
  }
});

Deno.test("a kept connection that the server closed, or spoke on unasked, is not used", async () => {
  const server = fakeServer({
    answers: { MAIL: ["250 ok", "250 ok", { close: true, say: "421 4.4.2 idle" }, "250 ok"] },
  });
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([nexthop]) });
    for (let i = 0; i < 4; i++) {
      const delivered = await bench.deliver({ nexthop });
      assert.equal(delivered.recipients[0]?.result, "sent", JSON.stringify(delivered));
    }
    assert.equal(server.texts.length, 4);
  } finally {
    await server.stop();
  }
});

Deno.test("a kept connection that died is replaced without a trace in the outcome", async () => {
  const dying = fakeServer();
  const nexthop = `[127.0.0.1]:${dying.port}`;
  const port = dying.port;
  await using bench = makeBench({ trusted: new Set([nexthop]) });
  await bench.deliver({ nexthop });
  await bench.deliver({ nexthop });
  assert.equal(bench.cache.size, 1);
  await dying.stop();
  const delivered = await bench.deliver({ nexthop });
  assert.equal(
    delivered.recipients[0]?.reason,
    `connect to 127.0.0.1[127.0.0.1]:${port}: Connection refused`,
  );
});

Deno.test("after a refused message the next one on the connection begins with RSET", async () => {
  const server = fakeServer({ answers: { RCPT: ["250 ok", "550 5.1.1 no", "250 ok"] } });
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([nexthop]) });
    // The third delivery is the second on its connection: refused, and DATA pipelined behind it accepted and answered
    // with a single dot, so that the connection is as good as before.
    const results: (string | undefined)[] = [];
    for (let i = 0; i < 4; i++) results.push((await bench.deliver({ nexthop })).recipients[0]?.result);
    assert.deepEqual(results, ["sent", "sent", "bounced", "sent"]);
    assert.equal(server.connections, 2);
    assert.ok(!server.commands.includes("RSET"));
  } finally {
    await server.stop();
  }
  const careful = fakeServer({ keywords: [], answers: { RCPT: "550 5.1.1 no" } });
  const next = `[127.0.0.1]:${careful.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([next]) });
    for (let i = 0; i < 3; i++) await bench.deliver({ nexthop: next });
    assert.equal(careful.connections, 2);
    assert.deepEqual(careful.commands.slice(-3).map((line) => line.split(" ")[0]), ["RSET", "MAIL", "RCPT"]);
  } finally {
    await careful.stop();
  }
});

Deno.test("smtp_connection_reuse_count_limit and connection_cache_on_demand=no are kept to", async () => {
  for (
    const [reuse, connections] of [
      [{ enabled: true, idleMs: 500, ageMs: 300_000, count: 2 }, 3],
      [{ enabled: false, idleMs: 500, ageMs: 300_000, count: 0 }, 5],
      [{ enabled: true, idleMs: 500, ageMs: 0, count: 0 }, 5],
    ] as const
  ) {
    const server = fakeServer();
    const nexthop = `[127.0.0.1]:${server.port}`;
    try {
      await using bench = makeBench({ trusted: new Set([nexthop]), reuse });
      for (let i = 0; i < 5; i++) await bench.deliver({ nexthop });
      assert.equal(server.connections, connections, JSON.stringify(reuse));
    } finally {
      await server.stop();
    }
  }
});

Deno.test("many deliveries at once each get an outcome", async () => {
  const server = fakeServer();
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([nexthop]) });
    const all = await Promise.all(Array.from({ length: 50 }, () => bench.deliver({ nexthop })));
    assert.ok(all.every((each) => each.recipients[0]?.result === "sent"));
    assert.equal(server.texts.length, 50);
  } finally {
    await server.stop();
  }
});

Deno.test("a passing failure is tried at the next destination, recipient by recipient", async () => {
  const first = fakeServer({ answers: { RCPT: ["250 ok", "450 4.2.1 later"] } });
  const second = fakeServer();
  const [a, b] = [`[127.0.0.1]:${first.port}`, `[127.0.0.1]:${second.port}`];
  try {
    await using bench = makeBench({ trusted: new Set([a, b]), fallbackRelays: [b] });
    const delivered = await bench.deliver({ nexthop: a, to: ["one@example.test", "two@example.test"] });
    assert.deepEqual(delivered.recipients.map((r) => r.result), ["sent", "sent"]);
    assert.deepEqual(second.commands.filter((line) => line.startsWith("RCPT")), [
      "RCPT TO:<two@example.test>",
    ]);
    // What the first server said is told before the second is tried.
    assert.ok(
      bench.lines.some((line) => line.endsWith("said: 450 4.2.1 later (in reply to RCPT TO command)")),
    );
  } finally {
    await first.stop();
    await second.stop();
  }
});

Deno.test("what one destination defers, another one that does not exist does not return", async () => {
  const busy = fakeServer({ answers: { RCPT: "450 4.2.1 later" } });
  const first = `[127.0.0.1]:${busy.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([first]) });
    const delivered = await bench.deliver({ nexthop: `${first}, nowhere.test` });
    assert.deepEqual(delivered.recipients.map((r) => [r.result, r.status]), [["deferred", "4.2.1"]]);
    const other = await bench.deliver({ nexthop: `nowhere.test, ${first}` });
    assert.deepEqual(other.recipients.map((r) => [r.result, r.status]), [["deferred", "4.2.1"]]);
    const none = await bench.deliver({ nexthop: "nowhere.test, also.nowhere.test" });
    assert.deepEqual(none.recipients.map((r) => [r.result, r.status]), [["bounced", "5.4.4"]]);
  } finally {
    await busy.stop();
  }
});

Deno.test("a final refusal is not tried anywhere else", async () => {
  const first = fakeServer({ answers: { RCPT: "550 5.1.1 no" } });
  const second = fakeServer();
  const [a, b] = [`[127.0.0.1]:${first.port}`, `[127.0.0.1]:${second.port}`];
  try {
    await using bench = makeBench({ trusted: new Set([a, b]) });
    const delivered = await bench.deliver({ nexthop: `${a}, ${b}` });
    assert.equal(delivered.recipients[0]?.result, "bounced");
    assert.equal(second.connections, 0);
  } finally {
    await first.stop();
    await second.stop();
  }
});

Deno.test("addresses are limited by tries and by sessions, and the last failure stands", async () => {
  const busy = fakeServer({ answers: { MAIL: "451 4.3.0 busy" } });
  const zone = { "many.test A": ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"] };
  try {
    await using bench = makeBench({
      trusted: new Set([`[many.test]:${busy.port}`]),
      ipv6: false,
      sessionLimit: 1,
    }, zone);
    const delivered = await bench.deliver({ nexthop: `[many.test]:${busy.port}` });
    assert.equal(busy.connections, 1);
    assert.equal(delivered.recipients[0]?.status, "4.3.0");
    // The fake listens on 127.0.0.1 only: the other addresses refuse the connection.
    await using other = makeBench(
      { trusted: new Set([`[many.test]:${busy.port}`]), ipv6: false, addressLimit: 3 },
      { "many.test A": ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"] },
    );
    const refused = await other.deliver({ nexthop: `[many.test]:${busy.port}` });
    assert.equal(busy.connections, 1);
    assert.equal(
      refused.recipients[0]?.reason,
      `connect to many.test[127.0.0.4]:${busy.port}: Connection refused`,
    );
    assert.equal(other.lines.filter((line) => line.startsWith("connect to many.test[")).length, 3);
  } finally {
    await busy.stop();
  }
});

Deno.test("destinations that lead to the same address share its connections", async () => {
  const server = fakeServer();
  const zone = { "one.test A": ["127.0.0.1"], "two.test A": ["127.0.0.1"] };
  const [one, two] = [`[one.test]:${server.port}`, `[two.test]:${server.port}`];
  try {
    await using bench = makeBench({ trusted: new Set([one, two]), ipv6: false }, zone);
    // Each has just had mail, so that its connections are worth keeping.
    await bench.deliver({ nexthop: two });
    await bench.deliver({ nexthop: one });
    await bench.deliver({ nexthop: one });
    assert.equal(server.connections, 3);
    const delivered = await bench.deliver({ nexthop: two });
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.equal(server.connections, 3);
    assert.ok(bench.lines.at(-1)?.includes(`relay=one.test[127.0.0.1]:${server.port}, conn_use=2`));
  } finally {
    await server.stop();
  }
});

Deno.test("a connection to a fallback relay is not taken for one to the destination", async () => {
  const sick = fakeServer({ keywords: [], answers: { MAIL: ["451 4.3.0 later", "250 ok"] } });
  const fallback = fakeServer();
  const [a, b] = [`[127.0.0.1]:${sick.port}`, `[127.0.0.1]:${fallback.port}`];
  try {
    await using bench = makeBench({ trusted: new Set([a, b]), fallbackRelays: [b] });
    for (let i = 0; i < 2; i++) await bench.deliver({ nexthop: a });
    assert.equal(fallback.texts.length, 2);
    const delivered = await bench.deliver({ nexthop: a });
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.equal(sick.texts.length, 1);
  } finally {
    await sick.stop();
    await fallback.stop();
  }
});

Deno.test("a connection is used again only with the same TLS policy, login and binding", () => {
  const host = { kind: "inet", address: "192.0.2.1", port: 25 } as const;
  const terms = [
    PLAIN_TERMS,
    { ...PLAIN_TERMS, tls: "may" },
    { ...PLAIN_TERMS, tls: "secure" },
    { ...PLAIN_TERMS, login: "user" },
    { ...PLAIN_TERMS, tls: "user" },
    { ...PLAIN_TERMS, tls: "secure", boundTo: "d.test" },
    { ...PLAIN_TERMS, tls: "secure", boundTo: "e.test" },
  ];
  const keys = terms.flatMap((each) => [
    endpointKey(host, each),
    endpointKey({ ...host, port: 26 }, each),
    endpointKey({ ...host, address: "192.0.2.2" }, each),
    destinationKey("d.test", each),
    destinationKey("e.test", each),
  ]);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(endpointKey(host, PLAIN_TERMS), endpointKey({ ...host }, { ...PLAIN_TERMS }));
});

testNeeding(["root"], "no other destination is tried when a server turned out to be ourselves", async () => {
  const fallback = fakeServer();
  const own = fakeServer({ answers: { EHLO: "250 client.test" } }, { hostname: "127.7.25.25", port: 25 });
  // Loops are looked for on the mail port only, and before connecting where it is the destination's: an SRV record leads
  // there from another one. The better host is dead, so that the loop is one that may pass.
  const [first, second] = ["d.test:submission", `[127.0.0.1]:${fallback.port}`];
  const zone = {
    "_submission._tcp.d.test SRV": [[10, "dead.test", 0, 25], [20, "own.test", 0, 25]],
    "dead.test A": ["127.7.25.26"],
    "own.test A": ["127.7.25.25"],
  } as const;
  try {
    await using bench = makeBench({
      trusted: new Set([first, second]),
      fallbackRelays: [second],
      knownPorts: new Map([["submission", 587]]),
      srv: { services: ["submission"], fallback: false, ignoreErrors: false },
    }, zone);
    const delivered = await bench.deliver({ nexthop: first });
    assert.deepEqual(delivered.recipients.map((r) => [r.result, r.status, r.reason]), [
      ["deferred", "4.4.6", "mail for own.test loops back to myself"],
    ]);
    assert.equal(own.connections, 1);
    assert.equal(fallback.connections, 0);
  } finally {
    await own.stop();
    await fallback.stop();
  }
});
