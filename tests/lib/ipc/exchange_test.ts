/** Exchanges between a client and a server on a real unix socket. @module */
import assert from "node:assert/strict";
import { IpcClient, IpcError } from "../../../lib/ipc/client.ts";
import { frameBytes } from "./raw_frames.ts";
import { HelloPeer, RawClient } from "./raw_peers.ts";
import { echo, pause, SAMPLE, SampleService, Watcher } from "./ipc_support.ts";
import { Random } from "../../support/random.ts";

const isError = (kind: IpcError["kind"]) => (error: unknown) =>
  error instanceof IpcError && error.kind === kind;

Deno.test("many exchanges at once on one connection each get their own answer", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  const random = new Random(7);
  const words = Array.from({ length: 2000 }, (_, i) => `${i}`.padEnd(random.below(200), "x"));
  const replies = await Promise.all(
    words.map((word) => client.call("ask", { word, delay: random.below(4) })),
  );
  assert.deepEqual(replies.map((reply) => reply.is === "answer" ? reply.word : ""), words);
  assert.equal(service.channels.length, 1);
  assert.equal(service.server.used, 2000);
  assert.equal(service.server.busy, 0);
});

Deno.test("messages of one exchange are handled in order, one after another, also by an async handler", async () => {
  const taken: number[] = [];
  let inside = 0;
  await using service = await SampleService.start(async (exchange, message) => {
    inside++;
    assert.equal(inside, 1, "one at a time");
    if (message.is === "put") {
      const number = message.data[0]! * 256 + message.data[1]!;
      const rest = Uint8Array.from(message.data);
      await pause(number % 7 === 0 ? 2 : 0);
      taken.push(number);
      assert.deepEqual(Uint8Array.from(message.data), rest, "a view stays while its message is handled");
    }
    inside--;
    if (message.is === "end") exchange.reply("answer", { word: String(taken.length), ok: true });
  });
  const watcher = new Watcher();
  const exchange = service.client().open(watcher.onReply, watcher.onError);
  for (let i = 0; i < 500; i++) {
    if (i % 50 === 0) await pause(1); // so that many chunks arrive
    exchange.send("put", { data: new Uint8Array(100).fill(i & 255).fill(i >> 8, 0, 1) });
  }
  exchange.send("end", { how: "commit" });
  await watcher.over;
  assert.deepEqual(taken, Array.from({ length: 500 }, (_, i) => i));
  assert.equal(watcher.replies.length, 1);
});

Deno.test("a slow exchange does not hold up another on the same connection", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  let slowDone = false;
  const slow = client.call("ask", { word: "slow", delay: 300 }).then(() => slowDone = true);
  await client.call("ask", { word: "quick", delay: 0 });
  assert.equal(slowDone, false);
  await slow;
});

