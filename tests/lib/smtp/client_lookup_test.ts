/** Hosts of a destination: RFC 5321 section 5.1 and what a stranger's zone may try. @module */
import assert from "node:assert/strict";
import { parseDestination } from "../../../lib/smtp/client_destination.ts";
import { balanceFamilies, type Host, orderHosts } from "../../../lib/smtp/client_hosts.ts";
import { lookUpHosts } from "../../../lib/smtp/client_lookup.ts";
import type { ClientPolicy } from "../../../lib/smtp/client_policy.ts";
import { FakeDns, POLICY, type Zone } from "./delivery_bench.ts";

interface LookupCase {
  readonly name: string;
  readonly to?: string;
  readonly zone: Zone;
  /** The system's file of host names. */
  readonly native?: Readonly<Record<string, readonly string[]>>;
  readonly policy?: Partial<ClientPolicy>;
  /** "name[address] preference" in order. */
  readonly hosts?: readonly string[];
  readonly final?: boolean;
  /** "soft|hard status text part". */
  readonly failure?: string;
  /** Questions that must not be asked. */
  readonly notAsked?: readonly string[];
}

const A = ["192.0.2.10"];
const PORTS = new Map([["smtp", 25], ["submission", 587]]);

const CASES: readonly LookupCase[] = [
  {
    name: "the lowest preference comes first",
    zone: {
      "d.test MX": [[20, "b.test"], [10, "a.test"]],
      "a.test A": A,
      "b.test A": ["192.0.2.20"],
      "a.test AAAA": ["2001:db8::a"],
    },
    hosts: ["a.test[192.0.2.10] 10", "a.test[2001:db8::a] 10", "b.test[192.0.2.20] 20"],
  },
  {
    name: "without MX the name is its own host",
    zone: { "d.test MX": [], "d.test A": A },
    hosts: ["d.test[192.0.2.10] 0"],
  },
  {
    name: "NXDOMAIN for MX falls back to the name as well",
    zone: { "d.test A": A },
    hosts: ["d.test[192.0.2.10] 0"],
  },
  {
    name: "no MX and no address: returned 5.4.4",
    zone: {},
    failure: "hard 5.4.4 name=d.test type=AAAA: Host not found",
  },
  {
    name: "a name without addresses: returned 5.4.4",
    zone: { "d.test MX": [], "d.test A": [], "d.test AAAA": [] },
    failure: "hard 5.4.4 type=AAAA: Host found but no data record of requested type",
  },
  {
    name: "RFC 7505 section 3: a null MX is returned 5.1.10 and looked up no further",
    zone: { "d.test MX": [[0, "."]], "d.test A": A },
    failure: "hard 5.1.10 does not accept mail (nullMX)",
    notAsked: ["d.test A", ". A"],
  },
  {
    name: "a null MX beside others is passed over",
    zone: { "d.test MX": [[0, "."], [10, "a.test"]], "a.test A": A },
    hosts: ["a.test[192.0.2.10] 10"],
    notAsked: [". A"],
  },
  ...(["servfail", "refused", "timeout", "other"] as const).map((rcode) => ({
    name: `${rcode} for MX defers 4.4.3 and addresses are not tried`,
    zone: { "d.test MX": rcode, "d.test A": A },
    failure: "soft 4.4.3 name=d.test type=MX: Host not found, try again",
    notAsked: ["d.test A"],
  })),
  {
    name: "a malformed answer defers",
    zone: { "d.test MX": "malformed" },
    failure: "soft 4.4.3 Malformed or unexpected name server reply",
  },
  {
    name: "DNS-10: aliases in a circle are returned as Postfix returns them",
    zone: { "d.test MX": "loop" },
    failure: "hard 5.4.4 Name server loop for d.test",
  },
  {
    name: "ignore_mx_lookup_error looks the host up instead",
    zone: { "d.test MX": "servfail", "d.test A": A },
    policy: { ignoreMxErrors: true },
    hosts: ["d.test[192.0.2.10] 0"],
  },
  {
    name: "an address found hides another host's failure",
    zone: { "d.test MX": [[10, "a.test"], [20, "b.test"]], "a.test A": "servfail", "b.test A": A },
    hosts: ["b.test[192.0.2.10] 20"],
  },
  {
    name: "without any address the last failure is told, and passes when one of them may",
    zone: { "d.test MX": [[10, "a.test"], [20, "b.test"]], "a.test A": "timeout" },
    failure: "soft 4.4.4 name=b.test type=AAAA",
  },
  {
    name: "MX hosts that do not exist: returned, or deferred where smtp_defer_if_no_mx_address_found says so",
    zone: { "d.test MX": [[10, "a.test"]] },
    failure: "hard 5.4.4 name=a.test",
  },
  {
    name: "the same deferred",
    zone: { "d.test MX": [[10, "a.test"]] },
    policy: { deferIfNoAddress: true },
    failure: "soft 4.4.4 name=a.test",
  },
  {
    name: "an address in the place of an MX host is used",
    zone: { "d.test MX": [[10, "192.0.2.7"]] },
    hosts: ["192.0.2.7[192.0.2.7] 10"],
  },
  {
    name: "brackets suppress MX",
    to: "[d.test]",
    zone: { "d.test MX": [[10, "a.test"]], "d.test A": A },
    hosts: ["d.test[192.0.2.10] 0"],
    notAsked: ["d.test MX"],
  },
  { name: "a literal is not looked up", to: "[192.0.2.9]", zone: {}, hosts: ["192.0.2.9[192.0.2.9] 0"] },
  {
    name: "RFC 5321 section 4.1.3: an IPv6 literal",
    to: "[IPv6:2001:DB8::9]:2525",
    zone: {},
    hosts: ["2001:db8::9[2001:db8::9] 0"],
  },
  {
    name: "inet_protocols = ipv4 asks for no AAAA",
    zone: { "d.test MX": [], "d.test A": A },
    policy: { ipv6: false },
    hosts: ["d.test[192.0.2.10] 0"],
    notAsked: ["d.test AAAA"],
  },
  {
    name: "DNS-35: a name that cannot exist is not asked for",
    to: `${"x".repeat(64)}.test`,
    zone: {},
    failure: "hard 5.4.4",
    notAsked: [`${"x".repeat(64)}.test MX`],
  },
  { name: "a numeric name is no host", to: "1.2.3.4", zone: {}, failure: "hard 5.4.4" },
  {
    name: "a UTF-8 name is asked for in ASCII",
    to: "bücher.test",
    zone: { "xn--bcher-kva.test A": A },
    hosts: ["xn--bcher-kva.test[192.0.2.10] 0"],
  },
  {
    name: "the file of host names alone knows no MX",
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": A },
    native: { "d.test": ["192.0.2.50", "2001:db8::50"] },
    policy: { hostLookup: ["native"], ipv6: false },
    hosts: ["d.test[192.0.2.50] 0"],
    notAsked: ["d.test MX", "d.test A"],
  },
  {
    name: "a name that the file of host names does not have",
    zone: { "d.test A": A },
    policy: { hostLookup: ["native"] },
    failure: "hard 5.4.4 unable to look up host d.test: Name or service not known",
    notAsked: ["d.test A"],
  },
  {
    name: "dns, native: the file is asked for what the DNS does not have",
    zone: { "d.test MX": [[10, "a.test"]] },
    native: { "a.test": ["192.0.2.50"] },
    policy: { hostLookup: ["dns", "native"] },
    hosts: ["a.test[192.0.2.50] 10"],
  },
  {
    name: "dns, native: not while the DNS cannot say",
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": "servfail" },
    native: { "a.test": ["192.0.2.50"] },
    policy: { hostLookup: ["dns", "native"] },
    failure: "soft 4.4.3 name=a.test type=A",
  },
  {
    name: "native, dns: the file comes first",
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": A },
    native: { "a.test": ["192.0.2.50"] },
    policy: { hostLookup: ["native", "dns"] },
    hosts: ["a.test[192.0.2.50] 10"],
  },
  // SRV.
  {
    name: "RFC 2782: SRV records give hosts and ports, in their order, and MX is not looked at",
    to: "d.test:submission",
    zone: {
      "_submission._tcp.d.test SRV": [[20, "b.test", 5, 26], [10, "a.test", 0, 587]],
      "a.test A": A,
      "b.test A": ["192.0.2.20"],
      "d.test MX": [[10, "c.test"]],
    },
    policy: { srv: { services: ["submission"], fallback: false, ignoreErrors: false }, knownPorts: PORTS },
    hosts: ["a.test[192.0.2.10] 10", "b.test[192.0.2.20]:26 20"],
    notAsked: ["d.test MX"],
  },
  {
    name: "another service has its MX hosts",
    zone: { "_smtp._tcp.d.test SRV": [[10, "b.test", 0, 26]], "d.test A": A },
    policy: { srv: { services: ["submission"], fallback: false, ignoreErrors: false } },
    hosts: ["d.test[192.0.2.10] 0"],
    notAsked: ["_smtp._tcp.d.test SRV"],
  },
  {
    name: "the default service counts too",
    zone: { "_smtp._tcp.d.test SRV": [[10, "b.test", 0, 26]], "b.test A": A },
    policy: { srv: { services: ["smtp"], fallback: false, ignoreErrors: false } },
    hosts: ["b.test[192.0.2.10]:26 10"],
  },
  {
    name: "no SRV record: returned",
    zone: { "d.test A": A },
    policy: { srv: { services: ["smtp"], fallback: false, ignoreErrors: true } },
    failure: "hard 5.4.4 name=_smtp._tcp.d.test type=SRV: Host not found",
  },
  {
    name: "no SRV record with allow_srv_lookup_fallback: MX",
    zone: { "d.test A": A },
    policy: { srv: { services: ["smtp"], fallback: true, ignoreErrors: false } },
    hosts: ["d.test[192.0.2.10] 0"],
  },
  {
    name: "SRV that cannot be had: deferred",
    zone: { "_smtp._tcp.d.test SRV": "servfail", "d.test A": A },
    policy: { srv: { services: ["smtp"], fallback: false, ignoreErrors: false } },
    failure: "soft 4.4.3 name=_smtp._tcp.d.test type=SRV",
  },
  {
    name: "SRV that cannot be had with ignore_srv_lookup_error: MX",
    zone: { "_smtp._tcp.d.test SRV": "servfail", "d.test A": A },
    policy: { srv: { services: ["smtp"], fallback: false, ignoreErrors: true } },
    hosts: ["d.test[192.0.2.10] 0"],
  },
  {
    name: "RFC 2782: a null SRV is returned",
    zone: { "_smtp._tcp.d.test SRV": [[0, ".", 0, 0]], "d.test A": A },
    policy: { srv: { services: ["smtp"], fallback: true, ignoreErrors: true } },
    failure: "hard 5.1.0 is not available (nullSRV)",
    notAsked: ["d.test MX"],
  },
  {
    name: "smtp_cname_overrides_servername calls a host by the end of its aliases",
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": A, "a.test canonical": ["real.test"] },
    policy: { cnameOverridesName: true },
    hosts: ["real.test[192.0.2.10] 10"],
  },
  {
    name: "without it the name of the MX record stays",
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": A, "a.test canonical": ["real.test"] },
    hosts: ["a.test[192.0.2.10] 10"],
  },
  // Loops, on port 25.
  {
    name: "our own address as the only MX is a loop",
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": ["192.0.2.1"] },
    failure: "hard 5.4.6 loops back to myself",
    final: true,
  },
  {
    name: "RFC 5321 section 5.1: being a backup MX leaves the better ones, and nothing behind them is tried",
    zone: {
      "d.test MX": [[10, "a.test"], [20, "me.test"], [30, "c.test"], [20, "e.test"]],
      "a.test A": A,
      "me.test A": ["192.0.2.1"],
      "c.test A": ["192.0.2.30"],
      "e.test A": ["192.0.2.31"],
    },
    hosts: ["a.test[192.0.2.10] 10"],
    final: true,
  },
  {
    name: "better MX hosts without addresses defer the backup's mail",
    zone: {
      "d.test MX": [[10, "a.test"], [20, "me.test"]],
      "a.test A": "timeout",
      "me.test A": ["192.0.2.1"],
    },
    failure: "soft 4.4.4 unable to find primary relay for d.test",
    final: true,
  },
  ...["127.0.0.1", "0.0.0.0"].map((address) => ({
    name: `DNS-04: MX at ${address} is a loop`,
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": [address] } as Zone,
    failure: "hard 5.4.6 loops back to myself",
    final: true,
  })),
  ...["::1", "::", "::ffff:127.0.0.1"].map((address) => ({
    name: `DNS-04: MX at ${address} is a loop`,
    zone: { "d.test MX": [[10, "a.test"]], "a.test AAAA": [address] } as Zone,
    failure: "hard 5.4.6 loops back to myself",
    final: true,
  })),
  {
    name: "our own address in IPv6 clothes is a loop",
    zone: { "d.test MX": [[10, "a.test"]], "a.test AAAA": ["::ffff:192.0.2.1"] },
    failure: "hard 5.4.6 loops back to myself",
    final: true,
  },
  // Private addresses.
  ...["169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1"].map((address) => ({
    name: `DNS-05: MX at ${address} is refused`,
    zone: { "d.test MX": [[10, "a.test"]], "a.test A": [address] } as Zone,
    failure: "hard 5.4.4 no host for d.test has an address on the public internet",
  })),
  ...["fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"].map((address) => ({
    name: `DNS-05: MX at ${address} is refused`,
    zone: { "d.test MX": [[10, "a.test"]], "a.test AAAA": [address] } as Zone,
    failure: "hard 5.4.4 no host for d.test has an address on the public internet",
  })),
  {
    name: "a private address beside a public one is left out",
    zone: { "d.test MX": [], "d.test A": ["10.0.0.1", "192.0.2.10"] },
    hosts: ["d.test[192.0.2.10] 0"],
  },
  {
    name: "a recipient's own literal does not reach loopback",
    to: "[127.0.0.1]",
    zone: {},
    policy: { trusted: new Set(["[127.0.0.1]:2601"]) },
    failure: "hard 5.4.6",
    final: true,
  },
  {
    name: "nor another port of it",
    to: "[127.0.0.1]:2602",
    zone: {},
    policy: { trusted: new Set(["[127.0.0.1]:2601"]) },
    failure: "hard 5.4.6",
  },
  {
    name: "nor a private host",
    to: "[10.0.0.1]",
    zone: {},
    policy: { trusted: new Set(["[10.0.0.2]"]) },
    failure: "hard 5.4.4",
  },
  {
    name: "what the configuration names is reached",
    to: "[127.0.0.1]:2601",
    zone: {},
    policy: { trusted: new Set(["[127.0.0.1]:2601"]) },
    hosts: ["127.0.0.1[127.0.0.1] 0"],
  },
  {
    name: "RFC 6761 section 6.3: localhost is not asked for",
    to: "[localhost]:2601",
    zone: {},
    policy: { trusted: new Set(["[localhost]:2601"]) },
    hosts: ["localhost[127.0.0.1] 0", "localhost[::1] 0"],
    notAsked: ["localhost A"],
  },
  {
    name: "LMTP asks for no MX and knows no loop",
    to: "inet:d.test",
    zone: { "d.test A": ["192.0.2.1"] },
    policy: { dialect: "lmtp", defaultPort: 24 },
    hosts: ["d.test[192.0.2.1] 0"],
    notAsked: ["d.test MX"],
  },
];

