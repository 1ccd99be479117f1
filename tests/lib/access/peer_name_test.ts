import assert from "node:assert/strict";
import { lookUpNames, reverseDomain } from "../../../lib/access/peer_name.ts";
import { canonicalAddress, isLoopback } from "../../../lib/access/peer.ts";
import { parseIpAddress } from "../../../lib/vstring/ip_address.ts";
import type { DnsAnswer, DnsLookup } from "../../../lib/proto/dns_client.ts";

Deno.test("smtpd: an address has one form, whatever form the socket gives", () => {
  for (
    const [text, expected] of [
      ["198.51.100.9", "198.51.100.9"],
      ["::ffff:198.51.100.9", "198.51.100.9"],
      ["::FFFF:C633:6409", "198.51.100.9"],
      ["::ffff:127.0.0.1", "127.0.0.1"],
      ["2001:DB8:0:0::1", "2001:db8::1"],
      ["fe80::1%eth0", "fe80::1"],
      ["::1", "::1"],
      ["", ""],
    ] as const
  ) assert.equal(canonicalAddress(text), expected, text);
});

Deno.test("smtpd: loopback is 127.0.0.0/8 and ::1, nothing else", () => {
  for (
    const [address, loopback] of [
      ["127.0.0.1", true],
      ["127.255.0.9", true],
      ["::1", true],
      ["128.0.0.1", false],
      ["::2", false],
      ["0.0.0.0", false],
      ["12.7.0.1", false],
    ] as const
  ) {
    assert.equal(isLoopback(address), loopback, address);
  }
});

Deno.test("RFC 1035 section 3.5, RFC 3596 section 2.5: the domain of an address's names", () => {
  assert.equal(reverseDomain(parseIpAddress("198.51.100.9")!), "9.100.51.198.in-addr.arpa");
  assert.equal(
    reverseDomain(parseIpAddress("2001:db8::567:89ab")!),
    "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
  );
});

/** Answers by "name type": the values, or an rcode. */
function dns(
  answers: Readonly<Record<string, readonly string[] | DnsAnswer["rcode"]>>,
): DnsLookup & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    query: (name, type) => {
      asked.push(`${name} ${type}`);
      const answer = answers[`${name} ${type}`] ?? "nxdomain";
      const values = typeof answer === "string" ? [] : answer;
      return Promise.resolve({
        rcode: typeof answer === "string" ? answer : "ok",
        authenticated: false,
        ttl: 1,
        canonicalName: name,
        records: values.map((value) => ({ priority: 0, weight: 0, port: 0, value, data: new Uint8Array() })),
      });
    },
  };
}

const PTR = "9.100.51.198.in-addr.arpa PTR";

/** What DNS says, and the names that come of it: verified, reverse, and whether it may be otherwise later. */
const NAMES: Readonly<
  Record<
    string,
    readonly [answers: Parameters<typeof dns>[0], name: string, reverse: string, trouble: boolean]
  >
> = {
  "a name that leads back is verified": [
    { [PTR]: ["c.test"], "c.test A": ["198.51.100.9"] },
    "c.test",
    "c.test",
    false,
  ],
  "one of several addresses is enough": [
    { [PTR]: ["c.test"], "c.test A": ["203.0.113.1", "198.51.100.9"] },
    "c.test",
    "c.test",
    false,
  ],
  "a name that leads elsewhere is not": [
    { [PTR]: ["bank.test"], "bank.test A": ["203.0.113.1"] },
    "unknown",
    "bank.test",
    false,
  ],
  "a name that does not exist is not": [{ [PTR]: ["c.test"] }, "unknown", "c.test", false],
  "the first name that leads back counts": [
    { [PTR]: ["a.test", "b.test"], "a.test A": [], "b.test A": ["198.51.100.9"] },
    "b.test",
    "a.test",
    false,
  ],
  "no name": [{ [PTR]: [] }, "unknown", "unknown", false],
  "no such domain": [{}, "unknown", "unknown", false],
  "trouble with the address's names may pass": [{ [PTR]: "servfail" }, "unknown", "unknown", true],
  "so may trouble with the name's addresses": [
    { [PTR]: ["c.test"], "c.test A": "timeout" },
    "unknown",
    "c.test",
    true,
  ],
};

for (const [name, [answers, verified, reverse, trouble]] of Object.entries(NAMES)) {
  Deno.test(`smtpd: client names: ${name}`, async () => {
    assert.deepEqual(await lookUpNames(dns(answers), "198.51.100.9"), {
      name: verified,
      reverseName: reverse,
      trouble,
    });
  });
}

Deno.test("smtpd: of the names of an address only a few are tried", async () => {
  const names = Array.from({ length: 500 }, (_, i) => `n${i}.test`);
  const service = dns({ [PTR]: names });
  await lookUpNames(service, "198.51.100.9");
  assert.ok(service.asked.length <= 6, `${service.asked.length} questions`);
});

Deno.test("smtpd: an IPv6 client is looked up by AAAA; loopback and what is no address are not looked up", async () => {
  const domain = reverseDomain(parseIpAddress("2001:db8::9")!);
  const service = dns({ [`${domain} PTR`]: ["c.test"], "c.test AAAA": ["2001:DB8::9"] });
  assert.equal((await lookUpNames(service, "2001:db8::9")).name, "c.test");
  const none = dns({});
  assert.equal((await lookUpNames(none, "127.0.0.1")).name, "localhost");
  assert.equal((await lookUpNames(none, "")).name, "unknown");
  assert.deepEqual(none.asked, []);
});
