/** TLS policies of destinations and hosts: levels, tables, DANE. @module */
import assert from "node:assert/strict";
import type { StsAnswer, StsLookup } from "../../../lib/proto/sts_client.ts";
import type { DnsAnswer, DnsLookup, DnsQueryType } from "../../../lib/proto/dns_client.ts";
import { parseDestination } from "../../../lib/smtp/client_destination.ts";
import type { Host } from "../../../lib/smtp/client_hosts.ts";
import type { HostTlsFinding } from "../../../lib/smtp/client_tls_policy.ts";
import { matchesMxPattern } from "../../../lib/smtp/client_tls_policy.ts";
import type { TlsConfiguration } from "../../../lib/smtp/client_tls_settings.ts";
import { parseTlsEntry } from "../../../lib/smtp/client_tls_table.ts";
import { FakeDns, POLICY } from "./delivery_bench.ts";
import { makeFinder, TLS_CONFIGURATION } from "./tls_bench.ts";

/** What a resolver says: "name TYPE" to a code, or values; "!" before the question: proven. "name TYPE" may have an alias. */
interface Zone {
  readonly [question: string]: string | readonly (string | Uint8Array | readonly [number, string])[];
}

/** A resolver that validates: what stands in the zone with "!" is proven, and so is that nothing else exists. */
function zoneDns(
  zone: Zone,
  aliases: Readonly<Record<string, string>> = {},
): DnsLookup & { asked: string[] } {
  const asked: string[] = [];
  const query = (name: string, type: DnsQueryType): Promise<DnsAnswer> => {
    asked.push(`${name} ${type}`);
    const proven = zone[`!${name} ${type}`];
    const found = proven ?? zone[`${name} ${type}`] ?? "nxdomain";
    const records = typeof found === "string" ? [] : found.map((value) => ({
      priority: Array.isArray(value) ? value[0] as number : 0,
      weight: 0,
      port: 0,
      value: Array.isArray(value) ? value[1] as string : typeof value === "string" ? value : "",
      data: value instanceof Uint8Array ? value : new Uint8Array(0),
    }));
    const rcode = typeof found === "string" ? found as DnsAnswer["rcode"] : "ok";
    const canonicalName = type === "CNAME" ? name : aliases[name] ?? name;
    return Promise.resolve({ rcode, authenticated: proven !== undefined, ttl: 60, canonicalName, records });
  };
  return { query, asked };
}

function hostOf(name: string, address = "192.0.2.1", port = 25): Host {
  return { kind: "inet", name, address, port, preference: 10, best: true };
}

interface Asked {
  readonly to?: string;
  readonly host?: string;
  readonly zone?: Zone;
  readonly aliases?: Readonly<Record<string, string>>;
  readonly entries?: Readonly<Record<string, string>>;
}

async function find(
  changes: Partial<TlsConfiguration>,
  asked: Asked = {},
): Promise<{ found: HostTlsFinding; warnings: string[]; asked: string[] }> {
  const dns = zoneDns(asked.zone ?? {}, asked.aliases);
  const { finder, warnings } = makeFinder(
    asked.entries === undefined ? changes : { policyTables: "smtp_tls_policy_maps", ...changes },
    dns,
    asked.entries,
  );
  const destination = parseDestination(asked.to ?? "example.test", POLICY);
  const wanted = await finder.destination(destination);
  const found = await finder.host(wanted, destination, hostOf(asked.host ?? "mx.example.test"));
  return { found, warnings, asked: dns.asked };
}

/** A finding in one line. */
function brief(found: HostTlsFinding): string {
  if (found.kind === "invalid") return `invalid: ${found.why}`;
  const { demand } = found;
  const what = demand.kind === "names"
    ? ` ${demand.names.join(" ")}`
    : demand.kind === "fingerprints"
    ? ` ${demand.fingerprints.join(" ")}`
    : demand.kind === "dane"
    ? ` ${demand.records.length} ${demand.names.join(" ")}`
    : "";
  return `${found.level}${found.required ? "!" : ""}${what}${
    found.serverName === "" ? "" : ` sni=${found.serverName}`
  }`;
}

