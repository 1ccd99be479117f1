import assert from "node:assert/strict";
import { settingsFor } from "../../../lib/config/configuration.ts";
import { transportParameter } from "../../../lib/config/transport.ts";
import { COMMANDS, load, loadGood, MASTER, problemsOf } from "./fixture.ts";

function service(lines: string): string {
  return `[[service]]\n${lines}`;
}

const GOOD = 'name = "x"\ntype = "unix"\ncommand = "smtp"\n';

/** Lines of a service, and the problems that they must give. */
const FAULTS: readonly (readonly [string, string, readonly string[]])[] = [
  ["an unknown key", GOOD + "proces_limit = 1", [
    'error: /c/master.toml:5: unknown key "proces_limit" of a service (did you mean "process_limit"?)',
  ]],
  ["an unknown command", 'name = "x"\ntype = "unix"\ncommand = "smpt"', [
    'error: /c/master.toml:4: unknown command "smpt" (did you mean "smtp"?)',
  ]],
  ["a command that is near to none", 'name = "x"\ntype = "unix"\ncommand = "postscreen"', [
    `error: /c/master.toml:4: unknown command "postscreen" (there are ${COMMANDS.join(", ")})`,
  ]],
  ["nothing in it", "", [
    'error: /c/master.toml:1: service without "type"',
    'error: /c/master.toml:1: service without "name"',
    'error: /c/master.toml:1: service without "command"',
  ]],
  ["a name that is no text", 'name = 25\ntype = "inet"\ncommand = "smtpd"', [
    'error: /c/master.toml:2: "name": expected a string in quotes',
  ]],
  ["an unknown type", 'name = "x"\ntype = "fifo"\ncommand = "smtp"', [
    'error: /c/master.toml:3: unknown service type "fifo" (use "inet", "unix" or "pass")',
  ]],
  ["a port that is none", 'name = "smpt"\ntype = "inet"\ncommand = "smtpd"', [
    'error: /c/master.toml:2: "smpt": expected a port or host:port',
  ]],
  ["port 0", 'name = "127.0.0.1:0"\ntype = "inet"\ncommand = "smtpd"', [
    'error: /c/master.toml:2: "127.0.0.1:0": port must be from 1 to 65535',
  ]],
  ["port 65536", 'name = "65536"\ntype = "inet"\ncommand = "smtpd"', [
    'error: /c/master.toml:2: "65536": port must be from 1 to 65535',
  ]],
  ["an IPv6 address without brackets", 'name = "::1:25"\ntype = "inet"\ncommand = "smtpd"', [
    'error: /c/master.toml:2: "::1:25": "::1" is neither a host name nor an address ' +
    "(an IPv6 address is written in brackets)",
  ]],
  ["a socket name that leaves the directory", 'name = "../x"\ntype = "unix"\ncommand = "smtp"', [
    'error: /c/master.toml:2: "../x" cannot name a socket (use letters, digits, and _ . - inside)',
  ]],
  ["a private port", 'name = "25"\ntype = "inet"\nprivate = true\ncommand = "smtpd"', [
    "error: /c/master.toml:4: a service of type inet cannot be private",
  ]],
  ["a public socket of type pass", 'name = "smtpd"\ntype = "pass"\nprivate = false\ncommand = "smtpd"', [
    "error: /c/master.toml:4: a service of type pass must be private",
  ]],
  ["private that is no switch", GOOD + 'private = "n"', [
    'error: /c/master.toml:5: "private": expected true or false',
  ]],
  ["a process limit below 0", GOOD + "process_limit = -1", [
    'error: /c/master.toml:5: "process_limit": expected a whole number from 0 to 10000',
  ]],
  ["a wake-up that is no time", GOOD + 'wakeup = "often"', [
    'error: /c/master.toml:5: "wakeup": expected a duration such as "60s", or "300s?"',
  ]],
  ["parameters that are no table", GOOD + 'parameters = "x"', [
    'error: /c/master.toml:5: "parameters": expected a table { name = value }',
  ]],
  ["an unknown parameter", GOOD + 'parameters = { smtp_hello_name = "x" }', [
    'error: /c/master.toml:5: unknown parameter "smtp_hello_name" (did you mean "smtp_helo_name"?)',
  ]],
  ["a parameter in a table of its own", GOOD + "[service.parameters]\nsmtpd_helo_required = 1", [
    'error: /c/master.toml:6: "smtpd_helo_required": expected true or false, got 1',
  ]],
  ["a parameter whose value does not work out", GOOD + 'parameters = { syslog_name = "$service_nam" }', [
    'error: /c/master.toml:5: "syslog_name": "$service_nam" is neither a parameter nor defined in [variables] ' +
    '(did you mean "service_name"?)',
  ]],
  [
    "a parameter that spoils another",
    GOOD + 'parameters = { smtp_helo_name = "x", inet_protocols = ["ipv5"] }',
    [
      'error: /c/master.toml:5: "inet_protocols": expected some of all, ipv4, ipv6, got "ipv5"',
    ],
  ],
  ["a wrong max_use", GOOD + "max_use = 0", [
    'error: /c/master.toml:5: "max_use": must be at least 1, got "0"',
  ]],
  ["itself twice", GOOD + "[[service]]\n" + GOOD, [
    'error: /c/master.toml:6: service "x" of type unix is there twice, first at line 1',
  ]],
];