Deno.test("what was sent before the connection stood arrives in order, and the sender may use its buffer again", async () => {
  const data: number[] = [];
  await using service = await SampleService.start((exchange, message) => {
    if (message.is === "put") data.push(...message.data);
    if (message.is === "end") exchange.reply("answer", { word: "", ok: true });
  });
  const watcher = new Watcher();
  const exchange = service.client().open(watcher.onReply, watcher.onError);
  const buffer = new Uint8Array(1);
  for (let i = 0; i < 10; i++) {
    buffer[0] = i;
    exchange.send("put", { data: buffer });
  }
  buffer[0] = 99;
  exchange.send("end", { how: "commit" });
  await watcher.over;
  assert.deepEqual(data, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("one-way messages arrive, count as use and open no exchange", async () => {
  const words: string[] = [];
  await using service = await SampleService.start((exchange, message) => {
    if (message.is === "hint") words.push(message.word);
    return echo(exchange, message);
  });
  const client = service.client();
  client.send("hint", { word: "early" });
  await client.call("ask", { word: "", delay: 0 });
  client.send("hint", { word: "late" });
  await client.call("ask", { word: "", delay: 0 });
  assert.deepEqual(words, ["early", "late"]);
  assert.equal(service.server.used, 4);
  assert.equal(service.server.busy, 0);
});

Deno.test("a slow server slows its client: no more than a window waits on either side", async () => {
  let taken = 0;
  let sent = 0;
  let most = 0;
  await using service = await SampleService.start(async (exchange, message) => {
    if (message.is === "put") {
      await pause(0);
      taken += message.data.length;
      most = Math.max(most, sent - taken);
    }
    if (message.is === "end") exchange.reply("answer", { word: String(taken), ok: true });
  });
  const watcher = new Watcher();
  const exchange = service.client().open(watcher.onReply, watcher.onError);
  const chunk = new Uint8Array(32 * 1024);
  const total = 16 * 1024 * 1024;
  while (sent < total) {
    if (!exchange.ready()) await exchange.drained();
    exchange.send("put", { data: chunk });
    sent += chunk.length;
  }
  exchange.send("end", { how: "commit" });
  await watcher.over;
  assert.equal(watcher.error, undefined);
  assert.equal(taken, total);
  assert.ok(most <= 512 * 1024, `${most} bytes were under way`);
});

Deno.test("a client that ignores the window is cut off before it fills the server", async () => {
  await using service = await SampleService.start((_exchange, message) => {
    return message.is === "put" ? new Promise<void>(() => {}) : undefined;
  });
  const watcher = new Watcher();
  const exchange = service.client().open(watcher.onReply, watcher.onError);
  for (let sent = 0; sent < 4 * 1024 * 1024; sent += 65536) {
    exchange.send("put", { data: new Uint8Array(65536) });
  }
  await watcher.over;
  assert.equal(watcher.error?.kind, "lost");
  assert.deepEqual(service.troubles, ["Cannot take message: the client does not heed the window"]);
});

Deno.test("a client that sends messages without end to a handler that hangs is cut off", async () => {
  await using service = await SampleService.start(() => new Promise<void>(() => {}));
  const watcher = new Watcher();
  const exchange = service.client().open(watcher.onReply, watcher.onError);
  for (let i = 0; i < 2000; i++) exchange.send("end", { how: "drop" });
  await watcher.over;
  assert.equal(service.troubles.length, 1);
});

Deno.test("drained resolves when the exchange ends without the credit ever coming", async (t) => {
  for (const how of ["answer", "cancel", "lost"]) {
    await t.step(how, async () => {
      let reply: () => void = () => {};
      await using service = await SampleService.start((exchange) => {
        reply = () => exchange.reply("answer", { word: "", ok: false });
        return new Promise<void>(() => {});
      });
      const watcher = new Watcher();
      const exchange = service.client().open(watcher.onReply, watcher.onError);
      for (let i = 0; i < 3; i++) exchange.send("put", { data: new Uint8Array(65536) });
      assert.equal(exchange.ready(), false);
      const drained = exchange.drained();
      while (service.server.busy === 0) await pause(1);
      if (how === "answer") reply();
      else if (how === "cancel") exchange.cancel();
      else service.die();
      await drained;
      assert.equal(exchange.ready(), true);
    });
  }
});

Deno.test("cancel tells the server, once, and no reply comes any more", async () => {
  let cancels = 0;
  const later: (() => void)[] = [];
  await using service = await SampleService.start((exchange, message) => {
    if (message.is !== "put") return echo(exchange, message);
    exchange.onCancel = () => void cancels++;
    exchange.reply("progress", { count: 1 });
    later.push(() => exchange.reply("answer", { word: "late", ok: exchange.cancelled }));
  });
  const client = service.client();
  const watcher = new Watcher();
  const exchange = client.open(watcher.onReply, watcher.onError);
  exchange.send("put", { data: new Uint8Array(1) });
  while (watcher.replies.length === 0) await pause(1);
  exchange.cancel();
  exchange.cancel();
  exchange.send("put", { data: new Uint8Array(1) });
  await client.call("ask", { word: "", delay: 0 });
  later[0]!();
  await client.call("ask", { word: "", delay: 0 });
  assert.equal(cancels, 1);
  assert.deepEqual(watcher.replies.map((reply) => reply.is), ["progress"]);
  assert.equal(watcher.error, undefined);
  assert.equal(service.server.busy, 0);
});

Deno.test("an exchange that is cancelled before the connection stands never reaches the server", async () => {
  const seen: string[] = [];
  await using service = await SampleService.start((exchange, message) => {
    seen.push(message.is);
    return echo(exchange, message);
  });
  const client = service.client();
  const watcher = new Watcher();
  const exchange = client.open(watcher.onReply, watcher.onError);
  exchange.send("put", { data: new Uint8Array(1) });
  exchange.cancel();
  await client.call("ask", { word: "", delay: 0 });
  assert.deepEqual(seen, ["ask"]);
});

Deno.test("messages that wait when an exchange is cancelled are not handled", async () => {
  const handled: number[] = [];
  let release: () => void = () => {};
  await using service = await SampleService.start((exchange, message) => {
    if (message.is !== "put") return echo(exchange, message);
    handled.push(message.data[0]!);
    return new Promise<void>((resolve) => release = resolve);
  });
  const client = service.client();
  const watcher = new Watcher();
  const exchange = client.open(watcher.onReply, watcher.onError);
  for (let i = 0; i < 5; i++) exchange.send("put", { data: Uint8Array.of(i) });
  await client.call("ask", { word: "", delay: 0 });
  exchange.cancel();
  await client.call("ask", { word: "", delay: 0 });
  release();
  await client.call("ask", { word: "", delay: 0 });
  assert.deepEqual(handled, [0]);
});

Deno.test("goodbye while exchanges are under way loses none of them, and the next one goes to the next process", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  await client.call("ask", { word: "", delay: 0 });
  const underWay = Array.from(
    { length: 100 },
    (_, i) => client.call("ask", { word: String(i), delay: 50 + i }),
  );
  while (service.server.busy < 100) await pause(1);
  const old = service.server;
  const gone = old.retire();
  // The next process accepts on the same listener, as under master.
  service.server = (await SampleService.start(echo)).server;
  while (client.connected) await pause(1);
  const later = Array.from({ length: 100 }, (_, i) => client.call("ask", { word: `later ${i}`, delay: 0 }));
  const replies = await Promise.all([...underWay, ...later]);
  assert.deepEqual(
    replies.map((reply) => reply.is === "answer" ? reply.word : ""),
    [
      ...Array.from({ length: 100 }, (_, i) => String(i)),
      ...Array.from({ length: 100 }, (_, i) => `later ${i}`),
    ],
  );
  await gone;
  assert.equal(old.connections, 0);
  assert.equal(old.used, 101);
});

Deno.test("an exchange that is opened while goodbye is on its way is still served", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  await client.call("ask", { word: "", delay: 0 });
  const gone = service.server.retire();
  // The client has not read the goodbye yet.
  const reply = await client.call("ask", { word: "in time", delay: 20 });
  assert.equal(reply.is === "answer" && reply.word, "in time");
  await gone;
});

Deno.test("a call that reaches a process as it retires is made to the next one", async () => {
  await using service = await SampleService.start(echo);
  void service.server.retire();
  service.replaceWhenReached = true;
  const reply = await service.client().call("ask", { word: "x", delay: 0 });
  assert.equal(reply.is, "answer");
  assert.equal(service.channels.length, 2);
});

Deno.test("retire ends at once without connections", async () => {
  await using service = await SampleService.start(echo);
  await service.server.retire();
});

Deno.test("a lost connection fails every exchange on it, each once", async () => {
  const cancelled: unknown[] = [];
  await using service = await SampleService.start((exchange) => {
    exchange.onCancel = () => void cancelled.push(exchange);
    return new Promise<void>(() => {});
  });
  const client = service.client();
  const watcher = new Watcher();
  client.open(watcher.onReply, watcher.onError).send("put", { data: new Uint8Array(1) });
  const calls = Array.from({ length: 20 }, () => client.call("ask", { word: "", delay: 0 }));
  while (service.server.busy < 21) await pause(1);
  service.die();
  const settled = await Promise.allSettled(calls);
  assert.ok(settled.every((one) => one.status === "rejected" && isError("lost")(one.reason)));
  await watcher.over;
  assert.equal(watcher.error?.kind, "lost");
  assert.equal(cancelled.length, 21);
  assert.equal(service.server.connections, 0);
});

Deno.test("after a restart of the service the same client goes on", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  await client.call("ask", { word: "", delay: 0 });
  service.die();
  while (client.connected) await pause(1);
  const waiting = client.call("ask", { word: "again", delay: 0 });
  await pause(30);
  await service.restart();
  const reply = await waiting;
  assert.equal(reply.is === "answer" && reply.word, "again");
});