async function expectPolicy(
  changes: Partial<TlsConfiguration>,
  asked: Asked,
  expected: string,
): Promise<void> {
  assert.equal(brief((await find(changes, asked)).found), expected);
}

Deno.test("levels without DNS ask for nothing and demand what they say", async () => {
  await expectPolicy({ level: "none" }, {}, "none");
  await expectPolicy({ level: "may" }, {}, "may");
  await expectPolicy({ level: "encrypt" }, {}, "encrypt!");
  await expectPolicy({ level: "verify" }, {}, "verify! mx.example.test");
  await expectPolicy({ level: "fingerprint", fingerprints: ["AA"] }, {}, "fingerprint! AA");
  assert.deepEqual((await find({ level: "verify" })).asked, []);
});

Deno.test("CRT-13: level secure compares with the destination, not with what the DNS made of it", async () => {
  await expectPolicy({ level: "secure" }, { host: "mx.evil.test" }, "secure! example.test .example.test");
  await expectPolicy(
    { level: "secure" },
    { to: "[relay.example.test]:587" },
    "secure! relay.example.test .relay.example.test",
  );
});

Deno.test("the table is asked for the destination as it is written, and a plain domain's parents", async () => {
  const entries = {
    "example.test": "encrypt",
    ".parent.test": "secure match=nexthop",
    "[h.parent.test]:26": "none",
  };
  await expectPolicy({}, { entries }, "encrypt!");
  await expectPolicy({}, { entries, to: "a.b.parent.test" }, "secure! a.b.parent.test");
  await expectPolicy({}, { entries, to: "parent.test" }, "may");
  await expectPolicy({}, { entries, to: "[h.parent.test]:26" }, "none");
  await expectPolicy({}, { entries, to: "[h.parent.test]" }, "may");
  await expectPolicy({}, { entries, to: "example.test:26" }, "may");
});

Deno.test("a table that is away, or says what cannot be obeyed, never weakens", async () => {
  for (
    const value of [
      "TROUBLE",
      "",
      "encryp",
      "encrypt x",
      "encrypt match=a",
      "may ciphers=null",
      "secure match=",
    ]
  ) {
    const { found, warnings } = await find({}, { entries: { "example.test": value } });
    assert.equal(brief(found), "invalid: client TLS configuration problem", value);
    assert.equal(warnings.length, 1, value);
  }
});

Deno.test("entries are read as Postfix reads them", () => {
  const good = parseTlsEntry(
    "Secure match=a.test:.b.test { match = nexthop } protocols=>=TLSv1.3 servername=s.test ciphers=high",
  );
  assert.deepEqual(good, {
    kind: "entry",
    level: "secure",
    versions: { least: "TLSv1.3", most: "TLSv1.3" },
    matches: ["a.test", ".b.test", "nexthop"],
    serverName: "s.test",
    sts: undefined,
    warnings: [],
  });
  for (
    const [value, why] of [
      ["encrypt protocols=!TLSv1.2:!TLSv1.3", "protocols"],
      ["encrypt protocols=TLSv1", "protocols"],
      ["encrypt protocols=TLSv9", "protocols"],
      ["encrypt protocols=TLSv1.2 protocols=TLSv1.2", "twice"],
      ["secure mx_host_pattern=a.test", "policy_type"],
      ["secure policy_type=other", "policy_type"],
      ["encrypt exclude=AES", "AES"],
      ["encrypt {match", "missing '}'"],
    ] as const
  ) {
    const entry = parseTlsEntry(value);
    assert.ok(entry.kind === "bad" && entry.why.includes(why), `${value}: ${JSON.stringify(entry)}`);
  }
  assert.equal(parseTlsEntry("none match=x").kind, "entry");
});

