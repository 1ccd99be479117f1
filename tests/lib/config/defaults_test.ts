import assert from "node:assert/strict";
import { findParameter, PARAMETER_NAMES, PARAMETERS } from "../../../lib/config/parameters.ts";
import { isPostfixName } from "../../../lib/config/postfix_parameters.ts";
import { load, loadGood, MASTER } from "./fixture.ts";

Deno.test("an empty main.toml is a whole configuration: every default has its type", () => {
  const { settings } = loadGood("");
  for (const name of PARAMETER_NAMES) assert.notEqual(settings[name], undefined, name);
  assert.equal(Object.keys(settings).length, PARAMETER_NAMES.length);
});

Deno.test("rows are in alphabetical order, each with a one-line text", () => {
  const names = Object.keys(PARAMETERS);
  assert.deepEqual(names, [...names].sort());
  for (const name of PARAMETER_NAMES) {
    const { doc } = findParameter(name)!;
    assert.ok(doc.length > 0 && !doc.includes("\n") && !doc.endsWith("."), name);
  }
});

Deno.test("every row is Postfix's or says that it is ours", () => {
  for (const name of PARAMETER_NAMES) {
    assert.ok(isPostfixName(name) || findParameter(name)!.doc.startsWith("Own"), name);
  }
});

Deno.test("some defaults, at Postfix's newest compatibility level", () => {
  const { settings } = loadGood("");
  assert.equal(settings.append_dot_mydomain, false);
  assert.equal(settings.smtputf8_enable, true);
  assert.equal(settings.smtpd_relay_before_recipient_restrictions, true);
  assert.deepEqual(settings.relay_domains, []);
  assert.deepEqual(settings.smtpd_relay_restrictions, [
    "permit_mynetworks",
    "permit_sasl_authenticated",
    "defer_unauth_destination",
  ]);
  assert.equal(settings.smtpd_forbid_bare_newline, "reject");
  assert.deepEqual(settings.smtpd_forbid_bare_newline_exclusions, settings.mynetworks);
  assert.equal(settings.smtpd_timeout, 300);
  assert.equal(settings.maximal_queue_lifetime, 432000);
  assert.equal(settings.local_destination_concurrency_limit, 2);
});

const HOST_NAMES: readonly (readonly [string, string, string, string])[] = [
  ["mail.example.com", "", "mail.example.com", "example.com"],
  ["mail", "", "mail.localdomain", "localdomain"],
  ["", "", "localhost.localdomain", "localdomain"],
  ["mail", 'mydomain = "example.com"', "mail.example.com", "example.com"],
  ["mail", 'myhostname = "mx.example.org"', "mx.example.org", "example.org"],
  ["mail", 'myhostname = "mx"', "mx", "localdomain"],
  ["mail", 'myhostname = "mx.$mydomain"\nmydomain = "example.net"', "mx.example.net", "example.net"],
];

for (const [hostName, main, myhostname, mydomain] of HOST_NAMES) {
  Deno.test(`host "${hostName}" with ${JSON.stringify(main)} is ${myhostname} in ${mydomain}`, () => {
    const { settings } = loadGood(main, MASTER, {}, { hostName, addresses: [] });
    assert.deepEqual([settings.myhostname, settings.mydomain], [myhostname, mydomain]);
  });
}

Deno.test("myhostname and mydomain that lean on each other are a loop", () => {
  const { problems } = load('myhostname = "mx.$mydomain"');
  assert.match(problems[0]?.text ?? "", /refers to itself: myhostname -> mydomain -> myhostname/);
});

const ADDRESSES = [
  "127.0.0.1/8",
  "192.0.2.7/24",
  "10.1.2.3/12",
  "::1/128",
  "2001:DB8:0:0:1::7/64",
  "fe80::1%eth0/10",
];

const NETWORKS: readonly (readonly [string, readonly string[]])[] = [
  ["", [
    "127.0.0.1/32",
    "[::1]/128",
    "192.0.2.7/32",
    "10.1.2.3/32",
    "[2001:db8::1:0:0:7]/128",
    "[fe80::1]/128",
  ]],
  ['mynetworks_style = "subnet"', [
    "127.0.0.0/8",
    "[::1]/128",
    "192.0.2.0/24",
    "10.0.0.0/12",
    "[2001:db8::]/64",
    "[fe80::]/10",
  ]],
  ['inet_protocols = ["ipv4"]', ["127.0.0.1/32", "192.0.2.7/32", "10.1.2.3/32"]],
  ['inet_interfaces = ["loopback-only"]', ["127.0.0.1/32", "[::1]/128"]],
  ['inet_interfaces = ["192.0.2.7"]', ["127.0.0.1/32", "[::1]/128", "192.0.2.7/32"]],
  ['mynetworks = ["198.51.100.0/24"]', ["198.51.100.0/24"]],
];