Deno.test("a repeatable call is made once more when its service dies, any other fails", async () => {
  for (const repeatable of [true, false]) {
    let asked = 0;
    await using service = await SampleService.start((exchange, message) => {
      if (++asked === 1) return new Promise<void>(() => {});
      return echo(exchange, message);
    });
    const client = service.client({ repeatable });
    const call = client.call("ask", { word: "x", delay: 0 });
    call.catch(() => {});
    while (asked === 0) await pause(1);
    service.die();
    await service.restart();
    if (repeatable) assert.equal((await call).is, "answer");
    else await assert.rejects(call, isError("lost"));
    assert.equal(asked, repeatable ? 2 : 1);
  }
});

Deno.test("a call that is not answered in time fails and the server hears of it; later calls work", async () => {
  let cancelled = false;
  await using service = await SampleService.start((exchange, message) => {
    if (message.is === "ask" && message.word === "hang") {
      exchange.onCancel = () => void (cancelled = true);
      return;
    }
    return echo(exchange, message);
  });
  const client = service.client({ timeout: 1 });
  await assert.rejects(client.call("ask", { word: "hang", delay: 0 }), isError("timeout"));
  assert.equal((await client.call("ask", { word: "x", delay: 0 })).is, "answer");
  assert.equal(cancelled, true);
  assert.equal(service.server.busy, 0);
});