Deno.test("RFC 8461 section 4.1: MX hosts must match a policy's patterns, each as itself", async () => {
  const table = (host: string) => ({
    host,
    entries: {
      "example.test":
        "secure match=mx.example.test servername=hostname policy_type=sts policy_domain=example.test " +
        "mx_host_pattern=mx.example.test mx_host_pattern=*.mail.test",
    },
  });
  await expectPolicy({}, table("mx.example.test"), "secure! mx.example.test sni=hostname");
  await expectPolicy({}, table("a.mail.test"), "secure! a.mail.test sni=hostname");
  for (const host of ["a.b.mail.test", "mail.test", "evil.test"]) {
    await expectPolicy({}, table(host), `invalid: MX host ${host} does not match the MTA-STS policy`);
  }
  assert.equal(matchesMxPattern("*.mail.test", "A.MAIL.test"), true);
  assert.equal(matchesMxPattern("*.mail.test", ".mail.test"), false);
});

Deno.test("wrapper mode without a level that demands TLS is the administrator's mistake", async () => {
  const { found, warnings } = await find({ wrapper: true, level: "may" });
  assert.equal(found.kind, "invalid");
  assert.match(warnings[0]!, /smtp_tls_wrappermode requires/);
  await expectPolicy({ wrapper: true, level: "encrypt" }, {}, "encrypt!");
});

Deno.test("RFC 8689 section 3: with TLS-Required: no there is no policy, and no more than TLS where it is offered", async () => {
  const entries = { "example.test": "secure" };
  const relaxed = async (
    changes: Partial<TlsConfiguration>,
    to = "example.test",
    dialect: "smtp" | "lmtp" = "smtp",
  ) => {
    const dns = new FakeDns();
    const sts = { policy: () => Promise.reject(new Error("nobody asks for it")) };
    const { finder } = makeFinder({ policyTables: "smtp_tls_policy_maps", ...changes }, dns, entries, sts);
    const destination = parseDestination(to, { ...POLICY, dialect });
    const wanted = await finder.destination(destination, true);
    const found = brief(await finder.host(wanted, destination, hostOf("mx.example.test")));
    assert.deepEqual(dns.asked, []);
    return found;
  };
  assert.equal(await relaxed({ level: "secure" }), "may");
  assert.equal(await relaxed({ level: "dane-only" }), "may");
  assert.equal(await relaxed({ level: "secure", wrapper: true }), "encrypt!");
  assert.equal(await relaxed({ level: "secure" }, "unix:/run/lmtp", "lmtp"), "none");
  assert.equal(await relaxed({ level: "none" }), "none");
});

Deno.test("a unix socket has no DANE, and no TLS for the asking", async () => {
  const { finder } = makeFinder({ dialect: "lmtp", level: "may" }, zoneDns({}));
  const lmtp = { ...POLICY, dialect: "lmtp" as const };
  const destination = parseDestination("unix:/run/lmtp", lmtp);
  const wanted = await finder.destination(destination);
  assert.equal(wanted.kind === "wanted" && wanted.level, "none");
});

const GOOD = new Uint8Array([3, 1, 1, ...new Uint8Array(32)]);
const UNUSABLE = new Uint8Array([0, 1, 1, ...new Uint8Array(32)]);
const MX: Zone = { "!example.test MX": [[10, "mx.example.test"]] };
const ADDRESS: Zone = { "!mx.example.test A": ["192.0.2.1"] };
const TLSA: Zone = { "!_25._tcp.mx.example.test TLSA": [GOOD] };

interface DaneCase {
  readonly name: string;
  readonly zone: Zone;
  readonly aliases?: Readonly<Record<string, string>>;
  readonly changes?: Partial<TlsConfiguration["dane"]>;
  readonly to?: string;
  readonly dane: string;
  readonly only?: string;
}

