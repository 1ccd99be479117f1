import assert from "node:assert/strict";
import type { CommandEnv } from "../../commands/command.ts";
import { run } from "../../commands/postconf.ts";
import type { Configuration } from "../../lib/config/configuration.ts";
import { loadGood, MASTER } from "../lib/config/fixture.ts";

/** What a run prints on standard output and on standard error, and its status. */
interface Printed {
  readonly out: string;
  readonly err: string;
  readonly status: number;
}

async function postconf(configuration: Configuration, ...args: string[]): Promise<Printed> {
  let out = "";
  let err = "";
  const env: CommandEnv = {
    programName: "postconf",
    configDirectory: configuration.directory,
    out: (text) => out += text,
    err: (text) => err += text,
    writeBytes: () => assert.fail(),
    stdin: () => assert.fail(),
    load: () => ({ configuration, problems: [] }),
    config: () => configuration,
  };
  const status = await run(args, env);
  return { out, err, status };
}

const MAIN = `
  mydestination = ["$myhostname", "localhost"]
  smtpd_helo_required = false
  slow-smtp_destination_recipient_limit = 7
  relayhost = ""
  myorigin = "$place"
  [variables]
  place = "example.org"
`;

const CASES: readonly (readonly [readonly string[], string])[] = [
  [["mydestination"], "mydestination = $myhostname, localhost\n"],
  [["-x", "mydestination"], "mydestination = mail.example.com, localhost\n"],
  [["-h", "mydestination"], "$myhostname, localhost\n"],
  [["-hx", "myorigin", "smtpd_helo_required"], "example.org\nno\n"],
  [["-H", "smtpd_helo_required"], "smtpd_helo_required\n"],
  [["-d", "mydestination"], "mydestination = $myhostname, localhost.$mydomain, localhost\n"],
  [["-dx", "myhostname"], "myhostname = mail.example.com\n"],
  [["relayhost"], "relayhost =\n"],
  [["-h", "relayhost"], "\n"],
  [["place"], "place = example.org\n"],
  [
    ["-n"],
    [
      "mydestination = $myhostname, localhost",
      "myorigin = $place",
      "place = example.org",
      "relayhost =",
      "slow-smtp_destination_recipient_limit = 7",
      "smtpd_helo_required = no",
      "",
    ].join("\n"),
  ],
  [["-n", "smtpd_helo_required", "smtpd_banner"], "smtpd_helo_required = no\n"],
  [["--", "smtpd_helo_required"], "smtpd_helo_required = no\n"],
];

for (const [args, expected] of CASES) {
  Deno.test(`postconf ${args.join(" ")} prints ${JSON.stringify(expected)}`, async () => {
    assert.deepEqual(await postconf(loadGood(MAIN), ...args), { out: expected, err: "", status: 0 });
  });
}

Deno.test("postconf without names prints every parameter once, sorted by code points", async () => {
  const { out } = await postconf(loadGood(MAIN));
  const names = out.split("\n").slice(0, -1).map((line) => line.split(" =")[0]!);
  assert.deepEqual(names, [...new Set(names)].sort());
  for (
    const name of [
      "2bounce_notice_recipient",
      "place",
      "slow-smtp_destination_recipient_limit",
      "virtual_uid_maps",
    ]
  ) {
    assert.ok(names.includes(name), name);
  }
});

Deno.test("postconf warns of a name that is no parameter and prints the others, as Postfix does", async () => {
  const printed = await postconf(
    loadGood(MAIN),
    "nosuch",
    "smtpd_helo_required",
    "qmgr_destination_rate_delay",
  );
  assert.deepEqual(printed, {
    out: "smtpd_helo_required = no\n",
    err: "postconf: warning: nosuch: unknown parameter\n" +
      "postconf: warning: qmgr_destination_rate_delay: unknown parameter\n",
    status: 0,
  });
});

const SERVICE = `
[[service]]
name = "127.0.0.1:10025"
type = "inet"
command = "smtpd"
process_limit = 0
parameters = { syslog_name = "postfix/x", smtpd_relay_restrictions = ["permit_mynetworks", "reject"] }
`;

Deno.test("postconf -M prints services in the columns of master.cf", async () => {
  const { out } = await postconf(loadGood("", MASTER + SERVICE), "-Mf");
  assert.deepEqual(out.split("\n").slice(0, 3), [
    "25         inet  n       -       n       -       -       smtpd",
    "qmgr       unix  n       -       n       300     -       qmgr",
    "smtp       unix  -       -       n       -       -       smtp",
  ]);
  assert.ok(out.endsWith(
    "127.0.0.1:10025 inet n   -       n       -       0       smtpd\n" +
      "    -o syslog_name=postfix/x\n" +
      "    -o {smtpd_relay_restrictions=permit_mynetworks, reject}\n",
  ));
});

Deno.test("postconf -M picks services by name and type and warns when there is none", async () => {
  const configuration = loadGood("", MASTER);
  assert.match((await postconf(configuration, "-M", "25/inet")).out, /^25 +inet .*smtpd\n$/);
  assert.equal((await postconf(configuration, "-M", "*/inet")).out.split("\n").length, 2);
  const none = await postconf(configuration, "-M", "qmgr/inet");
  assert.deepEqual(none, { out: "", err: 'postconf: warning: unmatched request: "qmgr/inet"\n', status: 0 });
});

