/** Rules of SPF one by one, with the scripted DNS; and the answers that policy makes of results. @module */
import assert from "node:assert/strict";
import { Greylist } from "../../../daemons/policy/policy_greylist.ts";
import { PolicyRules, type PolicySettings } from "../../../daemons/policy/policy_rules.ts";
import { checkSpf, type SpfVerdict } from "../../../daemons/policy/policy_spf.ts";
import { type Zone, zoneLookup } from "../../support/scripted_dns.ts";

const CLIENT = "192.0.2.1";

/** The verdict on a sender at x.test. */
function check(zone: Zone, sender = "joe@x.test", address = CLIENT, helo = "helo.test"): Promise<SpfVerdict> {
  return checkSpf({ address, helo, sender, receiver: "mx.test" }, zoneLookup(zone));
}

const many = (count: number, make: (n: number) => string) =>
  Array.from({ length: count }, (_, i) => make(i + 1));
const chain = (count: number): Zone =>
  Object.fromEntries([
    ["x.test TXT", ["v=spf1 include:i1.test -all"]],
    ...many(count, (n) => String(n)).map((n) =>
      [`i${n}.test TXT`, [
        Number(n) === count ? "v=spf1 +all" : `v=spf1 include:i${Number(n) + 1}.test -all`,
      ]] as const
    ),
  ]);

/** Name, zone, result; and what else the question has. */
const CASES: readonly (readonly [string, Zone, string, (readonly [string?, string?, string?])?])[] = [
  [
    "RFC 7208 section 2.4: without a sender postmaster at the HELO name is asked for",
    { "helo.test TXT": ["v=spf1 +all"] },
    "pass",
    [""],
  ],
  [
    "RFC 7208 section 4.5: two records are an error",
    { "x.test TXT": ["v=spf1 +all", "v=spf1 -all"] },
    "permerror",
  ],
  ["RFC 7208 section 4.5: other texts do not count", {
    "x.test TXT": ["v=spf10 -all", "v=spf1 +all", "hello"],
  }, "pass"],
  ["RFC 7208 section 4.6.4: ten terms that look something up are taken", chain(10), "pass"],
  ["RFC 7208 section 4.6.4: eleven are an error", chain(11), "permerror"],
  ["RFC 7208 section 4.6.4: two look-ups may find nothing", {
    "x.test TXT": ["v=spf1 a:n1.test a:n2.test +all"],
  }, "pass"],
  ["RFC 7208 section 4.6.4: three are an error", {
    "x.test TXT": ["v=spf1 a:n1.test a:n2.test a:n3.test +all"],
  }, "permerror"],
  ["RFC 7208 section 4.6.4: ten MX names are asked", {
    "x.test TXT": ["v=spf1 mx -all"],
    "x.test MX": many(10, (n) => `10 m${n}.test`),
    ...Object.fromEntries(
      many(10, (n) => `m${n}.test A`).map((key, i) => [key, [i === 9 ? CLIENT : "192.0.2.9"]]),
    ),
  }, "pass"],
  ["RFC 7208 section 4.6.4: eleven MX names are an error", {
    "x.test TXT": ["v=spf1 mx -all"],
    "x.test MX": many(11, (n) => `10 m${n}.test`),
  }, "permerror"],
  [
    "RFC 7208 section 5: an IPv4 address in IPv6 form is the IPv4 address",
    { "x.test TXT": ["v=spf1 ip4:192.0.2.1 -all"] },
    "pass",
    ["joe@x.test", "::ffff:192.0.2.1"],
  ],
  ["RFC 7208 section 5.2: an include that fails does not match", {
    "x.test TXT": ["v=spf1 include:i.test ~all"],
    "i.test TXT": ["v=spf1 -all"],
  }, "softfail"],
  ["RFC 7208 section 5.2: an include without a record is an error", {
    "x.test TXT": ["v=spf1 include:i.test ~all"],
    "i.test A": ["192.0.2.9"],
  }, "permerror"],
  ["RFC 7208 section 5.2: an include that cannot be asked is one that passes", {
    "x.test TXT": ["v=spf1 include:i.test ~all"],
    "i.test TXT": "servfail",
  }, "temperror"],
  ["RFC 7208 section 6: what is not known is ignored, but must be a macro-string", {
    "x.test TXT": ["v=spf1 new=%{d} +all"],
  }, "pass"],
  ["RFC 7208 section 6: else it is an error", { "x.test TXT": ["v=spf1 new=%{z} +all"] }, "permerror"],
  ["RFC 7208 section 6: redirect twice is an error", {
    "x.test TXT": ["v=spf1 redirect=a.test redirect=b.test"],
  }, "permerror"],
  ["RFC 7208 section 6.1: a redirection to nothing is an error", {
    "x.test TXT": ["v=spf1 redirect=a.test"],
    "a.test A": ["192.0.2.9"],
  }, "permerror"],
  ["RFC 7208 section 7.3: no part of a macro is an error", {
    "x.test TXT": ["v=spf1 exists:%{d0}.test -all"],
  }, "permerror"],
  ["RFC 7208 section 7.3: parts from the right, reversed", {
    "x.test TXT": ["v=spf1 exists:%{i2r}.z.test -all"],
    "0.192.z.test A": ["127.0.0.2"],
  }, "pass"],
  [
    "RFC 3986 section 2.3: a macro in capitals has only unreserved characters",
    { "x.test TXT": ["v=spf1 exists:%{L}.z.test -all"], "a%2bb.z.test A": ["127.0.0.2"] },
    "pass",
    ["a+b@x.test"],
  ],
];

for (const [name, zone, expected, [sender, address, helo] = []] of CASES) {
  Deno.test(name, async () => {
    assert.equal((await check(zone, sender, address, helo)).result, expected);
  });
}