for (const each of CASES) {
  Deno.test(each.name, async () => {
    const policy: ClientPolicy = { ...POLICY, ...each.policy };
    const destination = parseDestination(each.to ?? "d.test", policy);
    assert.equal(destination.kind, "inet");
    if (destination.kind !== "inet") return;
    const dns = new FakeDns(each.zone);
    const native = (name: string) => each.native?.[name] ?? [];
    const tools = { policy, dns, native, random: () => 0, warn: () => undefined };
    const found = await lookUpHosts(destination, tools);
    if (each.hosts !== undefined) {
      assert.equal(found.kind, "hosts", JSON.stringify(found));
      if (found.kind !== "hosts") return;
      assert.deepEqual(
        found.hosts.map(({ name, address, port, preference }) =>
          `${name}[${address}]${port === destination.port ? "" : `:${port}`} ${preference}`
        ),
        each.hosts,
      );
    } else {
      assert.equal(found.kind, "failed", JSON.stringify(found));
      if (found.kind !== "failed") return;
      const { soft, status, text } = found.failure;
      const [kind, code, ...part] = each.failure!.split(" ");
      assert.equal(`${soft ? "soft" : "hard"} ${status}`, `${kind} ${code}`, text);
      assert.ok(text.includes(part.join(" ")), text);
    }
    if (each.final !== undefined) assert.equal(found.final, each.final);
    for (const question of each.notAsked ?? []) assert.ok(!dns.asked.includes(question), question);
  });
}

