/** The dns service's handler, and its client over a real socket. @module */
import assert from "node:assert/strict";
import { dnsHandler } from "../../../daemons/dns/dns_service.ts";
import type { Answer } from "../../../lib/dns/answer.ts";
import { IpcClient } from "../../../lib/ipc/client.ts";
import { IpcServer } from "../../../lib/ipc/server.ts";
import { DnsClient } from "../../../lib/proto/dns_client.ts";
import { DNS } from "../../../lib/proto/protocols.ts";
import { listenStream } from "../../../lib/safe/tcp_server.ts";

const ANSWER: Answer = {
  rcode: "ok",
  authenticated: true,
  ttl: 60,
  canonicalName: "d.test",
  records: [{ priority: 10, weight: 0, port: 0, value: "mx.d.test", data: new Uint8Array([1, 2]) }],
};

Deno.test("answers reach the client whole, the largest included, and a daemon that is away is a passing failure", async () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/dns`;
  const many = Array.from(
    { length: 1000 },
    (_, i) => ({ ...ANSWER.records[0]!, value: `host${i}.${"x".repeat(200)}.test` }),
  );
  const lookup = {
    query: (name: string) =>
      Promise.resolve(
        name === "big.test" ? { ...ANSWER, records: many } : { ...ANSWER, canonicalName: name },
      ),
  };
  const troubles: string[] = [];
  const server = new IpcServer(DNS, dnsHandler(lookup), { trouble: (why) => troubles.push(why) });
  const listening = await listenStream(
    { kind: "unix", path },
    10,
    (channel) => server.accept(channel),
    (why) => troubles.push(why),
  );
  assert.ok(listening.kind === "listening");
  const ipc = new IpcClient(DNS, path);
  const client = new DnsClient(ipc);
  try {
    const answers = await Promise.all(["a.test", "b.test"].map((name) => client.query(name, "MX")));
    assert.deepEqual(answers.map((answer) => answer.canonicalName), ["a.test", "b.test"]);
    assert.equal(answers[0]!.records[0]!.value, "mx.d.test");
    assert.deepEqual([...answers[0]!.records[0]!.data], [1, 2]);
    assert.equal((await client.query("big.test", "MX")).records.length, 1000);
    assert.equal((await client.query("x".repeat(256), "MX")).rcode, "nxdomain");
    assert.deepEqual(troubles, []);
    ipc.close();
    assert.equal((await new DnsClient(ipc).query("c.test", "A")).rcode, "servfail");
  } finally {
    listening.server.close();
    Deno.removeSync(directory, { recursive: true });
  }
});
