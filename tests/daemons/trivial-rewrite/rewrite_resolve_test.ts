import assert from "node:assert/strict";
import { makeService, type Overrides, show } from "./rewrite_fixture.ts";

const DOMAINS: Overrides = {
  virtual_alias_domains: ["alias.test"],
  virtual_mailbox_domains: ["box.test"],
  relay_domains: ["relay.test"],
};

async function resolve(overrides: Overrides, address: string, sender = "s@x.test"): Promise<string> {
  const { service } = makeService({ ...DOMAINS, ...overrides });
  return show(await service.resolve(sender, address));
}

const LOCAL = "local:mx.test";

Deno.test("a recipient's domain decides its class, transport and next hop", async () => {
  const table = [
    ["alice@mx.test", `${LOCAL} | alice@mx.test | local`],
    ["Alice@LOCAL.test", `${LOCAL} | Alice@LOCAL.test | local`],
    ["alice", `${LOCAL} | alice@mx.test | local`],
    ["alice@[192.0.2.1]", `${LOCAL} | alice@[192.0.2.1] | local`],
    ["alice@[IPv6:2001:DB8:0:0:0:0:0:1]", `${LOCAL} | alice@[IPv6:2001:DB8:0:0:0:0:0:1] | local`],
    ["alice@[IPv6:::ffff:192.0.2.1]", `${LOCAL} | alice@[IPv6:::ffff:192.0.2.1] | local`],
    ["alice@[192.0.2.2]", "smtp:[192.0.2.2] | alice@[192.0.2.2] | default"],
    ["a@alias.test", "error:5.1.1 User unknown in virtual alias table | a@alias.test | alias"],
    ["a@box.test", "virtual:box.test | a@box.test | virtual"],
    ["a@BOX.test", "virtual:box.test | a@BOX.test | virtual"],
    ["a@relay.test", "relay:relay.test | a@relay.test | relay"],
    ["a@sub.relay.test", "relay:sub.relay.test | a@sub.relay.test | relay"],
    ["a@sub.box.test", "smtp:sub.box.test | a@sub.box.test | default"],
    ["a@evil.test", "smtp:evil.test | a@evil.test | default"],
    ["", `${LOCAL} | MAILER-DAEMON@mx.test | local`],
    ["@mx.test", `${LOCAL} | MAILER-DAEMON@mx.test | local`],
  ] as const;
  for (const [address, expected] of table) assert.equal(await resolve({}, address), expected, address);
});

Deno.test("routing in the local part is followed when the domain is ours, and marked when it is not", async () => {
  const evil = "smtp:evil.test | victim@evil.test | default";
  const table = [
    ["victim%evil.test@mx.test", evil],
    ["victim%evil.test@[192.0.2.1]", evil],
    ["victim%evil.test", evil],
    ["victim@evil.test@mx.test", evil],
    ["victim@evil.test@[192.0.2.1]", evil],
    ["evil.test!victim@mx.test", evil],
    ["evil.test!victim@[192.0.2.1]", evil],
    ["victim%evil.test%mx.test@mx.test", evil],
    [
      "victim@evil.test%local.test",
      "error:5.1.3 bad address syntax | victim@evil.test%local.test | default | bad",
    ],
    ["mx.test!victim%evil.test", evil],
    ["a b@evil.test@mx.test", "smtp:evil.test | a b@evil.test | default"],
    ["a b%evil.test@mx.test", "smtp:evil.test | a b@evil.test | default"],
    ["evil.test!a b@mx.test", "smtp:evil.test | a b@evil.test | default"],
    ["victim%evil.test@relay.test", "relay:relay.test | victim%evil.test@relay.test | relay | routed"],
    ["evil.test!victim@box.test", "virtual:box.test | evil.test!victim@box.test | virtual | routed"],
    ["victim@evil.test@relay.test", "relay:relay.test | victim@evil.test@relay.test | relay | routed"],
    ["a%b%c%local.test@mx.test", "smtp:c | a%b@c | default | routed"],
  ] as const;
  for (const [address, expected] of table) assert.equal(await resolve({}, address), expected, address);
});