Deno.test("DNS-13: a thousand addresses are cut to a bounded list", async () => {
  const addresses = Array.from({ length: 1000 }, (_, i) => `198.51.${100 + (i >> 8)}.${i & 255}`);
  const destination = parseDestination("d.test", POLICY);
  assert.ok(destination.kind === "inet");
  const dns = new FakeDns({ "d.test A": addresses });
  const found = await lookUpHosts(destination, {
    policy: POLICY,
    dns,
    native: () => [],
    random: () => 0,
    warn: () => undefined,
  });
  assert.ok(found.kind === "hosts" && found.hosts.length <= 100);
});

const DESTINATIONS: readonly (readonly [word: string, dialect: "smtp" | "lmtp", expected: string])[] = [
  ["Example.TEST", "smtp", "inet example.test mx 25"],
  ["example.test:587", "smtp", "inet example.test mx 587"],
  ["example.test:lmtp", "smtp", "inet example.test mx 24"],
  ["[example.test]", "smtp", "inet example.test host 25"],
  ["[example.test]:smtp", "smtp", "inet example.test host 25"],
  ["[192.0.2.1]:26", "smtp", "inet 192.0.2.1 literal 26"],
  ["[ipv6:2001:DB8:0::1]", "smtp", "inet 2001:db8::1 literal 25"],
  ["[2001:db8::1]:26", "smtp", "inet 2001:db8::1 literal 26"],
  ["inet:192.0.2.1:2003", "lmtp", "inet 192.0.2.1 literal 2003"],
  ["inet:[192.0.2.1]", "lmtp", "inet 192.0.2.1 literal 25"],
  ["host.test:2003", "lmtp", "inet host.test host 2003"],
  ["unix:/run/LMTP", "lmtp", "unix /run/LMTP"],
  ["unix:relative", "lmtp", "bad"],
  ["unix:/run/x", "smtp", "bad"],
  ["example.test:nosuch", "smtp", "bad"],
  ["example.test:0", "smtp", "bad"],
  ["example.test:65536", "smtp", "bad"],
  ["example.test:", "smtp", "bad"],
  ["[example.test", "smtp", "bad"],
  ["[example.test]x", "smtp", "bad"],
  ["[]", "smtp", "bad"],
];

