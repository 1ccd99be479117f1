/** Where the SMTP client may connect, for each way to route mail. @module */
import assert from "node:assert/strict";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import { FORBIDDEN_NETWORKS, type SmtpReach, smtpReach } from "../../../lib/server/smtp_reach.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const MASTER = `
[[service]]
name = "smtp"
type = "unix"
command = "smtp"
[[service]]
name = "lmtp"
type = "unix"
command = "lmtp"
`;

function reach(main: string, command: "smtp" | "lmtp" = "smtp"): SmtpReach {
  const texts = new Map([["/c/main.toml", main], ["/c/master.toml", MASTER]]);
  const { configuration, problems } = loadConfiguration("/c", { hostName: "mx.test", addresses: [] }, {
    commands: ["smtp", "lmtp"],
    readText: (path) => texts.get(path) ?? "",
  });
  assert.ok(configuration, problems.map(({ text }) => text).join("\n"));
  return smtpReach(configuration, command, () => "here");
}

function objects(one: readonly { object: string }[]): string[] {
  return one.map(({ object }) => object);
}

/** Networks that are not refused although they are by default. */
function opened(made: SmtpReach): string[] {
  const denied = objects(made.denials);
  return FORBIDDEN_NETWORKS.filter((network) => !denied.includes(network));
}

/** What opens when a relay is named and not written as an address: only its look-up tells where it is. */
const PRIVATE = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"];

const CASES: readonly [name: string, main: string, grants: readonly string[], open: readonly string[]][] = [
  ["nothing routed: port 25, no private network", "", ["0.0.0.0/0:25"], []],
  ["a relay by name", 'relayhost = "relay.example.com"\n', ["0.0.0.0/0:25"], PRIVATE],
  [
    "a relay by name and port",
    'relayhost = "relay.example.com:587"\n',
    ["0.0.0.0/0:25", "0.0.0.0/0:587"],
    PRIVATE,
  ],
  ["a relay on loopback", 'relayhost = "[127.0.0.1]:2525"\n', ["0.0.0.0/0:25", "0.0.0.0/0:2525"], [
    "127.0.0.0/8",
  ]],
  ["a relay called localhost", 'relayhost = "[localhost]:2525"\n', ["0.0.0.0/0:25", "0.0.0.0/0:2525"], [
    "127.0.0.0/8",
  ]],
  ["a relay in a private network", 'relayhost = "[10.1.2.3]"\n', ["0.0.0.0/0:25"], ["10.0.0.0/8"]],
  ["the edges of 172.16/12", 'relayhost = "[172.31.255.255]"\n', ["0.0.0.0/0:25"], ["172.16.0.0/12"]],
  ["just outside of it", 'relayhost = "[172.32.0.0]"\n', ["0.0.0.0/0:25"], []],
  ["an IPv6 relay", 'relayhost = "[ipv6:2001:db8::1]:2525"\n', [
    "0.0.0.0/0:25",
    "0.0.0.0/0:2525",
    "[2001:db8::1]:2525",
  ], []],
  ["a default transport with a next hop", 'default_transport = "smtp:[192.168.1.1]:26"\n', [
    "0.0.0.0/0:25",
    "0.0.0.0/0:26",
  ], ["192.168.0.0/16"]],
  ["a transport without a next hop", 'default_transport = "smtp:"\n', ["0.0.0.0/0:25"], []],
  ["two fallback relays", 'smtp_fallback_relay = ["[10.0.0.1]:26", "[192.0.2.7]:27"]\n', [
    "0.0.0.0/0:25",
    "0.0.0.0/0:26",
    "0.0.0.0/0:27",
  ], ["10.0.0.0/8"]],
  ["an inline transport table", 'transport_maps = ["inline:{a.test=smtp:[127.0.0.2]:2600}"]\n', [
    "0.0.0.0/0:25",
    "0.0.0.0/0:2600",
  ], ["127.0.0.0/8"]],
];

for (const [name, main, grants, open] of CASES) {
  Deno.test(`smtp reaches: ${name}`, () => {
    const made = reach(main);
    assert.deepEqual(objects(made.grants), grants);
    assert.deepEqual(opened(made), open);
  });
}

Deno.test("lmtp reaches its own port, and the unix socket that a route names", () => {
  assert.deepEqual(objects(reach("", "lmtp").grants), ["0.0.0.0/0:24"]);
  const made = reach('virtual_transport = "lmtp:unix:/run/dovecot/lmtp"\n', "lmtp");
  assert.deepEqual(objects(made.grants), [
    "0.0.0.0/0:24",
    "unix:/run/dovecot/lmtp",
    "/run/dovecot/lmtp",
    "/run/dovecot/lmtp",
  ]);
  assert.deepEqual(opened(made), []);
});

Deno.test("ports and addresses of a transport table's file count, those in its comments do not", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write(
    "transport",
    "# old.test smtp:[10.0.0.1]:2700\na.test smtp:[127.0.0.1]:2601\nb.test\tsmtp:[192.0.2.7]:2602\nc.test local:[10.0.0.1]:2603\n\n",
  );
  const made = reach(`transport_maps = ["texthash:${path}"]\n`);
  assert.deepEqual(objects(made.grants), ["0.0.0.0/0:25", "0.0.0.0/0:2601", "0.0.0.0/0:2602"]);
  assert.deepEqual(opened(made), ["127.0.0.0/8"]);
});

Deno.test("every grant and denial says why", () => {
  for (const { because } of [...reach(CASES[3]![1]).grants, ...reach("").denials]) {
    assert.match(because, /\S/);
  }
});

/** The grants of a service beyond those of its routes. */
function settingGrants(main: string): string[] {
  const texts = new Map([["/c/main.toml", main], ["/c/master.toml", MASTER]]);
  const { configuration } = loadConfiguration("/c", { hostName: "mx.test", addresses: [] }, {
    commands: ["smtp", "lmtp"],
    readText: (path) => texts.get(path) ?? "",
  });
  const entry = configuration!.services.find(({ name }) => name === "smtp");
  return smtpReach(configuration!, "smtp", () => "here", entry).grants
    .map(({ kind, object }) => `${kind} ${object}`).filter((grant) => grant !== "net 0.0.0.0/0:25");
}

const SETTINGS: readonly (readonly [main: string, grants: readonly string[]])[] = [
  ["", []],
  ['smtp_bind_address = "192.0.2.1"', ["net 192.0.2.1:0"]],
  ['smtp_bind_address6 = "[2001:db8::1]"', ["net [2001:db8::1]:0"]],
  ['inet_interfaces = ["192.0.2.1", "127.0.0.1"]', []],
  ['inet_interfaces = ["192.0.2.1", "[2001:db8::1]"]', ["net 192.0.2.1:0", "net [2001:db8::1]:0"]],
  ['inet_interfaces = ["127.0.0.1"]', []],
  ['smtp_host_lookup = ["dns", "native"]', ["read /etc/hosts"]],
  ["disable_dns_lookups = true", ["read /etc/hosts"]],
  ['use_srv_lookup = ["submission"]', ["net 0.0.0.0/0:587"]],
  ['use_srv_lookup = ["imap"]', []],
];

for (const [main, grants] of SETTINGS) {
  Deno.test(`smtp is granted for ${main || "the defaults"}: ${grants.join(", ") || "nothing more"}`, () => {
    assert.deepEqual(settingGrants(main), grants);
  });
}

Deno.test("next hops of tables by sender count as those of transport_maps do", () => {
  const made = reach(`
    sender_dependent_relayhost_maps = ["inline:{{a@x.test=[192.0.2.7]:2626}, {b@x.test=DUNNO}}"]
    sender_dependent_default_transport_maps = ["inline:{{c@x.test=smtp:[10.1.2.3]:2727}}"]
  `);
  const ports = objects(made.grants).filter((object) => object.startsWith("0.0.0.0/0:"));
  assert.deepEqual(ports.sort(), ["0.0.0.0/0:25", "0.0.0.0/0:2626", "0.0.0.0/0:2727"]);
  assert.deepEqual(opened(made), ["10.0.0.0/8"]);
  assert.deepEqual([...made.nexthops].sort(), ["[10.1.2.3]:2727", "[192.0.2.7]:2626"]);
});
