/** Channels that read into memory of their user's, on connections that were accepted and on those that were made. */
import assert from "node:assert/strict";
import net from "node:net";
import { Channel, type ChannelEvents, connectUnixChannel } from "../../../lib/safe/channel.ts";
import { until } from "../../commands/mail_system.ts";

/** Both ends of a connection over a unix socket. */
async function ends(): Promise<AsyncDisposable & { readonly accepted: Channel; readonly made: Channel }> {
  const directory = Deno.makeTempDirSync({ prefix: "postern-channel-" });
  const path = `${directory}/s`;
  const { promise, resolve } = Promise.withResolvers<Channel>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => resolve(new Channel(socket)));
  await new Promise<void>((listening) => server.listen(path, listening));
  const connected = await connectUnixChannel(path);
  assert.equal(connected.kind, "connected");
  const { channel: made } = connected as Extract<typeof connected, { kind: "connected" }>;
  const accepted = await promise;
  return {
    accepted,
    made,
    [Symbol.asyncDispose]: async () => {
      accepted.destroy();
      made.destroy();
      await new Promise((closed) => server.close(closed));
      Deno.removeSync(directory, { recursive: true });
    },
  };
}

/** Collects what comes, and where it stood. */
class Taker implements ChannelEvents {
  text = "";
  memories = new Set<ArrayBufferLike>();
  isClosed = false;
  current: Uint8Array | undefined;

