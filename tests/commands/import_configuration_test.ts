/** What becomes of main.cf and master.cf, setting by setting. @module */
import assert from "node:assert/strict";
import { type CommandEnv, makeEnv } from "../../commands/command.ts";
import { run } from "../../commands/import.ts";
import { TemporaryDirectory } from "../support/temporary.ts";

const MASTER_CF = `smtp inet n - y - - smtpd
smtp unix - - y - - smtp
relay unix - - y - - smtp
local unix - n n - - local
`;

interface Imported {
  readonly status: number;
  /** Lines of the report, sections by their headings. */
  readonly report: Readonly<Record<string, readonly string[]>>;
  readonly main: string;
  readonly master: string;
  readonly err: string;
  /** Other files in the new directory. */
  readonly copies: readonly string[];
}

/** Imports the files; DIR stands for Postfix's directory, NEW for Postern's. */
async function imported(files: Readonly<Record<string, string>>): Promise<Imported> {
  using directory = new TemporaryDirectory();
  const [from, to] = [`${directory.path}/postfix`, `${directory.path}/postern`];
  Deno.mkdirSync(from);
  const all = { "master.cf": MASTER_CF, "aliases": "", ...files };
  for (const [name, text] of Object.entries(all)) {
    directory.write(`postfix/${name}`, text.replaceAll("DIR", from));
  }
  let out = "";
  let err = "";
  const env: CommandEnv = {
    ...makeEnv("import", to),
    out: (text) => out += text,
    err: (text) => err += text,
  };
  const status = await run([from], env);
  const text = (name: string) =>
    Deno.readTextFileSync(`${to}/${name}`).replaceAll(from, "DIR").replaceAll(to, "NEW");
  const copies = [...Deno.readDirSync(to)].map(({ name }) => name).filter((name) => !name.endsWith(".toml"))
    .sort();
  const report: Record<string, string[]> = {};
  let section: string[] = [];
  for (const line of out.replaceAll(from, "DIR").split("\n")) {
    if (line.endsWith(":") && !line.startsWith(" ")) report[line.slice(0, -1)] = section = [];
    else if (line !== "") section.push(line.slice(2));
  }
  return { status, report, main: text("main.toml"), master: text("master.toml"), err, copies };
}

/** A main.cf with this at its end, and nothing else that changes. */
const LEVEL = "compatibility_level = 3.11\nalias_maps =\nalias_database =\n";

