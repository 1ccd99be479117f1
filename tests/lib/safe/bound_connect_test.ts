/** Connections from an address that is given. @module */
import assert from "node:assert/strict";
import { BindError, connectFrom } from "../../../lib/safe/bound_connect.ts";
import { NetworkError } from "../../../lib/safe/connect.ts";

const encoder = new TextEncoder();

/** Serves one connection. */
async function serve(
  server: (connection: Deno.Conn) => Promise<void>,
  client: (port: number) => Promise<void>,
): Promise<void> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using connection = await listener.accept();
    await server(connection);
  })();
  await client((listener.addr as Deno.NetAddr).port);
  await serving;
}

Deno.test("a connection comes from the address that is given, and carries bytes both ways", async () => {
  const big = new Uint8Array(300_000).fill(7);
  let from = "";
  await serve(async (connection) => {
    from = (connection.remoteAddr as Deno.NetAddr).hostname;
    await connection.write(encoder.encode("hello"));
    let count = 0;
    const buffer = new Uint8Array(65536);
    while (count < big.length) count += await connection.read(buffer) ?? assert.fail("closed early");
    assert.equal(count, big.length);
  }, async (port) => {
    const connection = await connectFrom("127.0.0.9", "127.0.0.1", port, 2000);
    const buffer = new Uint8Array(3);
    assert.equal(await connection.read(buffer), 3);
    assert.equal(await connection.read(buffer), 2);
    await connection.write(big);
    assert.equal(await connection.read(buffer), null);
    assert.equal(connection.localAddress, "127.0.0.9");
    connection.close();
  });
  assert.equal(from, "127.0.0.9");
});

Deno.test("an address that is none of ours is told from a server that does not answer", async () => {
  await assert.rejects(connectFrom("192.0.2.5", "127.0.0.1", 9, 2000), BindError);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await assert.rejects(connectFrom("127.0.0.1", "127.0.0.1", port, 2000), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.equal(error.reason, "Connection refused");
    return true;
  });
});

Deno.test("a deadline ends a read, and closing is the end", async () => {
  let finish = () => {};
  const over = new Promise<void>((resolve) => finish = resolve);
  await serve(() => over, async (port) => {
    const connection = await connectFrom("127.0.0.1", "127.0.0.1", port, 2000);
    connection.deadline(50);
    await assert.rejects(connection.read(new Uint8Array(10)), (error) => {
      assert.equal((error as NetworkError).kind, "timeout");
      return true;
    });
    connection.close();
    finish();
  });
});