  data(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes);
    this.memories.add(bytes.buffer);
  }

  room = () => this.current as Uint8Array;

  closed(): void {
    this.isClosed = true;
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

for (const side of ["accepted", "made"] as const) {
  Deno.test(`a channel that was ${side} reads into the room that it is given, and into another one from then on`, async () => {
    await using pair = await ends();
    const [reading, writing] = side === "accepted" ? [pair.accepted, pair.made] : [pair.made, pair.accepted];
    const taker = new Taker();
    const [first, second] = [new Uint8Array(16), new Uint8Array(16)];
    taker.current = first;
    reading.start(taker);
    writing.start({ data: () => {}, closed: () => {} });
    writing.write(bytes("one."));
    assert.ok(await until(() => taker.text === "one."));
    assert.deepEqual([...taker.memories], [first.buffer]);
    // Asked again behind each read only: this one goes into the first still.
    taker.current = second;
    writing.write(bytes("two."));
    assert.ok(await until(() => taker.text === "one.two."));
    writing.write(bytes("a text that is longer than the room."));
    assert.ok(await until(() => taker.text === "one.two.a text that is longer than the room."));
    assert.deepEqual([...taker.memories], [first.buffer, second.buffer]);
    writing.endOutput();
    assert.ok(await until(() => taker.isClosed));
  });
}

Deno.test("what waits while a channel is paused comes when it is resumed, in its order", async () => {
  await using pair = await ends();
  const taker = new Taker();
  taker.current = new Uint8Array(8);
  pair.accepted.start(taker);
  pair.made.start({ data: () => {}, closed: () => {} });
  pair.accepted.pause();
  pair.made.write(bytes("while it is paused "));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(taker.text, "");
  pair.accepted.resume();
  pair.made.write(bytes("and afterwards"));
  assert.ok(await until(() => taker.text === "while it is paused and afterwards"));
  assert.deepEqual([...taker.memories], [taker.current.buffer]);
});

Deno.test("a channel whose next user has no room gives him what comes in memory of the runtime's", async () => {
  await using pair = await ends();
  const first = new Taker();
  first.current = new Uint8Array(64);
  pair.accepted.start(first);
  pair.made.start({ data: () => {}, closed: () => {} });
  pair.made.write(bytes("to the first"));
  assert.ok(await until(() => first.text === "to the first"));
  let text = "";
  pair.accepted.start({
    data: (came) => {
      text += new TextDecoder().decode(came);
      assert.notEqual(came.buffer, first.current!.buffer);
    },
    closed: () => {},
  });
  pair.made.write(bytes("to the second"));
  assert.ok(await until(() => text === "to the second"));
  assert.equal(first.text, "to the first");
});

Deno.test("channels that read into the same room have their bytes while they are told of them", async () => {
  const room = new Uint8Array(4096);
  await using stack = new AsyncDisposableStack();
  const counts: number[] = [];
  const CHUNK = 50_000;
  const pairs = await Promise.all(Array.from({ length: 10 }, () => ends()));
  for (const [i, pair] of pairs.entries()) {
    stack.use(pair);
    counts[i] = 0;
    pair.accepted.start({
      data: (came) => {
        assert.ok(came.every((byte) => byte === i));
        // Others go on to read meanwhile, but not into what this one has in hand.
        const next = pairs[(i + 1) % pairs.length]!.accepted;
        next.pause();
        next.resume();
        assert.ok(came.every((byte) => byte === i));
        counts[i]! += came.length;
      },
      room: () => room,
      closed: () => {},
    });
    pair.made.start({ data: () => {}, closed: () => {} });
  }
  for (const [i, pair] of pairs.entries()) pair.made.write(new Uint8Array(CHUNK).fill(i));
  assert.ok(await until(() => counts.every((count) => count === CHUNK)), String(counts));
});

/** Writes "late" at one end; who takes it at the other. */
function writeLate({ accepted, made }: Awaited<ReturnType<typeof ends>>): Taker {
  const taker = new Taker();
  taker.current = new Uint8Array(100);
  made.start(taker);
  accepted.start({ data: () => {}, closed: () => {} });
  accepted.writeLate(bytes("late"));
  return taker;
}

Deno.test("what is written late goes out behind everything that the same turn brought, and once for each channel", async () => {
  await using stack = new AsyncDisposableStack();
  const events: string[] = [];
  const pairs = await Promise.all(Array.from({ length: 5 }, () => ends()));
  const { write } = net.Socket.prototype;
  stack.defer(() => void (net.Socket.prototype.write = write));
  for (const [i, pair] of pairs.entries()) {
    stack.use(pair);
    pair.made.start({ data: () => {}, closed: () => {} });
    pair.accepted.start({
      data: () => {
        events.push("came");
        pair.accepted.writeLate(bytes(`answer ${i}`));
      },
      closed: () => {},
    });
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const pair of pairs) pair.made.write(bytes("question"));
  net.Socket.prototype.write = function (...parts: unknown[]) {
    events.push("sent");
    return Reflect.apply(write, this, parts);
  };
  // All of them are there before the loop looks.
  const end = performance.now() + 20;
  while (performance.now() < end);
  assert.ok(await until(() => events.length === 10), events.join(" "));
  assert.deepEqual(events, [...Array(5).fill("came"), ...Array(5).fill("sent")]);
});

for (
  const [how, act] of [
    ["something is written at once", (channel: Channel) => channel.write(bytes(" and at once"))],
    ["the output ends", (channel: Channel) => channel.endOutput()],
    ["the channel finishes", (channel: Channel) => channel.finish()],
    ["the channel closes", (channel: Channel) => channel.close()],
    ["the socket is given away", (channel: Channel) => channel.release().end()],
  ] as const
) {
  Deno.test(`what is written late is not overtaken when ${how}`, async () => {
    await using pair = await ends();
    const taker = writeLate(pair);
    assert.equal(pair.accepted.pending, 4);
    act(pair.accepted);
    const expected = how.includes("at once") ? "late and at once" : "late";
    assert.ok(
      await until(() => taker.text === expected && (how.includes("at once") || taker.isClosed)),
      taker.text,
    );
  });
}

Deno.test("what is written late to a channel that is destroyed is dropped", async () => {
  await using pair = await ends();
  const taker = writeLate(pair);
  pair.accepted.destroy();
  assert.ok(await until(() => taker.isClosed));
  assert.equal(taker.text, "");
});
