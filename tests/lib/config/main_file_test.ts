import assert from "node:assert/strict";
import { loadGood, MASTER, problemsOf } from "./fixture.ts";

/** main.toml, and the problems that it must give: all of them, in this order. */
const FAULTS: readonly (readonly [string, string, readonly string[]])[] = [
  ["an unknown parameter", 'smtpd_bannr = "x"', [
    'error: /c/main.toml:1: unknown parameter "smtpd_bannr" (did you mean "smtpd_banner"?)',
  ]],
  ["a name that is near to none", "\nsomething_quite_else = 1", [
    'error: /c/main.toml:2: unknown parameter "something_quite_else" (variables of your own belong in [variables])',
  ]],
  ["a parameter of Postfix that is not honoured", '# c\nsmtpd_tls_CApath = "/etc/ssl"', [
    'error: /c/main.toml:2: "smtpd_tls_CApath" is a Postfix parameter that Postern does not support: its TLS library, rustls, has no such setting ' +
    "(leave it out)",
  ]],
  ["a transport parameter of no service", "slw-smtp_destination_recipient_limit = 5", [
    'error: /c/main.toml:1: unknown parameter "slw-smtp_destination_recipient_limit": master.toml has no service ' +
    '"slw-smtp" (did you mean "slow-smtp"?)',
  ]],
  ["a wrong type", "smtpd_timeout = true", [
    'error: /c/main.toml:1: "smtpd_timeout": expected a duration such as "300s", "10m", "1h" or "5d", got true',
  ]],
  ["text that is no number", '\n\nsmtpd_recipient_limit = "many"', [
    'error: /c/main.toml:3: "smtpd_recipient_limit": expected a whole number, got "many"',
  ]],
  ["a number below the least", "smtpd_recipient_limit = 0", [
    'error: /c/main.toml:1: "smtpd_recipient_limit": must be at least 1, got "0"',
  ]],
  ["a number above the greatest", "delay_logging_resolution_limit = 7", [
    'error: /c/main.toml:1: "delay_logging_resolution_limit": must be at most 6, got "7"',
  ]],
  ["a word where others are meant", 'log_format = "xml"', [
    'error: /c/main.toml:1: "log_format": expected one of postfix, json, got "xml"',
  ]],
  ["an item where others are meant", 'notify_classes = ["bounce", "bounces"]', [
    'error: /c/main.toml:1: "notify_classes": expected some of bounce, 2bounce, data, delay, policy, protocol, ' +
    'resource, software, got "bounces"',
  ]],
  ["a relative path", 'queue_directory = "spool"', [
    'error: /c/main.toml:1: "queue_directory": expected an absolute path, got "spool"',
  ]],
  ["a table without a type", 'alias_maps = ["/etc/aliases"]', [
    'error: /c/main.toml:1: "alias_maps": expected a table "type:name", got "/etc/aliases"',
  ]],
  ["nothing where something is needed", 'myorigin = ""', [
    'error: /c/main.toml:1: "myorigin": must not be empty',
  ]],
  ["an unknown name behind a dollar sign", 'smtpd_banner = "$myhostnam ESMTP"', [
    'error: /c/main.toml:1: "smtpd_banner": "$myhostnam" is neither a parameter nor defined in [variables] ' +
    '(did you mean "myhostname"?)',
  ]],
  ["a dollar form that is not closed", 'smtpd_banner = "${myhostname"', [
    'error: /c/main.toml:1: "smtpd_banner": Cannot expand "${myhostname": "{" is not closed',
  ]],
  ["a loop", 'mydomain = "$myorigin"\nmyorigin = "$mydomain"', [
    'error: /c/main.toml:1: "mydomain": refers to itself: mydomain -> myorigin -> mydomain',
    'error: /c/main.toml:2: "myorigin": refers to itself: myorigin -> mydomain -> myorigin',
  ]],
  [
    "a faulty variable, once, however many use it",
    'myorigin = "$v"\nmydomain = "$v"\n[variables]\nv = "$w"',
    [
      'error: /c/main.toml:4: "v": "$w" is neither a parameter nor defined in [variables]',
    ],
  ],
  ["a parameter among the variables", '[variables]\nmyorigin = "x"', [
    'error: /c/main.toml:2: "myorigin" is a parameter (set it above the first table)',
  ]],
  ["a variable that is no text", "[variables]\nv = 5", [
    'error: /c/main.toml:2: "v": expected a string in quotes or an array of strings',
  ]],
  ["a variable that no $name can name", '[variables]\nx-y = "z"', [
    'error: /c/main.toml:2: "x-y" cannot be written as $name (use letters, digits and underscores)',
  ]],
  ["variables that are no table", 'variables = "x"', [
    'error: /c/main.toml:1: "variables" must be a table: [variables]',
  ]],
  ["another table", '\n[smtpd]\nbanner = "x"', [
    "error: /c/main.toml:2: unknown table [smtpd] (main.toml has parameters and the table [variables])",
  ]],
  ["a file of a list that is not there", 'mynetworks = ["/c/networks"]', [
    'error: /c/main.toml:1: "mynetworks": Cannot read "/c/networks": no such file',
  ]],
  ["a transport that master.toml does not have", 'default_transport = "smpt:[relay]"', [
    'warning: /c/main.toml:1: "default_transport": master.toml has no service "smpt", its mail will wait ' +
    '(did you mean "smtp"?)',
  ]],
  ["rules that make an open relay", 'smtpd_relay_restrictions = ["permit_mynetworks"]', [
    'error: /c/main.toml:1: service "25" would relay for anybody: neither smtpd_relay_restrictions nor ' +
    'smtpd_recipient_restrictions refuses strangers (add "reject_unauth_destination")',
  ]],
  ["several problems at once", 'a_b = 1\nsmtpd_helo_required = "maybe"\nmyorigin = 5', [
    'error: /c/main.toml:1: unknown parameter "a_b" (variables of your own belong in [variables])',
    'error: /c/main.toml:3: "myorigin": expected a string in quotes, got 5',
    'error: /c/main.toml:2: "smtpd_helo_required": expected true or false, got "maybe"',
  ]],
];