for (const [what, lines, expected] of FAULTS) {
  Deno.test(`master.toml with a service with ${what} is told so with its line`, () => {
    assert.deepEqual(problemsOf("", service(lines)), expected);
  });
}

Deno.test("what an override makes wrong in main.toml's parameters is told at the service", () => {
  const master = service(GOOD + 'parameters = { relayhost = "x" }');
  assert.deepEqual(problemsOf('smtp_mx_address_limit = "${relayhost?{many}:{5}}"', master), [
    'error: /c/master.toml:1: service "x": "smtp_mx_address_limit": expected a whole number, got "many"',
  ]);
});

Deno.test("an smtpd that relays for anybody by its own override is refused", () => {
  const lines =
    'name = "25"\ntype = "inet"\ncommand = "smtpd"\nparameters = { smtpd_relay_restrictions = [] }';
  const [problem] = problemsOf("", service(lines));
  assert.match(problem ?? "", /^error: \/c\/master\.toml:5: service "25" would relay for anybody/);
  const closed =
    "smtpd_relay_restrictions = [], smtpd_recipient_restrictions = ['permit_mynetworks', 'reject']";
  loadGood("", service(lines.replace("smtpd_relay_restrictions = []", closed)));
});

Deno.test("master.toml with no services or other keys is told so", () => {
  assert.deepEqual(problemsOf("", ""), [
    "error: /c/master.toml: no services (services are written [[service]])",
  ]);
  assert.deepEqual(problemsOf("", '[service]\nname = "x"'), [
    "error: /c/master.toml:1: no services (services are written [[service]])",
  ]);
  assert.deepEqual(problemsOf("", "\nlimit = 1\n" + service(GOOD)), [
    'error: /c/master.toml:2: unknown key "limit" (services are written [[service]])',
  ]);
});

Deno.test("missing files are told, both of them", () => {
  const { problems } = load("", MASTER);
  assert.deepEqual(problems, []);
  assert.deepEqual(problemsOf("", MASTER, { "/c/main.toml": "=" }).length, 1);
});

Deno.test("names of inet services are ports with or without a host", () => {
  const names = ["25", "smtp", "localhost:2525", "192.0.2.1:submission", "[::1]:26"];
  const master = names.map((name) => service(`name = "${name}"\ntype = "inet"\ncommand = "smtpd"\n`)).join(
    "",
  );
  assert.deepEqual(loadGood("", master).services.map((entry) => entry.listen), [
    { port: 25 },
    { port: 25 },
    { host: "localhost", port: 2525 },
    { host: "192.0.2.1", port: 587 },
    { host: "::1", port: 26 },
  ]);
});

Deno.test("what a service leaves out has its default", () => {
  const [inet, unix] =
    loadGood("", service('name = "25"\ntype = "inet"\ncommand = "smtpd"\n') + service(GOOD)).services;
  assert.ok(inet && unix);
  assert.equal(inet.private, false);
  assert.equal(unix.private, true);
  assert.equal(unix.processLimit, undefined);
  assert.deepEqual([unix.wakeup, unix.wakeupIfUsed], [0, false]);
  assert.deepEqual([unix.maxUse, unix.maxIdle], [undefined, undefined]);
  assert.equal(unix.parameters.size, 0);
});

Deno.test("what a service says counts for it", () => {
  const lines = GOOD + 'private = false\nprocess_limit = 0\nwakeup = "5m?"\nmax_use = 3\nmax_idle = "1m"\n';
  const [entry] = loadGood("", service(lines)).services;
  assert.ok(entry);
  assert.equal(entry.private, false);
  assert.equal(entry.processLimit, 0);
  assert.deepEqual([entry.wakeup, entry.wakeupIfUsed], [300, true]);
  assert.deepEqual([entry.maxUse, entry.maxIdle], [3, 60]);
});

Deno.test("the same name as inet and as unix is two services", () => {
  const unix = 'name = "25"\ntype = "unix"\ncommand = "smtp"\n';
  const master = service('name = "25"\ntype = "inet"\ncommand = "smtpd"\n') + service(unix);
  assert.equal(loadGood("", master).services.length, 2);
});