/** Lines of main.cf, the line of main.toml, the line of the report that holds this (under its heading). */
const SETTINGS: readonly (readonly [string, string, string, RegExp | undefined])[] = [
  ["relayhost = [mx.example.net]:587", 'relayhost = "[mx.example.net]:587"', "Carried over", undefined],
  ["smtpd_helo_required = Yes", "smtpd_helo_required = true", "Carried over", undefined],
  ["message_size_limit = 20480000", "message_size_limit = 20480000", "Carried over", undefined],
  ["delay_warning_time = 4h", 'delay_warning_time = "4h"', "Carried over", undefined],
  [
    "mydestination = $myhostname,\n  localhost.$mydomain\n# between\n  , localhost",
    'mydestination = ["$myhostname", "localhost.$mydomain", "localhost"]',
    "Carried over",
    undefined,
  ],
  [
    "relay_domains = hash:DIR/relay, example.org",
    'relay_domains = ["texthash:$config_directory/relay", "example.org"]',
    "Carried over in another form",
    /relay_domains: hash:DIR\/relay is texthash:\$config_directory\/relay now/,
  ],
  [
    "relay_domains = ${indexed}relay\nindexed = ${default_database_type}:${config_directory}/",
    'relay_domains = ["texthash:$config_directory/relay"]',
    "Carried over in another form",
    /\$\{indexed\}relay is written out as hash:DIR\/relay; hash:DIR\/relay is/,
  ],
  [
    "mynetworks = DIR/relay !/etc/hosts",
    'mynetworks = ["$config_directory/relay", "!/etc/hosts"]',
    "Carried over in another form",
    /DIR\/relay is/,
  ],
  [
    "transport_maps = regexp:{ {/^a/ smtp:x} }, inline:{a=b}",
    'transport_maps = ["regexp:{ {/^a/ smtp:x} }", "inline:{a=b}"]',
    "Carried over",
    undefined,
  ],
  [
    "virtual_alias_maps = proxy:unionmap:{hash:DIR/relay, static:x}",
    'virtual_alias_maps = ["unionmap:{texthash:$config_directory/relay, static:x}"]',
    "Carried over in another form",
    /is unionmap:\{texthash/,
  ],
  [
    "virtual_maps = inline:{a=b}",
    'virtual_alias_maps = ["inline:{a=b}"]',
    "Carried over in another form",
    /virtual_maps: it is virtual_alias_maps now/,
  ],
  [
    "default_database_type = lmdb",
    'default_database_type = "texthash"',
    "Carried over in another form",
    /lmdb is texthash/,
  ],
  [
    "smtp_destination_concurrency_limit = 3",
    "smtp_destination_concurrency_limit = 3",
    "Carried over",
    undefined,
  ],
  ["local_destination_rate_delay = 1s", 'local_destination_rate_delay = "1s"', "Carried over", undefined],
  [
    "nosuch_destination_rate_delay = 1s",
    "",
    "Not supported",
    /nosuch_destination_rate_delay: there is no service "nosuch"/,
  ],
  ["biff = no", "", "Left out, as nothing is lost", /biff: it says what Postern does \(no\)/],
  [
    "daemon_directory = /usr/lib/postfix/sbin",
    "",
    "Left out, as nothing is lost",
    /daemon_directory: its programs/,
  ],
  [
    "smtpd_delay_open_until_valid_rcpt = no",
    "",
    "Not supported",
    /smtpd_delay_open_until_valid_rcpt: its SMTP server always/,
  ],
  [
    "smtpd_delay_open_until_valid_rcpt = yes",
    "",
    "Left out, as nothing is lost",
    /smtpd_delay_open_until_valid_rcpt: it says/,
  ],
  ["queue_directory = /var/spool/postfix", "", "Carried over in another form", /import --queue/],
  [
    "relayhost = a\nrelayhost = b",
    'relayhost = "b"',
    "Left out, as nothing is lost",
    /main\.cf:4: relayhost: a later line/,
  ],
  [
    "smtpd_helo_required = maybe",
    "",
    "Not supported",
    /"smtpd_helo_required": expected true or false, got "maybe"/,
  ],
  [
    "myorigin = $nosuch.example",
    'nosuch = ""',
    "Carried over in another form",
    /main\.cf: nosuch: set in \[variables\]/,
  ],
  [
    "myorigin = $place\nplace = example.org",
    'place = "example.org"',
    "Carried over in another form",
    /main\.cf:5: place: set in \[variables\]/,
  ],
  [
    "myorigin = ${sample_directory}",
    'sample_directory = "/etc/postfix"',
    "Carried over in another form",
    /sample_directory: set in/,
  ],
  ["place = example.org", "", "Left out, as nothing is lost", /main\.cf:4: place: no value refers to it/],
  ["relayhost", "", "Not supported", /main\.cf:4: line: missing '='/],
  [
    "myorigin = DIR/relay",
    'myorigin = "example.com x"',
    "Carried over in another form",
    /the first line of DIR\/relay/,
  ],
];

for (const [cf, toml, fate, told] of SETTINGS) {
  Deno.test(`import: ${cf.split("\n")[0]} is ${toml || fate}`, async () => {
    const files = { "main.cf": `${LEVEL}${cf}\n`, relay: "example.com x\n" };
    const { main, report, err } = await imported(files);
    assert.ok(`\n${main}`.includes(`\n${toml}\n`) || toml === "", main);
    if (toml === "") assert.doesNotMatch(main, new RegExp(`^${cf.split(" ")[0]} =`, "m"));
    const lines = report[fate] ?? [];
    const name = cf.split(" ")[0]!;
    assert.ok(
      lines.some((line) => told?.test(line) ?? line.endsWith(`: ${name}`)),
      JSON.stringify(report, undefined, 1),
    );
    assert.doesNotMatch(err, /main\.toml.*(unknown|expected)/);
  });
}

/** Restriction lists of main.cf, what they become, what the report says is missing. */
const RESTRICTIONS: readonly (readonly [string, string, RegExp | undefined])[] = [
  [
    "permit_mynetworks reject_unauth_destination",
    '["permit_mynetworks", "reject_unauth_destination"]',
    undefined,
  ],
  ["Permit_Mynetworks, REJECT", '["permit_mynetworks", "reject"]', undefined],
  ["reject_unknown_client, reject", '["reject_unknown_client_hostname", "reject"]', undefined],
  [
    "check_client_access hash:DIR/relay, reject",
    '["check_client_access", "texthash:$config_directory/relay", "reject"]',
    undefined,
  ],
  ["hash:DIR/relay, reject", '["texthash:$config_directory/relay", "reject"]', undefined],
  [
    "warn_if_reject reject_rbl_client zen.example.org, reject",
    '["warn_if_reject", "reject_rbl_client", "zen.example.org", "reject"]',
    undefined,
  ],
  [
    "check_policy_service { inet:127.0.0.1:1, timeout=1s }, reject",
    '["check_policy_service", "{ inet:127.0.0.1:1, timeout=1s }", "reject"]',
    undefined,
  ],
  [
    "permit_naked_ip_address, reject",
    '["reject"]',
    /permit_naked_ip_address is not in the list: .*what it permits/,
  ],
  [
    "check_client_access nis:x, reject",
    '["reject"]',
    /check_client_access nis:x is not in the list: table type "nis"/,
  ],
  ["$mine", '["permit_mynetworks", "reject"]', undefined],
  [
    "strict, reject_unauth_destination",
    '["reject_non_fqdn_sender", "permit_mynetworks", "reject_unauth_destination"]',
    undefined,
  ],
];

for (const [cf, toml, missing] of RESTRICTIONS) {
  Deno.test(`import: restrictions ${cf}`, async () => {
    const main = `${LEVEL}smtpd_recipient_restrictions = ${cf}\nmine = permit_mynetworks, reject\n` +
      "smtpd_restriction_classes = strict\nstrict = reject_non_fqdn_sender permit_mynetworks\n";
    const made = await imported({ "main.cf": main, relay: "example.com OK\n" });
    assert.equal(made.main.match(/^smtpd_recipient_restrictions = (.*)$/m)?.[1], toml);
    const lost = (made.report["Not supported"] ?? []).filter((line) =>
      line.includes("smtpd_recipient_restrictions")
    );
    if (missing === undefined) assert.deepEqual(lost, []);
    else assert.match(lost.join("\n"), missing);
  });
}

Deno.test("import carries restriction classes over, with their tables as they are here", async () => {
  const { main } = await imported({
    "main.cf": `${LEVEL}smtpd_restriction_classes = strict\n` +
      "strict = check_client_access hash:/etc/postfix/relay, reject\nsmtpd_client_restrictions = static:strict\n",
    relay: "example.com OK\n",
  });
  assert.match(main, /^smtpd_restriction_classes = \["strict"\]$/m);
  assert.match(main, /^\[variables\]\nstrict = "check_client_access, texthash:.*, reject"$/m);
});

Deno.test("import sets the defaults of an old compatibility_level that are not ours", async () => {
  const { main, report } = await imported({ "main.cf": "alias_maps =\n" });
  for (
    const line of [
      "append_dot_mydomain = true",
      'mynetworks_style = "subnet"',
      'relay_domains = ["$mydestination"]',
      "smtpd_relay_before_recipient_restrictions = false",
      "smtpd_relay_restrictions = []",
      "smtputf8_enable = false",
    ]
  ) {
    assert.ok(main.split("\n").includes(line), `${line}\n${main}`);
  }
  assert.ok(
    report["Carried over in another form"]!.includes(
      "main.cf: append_dot_mydomain: set to yes, Postfix's default at compatibility_level 0",
    ),
  );
});

Deno.test("import sets no default at a new compatibility_level", async () => {
  const { main, status, err } = await imported({ "main.cf": LEVEL });
  assert.equal(err, "");
  assert.equal(status, 0);
  assert.equal(main.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length, 2, main);
});

/** Lines of master.cf, what master.toml has then, the heading and the line of the report. */
const SERVICES: readonly (readonly [string, string, string, RegExp])[] = [
  [
    "smtp inet n - y - - smtpd",
    'name = "smtp"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n',
    "Carried over",
    /smtp\/inet$/,
  ],
  [
    "smtp inet n - y - - smtpd -v",
    'command = "smtpd"\n',
    "Not supported",
    /smtp\/inet: argument "-v"/,
  ],
  [
    "127.0.0.1:10025 inet n - n - 5 smtpd\n  -o mynetworks=127.0.0.0/8 -o { smtpd_client_restrictions = permit_mynetworks, reject }",
    'name = "127.0.0.1:10025"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\nparameters = ' +
    '{ smtpd_session_limit = 5, mynetworks = ["127.0.0.0/8"], smtpd_client_restrictions = ["permit_mynetworks", "reject"] }\n',
    "Carried over in another form",
    /its limit of 5 processes is smtpd_session_limit now/,
  ],
  [
    "smtp inet n - n - - smtpd -o lmtp_tls_per_site=x -o smtpd_banner=$myhostname",
    'parameters = { smtpd_banner = "$myhostname" }\n',
    "Not supported",
    /smtp\/inet -o lmtp_tls_per_site: it is obsolete/,
  ],
  [
    "smtps inet n - y - - smtpd -o smtpd_tls_wrappermode=yes",
    'name = "smtps"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n' +
    "parameters = { smtpd_tls_wrappermode = true }\n",
    "Carried over",
    /smtps\/inet$/,
  ],
  [
    "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd -o smtpd_banner=$myhostname",
    'name = "smtp"\ntype = "inet"\nprivate = false\ncommand = "postscreen"\n\n[[service]]\n' +
    'name = "smtpd"\ntype = "pass"\ncommand = "smtpd"\nparameters = { smtpd_banner = "$myhostname" }\n',
    "Carried over in another form",
    /proxywrite\/unix: postscreen needs this service/,
  ],
  [
    "pickup fifo n - y 30 1 pickup",
    'name = "pickup"\ntype = "unix"\nprivate = false\ncommand = "pickup"\nwakeup = "30s"\n',
    "Carried over",
    /pickup/,
  ],
  [
    "qmgr fifo n - n 300 1 oqmgr",
    'name = "qmgr"\ntype = "unix"\nprivate = false\ncommand = "qmgr"\nwakeup = "300s"\n',
    "Carried over in another form",
    /its daemon is qmgr now/,
  ],
  [
    "prog unix - n n - - pipe flags=R user=nobody argv=/bin/true ${recipient} { a b }",
    'command = "pipe"\narguments = ["flags=R", "user=nobody", "argv=/bin/true", "${recipient}", "a b"]\n',
    "Carried over",
    /prog\/unix/,
  ],
  [
    "prog unix - n n - - pipe chroot=/srv user=nobody argv=/bin/true",
    'arguments = ["user=nobody", "argv=/bin/true"]\n',
    "Not supported",
    /prog\/unix: attribute "chroot=\/srv": the program is not shut up in a directory/,
  ],
  [
    "prog unix - n n - - pipe user=nobody argv=true",
    "",
    "Not supported",
    /prog\/unix: "argv": "true" is not an absolute path/,
  ],
  [
    "smtp inet n - n - - smtpd -o content_filter=scan:[127.0.0.1]:10025 -o smtpd_proxy_options=speed_adjust",
    'parameters = { content_filter = "scan:[127.0.0.1]:10025", smtpd_proxy_options = ["speed_adjust"] }\n',
    "Carried over",
    /smtp\/inet$/,
  ],
  [
    "policyd-spf unix - n n - 0 spawn user=policyd-spf argv=/usr/bin/policyd-spf { a b }",
    'command = "spawn"\narguments = ["user=policyd-spf", "argv=/usr/bin/policyd-spf", "a b"]\n',
    "Carried over",
    /policyd-spf\/unix/,
  ],
  [
    "policyd unix - n n - - spawn flags=R user=nobody argv=/bin/true",
    "",
    "Not supported",
    /policyd\/unix: unknown attribute "flags=R"/,
  ],
  [
    "slow unix - - n - 2 smtp -o smtp_helo_timeout=5",
    'name = "slow"\ntype = "unix"\ncommand = "smtp"\nparameters = { smtp_helo_timeout = "5" }\n',
    "Carried over in another form",
    /slow_transport_concurrency_limit now/,
  ],
  ["domain inet n - n - - smtpd", 'name = "53"\n', "Carried over in another form", /its name is 53 now/],
  ["nosuchport inet n - n - - smtpd", "", "Not supported", /its port is not in \/etc\/services/],
  ["smtp inet n - n - -", "", "Not supported", /bad field count/],
  ["cleanup unix n - n - 0 cleanup -o header_size_limit=5 { x", "", "Not supported", /missing '}'/],
];

for (const [cf, toml, fate, told] of SERVICES) {
  Deno.test(`import: service ${cf.split("\n")[0]}`, async () => {
    const { master, main, report } = await imported({ "main.cf": LEVEL, "master.cf": `${cf}\n` });
    assert.ok(master.includes(toml), master);
    if (toml === "" && !/missing/.test(told.source)) {
      assert.ok(!master.includes(`name = "${cf.split(" ")[0]}"`), master);
    }
    if (cf.startsWith("slow")) assert.ok(main.includes("slow_transport_concurrency_limit = 2\n"), main);
    assert.ok((report[fate] ?? []).some((line) => told.test(line)), JSON.stringify(report, undefined, 1));
    // Postern needs these, whatever master.cf has.
    for (const name of ["pickup", "cleanup", "qmgr", "rewrite", "dns", "retry"]) {
      assert.equal(master.split(`name = "${name}"\n`).length, 2, name);
    }
  });
}

Deno.test("import leaves what master.cf sets twice to the last entry, and says so", async () => {
  const cf = "smtp inet n - n - - smtpd -o smtpd_banner=a\nsmtp inet n - n - - smtpd -o smtpd_banner=b\n";
  const { master, report } = await imported({ "main.cf": LEVEL, "master.cf": cf });
  assert.ok(!master.includes('"a"') && master.includes('"b"'));
  assert.match(report["Not supported"]!.join("\n"), /master\.cf:1: line: duplicate entry/);
});

Deno.test("import copies tables of the directory with their modes, and leaves others where they are", async () => {
  using directory = new TemporaryDirectory();
  Deno.mkdirSync(directory.at("sub"));
  directory.write("sub/secret", "a@example.com b@example.com\n", 0o600);
  directory.write(
    "main.cf",
    `${LEVEL}virtual_alias_maps = hash:${directory.path}/sub/secret hash:/etc/hosts\n`,
  );
  directory.write("master.cf", MASTER_CF);
  const env = { ...makeEnv("import", directory.at("new")), out: () => {}, err: () => {} };
  await run([directory.path], env);
  assert.equal(Deno.statSync(directory.at("new/sub/secret")).mode! & 0o777, 0o600);
  assert.match(
    Deno.readTextFileSync(directory.at("new/main.toml")),
    /"texthash:\$config_directory\/sub\/secret", "texthash:\/etc\/hosts"/,
  );
});

Deno.test("import does not overwrite, and says what it needs", async () => {
  using directory = new TemporaryDirectory();
  const env = { ...makeEnv("import", directory.at("new")), out: () => {}, err: () => {} };
  await assert.rejects(run([directory.path], env), { message: /there is no main\.cf in/ });
  directory.write("main.cf", `${LEVEL}relay_domains = DIR/list\n`.replace("DIR", directory.path));
  directory.write("list", "example.com\n");
  directory.write("master.cf", MASTER_CF);
  Deno.mkdirSync(directory.at("new"));
  directory.write("new/list", "example.org\n");
  await assert.rejects(run([directory.path], env), { message: /new\/list is there already, and is not/ });
  assert.deepEqual([...Deno.readDirSync(directory.at("new"))].map(({ name }) => name), ["list"]);
  directory.write("new/list", "example.com\n");
  assert.equal(await run([directory.path], env), 0);
  await assert.rejects(run([directory.path], env), {
    message: /main\.toml is there already|master\.toml is there/,
  });
  await assert.rejects(run([], env), { message: /usage/ });
  await assert.rejects(run(["--queue"], env), { message: /usage/ });
});

Deno.test("an import that would relay for strangers says so, and does not pass", async () => {
  const main = `${LEVEL}smtpd_relay_restrictions = permit_mynetworks\n`;
  const { status, err } = await imported({ "main.cf": main });
  assert.equal(status, 1);
  assert.match(err, /would relay for anybody/);
});