Deno.test("what is addressed to nobody goes to empty_address_recipient, wherever that is", async () => {
  const table = [
    ["nobody", "", `${LOCAL} | nobody@mx.test | local`],
    ["nobody", "@local.test", `${LOCAL} | nobody@local.test | local`],
    ["nobody@relay.test", "", "relay:relay.test | nobody@relay.test | relay"],
    ["nobody@relay.test", "@mx.test", "relay:relay.test | nobody@relay.test | relay"],
    ["nobody%evil.test", "@mx.test", "smtp:evil.test | nobody@evil.test | default"],
  ] as const;
  for (const [name, address, expected] of table) {
    assert.equal(
      await resolve({ empty_address_recipient: name }, address),
      expected,
      `${name} for ${address}`,
    );
  }
  assert.match(await resolve({ empty_address_recipient: "" }, "@mx.test"), /bad$/);
  assert.match(await resolve({ empty_address_recipient: "@mx.test" }, "@mx.test"), /bad$/);
});

Deno.test("an address without a domain is of the class that this host's name has", async () => {
  const elsewhere = { mydestination: [], myorigin: "box.test" };
  assert.equal(await resolve(elsewhere, "a"), "smtp:mx.test | a@mx.test | default");
  assert.equal(
    await resolve({ ...elsewhere, virtual_mailbox_domains: ["mx.test"] }, "a"),
    "virtual:mx.test | a@mx.test | virtual",
  );
});

Deno.test("a quoted routing character counts only where resolve_dequoted_address says so", async () => {
  const keep = { resolve_dequoted_address: false };
  assert.equal(await resolve(keep, "a@evil.test@mx.test"), `${LOCAL} | a@evil.test@mx.test | local | routed`);
  assert.equal(await resolve(keep, "a%evil.test@mx.test"), "smtp:evil.test | a@evil.test | default");
  assert.equal(
    await resolve({ allow_percent_hack: false }, "a%b@mx.test"),
    `${LOCAL} | a%b@mx.test | local | routed`,
  );
  assert.equal(
    await resolve({ swap_bangpath: false }, "a!b@mx.test"),
    `${LOCAL} | a!b@mx.test | local | routed`,
  );
});

Deno.test("RFC 5321 section 4.1.2: what has no local part or no valid domain is bad", async () => {
  const bad = [
    "@evil.test",
    "a!@mx.test",
    "a@",
    "a@.",
    "a@a..b",
    "a@-a.test",
    "a@a b",
    "a@1.2.3.4",
    "a@[1.2.3]",
    "a@[]",
    "-x@evil.test",
    "-x@mx.test",
    "a@\udc80.test",
    "\udc80@evil.test",
  ];
  for (const address of bad) {
    const answer = await resolve({}, address);
    assert.ok(
      answer.startsWith("error:5.1.3 bad address syntax | ") && answer.endsWith(" | bad"),
      `${address}: ${answer}`,
    );
  }
  assert.equal(await resolve({ allow_min_user: true }, "-x@mx.test"), `${LOCAL} | -x@mx.test | local`);
});

Deno.test("one final dot of a domain goes, a lone @ goes where that is set", async () => {
  assert.equal(await resolve({}, "a@evil.test."), "smtp:evil.test | a@evil.test | default");
  assert.equal(await resolve({}, "a@mx.test."), `${LOCAL} | a@mx.test | local`);
  assert.equal(await resolve({ resolve_null_domain: true }, "a@"), `${LOCAL} | a@mx.test | local`);
});

Deno.test("a numeric domain becomes a literal where that is set", async () => {
  const numeric = { resolve_numeric_domain: true };
  assert.equal(await resolve(numeric, "a@192.0.2.9"), "smtp:[192.0.2.9] | a@[192.0.2.9] | default");
  assert.equal(await resolve(numeric, "a@192.0.2.1"), `${LOCAL} | a@[192.0.2.1] | local`);
  assert.equal(await resolve(numeric, "a@::2"), "smtp:[ipv6:::2] | a@[IPv6:::2] | default");
  assert.match(await resolve(numeric, "a@1.2.3"), /bad$/);
});

Deno.test("inet_interfaces may name all addresses of the machine, proxy_interfaces others", async () => {
  const all = { inet_interfaces: ["all"], proxy_interfaces: ["203.0.113.5"] };
  assert.equal(await resolve(all, "a@[198.51.100.7]"), `${LOCAL} | a@[198.51.100.7] | local`);
  assert.equal(await resolve(all, "a@[203.0.113.5]"), `${LOCAL} | a@[203.0.113.5] | local`);
  assert.match(await resolve(all, "a@[127.0.0.1]"), /default$/);
  assert.match(await resolve({ inet_interfaces: ["loopback-only"] }, "a@[127.0.0.1]"), /local$/);
});