for (const [word, dialect, expected] of DESTINATIONS) {
  Deno.test(`destination ${word} (${dialect}) is ${expected}`, () => {
    const found = parseDestination(word, { ...POLICY, dialect });
    const shown = found.kind === "inet"
      ? `inet ${found.host} ${
        found.mx ? "mx" : found.literal === undefined ? "host" : "literal"
      } ${found.port}`
      : found.kind === "unix"
      ? `unix ${found.path}`
      : "bad";
    assert.equal(shown, expected);
  });
}

function host(address: string, preference = 0): Host {
  return { kind: "inet", name: "h", address, port: 25, preference, best: true };
}

Deno.test("equal preferences are shuffled, and the shuffle reaches every order", () => {
  const order = { randomize: true, addressPreference: "any", balance: false, addressLimit: 5 } as const;
  const hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((address) => host(address, 10));
  const seen = new Set<string>();
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let i = 0; i < 200; i++) {
    const ordered = orderHosts([...hosts, host("192.0.2.9", 5)], order, random);
    assert.equal(ordered[0]!.address, "192.0.2.9");
    seen.add(ordered.slice(1).map((each) => each.address.slice(-1)).join(""));
  }
  assert.equal(seen.size, 6);
});

Deno.test("smtp_address_preference orders families inside a preference only", () => {
  const hosts = [
    host("192.0.2.1", 10),
    host("2001:db8::1", 10),
    host("2001:db8::2", 20),
    host("192.0.2.2", 20),
  ];
  const order = { randomize: false, balance: false, addressLimit: 5 } as const;
  const show = (preference: "ipv4" | "ipv6" | "any") =>
    orderHosts(hosts, { ...order, addressPreference: preference }, () => 0).map((each) => each.address);
  assert.deepEqual(show("ipv6"), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]);
  assert.deepEqual(show("ipv4"), ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]);
  assert.deepEqual(show("any"), hosts.map((each) => each.address));
});

Deno.test("smtp_balance_inet_protocols keeps both families among those tried", () => {
  const many = (count: number, v6: boolean) =>
    Array.from({ length: count }, (_, i) => host(v6 ? `2001:db8::${i + 1}` : `192.0.2.${i + 1}`));
  const shape = (hosts: readonly Host[]) =>
    hosts.map((each) => each.address.includes(":") ? "6" : "4").join("");
  assert.equal(shape(balanceFamilies([...many(10, true), ...many(1, false)], 5)), "66664");
  assert.equal(shape(balanceFamilies([...many(10, true), ...many(10, false)], 5)), "66644");
  assert.equal(shape(balanceFamilies([...many(10, false), ...many(10, true)], 5)), "44466");
  assert.equal(shape(balanceFamilies([...many(10, false), ...many(2, true)], 5)), "44466");
  assert.equal(shape(balanceFamilies([...many(2, false), ...many(1, true)], 5)), "446");
  assert.equal(shape(balanceFamilies(many(10, true), 5)), "6666666666");
});