for (const [what, main, expected] of FAULTS) {
  Deno.test(`main.toml with ${what} is told so with its line`, () =>
    assert.deepEqual(problemsOf(main), expected));
}

Deno.test("TOML that does not parse is told with its line", () => {
  const [problem, ...more] = problemsOf("myorigin = 'x'\nmydomain = \n");
  assert.match(problem ?? "", /^error: \/c\/main\.toml:2: not valid TOML at column \d+: /);
  assert.deepEqual(more, []);
});

Deno.test("a key that is there twice is told with its second line", () => {
  assert.match(
    problemsOf("smtpd_helo_required = true\n\nsmtpd_helo_required = false")[0] ?? "",
    /^error: \/c\/main\.toml:3: not valid TOML/,
  );
});

Deno.test("values of every type come out as a daemon wants them, frozen", () => {
  const { settings } = loadGood(`
    smtpd_banner = "$myhostname ready"
    smtpd_recipient_limit = 7
    smtpd_helo_required = true
    disable_vrfy_command = "no"
    smtpd_timeout = "5m"
    maximal_queue_lifetime = 3
    mynetworks = "127.0.0.0/8 [::1]/128, 192.0.2.0/24"
    smtpd_relay_restrictions = ["permit_mynetworks", "check_client_access cidr:/c/x", "reject"]
    alias_maps = ["texthash:$config_directory/aliases", "inline:{ root = me, { a = b c } }"]
  `);
  assert.equal(settings.smtpd_banner, "mail.example.com ready");
  assert.equal(settings.smtpd_recipient_limit, 7);
  assert.equal(settings.smtpd_helo_required, true);
  assert.equal(settings.disable_vrfy_command, false);
  assert.equal(settings.smtpd_timeout, 300);
  assert.equal(settings.maximal_queue_lifetime, 3 * 86400);
  assert.deepEqual(settings.mynetworks, ["127.0.0.0/8", "[::1]/128", "192.0.2.0/24"]);
  assert.deepEqual(settings.smtpd_relay_restrictions, [
    "permit_mynetworks",
    "check_client_access",
    "cidr:/c/x",
    "reject",
  ]);
  assert.deepEqual(settings.alias_maps, ["texthash:/c/aliases", "inline:{ root = me, { a = b c } }"]);
  assert.ok(Object.isFrozen(settings) && Object.isFrozen(settings.mynetworks));
});