Deno.test("postconf warns of a variable that nothing refers to, as Postfix does", async () => {
  const { out, err } = await postconf(loadGood('[variables]\nfoo = "$bar"\nbar = "x"'), "-n");
  assert.equal(out, "");
  assert.equal(
    err,
    "postconf: warning: /c/main.toml: unused parameter: foo=$bar\n" +
      "postconf: warning: /c/main.toml: unused parameter: bar=x\n",
  );
});

Deno.test("postconf -C picks classes", async () => {
  const configuration = loadGood(MAIN);
  assert.equal((await postconf(configuration, "-C", "user")).out, "place = example.org\n");
  const own = (await postconf(configuration, "-C", "service")).out.split("\n");
  assert.ok(own.includes("relay_destination_rate_delay = $default_destination_rate_delay"));
  assert.ok(own.includes("slow-smtp_destination_recipient_limit = 7"));
  assert.ok(!own.some((line) => line.startsWith("qmgr_")));
  assert.equal(
    (await postconf(configuration, "-nC", "service")).out,
    "slow-smtp_destination_recipient_limit = 7\n",
  );
  const all = (await postconf(configuration)).out;
  assert.equal((await postconf(configuration, "-C", "all")).out, all);
  assert.equal((await postconf(configuration, "-C", "builtin, service", "-C", "user")).out, all);
});

Deno.test("postconf -j prints one object per line", async () => {
  const { out } = await postconf(loadGood(MAIN), "-jn");
  const objects = out.split("\n").slice(0, -1).map((line) => JSON.parse(line));
  assert.deepEqual(objects[0], { name: "mydestination", value: "$myhostname, localhost" });
  const services = (await postconf(loadGood(MAIN, MASTER + SERVICE), "-jM", "*/inet")).out.split("\n");
  assert.deepEqual(JSON.parse(services[1]!), {
    service: "127.0.0.1:10025",
    type: "inet",
    private: "n",
    unprivileged: "-",
    chroot: "n",
    wakeup: "-",
    process_limit: "0",
    command: "smtpd",
    options: [
      "-o syslog_name=postfix/x",
      "-o {smtpd_relay_restrictions=permit_mynetworks, reject}",
    ],
  });
});

Deno.test("postconf -l, -a, -A and -T need no configuration", async () => {
  const none = { config: () => assert.fail() } as unknown as Configuration;
  assert.equal((await postconf(none, "-l")).out, "fcntl\nflock\ndotlock\n");
  for (const args of [["-a"], ["-A"], ["-T", "run-version"]]) {
    assert.deepEqual(await postconf(none, ...args), { out: "", err: "", status: 0 });
  }
});

Deno.test("postconf -m lists the table types", async () => {
  const { out } = await postconf(loadGood(""), "-m");
  assert.ok(out.split("\n").includes("texthash"));
});

for (
  const args of [
    ["-q"],
    ["-n", "-d"],
    ["-h", "-H"],
    ["-c"],
    ["-M", "-P"],
    ["-Mh"],
    ["-F", "25/inet/nosuch"],
    ["-C", "nosuch"],
    ["-T", "nosuch"],
    ["-e", "smtpd_banner"],
    ["-X"],
    ["-Xx", "smtpd_banner"],
    ["-F#", "25/inet/wakeup"],
    ["-o", "=x"],
  ]
) {
  Deno.test(`postconf ${args.join(" ")} is refused`, async () => {
    await assert.rejects(postconf(loadGood(""), ...args), { name: "CommandError", message: /^fatal: / });
  });
}

const POSTCONF = "/usr/sbin/postconf";

function isInstalled(program: string): boolean {
  try {
    return Deno.statSync(program).isFile;
  } catch {
    return false;
  }
}

Deno.test({
  name: "postconf prints what Debian's postconf prints for the same settings",
  ignore: !isInstalled(POSTCONF),
  fn: async () => {
    const directory = Deno.makeTempDirSync();
    try {
      const settings = [
        "smtpd_helo_required = no",
        "mydestination = $myhostname, localhost",
        "myhostname = mail.example.com",
      ];
      Deno.writeTextFileSync(`${directory}/main.cf`, settings.join("\n") + "\ncompatibility_level = 3.6\n");
      Deno.writeTextFileSync(`${directory}/master.cf`, "");
      const configuration = loadGood(
        'smtpd_helo_required = "no"\nmydestination = ["$myhostname", "localhost"]\nmyhostname = "mail.example.com"',
      );
      for (const options of [[], ["-h"], ["-x"], ["-H"], ["-d"], ["-hx"], ["-n"]]) {
        const args = [
          ...options,
          "smtpd_helo_required",
          "mydestination",
          "relayhost",
          "smtp_helo_timeout",
          "queue_run_delay",
        ];
        const { stdout } = new Deno.Command(POSTCONF, { args: ["-c", directory, ...args] }).outputSync();
        const { out } = await postconf(configuration, ...args);
        assert.equal(out, new TextDecoder().decode(stdout), options.join(" "));
      }
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
});