const NAMES = "mx.example.test example.test example.test sni=mx.example.test";
const CASES: readonly DaneCase[] = [
  {
    name: "all proven",
    zone: { ...MX, ...ADDRESS, ...TLSA },
    dane: `dane! 1 ${NAMES}`,
    only: `dane-only! 1 ${NAMES}`,
  },
  {
    name: "a host without MX",
    to: "[mx.example.test]",
    zone: { ...ADDRESS, ...TLSA },
    dane: "dane! 1 mx.example.test mx.example.test sni=mx.example.test",
  },
  {
    name: "RFC 7672 section 2.1.2: records that nobody vouches for are none (DNS-28)",
    zone: { ...MX, ...ADDRESS, "_25._tcp.mx.example.test TLSA": [GOOD] },
    dane: "may",
    only: "invalid: no TLSA records found: mx.example.test:25",
  },
  {
    name: "RFC 7672 section 2.1.1: a lookup that fails is no proof that there is nothing",
    zone: { ...MX, ...ADDRESS, "_25._tcp.mx.example.test TLSA": "servfail" },
    dane: "invalid: TLSA lookup error for mx.example.test:25",
    only: "invalid: TLSA lookup error for mx.example.test:25",
  },
  {
    name: "no answer in time is none either",
    zone: { ...MX, ...ADDRESS, "_25._tcp.mx.example.test TLSA": "timeout" },
    dane: "invalid: TLSA lookup error for mx.example.test:25",
  },
  {
    name: "records that cannot be used",
    zone: { ...MX, ...ADDRESS, "!_25._tcp.mx.example.test TLSA": [UNUSABLE] },
    dane: "encrypt!",
    only: "invalid: TLSA records of mx.example.test are not usable",
  },
  {
    name: "RFC 7672 section 2.2: MX records that are not proven may be an attacker's",
    zone: { "example.test MX": [[10, "mx.example.test"]], ...ADDRESS, ...TLSA },
    dane: "half-dane! 1 mx.example.test example.test sni=mx.example.test",
    only: "invalid: MX records are not DNSSEC validated",
  },
  {
    name: "the same with the policy encrypt",
    changes: { insecureMx: "encrypt" },
    zone: { "example.test MX": [[10, "mx.example.test"]], ...ADDRESS, ...TLSA },
    dane: "encrypt!",
  },
  {
    name: "the same with the policy may",
    changes: { insecureMx: "may" },
    zone: { "example.test MX": [[10, "mx.example.test"]], ...ADDRESS, ...TLSA },
    dane: "may",
  },
  {
    name: "a host that the proven answer does not name came from another one",
    zone: { "!example.test MX": [[10, "other.example.test"]], ...ADDRESS, ...TLSA },
    dane: "half-dane! 1 mx.example.test example.test sni=mx.example.test",
    only: "invalid: MX records are not DNSSEC validated",
  },
  {
    name: "an address that is not proven",
    zone: { ...MX, "mx.example.test A": ["192.0.2.1"], ...TLSA },
    dane: "may",
    only: "invalid: no DNSSEC validated address: mx.example.test:25",
  },
  {
    name: "an address that is not proven, looked for all the same",
    changes: { forceInsecureHosts: true },
    zone: { ...MX, "mx.example.test A": ["192.0.2.1"], ...TLSA },
    dane: `dane! 1 ${NAMES}`,
  },
  {
    name: "an alias: the records at its end come first",
    aliases: { "mx.example.test": "real.example.test" },
    zone: { ...MX, ...ADDRESS, ...TLSA, "!_25._tcp.real.example.test TLSA": [GOOD, GOOD] },
    dane: "dane! 2 real.example.test example.test example.test sni=real.example.test",
  },
  {
    name: "an alias: then those at its beginning",
    aliases: { "mx.example.test": "real.example.test" },
    zone: { ...MX, ...ADDRESS, ...TLSA },
    dane: `dane! 1 ${NAMES}`,
  },
  {
    name: "a proven alias of an address that is not",
    aliases: { "mx.example.test": "real.other.test" },
    zone: {
      ...MX,
      "mx.example.test A": ["192.0.2.1"],
      "!mx.example.test CNAME": ["real.other.test"],
      ...TLSA,
      "!_25._tcp.real.other.test TLSA": [GOOD, GOOD],
    },
    dane: `dane! 1 ${NAMES}`,
  },
];

for (const { name, zone, aliases, changes, to, dane, only } of CASES) {
  Deno.test(name, async () => {
    const config = { dane: { ...TLS_CONFIGURATION.dane, ...changes } };
    const asked = {
      zone,
      ...(to === undefined ? {} : { to }),
      ...(aliases === undefined ? {} : { aliases }),
    };
    await expectPolicy({ ...config, level: "dane" }, asked, dane);
    if (only !== undefined) await expectPolicy({ ...config, level: "dane-only" }, asked, only);
  });
}