Deno.test("a list whose default is tables takes names as well", () => {
  const { settings } = loadGood(
    'virtual_mailbox_domains = ["example.net"]\nvirtual_alias_domains = "a.example b.example"',
  );
  assert.deepEqual(settings.virtual_mailbox_domains, ["example.net"]);
  assert.deepEqual(settings.virtual_alias_domains, ["a.example", "b.example"]);
});

Deno.test("variables serve $name, in lists too", () => {
  const { settings } = loadGood(`
    mydestination = ["$mine", "localhost"]
    relayhost = "\${relay?{[$relay]}:{}}"
    [variables]
    mine = ["a.example", "b.example"]
    relay = "smtp.example"
  `);
  assert.deepEqual(settings.mydestination, ["a.example", "b.example", "localhost"]);
  assert.equal(settings.relayhost, "[smtp.example]");
});

Deno.test("raw parameters are left for the program that expands them", () => {
  assert.equal(loadGood('luser_relay = "$user@other"').settings.luser_relay, "$user@other");
});

Deno.test("files of lists are taken in, negated and nested, and remembered with their parameter", () => {
  const configuration = loadGood(
    'mynetworks = ["!192.0.2.1", "/c/nets", "!/c/bad"]\nmydestination = ["/c/nets"]',
    MASTER,
    {
      "/c/nets": "# ours\n192.0.2.0/24, 198.51.100.0/24\n  # more\n/c/more\n",
      "/c/more": "!x\n",
      "/c/bad": "y !z\n",
    },
  );
  const nets = ["192.0.2.0/24", "198.51.100.0/24", "!x"];
  assert.deepEqual(configuration.settings.mynetworks, ["!192.0.2.1", ...nets, "!y", "z"]);
  assert.deepEqual(configuration.settings.mydestination, nets);
  const used = new Set(configuration.listFiles.map((file) => `${file.parameter} ${file.path}`));
  for (const parameter of ["mynetworks", "mydestination"]) assert.ok(used.has(`${parameter} /c/more`));
  assert.ok(used.has("mynetworks /c/bad") && !used.has("mydestination /c/bad"));
});

Deno.test("a list file that names itself is an error, not an endless loop", () => {
  const problems = problemsOf('relay_domains = ["/c/self"]', MASTER, { "/c/self": "a /c/self" });
  assert.deepEqual(problems, ['error: /c/main.toml:1: "relay_domains": "/c/self" is nested too deeply']);
});

Deno.test("an absolute path in a list that is no match list stays as it is", () => {
  assert.deepEqual(
    loadGood('maillog_file_prefixes = ["/var", "/dev/stdout"]').settings.maillog_file_prefixes,
    [
      "/var",
      "/dev/stdout",
    ],
  );
});

Deno.test("a configuration says where each value comes from", () => {
  const configuration = loadGood('\nmyorigin = "$mydomain"\nslow-smtp_destination_recipient_limit = 7');
  assert.equal(configuration.origin("myorigin"), "/c/main.toml:2");
  assert.equal(configuration.origin("mydomain"), "default");
  assert.deepEqual(configuration.explicit, ["myorigin", "slow-smtp_destination_recipient_limit"]);
  assert.equal(configuration.text("myorigin"), "$mydomain");
  assert.equal(configuration.expanded("myorigin"), "example.com");
  assert.equal(configuration.defaults().text("myorigin"), "$myhostname");
});