Deno.test("a handler that throws loses its connection and is reported", async () => {
  for (const how of ["at once", "later"]) {
    await using service = await SampleService.start((_exchange, _message) => {
      if (how === "at once") throw new Error("broken");
      return pause(1).then(() => {
        throw new Error("broken");
      });
    });
    await assert.rejects(service.client().call("ask", { word: "", delay: 0 }), isError("lost"));
    assert.deepEqual(service.troubles, ["broken"]);
  }
});

Deno.test("closing a client lets what is under way finish", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  await client.call("ask", { word: "", delay: 0 });
  const last = client.call("ask", { word: "last", delay: 30 });
  client.close();
  assert.equal((await last).is, "answer");
  await assert.rejects(client.call("ask", { word: "", delay: 0 }), isError("lost"));
  while (service.server.connections > 0) await pause(1);
});

Deno.test("a client refuses a peer whose greeting is not its protocol's", async () => {
  const greetings = [
    frameBytes(0, 0, "postern other 1 00000000"),
    frameBytes(0, 0, "postern sample 2 00000000"),
    frameBytes(0, 0, ""),
    frameBytes(16, 1, "no greeting at all"),
    new TextEncoder().encode("220 mx.test ESMTP Postfix\r\n"),
    frameBytes(0, 0, "x".repeat(100_000)),
  ];
  for (const greeting of greetings) {
    await using peer = HelloPeer.start(greeting);
    const client = new IpcClient(SAMPLE, peer.path, { timeout: 5 });
    await assert.rejects(client.call("ask", { word: "", delay: 0 }), isError("protocol"));
    client.close();
  }
});

