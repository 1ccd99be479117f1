/** Configurations that would relay for strangers, and those that would not. @module */
import assert from "node:assert/strict";
import { SERVICES } from "../../../daemons/services.ts";
import { findOpenRelays } from "../../../lib/server/open_relay.ts";
import { formatProblem } from "../../../lib/config/problem.ts";
import { loadGood, MASTER } from "../config/fixture.ts";

async function relays(main: string, master = MASTER, gateways: readonly string[] = []): Promise<string[]> {
  const problems = await findOpenRelays(loadGood(`alias_maps = []\n${main}`, master), SERVICES, gateways);
  return problems.map(formatProblem);
}

/** Lines of main.toml that keep strangers out. */
const CLOSED: readonly string[] = [
  "",
  'smtpd_relay_restrictions = ["permit_mynetworks", "reject_unauth_destination"]',
  'mynetworks = ["192.168.0.0/16", "203.0.113.0/24", "[fd00::]/8"]',
  'relay_domains = ["example.org"]\nvirtual_alias_maps = ["inline:{a@example.org=b@elsewhere.test}"]',
  'smtpd_relay_restrictions = []\nsmtpd_recipient_restrictions = ["permit_mynetworks", "reject_unauth_destination", "permit"]',
  'smtpd_recipient_restrictions = ["check_recipient_access", "inline:{mail.example.com=OK}", "permit"]',
  'smtpd_client_restrictions = ["check_client_access", "static:OK"]',
  'transport_maps = ["inline:{mail.example.com=smtp:x}"]\nresolve_dequoted_address = false',
  'mydestination = ["static:all"]\nlocal_recipient_maps = []',
  "smtpd_open_relay = true\nsmtpd_relay_restrictions = []",
  'inet_interfaces = ["loopback-only"]\nsmtpd_relay_restrictions = ["warn_if_reject", "reject"]',
];

for (const main of CLOSED) {
  Deno.test(`strangers do not relay with: ${main.split("\n").join("; ")}`, async () => {
    assert.deepEqual(await relays(main).catch((error) => [String(error)]), []);
  });
}

/** Lines of main.toml that let them in, and the client that is told. */
const OPEN: readonly (readonly [string, string])[] = [
  ['mynetworks = ["0.0.0.0/0"]', "mail.stranger.example[203.0.113.251]"],
  ['mynetworks = ["128.0.0.0/1"]', "mail.stranger.example[203.0.113.251]"],
  ['mynetworks = ["[::]/0"]', "mail.stranger.example[2001:db8:fffe::251]"],
  ['mynetworks = ["!10.0.0.0/8", "static:all"]', "mail.stranger.example[203.0.113.251]"],
  ['mynetworks = ["regexp:{ {/example/ yes} }"]', "mail.stranger.example[203.0.113.251]"],
  ['relay_domains = ["static:all"]', "mail.stranger.example[203.0.113.251]"],
  [
    'smtpd_relay_restrictions = ["check_sender_access", "static:OK", "reject_unauth_destination"]',
    "mail.stranger.example[203.0.113.251]",
  ],
  [
    'smtpd_relay_restrictions = ["check_client_access", "regexp:{ {/^unknown/ OK} }", "reject"]',
    "unknown[203.0.113.251]",
  ],
  [
    'smtpd_relay_restrictions = ["check_helo_access", "inline:{stranger.example=OK}", "reject"]',
    "mail.stranger.example[203.0.113.251]",
  ],
  [
    'smtpd_relay_restrictions = ["warn_if_reject", "reject_unauth_destination"]',
    "mail.stranger.example[203.0.113.251]",
  ],
];

for (const [main, client] of OPEN) {
  Deno.test(`strangers relay with: ${main}`, async () => {
    const lines = await relays(main);
    assert.equal(lines.length, 1);
    assert.ok(lines[0]!.startsWith("error: /c/m"), lines[0]!);
    assert.ok(
      lines[0]!.includes(`service "25" would relay for strangers: ${client} may send to <`),
      lines[0]!,
    );
    assert.ok(lines[0]!.includes("smtpd_open_relay = true"), lines[0]!);
  });
}

const SECOND = `
[[service]]
name = "587"
type = "inet"
command = "smtpd"
parameters = { mynetworks = ["0.0.0.0/0"] }
`;

Deno.test("each listener is asked with its own parameters, and told at its own line", async () => {
  const lines = await relays("", MASTER + SECOND);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^error: \/c\/master\.toml:\d+: service "587" would relay/);
  assert.deepEqual(await relays("", MASTER + SECOND.replace('"587"', '"127.0.0.1:587"')), []);
  assert.deepEqual(
    await relays("", MASTER + SECOND.replace("mynetworks =", "smtpd_open_relay = true, mynetworks =")),
    [],
  );
});

Deno.test("a gateway that may relay is a warning", async () => {
  const lines = await relays('mynetworks = ["172.17.0.0/16"]', MASTER, ["172.17.0.1", "10.0.0.1"]);
  assert.equal(lines.length, 1);
  assert.match(
    lines[0]!,
    /^warning: \/c\/main\.toml:2: service "25" relays for the gateway 172\.17\.0\.1: .*"!172\.17\.0\.1"/,
  );
  assert.deepEqual(await relays('mynetworks = ["!172.17.0.1", "172.17.0.0/16"]', MASTER, ["172.17.0.1"]), []);
  assert.equal((await relays('mynetworks = ["[fd00::]/8"]', MASTER, ["fd00::1"])).length, 1);
});