Deno.test("a service's settings are those that it names, with its overrides and what depends on them", () => {
  const lines = GOOD +
    'parameters = { myhostname = "out.example.net", syslog_name = "postfix/$service_name", smtp_connect_timeout = 5 }';
  const configuration = loadGood('smtp_helo_name = "$myhostname"', service(lines));
  const [entry] = configuration.services;
  const settings = settingsFor(configuration, entry!, [
    "smtp_helo_name",
    "syslog_name",
    "smtp_connect_timeout",
  ]);
  assert.deepEqual(settings, {
    smtp_helo_name: "out.example.net",
    syslog_name: "postfix/x",
    smtp_connect_timeout: 5,
  });
  assert.ok(Object.isFrozen(settings));
  assert.equal(configuration.settings.smtp_helo_name, "mail.example.com");
});

Deno.test("master_service_disable turns services off, by type or by name and type", () => {
  const names = (main: string) => loadGood(main).services.map((entry) => entry.name);
  assert.ok(!names('master_service_disable = ["inet"]').includes("25"));
  assert.deepEqual(names('master_service_disable = ["25.inet"]'), names("").slice(1));
  assert.deepEqual(names('master_service_disable = ["!25.inet", "inet", "smtp.inet"]'), names(""));
});

Deno.test("transports' own parameters reach whoever asks for the one that counts for all", () => {
  const configuration = loadGood(`
    default_destination_concurrency_limit = 9
    slow-smtp_destination_concurrency_limit = 1
    slow-smtp_initial_destination_concurrency = 3
    slow-smtp_destination_concurrency_positive_feedback = "1/concurrency"
    smtp_destination_concurrency_failed_cohort_limit = 7
  `);
  const qmgr = configuration.services.find((entry) => entry.name === "qmgr")!;
  const settings = settingsFor(configuration, qmgr, [
    "default_destination_concurrency_limit",
    "initial_destination_concurrency",
    "default_destination_recipient_limit",
    "default_destination_concurrency_positive_feedback",
  ]);
  assert.equal(transportParameter(settings, "slow-smtp", "destination_concurrency_limit"), 1);
  assert.equal(transportParameter(settings, "smtp", "destination_concurrency_limit"), 9);
  assert.equal(transportParameter(settings, "local", "destination_concurrency_limit"), 2);
  assert.equal(transportParameter(settings, "local", "destination_recipient_limit"), 1);
  assert.equal(transportParameter(settings, "slow-smtp", "initial_destination_concurrency"), 3);
  assert.equal(transportParameter(settings, "never-heard-of", "initial_destination_concurrency"), 5);
  const feedback = transportParameter(settings, "slow-smtp", "destination_concurrency_positive_feedback");
  assert.equal(feedback, "1/concurrency");
  assert.ok(!Object.hasOwn(settings, "smtp_destination_concurrency_failed_cohort_limit"));
});

Deno.test("a transport's parameter is checked as the one that counts for all", () => {
  assert.deepEqual(
    problemsOf("smtp_initial_destination_concurrency = 0\nsmtp_destination_recipient_limit = true"),
    [
      'error: /c/main.toml:2: "smtp_destination_recipient_limit": expected a whole number, got true',
      'error: /c/main.toml:1: "smtp_initial_destination_concurrency": must be at least 1, got "0"',
    ],
  );
});

Deno.test("the longest suffix counts: a recipient limit of the transport is not one of its destinations", () => {
  const configuration = loadGood(
    'smtp_recipient_limit = 7\nsmtp_extra_recipient_limit = 8\nsmtp_destination_rate_delay = "2m"',
  );
  const qmgr = configuration.services.find((entry) => entry.name === "qmgr")!;
  const settings = settingsFor(configuration, qmgr, [
    "default_destination_rate_delay",
    "default_destination_recipient_limit",
    "default_extra_recipient_limit",
    "default_recipient_limit",
  ]);
  assert.equal(transportParameter(settings, "smtp", "recipient_limit"), 7);
  assert.equal(transportParameter(settings, "smtp", "extra_recipient_limit"), 8);
  assert.equal(transportParameter(settings, "smtp", "destination_recipient_limit"), 50);
  assert.equal(transportParameter(settings, "smtp", "destination_rate_delay"), 120);
  assert.equal(transportParameter(settings, "relay", "recipient_limit"), 20_000);
});

Deno.test("a suffix that no program honours is refused", () => {
  for (const suffix of ["idle_limit", "slot_cost", "destination_refill_limit"]) {
    const [problem = ""] = problemsOf(`smtp_${suffix} = 5`);
    assert.match(problem, /^error: \/c\/main\.toml:1: .*smtp_/, suffix);
  }
});
