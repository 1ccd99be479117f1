/** Outgoing connections under deadlines. @module */
import assert from "node:assert/strict";
import dgram from "node:dgram";
import { connectTcp, connectUnix, NetworkError, openDatagram } from "../../../lib/safe/connect.ts";

async function withServer(
  serve: (conn: Deno.Conn) => Promise<void>,
  look: (port: number) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = listener.accept().then(async (conn) => {
    await serve(conn).catch(() => undefined);
    conn.close();
  }, () => undefined);
  try {
    await look((listener.addr as Deno.NetAddr).port);
  } finally {
    listener.close();
    await serving;
  }
}

const isKind = (kind: string) => (error: unknown) => error instanceof NetworkError && error.kind === kind;

Deno.test("bytes go both ways, many megabytes of them", async () => {
  const total = 8 * 1024 * 1024;
  let received = 0;
  await withServer(async (conn) => {
    const buffer = new Uint8Array(65536);
    while (received < total) received += await conn.read(buffer) ?? total;
    await conn.write(new TextEncoder().encode("done"));
  }, async (port) => {
    using connection = await connectTcp("127.0.0.1", port, 1000);
    assert.equal(connection.remoteAddress, "127.0.0.1");
    connection.deadline(5000);
    await connection.write(new Uint8Array(total));
    const buffer = new Uint8Array(10);
    assert.equal(await connection.read(buffer), 4);
    assert.equal(await connection.read(buffer), null);
    assert.equal(received, total);
  });
});

Deno.test("a deadline ends a read, and a later one replaces an earlier one", async () => {
  await withServer(async (conn) => {
    await new Promise((resolve) => setTimeout(resolve, 120));
    await conn.write(new Uint8Array(1));
    await conn.read(new Uint8Array(1));
  }, async (port) => {
    using connection = await connectTcp("127.0.0.1", port, 1000);
    connection.deadline(50);
    connection.deadline(2000);
    assert.equal(await connection.read(new Uint8Array(10)), 1);
    connection.deadline(50);
    connection.noDeadline();
    await new Promise((resolve) => setTimeout(resolve, 80));
    connection.deadline(50);
    await assert.rejects(connection.read(new Uint8Array(10)), isKind("timeout"));
    await assert.rejects(connection.write(new Uint8Array(10)), isKind("timeout"));
    connection.close();
  });
});

Deno.test("a shorter wait after a longer one ends in its own time", async () => {
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => stop = resolve);
  await withServer(() => stopped, async (port) => {
    using connection = await connectTcp("127.0.0.1", port, 1000);
    connection.deadline(60_000);
    connection.noDeadline();
    const started = performance.now();
    connection.deadline(50);
    await assert.rejects(connection.read(new Uint8Array(10)), isKind("timeout"));
    assert.ok(performance.now() - started < 30_000);
    stop();
  });
});

Deno.test("a deadline ends a write to a peer that does not read", async () => {
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => stop = resolve);
  await withServer(() => stopped, async (port) => {
    using connection = await connectTcp("127.0.0.1", port, 1000);
    connection.deadline(100);
    await assert.rejects(connection.write(new Uint8Array(64 * 1024 * 1024)), isKind("timeout"));
    stop();
  });
});

Deno.test("nobody listening is said in the system's words", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await assert.rejects(
    connectTcp("127.0.0.1", port, 1000),
    (error) =>
      error instanceof NetworkError && error.reason === "Connection refused" && error.kind === "failed",
  );
  await assert.rejects(
    connectUnix("/nonexistent/socket", 1000),
    (error) => error instanceof NetworkError && error.reason === "No such file or directory",
  );
});

Deno.test("a closed connection is told as such", async () => {
  await withServer(() => Promise.resolve(), async (port) => {
    using connection = await connectTcp("127.0.0.1", port, 1000);
    assert.equal(await connection.read(new Uint8Array(1)), null);
    connection.close();
    await assert.rejects(connection.read(new Uint8Array(1)), isKind("closed"));
  });
});

Deno.test("a datagram socket hears its peer and nobody else", async () => {
  const server = dgram.createSocket("udp4");
  const stranger = dgram.createSocket("udp4");
  await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
  const heard: string[] = [];
  let done: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => done = resolve);
  server.on("message", (_bytes: Uint8Array, from: { port: number }) => {
    stranger.send("evil", from.port, "127.0.0.1", () => server.send("good", from.port, "127.0.0.1"));
  });
  const socket = await openDatagram("127.0.0.1", server.address().port, {
    message: (bytes) => {
      heard.push(new TextDecoder().decode(bytes));
      done();
    },
    failed: () => undefined,
  });
  socket.send(new Uint8Array([1]));
  await finished;
  assert.deepEqual(heard, ["good"]);
  socket.close();
  socket.close();
  server.close();
  stranger.close();
});

Deno.test("under the sandbox a connection that is not granted is told as denied", async () => {
  const script = `
    import { connectTcp, connectUnix } from ${
    JSON.stringify(import.meta.resolve("../../../lib/safe/connect.ts"))
  };
    for (const attempt of [() => connectTcp("127.0.0.1", 9, 1000), () => connectUnix("/tmp/x", 1000)]) {
      await attempt().then(() => console.log("connected"), (error) => console.log(error.kind));
    }`;
  const output = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--no-config",
      "--allow-net=127.0.0.1:1",
      `data:text/typescript,${encodeURIComponent(script)}`,
    ],
    stdout: "piped",
    stderr: "piped",
  }).output();
  assert.equal(
    new TextDecoder().decode(output.stdout),
    "denied\ndenied\n",
    new TextDecoder().decode(output.stderr),
  );
});

Deno.test("RFC 4291 section 2.5.5.2: an IPv4 address in IPv6 form is not connected to", async () => {
  for (const address of ["::ffff:127.0.0.1", "::FFFF:7f00:1", "0:0:0:0:0:ffff:0.0.0.0"]) {
    await assert.rejects(
      connectTcp(address, 25, 1000),
      (error: unknown) => error instanceof NetworkError && error.kind === "denied",
      address,
    );
  }
});