Deno.test("RFC 7672 section 8.1: the server is told the name at which its records were found", async () => {
  const zone = { ...MX, ...ADDRESS, ...TLSA };
  await expectPolicy({ level: "dane", serverName: "other.test" }, { zone }, `dane! 1 ${NAMES}`);
});

Deno.test("without proofs from the DNS there is no DANE", async () => {
  const dane = { ...TLS_CONFIGURATION.dane, hindrance: 'smtp_dns_support_level is not "dnssec"' };
  const asked = { zone: { ...MX, ...ADDRESS, ...TLSA } };
  await expectPolicy({ level: "dane", dane }, asked, "may");
  await expectPolicy({ level: "dane-only", dane }, asked, "invalid: client TLS configuration problem");
});

Deno.test("a literal address has no TLSA records", async () => {
  const { finder } = makeFinder({ level: "dane" }, zoneDns({ "!_25._tcp.192.0.2.1 TLSA": [GOOD] }));
  const destination = parseDestination("[192.0.2.1]", POLICY);
  const found = await finder.host(await finder.destination(destination), destination, hostOf("192.0.2.1"));
  assert.equal(brief(found), "may");
});

const STS_POLICY: StsAnswer = {
  mode: "enforce",
  id: "1",
  patterns: [{ name: "mx.example.test" }],
  lines: [],
};

interface StsCase {
  readonly name: string;
  readonly sts: Partial<StsAnswer> | undefined;
  readonly level?: TlsConfiguration["level"];
  readonly zone?: Zone;
  readonly to?: string;
  readonly entries?: Readonly<Record<string, string>>;
  readonly expected: string;
}

const SECURE = "secure! mx.example.test sni=mx.example.test";
const STS_CASES: readonly StsCase[] = [
  { name: "RFC 8461 section 4.2: the certificate is for the MX host's own name", sts: {}, expected: SECURE },
  {
    name: "a wildcard in a policy is for one label",
    sts: { patterns: [{ name: "*.example.test" }] },
    expected: SECURE,
  },
  {
    name: "a host that the policy does not name",
    sts: { patterns: [{ name: "other.test" }] },
    expected: "invalid: MX host mx.example.test does not match the MTA-STS policy",
  },
  {
    name: "RFC 8461 section 5: in mode testing mail goes on as without the policy",
    sts: { mode: "testing" },
    expected: "may",
  },
  { name: "no policy", sts: { mode: "none", patterns: [] }, expected: "may" },
  { name: "nobody can tell", sts: undefined, expected: "invalid: MTA-STS policy lookup problem" },
  {
    name: "a destination without MX lookup has no policy",
    sts: {},
    to: "[mx.example.test]",
    expected: "may",
  },
  {
    name: "an entry of the administrator's comes first",
    sts: {},
    entries: { "example.test": "may" },
    expected: "may",
  },
  { name: "level none asks nobody", sts: undefined, level: "none", expected: "none" },
  { name: "level encrypt becomes more", sts: {}, level: "encrypt", expected: SECURE },
  { name: "level dane without records becomes more than may", sts: {}, level: "dane", expected: SECURE },
  {
    name: "RFC 8461 section 2: DANE comes first",
    sts: { patterns: [{ name: "other.test" }] },
    level: "dane",
    zone: { ...MX, ...ADDRESS, ...TLSA },
    expected: `dane! 1 ${NAMES}`,
  },
];

for (const { name, sts, level, zone, to, entries, expected } of STS_CASES) {
  Deno.test(name, async () => {
    const lookup: StsLookup = {
      policy: () => Promise.resolve(sts === undefined ? undefined : { ...STS_POLICY, ...sts }),
    };
    const changes = { level: level ?? "may", policyTables: "smtp_tls_policy_maps" } as const;
    const { finder } = makeFinder(changes, zoneDns(zone ?? {}), entries, lookup);
    const destination = parseDestination(to ?? "example.test", POLICY);
    const found = await finder.host(
      await finder.destination(destination),
      destination,
      hostOf("mx.example.test"),
    );
    assert.equal(brief(found), expected);
  });
}