Deno.test("relay hosts take the place of the domain, by sender first", async () => {
  const table: readonly (readonly [Overrides, string, string])[] = [
    [{ relayhost: "[gw.test]:587" }, "s@x.test", "smtp:[gw.test]:587 | a@evil.test | default"],
    [
      { default_transport: "smtp:hub.test", relayhost: "gw" },
      "s@x.test",
      "smtp:hub.test | a@evil.test | default",
    ],
    [{ default_transport: "error:no way" }, "s@x.test", "error:no way | a@evil.test | default"],
    [
      { relayhost: "gw.test", sender_dependent_relayhost_maps: ["inline:{s@x.test=[one.test]}"] },
      "s@x.test",
      "smtp:[one.test] | a@evil.test | default",
    ],
    [
      { relayhost: "gw.test", sender_dependent_relayhost_maps: ["inline:{@x.test=[two.test]}"] },
      "s@x.test",
      "smtp:[two.test] | a@evil.test | default",
    ],
    [
      { relayhost: "gw.test", sender_dependent_relayhost_maps: ["inline:{s@x.test=DUNNO}"] },
      "s@x.test",
      "smtp:gw.test | a@evil.test | default",
    ],
    [
      { sender_dependent_relayhost_maps: ["inline:{s@x.test=DUNNO}"] },
      "s@x.test",
      "smtp:evil.test | a@evil.test | default",
    ],
    [
      { relayhost: "gw.test", sender_dependent_relayhost_maps: ["inline:{s@x.test=[one.test]}"] },
      "t@x.test",
      "smtp:gw.test | a@evil.test | default",
    ],
    [
      { sender_dependent_relayhost_maps: ["inline:{<>=[null.test]}"] },
      "",
      "smtp:[null.test] | a@evil.test | default",
    ],
    [
      { sender_dependent_default_transport_maps: ["inline:{s@x.test=slow:gate.test}"] },
      "s@x.test",
      "slow:gate.test | a@evil.test | default",
    ],
    [
      { sender_dependent_default_transport_maps: ["inline:{s@x.test=slow}"], relayhost: "gw.test" },
      "s@x.test",
      "slow:gw.test | a@evil.test | default",
    ],
    [
      { sender_dependent_default_transport_maps: ["inline:{s@x.test=dunno}"] },
      "s@x.test",
      "smtp:evil.test | a@evil.test | default",
    ],
  ];
  for (const [overrides, sender, expected] of table) {
    assert.equal(await resolve(overrides, "a@evil.test", sender), expected, JSON.stringify(overrides));
  }
  assert.equal(
    await resolve({ relayhost: "gw.test" }, "a@relay.test"),
    "relay:gw.test | a@relay.test | relay",
  );
  assert.equal(await resolve({ relayhost: "gw.test" }, "a@mx.test"), `${LOCAL} | a@mx.test | local`);
});

Deno.test("transport_maps changes transport, next hop or both", async () => {
  const maps = (entries: string) => ({ transport_maps: [`inline:{${entries}}`] });
  const table = [
    ["a@evil.test=slow:[gw.test]", "a@evil.test", "slow:[gw.test]"],
    ["evil.test=slow:", "a@evil.test", "slow:evil.test"],
    ["evil.test=slow", "a@evil.test", "slow:evil.test"],
    ["evil.test=:[gw.test]", "a@evil.test", "smtp:[gw.test]"],
    ["evil.test=:", "a@evil.test", "smtp:evil.test"],
    [".evil.test=slow:", "a@sub.evil.test", "slow:sub.evil.test"],
    ["evil.test=slow:", "a@sub.evil.test", "smtp:sub.evil.test"],
    ["*=slow:[gw.test]", "a@evil.test", "slow:[gw.test]"],
    ["evil.test=:, *=slow:[gw.test]", "a@evil.test", "smtp:evil.test"],
    ["mx.test=slow:", "a@mx.test", "slow:mx.test"],
    ["box.test=slow:", "a@box.test", "slow:box.test"],
    ["{evil.test = error:5.7.1 go away}", "a@evil.test", "error:5.7.1 go away"],
    ["evil.test=error:", "a@evil.test", "error:Address is undeliverable"],
    ["evil.test=retry:", "a@evil.test", "retry:Address is undeliverable"],
    ["alias.test=slow:", "a@alias.test", "error:5.1.1 User unknown in virtual alias table"],
  ] as const;
  for (const [entries, address, expected] of table) {
    assert.equal((await resolve(maps(entries), address)).split(" | ")[0], expected, entries);
  }
});

