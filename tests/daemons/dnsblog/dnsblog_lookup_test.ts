import assert from "node:assert/strict";
import { listName, lookUpList } from "../../../daemons/dnsblog/dnsblog_lookup.ts";
import type { DnsAnswer } from "../../../lib/proto/dns_client.ts";
import { KeptLog } from "../bounce/bounce_support.ts";

Deno.test("RFC 5782 section 2.1: the name under which a list has an IPv4 address", () => {
  assert.equal(listName("bl.example", "192.0.2.99"), "99.2.0.192.bl.example");
});

Deno.test("RFC 5782 section 2.4: the name under which a list has an IPv6 address", () => {
  assert.equal(
    listName("bl.example", "2001:db8:1:2:3:4:567:89ab"),
    "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example",
  );
  assert.equal(listName("bl.example", "not an address"), undefined);
});

/** What comes of one answer. */
async function lookedUp(answer: Partial<DnsAnswer>, values: readonly string[] = []) {
  const log = new KeptLog();
  const records = values.map((value) => ({
    priority: 0,
    weight: 0,
    port: 0,
    value,
    data: new Uint8Array(0),
  }));
  const whole: DnsAnswer = {
    rcode: "ok",
    authenticated: false,
    ttl: 77,
    canonicalName: "",
    records,
    ...answer,
  };
  const listed = await lookUpList({ query: () => Promise.resolve(whole) }, "bl.example", "192.0.2.9", log);
  return { ...listed, addresses: listed.addresses.map(({ address }) => address), log: log.lines };
}

Deno.test("dnsblog: a listed client is logged as Postfix does, with each address", async () => {
  assert.deepEqual(await lookedUp({}, ["127.0.0.2", "127.0.0.4"]), {
    addresses: ["127.0.0.2", "127.0.0.4"],
    ttl: 77,
    failed: false,
    log: [
      "addr 192.0.2.9 listed by domain bl.example as 127.0.0.2",
      "addr 192.0.2.9 listed by domain bl.example as 127.0.0.4",
    ],
  });
});

Deno.test("dnsblog: a name that does not exist is a client that is not listed", async () => {
  assert.deepEqual(await lookedUp({ rcode: "nxdomain" }), { addresses: [], ttl: 77, failed: false, log: [] });
});

Deno.test("dnsblog: a lookup that fails says nothing of the client", async () => {
  for (const rcode of ["servfail", "refused", "timeout", "malformed", "other"] as const) {
    const { addresses, failed, log } = await lookedUp({ rcode }, ["127.0.0.2"]);
    assert.deepEqual([addresses, failed], [[], true]);
    assert.deepEqual(log, [
      `warning: dnsblog_query: lookup error for DNS query 9.2.0.192.bl.example: ${rcode}`,
    ]);
  }
});