Deno.test("RFC 7208 section 6.2: an explanation with an error is none, a good one is expanded", async () => {
  const zone = (text: string): Zone => ({ "x.test TXT": ["v=spf1 -all exp=e.test"], "e.test TXT": [text] });
  assert.equal(
    (await check(zone("%{l} at %{o} from %{c} by %{r}"))).explanation,
    "joe at x.test from 192.0.2.1 by mx.test",
  );
  assert.equal((await check(zone("%{q}"))).explanation, "");
});

Deno.test("records cut at any byte are a result, and never a fault of ours", async () => {
  const record =
    "v=spf1 include:i.test a:%{l1r-}.x.test/24//64 mx/8 ptr ip6:2001:db8::/32 exists:%{ir}.x.test ?all exp=%{d}.test";
  const zone = { "i.test TXT": ["v=spf1 -all"] };
  for (let length = 0; length <= record.length; length++) {
    const { result } = await check({ ...zone, "x.test TXT": [record.slice(0, length)] });
    assert.ok(
      ["none", "neutral", "permerror", "softfail", "pass", "fail"].includes(result),
      record.slice(0, length),
    );
  }
});

const SETTINGS: PolicySettings = {
  myhostname: "mx.test",
  parent_domain_matches_subdomains: [],
  policy_exempt_clients: [],
  policy_greylist_auto_allow_clients: 5,
  policy_greylist_delay: 300,
  policy_greylist_enable: true,
  policy_greylist_ipv4_prefix_length: 24,
  policy_greylist_ipv6_prefix_length: 64,
  policy_greylist_max_age: 1000,
  policy_greylist_retry_window: 1000,
  policy_greylist_skip_spf_pass: true,
  policy_greylist_text: "Greylisted",
  policy_spf_check_helo: true,
  policy_spf_defer_temperror: false,
  policy_spf_enable: true,
  policy_spf_reject: ["fail", "permerror"],
  queue_directory: "/",
};

/** The action for one recipient. */
function judge(
  zone: Zone,
  more: Readonly<Record<string, string>> = {},
  settings: Partial<PolicySettings> = {},
): Promise<string> {
  const all = { ...SETTINGS, ...settings };
  const rules = { delay: 300_000, window: 1e6, maxAge: 1e6, autoAllow: 5, bits4: 24, bits6: 64 };
  const policy = new PolicyRules(all, zoneLookup(zone), new Greylist(rules), { info: () => {} });
  const request = {
    protocol_state: "RCPT",
    client_address: CLIENT,
    helo_name: "helo.test",
    sender: "joe@x.test",
    recipient: "b@y.test",
  };
  return policy.judge(new Map(Object.entries({ ...request, ...more })));
}

Deno.test("RFC 7208 section 2.3: the HELO name is checked first, unless that is off", async () => {
  const zone: Zone = { "helo.test TXT": ["v=spf1 -all"], "x.test TXT": ["v=spf1 +all"] };
  assert.match(await judge(zone), /^550 5\.7\.23 SPF fail \(helo\)/);
  assert.match(await judge(zone, {}, { policy_spf_check_helo: false }), /^PREPEND Received-SPF: pass /);
});

Deno.test("RFC 7372 section 3.2: 5.7.23 for what fails, 5.7.24 for what cannot be checked", async () => {
  assert.match(await judge({ "x.test TXT": ["v=spf1 -all"] }), /^550 5\.7\.23 /);
  assert.match(await judge({ "x.test TXT": ["v=spf1 nonsense"] }), /^550 5\.7\.24 /);
});

Deno.test("RFC 7208 section 8.6: a passing error defers where it should, and else is told", async () => {
  const zone: Zone = { "x.test TXT": "servfail" };
  const options = { policy_greylist_enable: false };
  assert.match(await judge(zone, {}, { ...options, policy_spf_defer_temperror: true }), /^451 4\.7\.24 /);
  assert.match(await judge(zone, {}, options), /^PREPEND Received-SPF: temperror /);
});

Deno.test("RFC 7208 section 9.1: the header has the result, a comment and what it was found for", async () => {
  assert.equal(
    await judge({ "x.test TXT": ["v=spf1 ip4:192.0.2.0/24 -all"] }),
    'PREPEND Received-SPF: pass (x.test: permitted sender) receiver="mx.test"; identity="mailfrom"; client-ip="192.0.2.1"; ' +
      'envelope-from="joe@x.test"; helo="helo.test"; mechanism="ip4:192.0.2.0/24"',
  );
});

Deno.test("RFC 5322 section 3.2.4: nothing in a quoted value ends it", async () => {
  const action = await judge({}, { sender: '"a\\"b"@x.test', helo_name: 'h"; x="y' }, {
    policy_greylist_enable: false,
  });
  assert.match(action, /envelope-from="\?a\?\?b\?@x\.test"; helo="h\?; x=\?y"$/);
});

Deno.test("RFC 5322 section 3.2.2: nothing in the comment ends it", async () => {
  const action = await judge({}, { sender: "a@x(.test)" }, { policy_greylist_enable: false });
  assert.match(action, /^PREPEND Received-SPF: none \(x\?\.test\?: no SPF record\) receiver=/);
});

Deno.test("who SPF proves is not put off, unless that is off", async () => {
  const zone: Zone = { "x.test TXT": ["v=spf1 +all"] };
  assert.match(await judge(zone), /^PREPEND /);
  assert.match(
    await judge(zone, {}, { policy_greylist_skip_spf_pass: false }),
    /^DEFER_IF_PERMIT 4\.7\.1 Greylisted, try again in 300 seconds$/,
  );
  assert.match(await judge({}), /^DEFER_IF_PERMIT /);
});