Deno.test("relocated_maps answers for whoever has moved, in every class", async () => {
  const moved = { relocated_maps: ["inline:{{a@evil.test = a@new.test}, {b@mx.test = 5.1.6 gone}}"] };
  const text = "error:5.1.6 User has moved to a@new.test | a@evil.test | default";
  assert.equal(await resolve(moved, "a@evil.test"), text);
  assert.equal(
    await resolve({ ...moved, relocated_prefix_enable: false }, "b@mx.test"),
    "error:5.1.6 gone | b@mx.test | local",
  );
  assert.equal(await resolve(moved, "c@evil.test"), "smtp:evil.test | c@evil.test | default");
});

Deno.test("the text for unknown aliases can leave the table's name out", async () => {
  const answer = await resolve({ show_user_unknown_table_name: false }, "a@alias.test");
  assert.equal(answer, "error:5.1.1 User unknown | a@alias.test | alias");
});

Deno.test("a list of domains may stand in a table and may have exceptions", async () => {
  const lists = {
    virtual_mailbox_domains: ["inline:{table.test=x}"],
    relay_domains: ["!no.relay.test", "relay.test"],
  };
  assert.match(await resolve(lists, "a@table.test"), /virtual$/);
  assert.match(await resolve(lists, "a@no.relay.test"), /default$/);
  assert.match(await resolve(lists, "a@yes.relay.test"), /relay$/);
  assert.match(await resolve({ parent_domain_matches_subdomains: [] }, "a@sub.relay.test"), /default$/);
});

Deno.test("a table that cannot answer is retry, and is logged once for many requests", async () => {
  const parameters = [
    "mydestination",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
    "relay_domains",
    "transport_maps",
    "relocated_maps",
    "sender_dependent_relayhost_maps",
    "sender_dependent_default_transport_maps",
  ];
  for (const parameter of parameters) {
    const { service, log } = makeService({ ...DOMAINS, [parameter]: ["inline:{q=q}"] }, [parameter]);
    for (let i = 0; i < 3; i++) {
      assert.equal(
        show(await service.resolve("s@x.test", "a@evil.test")),
        `retry: ${parameter} lookup failure: table is away`,
      );
    }
    assert.equal(log.length, 1, parameter);
  }
  const { service } = makeService({ local_transport: ":x" });
  assert.match(show(await service.resolve("", "a@mx.test")), /^retry: parameter local_transport/);
});

Deno.test("a domain in two lists is named once", async () => {
  const { service, log } = makeService({
    virtual_mailbox_domains: ["local.test"],
    relay_domains: ["local.test"],
  });
  for (let i = 0; i < 3; i++) await service.resolve("", "a@local.test");
  assert.deepEqual(log, ["do not list domain local.test in BOTH mydestination and virtual_mailbox_domains"]);
  const quiet = makeService({ virtual_mailbox_domains: ["local.test"], helpful_warnings: false });
  await quiet.service.resolve("", "a@local.test");
  assert.deepEqual(quiet.log, []);
});

Deno.test("endless routing ends: every step takes something off the address", async () => {
  const { service } = makeService();
  const answers = await Promise.all([
    service.resolve("", "!".repeat(1000)),
    service.resolve("", "%".repeat(1000)),
    service.resolve("", "a%mx.test".repeat(110)),
    service.resolve("", `${"mx.test!".repeat(120)}a`),
    service.resolve("", `a${"@mx.test".repeat(120)}`),
    service.resolve("", ".!"),
  ]);
  const shown = answers.map(show);
  assert.match(shown[0]!, /bad$/);
  assert.match(shown[1]!, /bad$/);
  assert.equal(shown[3], `${LOCAL} | a@mx.test | local`);
  assert.equal(shown[4], `${LOCAL} | a@mx.test | local`);
  assert.match(shown[5]!, /bad$/);
});

Deno.test("random addresses get a resolution with one domain, or bad", async () => {
  const { service } = makeService(DOMAINS);
  let state = 4711;
  const random = (most: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % most;
  const pieces = [
    "a",
    "@",
    "!",
    "%",
    ".",
    '"',
    "\\",
    "mx.test",
    "evil.test",
    "relay.test",
    "[192.0.2.1]",
    " ",
    ":",
    ",",
  ];
  for (let round = 0; round < 3000; round++) {
    const address = Array.from({ length: random(8) }, () => pieces[random(pieces.length)]).join("");
    const answer = await service.resolve("", address);
    assert.equal(answer.kind, "resolved", address);
    if (answer.kind !== "resolved" || answer.resolution.bad) continue;
    const { recipient, class: kind, routed } = answer.resolution;
    const localpart = recipient.slice(0, recipient.lastIndexOf("@"));
    assert.ok(localpart !== "", address);
    assert.equal(routed, /[@!%]/.test(localpart), address);
    assert.ok(!(kind === "local" && routed), address);
  }
});