Deno.test("a peer that never greets fails the calls that wait for it, in time", async () => {
  await using peer = HelloPeer.start(new Uint8Array(0));
  const client = new IpcClient(SAMPLE, peer.path, { timeout: 1 });
  const watcher = new Watcher();
  client.open(watcher.onReply, watcher.onError).send("end", { how: "drop" });
  await assert.rejects(client.call("ask", { word: "", delay: 0 }), isError("timeout"));
  await watcher.over;
  assert.equal(watcher.error?.kind, "timeout");
  client.close();
});

const BAD_REPLIES: readonly [string, Uint8Array][] = [
  ["a reply that the protocol does not have", frameBytes(99, 1, "")],
  ["a reply with a field left over", frameBytes(16, 1, Uint8Array.of(1, 5, 2, 1, 0))],
  ["a reply that is cut off", frameBytes(17, 1, Uint8Array.of(1, 9, 65))],
  ["a frame that is too long", Uint8Array.of(0x7f, 0xff, 0xff, 0xff)],
  ["a credit of three bytes", frameBytes(2, 1, Uint8Array.of(0, 0, 1))],
];

for (const [name, reply] of BAD_REPLIES) {
  Deno.test(`a client ends the connection on ${name}`, async () => {
    await using peer = HelloPeer.greeting(SAMPLE, reply);
    const client = new IpcClient(SAMPLE, peer.path, { timeout: 5 });
    await assert.rejects(client.call("ask", { word: "", delay: 0 }), isError("protocol"));
    client.close();
  });
}

const BAD_REQUESTS: readonly [string, Uint8Array][] = [
  ["a request that the protocol does not have", frameBytes(99, 1, "")],
  ["the number of a control frame that only servers send", frameBytes(2, 1, Uint8Array.of(0, 0, 0, 1))],
  ["a field missing", frameBytes(16, 1, Uint8Array.of(1, 1, 65, 0))],
  ["a field over its bound", frameBytes(19, 1, Uint8Array.of(1, 101, ...new Array(101).fill(65), 0))],
  ["bytes left over", frameBytes(18, 1, Uint8Array.of(1, 0, 0, 0))],
  ["a frame longer than any request", Uint8Array.of(0, 2, 0, 0)],
  ["a frame without a head", Uint8Array.of(0, 0, 0, 4)],
];

for (const [name, request] of BAD_REQUESTS) {
  Deno.test(`a server ends the connection on ${name}, and serves others`, async () => {
    await using service = await SampleService.start(echo);
    using raw = await RawClient.connect(service.path);
    await raw.send(request);
    assert.equal(await raw.readToEnd(), true);
    assert.equal(service.troubles.length, 1);
    assert.equal((await service.client().call("ask", { word: "", delay: 0 })).is, "answer");
  });
}

Deno.test("random frames never crash a server; a client that behaves is served throughout", async () => {
  await using service = await SampleService.start(echo);
  const good = service.client();
  const random = new Random(8);
  for (let round = 0; round < 40; round++) {
    using raw = await RawClient.connect(service.path);
    for (let i = 0; i < 5; i++) {
      await raw.send(frameBytes(random.below(22), random.below(4), random.bytes(random.below(12))));
    }
    assert.equal((await good.call("ask", { word: "x", delay: 0 })).is, "answer");
  }
});

Deno.test("a client that goes away in the middle of a frame leaves nothing behind", async () => {
  await using service = await SampleService.start(echo);
  const whole = frameBytes(16, 1, Uint8Array.of(1, 1, 65, 2, 0, 0));
  for (let cut = 0; cut < whole.length; cut++) {
    using raw = await RawClient.connect(service.path);
    await raw.send(whole.subarray(0, cut));
  }
  while (service.server.connections > 0) await pause(1);
  assert.equal(service.server.busy, 0);
  assert.deepEqual(service.troubles, []);
});