for (const [main, expected] of NETWORKS) {
  Deno.test(`mynetworks with ${JSON.stringify(main)} is ${expected.join(" ")}`, () => {
    const { settings } = loadGood(main, MASTER, {}, { hostName: "h", addresses: ADDRESSES });
    assert.deepEqual(settings.mynetworks, expected);
  });
}

Deno.test("addresses that make no sense are passed over", () => {
  const addresses = ["300.1.1.1", "1.2.3", "::1::2", "1:2:3", "g::1", "192.0.2.1/99", "", "x/y"];
  const { settings } = loadGood("", MASTER, {}, { hostName: "h", addresses });
  assert.deepEqual(settings.mynetworks, ["127.0.0.1/32", "[::1]/128", "192.0.2.1/32"]);
});

for (
  const [memory, expected] of [
    [undefined, 10],
    [512 * 2 ** 20, 10],
    [2 * 2 ** 30, 25],
    [4 * 2 ** 30, 51],
    [16 * 2 ** 30, 200],
    [2 ** 40, 200],
  ] as const
) {
  Deno.test(`of ${memory ?? "unknown"} bytes of memory a quarter holds ${expected} mailbox helpers`, () => {
    const facts = { hostName: "h", addresses: [], ...(memory === undefined ? {} : { memory }) };
    assert.equal(loadGood("", MASTER, {}, facts).settings.mailbox_helper_limit, expected);
    assert.equal(loadGood("mailbox_helper_limit = 7", MASTER, {}, facts).settings.mailbox_helper_limit, 7);
  });
}

/** Rows whose default is not Debian's 3.7: our own paths and names, newer Postfix, or decided by the level. */
const DIFFERENT: ReadonlySet<string> = new Set([
  "smtp_tls_dane_insecure_mx_policy",
  "smtp_tls_fingerprint_digest",
  "smtp_tls_security_level",
  "smtpd_authorized_verp_clients", // $authorized_verp_clients, of Postfix 2.0, is not honoured; both are empty
  "address_verify_map", // a file of our own
  "address_verify_poll_count", // $stress is not there
  "alias_database",
  "alias_maps",
  "append_dot_mydomain",
  "config_directory",
  "daemon_directory",
  "data_directory",
  "default_database_type",
  "lmtp_delivery_status_filter", // $default_delivery_status_filter is for all agents and is not honoured; both are empty
  "lmtp_per_request_deadline",
  "lmtp_tls_fingerprint_digest",
  "mail_name",
  "mail_owner",
  "max_use",
  "milter_default_action", // 3.12's, newer than Debian's
  "milter_macro_v", // $mail_version, which only a running Postfix has, is left out
  "mydomain",
  "myhostname",
  "mynetworks",
  "mynetworks_style",
  "postscreen_allowlist_interfaces", // the old names of these three are not honoured
  "postscreen_denylist_action",
  "postscreen_dnsbl_allowlist_threshold",
  "postscreen_dnsbl_max_ttl",
  "postscreen_cache_map",
  "postscreen_watchdog_timeout", // these three are $daemon_watchdog_timeout: one process serves all clients
  "qmgr_daemon_timeout",
  "tlsproxy_watchdog_timeout",
  "proxy_read_maps",
  "queue_directory",
  "relay_domains",
  "respectful_logging",
  "smtp_delivery_status_filter",
  "smtp_fallback_relay",
  "smtp_per_request_deadline",
  "smtpd_client_event_limit_exceptions",
  "smtpd_forbid_bare_newline",
  "smtpd_forbid_unauth_pipelining",
  "smtpd_per_request_deadline",
  "smtpd_relay_before_recipient_restrictions",
  "smtpd_relay_restrictions",
  "smtpd_starttls_timeout",
  "smtpd_timeout",
  "smtpd_tls_fingerprint_digest",
  "smtputf8_enable",
  "syslog_name",
  "virtual_alias_maps",
]);

const POSTCONF = "/usr/sbin/postconf";

function isInstalled(program: string): boolean {
  try {
    return Deno.statSync(program).isFile;
  } catch {
    return false;
  }
}

Deno.test({
  name: "defaults are those of Debian's postconf, but for the ones that are known to differ",
  ignore: !isInstalled(POSTCONF),
  fn: () => {
    const { stdout } = new Deno.Command(POSTCONF, { args: ["-d"] }).outputSync();
    for (const line of new TextDecoder().decode(stdout).split("\n")) {
      const [name = "", value = ""] = line.split(/ =(?: |$)(.*)/s);
      const row = findParameter(name);
      if (row !== undefined && !DIFFERENT.has(name)) assert.equal(row.default, value, name);
    }
  },
});
