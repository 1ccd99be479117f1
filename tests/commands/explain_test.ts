/** What `explain` prints, of a configuration that does not run. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import packet from "dns-packet";
import { explain, facts } from "./explain_support.ts";
import { TemporaryDirectory } from "../support/temporary.ts";

/** Answers by "TYPE name"; every other name does not exist, but "servfail.test" cannot be looked up. */
const RECORDS: Readonly<Record<string, readonly packet.Answer[]>> = {
  "MX two.test": [
    { name: "two.test", type: "MX", ttl: 60, data: { preference: 20, exchange: "b.two.test" } },
    { name: "two.test", type: "MX", ttl: 60, data: { preference: 10, exchange: "a.two.test" } },
  ],
  "A a.two.test": [{ name: "a.two.test", type: "A", ttl: 60, data: "198.51.100.1" }],
  "A b.two.test": [{ name: "b.two.test", type: "A", ttl: 60, data: "198.51.100.2" }],
  "PTR 1.100.51.198.in-addr.arpa": [
    { name: "1.100.51.198.in-addr.arpa", type: "PTR", ttl: 60, data: "a.two.test" },
  ],
  "PTR 9.100.51.198.in-addr.arpa": [
    { name: "9.100.51.198.in-addr.arpa", type: "PTR", ttl: 60, data: "b.two.test" },
  ],
  "MX null.test": [{ name: "null.test", type: "MX", ttl: 60, data: { preference: 0, exchange: "." } }],
};

async function startZone(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const socket = dgram.createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  socket.on("message", (bytes: Uint8Array, from: { port: number; address: string }) => {
    const query = packet.decode(Buffer.from(bytes));
    const { name, type } = query.questions![0]!;
    const answers = [...RECORDS[`${type} ${name}`] ?? []];
    const known = Object.keys(RECORDS).some((key) => key.endsWith(` ${name}`));
    const flags = name === "servfail.test" ? 2 : known ? 0 : 3;
    const reply = { id: query.id!, type: "response" as const, flags, questions: query.questions!, answers };
    socket.send(packet.encode(reply), from.port, from.address);
  });
  return {
    port: socket.address().port,
    stop: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

const MASTER = [
  "smtpd 25 inet",
  "cleanup cleanup unix",
  "trivial-rewrite rewrite unix",
  "proxymap proxymap unix",
]
  .concat(["smtp smtp unix", "smtp relay unix", "lmtp lmtp unix", "virtual virtual unix", "error error unix"])
  .concat(["error retry unix", "discard discard unix", "smtpd 587 inet"])
  .map((line) => line.split(" "))
  .map(([command, name, type]) => `[[service]]\nname = "${name}"\ntype = "${type}"\ncommand = "${command}"\n`)
  .join("");

const MAIN = `myhostname = "mail.test"
mydestination = []
alias_maps = []
mynetworks = ["192.0.2.0/24"]
virtual_mailbox_domains = ["box.test"]
virtual_mailbox_base = "/var/mail"
virtual_mailbox_maps = ["texthash:$config_directory/boxes"]
virtual_uid_maps = ["static:5000"]
virtual_gid_maps = ["static:5000"]
virtual_alias_domains = ["alias.test"]
virtual_alias_maps = ["texthash:$config_directory/virtual"]
transport_maps = ["texthash:$config_directory/transport"]
canonical_maps = ["texthash:$config_directory/canonical"]
smtpd_client_restrictions = ["check_client_access", "cidr:$config_directory/clients"]
smtpd_sender_restrictions = ["reject_unknown_sender_domain"]
`;
const FILES = {
  boxes: "# mailboxes\na@box.test a/\nb@box.test b\n",
  virtual: "team@alias.test a@box.test, inner@alias.test\ninner@alias.test b@box.test, team@alias.test\n" +
    "pair@alias.test a@box.test, b@box.test\n",
  transport: "gone.test error:5.1.2 gone\nbad.test smtp:[x\n",
  canonical: "old@box.test a@box.test\n",
  clients: "198.51.100.0/24 554 go away\n203.0.113.0/24 DUNNO\n",
};

/** TLS where it is offered. */
const MAY = { level: "may", required: false, matches: [] };

/** Runs `work` with a configuration directory and a DNS server; `main` has lines in the place of others. */
async function withConfiguration(work: (directory: string) => Promise<void>, main = ""): Promise<void> {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  const zone = await startZone();
  try {
    const resolver = `resolver = "127.0.0.1:${zone.port}"\n`;
    const keys = main.split("\n").map((line) => line.split(" = ")[0]);
    const kept = MAIN.split("\n").filter((line) => line === "" || !keys.includes(line.split(" = ")[0])).join(
      "\n",
    );
    const files = { ...FILES, "main.toml": kept + resolver + main, "master.toml": MASTER };
    for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${directory}/${name}`, text);
    await work(directory);
  } finally {
    await zone.stop();
  }
}

/** The page, with DIR for the directory and single spaces. */
async function page(directory: string, ...args: string[]): Promise<{ status: number; lines: string[] }> {
  const { status, output } = await explain(directory, ...args);
  const lines = output.replaceAll(directory, "DIR").split("\n").slice(0, -1);
  return { status, lines: lines.map((line) => line.replaceAll(/(?<=\S) {2,}/g, "  ")) };
}

Deno.test("explain prints one line for each decision, with its place at the right", async () => {
  await withConfiguration(async (directory) => {
    const { status, lines } = await page(directory, "--from", "s@two.test", "old@box.test");
    assert.deepEqual(lines, [
      "from <s@two.test> to <old@box.test>",
      "client unknown[203.0.113.250], helo client.example, at service 25  DIR/master.toml:1",
      "  is not in mynetworks  DIR/main.toml:4",
      "  smtpd_client_restrictions  DIR/main.toml:14",
      "    check_client_access cidr:DIR/clients: no opinion",
      "      cidr:DIR/clients says DUNNO  DIR/clients:2",
      "  smtpd_sender_restrictions  DIR/main.toml:15",
      "    reject_unknown_sender_domain: no opinion",
      "  smtpd_relay_restrictions  default",
      "    permit_mynetworks: no opinion",
      "    permit_sasl_authenticated: no opinion",
      "    defer_unauth_destination: no opinion",
      "  smtpd_reject_unlisted_recipient: no opinion  default",
      "  reply: 250 2.1.5 Ok",
      "sender",
      "  <s@two.test>",
      "recipient",
      "  <old@box.test>",
      "  canonical_maps: old@box.test -> a@box.test  DIR/canonical:1",
      "  <a@box.test>",
      "delivery to <a@box.test>",
      "  virtual_mailbox_domains: has box.test  DIR/main.toml:5",
      "  class virtual, transport virtual, next hop box.test  DIR/master.toml:29",
      "  virtual_mailbox_maps: texthash:DIR/boxes has a@box.test -> a/  DIR/boxes:2",
      "  virtual_uid_maps: static:5000 has a@box.test -> 5000  DIR/main.toml:8",
      "  virtual_gid_maps: static:5000 has a@box.test -> 5000  DIR/main.toml:9",
      "  maildir /var/mail/a, as user 5000, group 5000",
    ]);
    assert.equal(status, 0);
  });
});

Deno.test("what follows a refusal is what would become of the mail if it were accepted", async () => {
  await withConfiguration(async (directory) => {
    const { status, lines } = await page(directory, "--from", "", "none@box.test");
    assert.equal(status, 1);
    const reply =
      "550 5.1.1 <none@box.test>: Recipient address rejected: User unknown in virtual mailbox table";
    const at = lines.indexOf(`  reply: ${reply}`);
    assert.deepEqual(lines.slice(at - 2, at + 2), [
      "  smtpd_reject_unlisted_recipient: refuses  default",
      `    ${reply}`,
      `  reply: ${reply}`,
      "what follows is what would become of the mail if it were accepted",
    ]);
    assert.equal(lines.at(-1), '  bounced: 5.1.1 unknown user: "none@box.test"');
  });
});

Deno.test("explain shows aliases as a tree, and where each member ends", async () => {
  await withConfiguration(async (directory) => {
    const { status, lines } = await page(directory, "--from", "", "pair@alias.test");
    assert.equal(status, 0);
    const from = lines.indexOf("  aliases");
    assert.deepEqual(lines.slice(from, from + 4), [
      "  aliases",
      "    <pair@alias.test>  DIR/virtual:3",
      "      <a@box.test>",
      "      <b@box.test>",
    ]);
    assert.deepEqual(lines.filter((line) => line.includes("as user")), [
      "  maildir /var/mail/a, as user 5000, group 5000",
      "  mbox /var/mail/b, as user 5000, group 5000",
    ]);
  });
});

Deno.test("explain says that aliases go round, and shows where", async () => {
  await withConfiguration(async (directory) => {
    const { status, lines } = await page(directory, "--from", "", "team@alias.test");
    assert.equal(status, 1);
    assert.ok(lines.includes("        <team@alias.test> (itself)"), lines.join("\n"));
    assert.match(lines.at(-1)!, /^ {2}deferred: unreasonable virtual_alias_maps map /);
  });
});

Deno.test("explain finds the hosts that DNS names, in their order, and says why there are none", async () => {
  await withConfiguration(async (directory) => {
    const trusted = ["--client", "192.0.2.9", "--client-name", "desk.test", "--from", ""];
    const told = await facts(directory, ...trusted, "x@two.test");
    assert.equal(told.smtp?.trusted, true);
    assert.equal(told.smtp?.relayed, true);
    const { delivery } = told.recipients[0]!.ends[0]!;
    assert.ok(delivery.kind === "smtp");
    assert.deepEqual(delivery.destinations, [{
      destination: "two.test",
      hosts: [
        { name: "a.two.test", address: "198.51.100.1", port: 25, preference: 10, tls: MAY },
        { name: "b.two.test", address: "198.51.100.2", port: 25, preference: 20, tls: MAY },
      ],
    }]);
    const failures = [
      ["x@null.test", "bounced: 5.1.10 Domain null.test does not accept mail (nullMX)"],
      ["x@nothing.test", "bounced: 5.4.4 Host or domain name not found."],
      ["x@servfail.test", "deferred: 4.4.3 Host or domain name not found."],
      ["x@bad.test", "deferred: 4.3.5 bad destination: unmatched bracket"],
      ["x@gone.test", "bounced: 5.1.2 gone"],
      ["x@[127.0.0.1]", 'deferred: 4.3.0 mail transport "local" unavailable'],
    ] as const;
    for (const [address, text] of failures) {
      const { status, lines } = await page(directory, ...trusted, address);
      assert.equal(status, 1, address);
      assert.ok(lines.some((line) => line.trim().startsWith(text)), `${address}:\n${lines.join("\n")}`);
    }
  });
});

Deno.test("the name of a client that is given is looked up, as smtpd does it", async () => {
  await withConfiguration(async (directory) => {
    const named = await facts(directory, "--client", "198.51.100.1", "--from", "", "a@box.test");
    assert.deepEqual([named.asked.clientName, named.asked.reverseName], ["a.two.test", "a.two.test"]);
    const other = await facts(directory, "--client", "198.51.100.9", "--from", "", "a@box.test");
    assert.deepEqual([other.asked.clientName, other.asked.reverseName], ["unknown", "b.two.test"]);
    const without = await facts(directory, "--client", "127.0.0.1", "--from", "", "a@box.test");
    assert.equal(without.asked.clientName, "localhost");
  });
});

Deno.test("DNS decides about the sender as it does for smtpd", async () => {
  await withConfiguration(async (directory) => {
    for (
      const [sender, code] of [["s@two.test", "250"], ["s@nothing.test", "450"], [
        "s@null.test",
        "550",
      ]] as const
    ) {
      const told = await facts(directory, "--from", sender, "a@box.test");
      assert.equal(told.smtp?.reply.slice(0, 3), code, sender);
    }
    const refused = await facts(directory, "--from", "s@null.test", "a@box.test");
    assert.equal(refused.smtp?.refusal?.rule?.text, "reject_unknown_sender_domain");
    assert.match(refused.smtp?.refusal?.rule?.place ?? "", /main\.toml:15$/);
  });
});

Deno.test("explain shows each step of rewriting with its rule", async () => {
  await withConfiguration(async (directory) => {
    const told = await facts(directory, "--client", "192.0.2.9", "--from", "", "site!user");
    assert.deepEqual(told.recipients[0]!.rewriting, {
      address: "site!user",
      steps: [
        { rule: "swap_bangpath", before: "site!user", after: "user@site", grounds: [] },
        { rule: "append_dot_mydomain", before: "user@site", after: "user@site.home.test", grounds: [] },
      ],
      canonical: "user@site.home.test",
    });
  }, 'append_dot_mydomain = true\nmydomain = "home.test"\n');
});

Deno.test("a service of master.toml may be named, and its own settings count", async () => {
  await withConfiguration(async (directory) => {
    const told = await facts(
      directory,
      "--service",
      "587",
      "--client",
      "198.51.100.9",
      "--from",
      "",
      "a@box.test",
    );
    assert.equal(told.smtp?.service, "587");
    assert.equal(told.smtp?.reply, "554 5.7.1 <unknown[198.51.100.9]>: Client host rejected: go away");
    assert.equal(told.asked.reverseName, "b.two.test");
    assert.equal(told.smtp?.refusal?.entry?.place, `${directory}/clients:1`);
  });
});

Deno.test("a command line that makes no sense is status 64, and says what is wrong", async () => {
  await withConfiguration(async (directory) => {
    const table: readonly (readonly [args: string[], text: RegExp])[] = [
      [[], /usage: explain /],
      [["a@box.test", "b@box.test"], /usage: explain /],
      [["--form", "a@box.test"], /unexpected "--form"/],
      [["a@box.test", "--from"], /--from takes a value/],
      [["--client", "localhost", "a@box.test"], /"localhost" is no IP address/],
      [["--service", "465", "a@box.test"], /no SMTP service "465"/],
      [[""], /the address is empty/],
      [["<>"], /the address is empty/],
      [["a b@box.test"], /bad address "a b@box.test": a character that must stand in quotes/],
      [["a@-b.test"], /bad address "a@-b.test": invalid domain "-b.test"/],
      [["<a@box.test> NOTIFY=NEVER"], /bad address/],
      [["--from", "a@[1.2]", "a@box.test"], /bad address "a@\[1.2\]"/],
      [["a\x1b[2J@box.test"], /bad address "a\?\[2J@box.test"/],
    ];
    for (const [args, text] of table) {
      const { status, output, errors } = await explain(directory, ...args);
      assert.equal(status, 64, args.join(" "));
      assert.equal(output, "");
      assert.match(errors, text);
      assert.equal(errors.split("\n").length, 2, errors);
    }
  });
});

Deno.test("an address may stand in brackets, behind --, and its options behind it or with an equals sign", async () => {
  await withConfiguration(async (directory) => {
    const told = await facts(directory, "<a@box.test>", "--from=", "--helo=x.test");
    assert.deepEqual([told.asked.recipient, told.asked.sender, told.asked.helo], [
      "a@box.test",
      "",
      "x.test",
    ]);
    const behind = await facts(directory, "--from", "", "--", "--x@box.test");
    assert.equal(behind.asked.recipient, "--x@box.test");
  });
});

Deno.test("a configuration without an SMTP server is explained from where sendmail's mail begins", async () => {
  await withConfiguration(async (directory) => {
    Deno.writeTextFileSync(
      `${directory}/master.toml`,
      MASTER.replaceAll('command = "smtpd"', 'command = "discard"'),
    );
    const told = await facts(directory, "a@box.test");
    assert.equal(told.smtp, undefined);
    assert.equal(told.good, true);
  });
});

/** A login name that is not root's, and its line of the password file. */
function someUser(): string {
  const users = Deno.readTextFileSync("/etc/passwd").split("\n").map((line) => line.split(":"));
  return users.find(([name, , uid]) => uid !== undefined && uid !== "0" && name !== "nobody")![0]!;
}

Deno.test("explain follows local aliases and lists as a tree to their ends", async () => {
  const user = someUser();
  await withConfiguration(async (directory) => {
    Deno.writeTextFileSync(
      `${directory}/master.toml`,
      `${MASTER}[[service]]\nname = "local"\ntype = "unix"\ncommand = "local"\n`,
    );
    Deno.writeTextFileSync(`${directory}/list`, `${user}\nx@two.test\n`);
    Deno.writeTextFileSync(
      `${directory}/aliases`,
      `# aliases\nteam: inner, "|/bin/true x", /dev/null, nobody.here\n` +
        `inner: ${user}, :include:${directory}/list\n`,
    );
    const { status, lines } = await page(directory, "--from", "", "--client", "192.0.2.9", "team@mail.test");
    assert.equal(status, 1);
    const at = lines.indexOf("delivery to <team@mail.test>");
    const end = lines.findIndex((line) => line.startsWith("forwarded"));
    assert.deepEqual(lines.slice(at + 3, end).map((line) => line.slice(2)), [
      'alias team -> inner, "|/bin/true x", /dev/null, nobody.here  DIR/aliases:2',
      `  alias inner -> ${user}, :include:DIR/list  DIR/aliases:3`,
      `    <${user}@mail.test>: mbox /var/mail/${user}, as user ${user}`,
      "    list of <inner@mail.test>  DIR/list",
      `      <${user}@mail.test>: forwarded in a message of its own`,
      "      <x@two.test>: forwarded in a message of its own",
      "  <team@mail.test>: command /bin/true x",
      "  <team@mail.test>: file /dev/null",
      '  <nobody.here@mail.test>: bounced: 5.1.1 unknown user: "nobody.here"',
    ]);
    const behind = lines.slice(end);
    assert.ok(
      behind.includes("  <x@two.test>") && behind.includes("    a.two.test[198.51.100.1]:25, preference 10"),
    );
  }, 'mydestination = ["mail.test"]\nalias_maps = ["texthash:$config_directory/aliases"]\n');
});

Deno.test("the TLS of a host is what the policy tables make of it", async () => {
  await withConfiguration(
    async (directory) => {
      const tlsOf = async (address: string) => {
        const told = await facts(directory, "--client", "192.0.2.9", "--from", "", address);
        const { delivery } = told.recipients[0]!.ends[0]!;
        assert.ok(delivery.kind === "smtp");
        return delivery.destinations[0]!.hosts[0]!.tls;
      };
      assert.deepEqual(await tlsOf("x@two.test"), {
        level: "secure",
        required: true,
        matches: ["mx.two.test"],
      });
      assert.deepEqual(await tlsOf("x@[198.51.100.1]"), { level: "encrypt", required: true, matches: [] });
      const { lines } = await page(directory, "--client", "192.0.2.9", "--from", "", "x@two.test");
      const text = "TLS secure: mail must not go in the clear, the certificate must match mx.two.test";
      assert.ok(lines.some((line) => line.trim() === text), lines.join("\n"));
    },
    'smtp_tls_security_level = "encrypt"\nsmtp_tls_policy_maps = ["inline:{{two.test=secure match=mx.two.test}}"]\n' +
      "transport_maps = []\nvirtual_alias_maps = []\nvirtual_alias_domains = []\n",
  );
});

Deno.test("a content filter takes the place of the transport, and a FILTER action that of content_filter", async () => {
  await withConfiguration(async (directory) => {
    const asked = ["--client", "192.0.2.9", "--client-name", "desk.test", "--from", ""];
    const { status, lines } = await page(directory, ...asked, "a@box.test");
    assert.equal(status, 0);
    const at = lines.indexOf("delivery to <a@box.test>");
    assert.deepEqual(lines.slice(at + 2, at + 6), [
      "  content_filter: the filter smtp:[198.51.100.7]:10025 gets it first  DIR/main.toml:17",
      "  class virtual, transport smtp, next hop [198.51.100.7]:10025  DIR/master.toml:17",
      "  destination [198.51.100.7]:10025",
      "    198.51.100.7[198.51.100.7]:10025",
    ]);
    Deno.writeTextFileSync(`${directory}/clients`, "192.0.2.9 FILTER relay:\n");
    const told = await facts(directory, ...asked, "a@box.test");
    const [end] = told.recipients[0]!.ends;
    assert.deepEqual([end?.transport, end?.nexthop], ["relay", "box.test"]);
    assert.deepEqual(end?.filter, {
      target: "relay:",
      rule: `check_client_access cidr:${directory}/clients`,
      place: `${directory}/clients:1`,
    });
  }, 'content_filter = "smtp:[198.51.100.7]:10025"\n');
});

Deno.test("what is asked at DATA and at the end of the message stands behind the reply to RCPT", async () => {
  const lists = 'smtpd_data_restrictions = ["reject_multi_recipient_bounce"]\n' +
    `smtpd_end_of_data_restrictions = ["check_sender_access", "inline:{{s@two.test = REJECT spam}}"]\n`;
  await withConfiguration(async (directory) => {
    const good = await page(directory, "--from", "", "a@box.test");
    assert.equal(good.status, 0, good.lines.join("\n"));
    const { status, lines } = await page(directory, "--from", "s@two.test", "a@box.test");
    assert.equal(status, 1);
    const at = lines.indexOf("  reply: 250 2.1.5 Ok");
    const refused = "554 5.7.1 <s@two.test>: Sender address rejected: spam";
    assert.deepEqual(lines.slice(at + 1, at + 9), [
      "  smtpd_data_restrictions  DIR/main.toml:17",
      "    reject_multi_recipient_bounce: no opinion",
      "  smtpd_end_of_data_restrictions, asked with the message's content  DIR/main.toml:18",
      "    check_sender_access inline:{{s@two.test = REJECT spam}}: refuses",
      "      inline:{{s@two.test = REJECT spam}} says REJECT spam",
      `      ${refused}`,
      `  reply to the end of the message: ${refused}`,
      "what follows is what would become of the mail if it were accepted",
    ]);
  }, lists);
});

Deno.test("mail filters that have a say are shown, with what those of one's own may touch", async () => {
  const filters = 'smtpd_milters = ["inet:127.0.0.1:8891", "{ filter:footer, default_action=accept }"]\n' +
    'smtpd_milter_maps = ["inline:{192.0.2.9=DISABLE, 192.0.2.8={filter:footer}}"]\n' +
    'smtpd_proxy_filter = "127.0.0.1:10025"\n';
  await withConfiguration(async (directory) => {
    Deno.writeTextFileSync(
      `${directory}/footer.ts`,
      'export const may: FilterMay = { reads: ["/etc/blocked"], net: ["127.0.0.1:53"], time: 10, memory: 64 };\n',
      { mode: 0o644 },
    );
    const service = `[[service]]\nname = "footer"\ntype = "unix"\ncommand = "filter"\n` +
      `parameters = { filter_file = "${directory}/footer.ts" }\n`;
    Deno.writeTextFileSync(`${directory}/master.toml`, service, { append: true });
    const { lines } = await page(directory, "--from", "", "a@box.test");
    const at = lines.findIndex((line) => line.startsWith("  smtpd_milters:"));
    assert.deepEqual(lines.slice(at, at + 4), [
      "  smtpd_milters: inet:127.0.0.1:8891 has a say, shutdown when it fails  DIR/main.toml:17",
      "  smtpd_milters: filter:footer has a say, accept when it fails  DIR/main.toml:17",
      "    reads /etc/blocked, connects to 127.0.0.1:53, has 10 s and 64 MiB for a message",
      "  smtpd_proxy_filter: 127.0.0.1:10025 has a say  DIR/main.toml:19",
    ]);
    const named = async (client: string) =>
      (await facts(directory, "--client", client, "--client-name", "x.test", "--from", "", "a@box.test"))
        .filters.map(({ name, rule }) => `${rule} ${name}`);
    const proxy = "smtpd_proxy_filter 127.0.0.1:10025";
    assert.deepEqual(await named("192.0.2.9"), [proxy]);
    assert.deepEqual(await named("192.0.2.8"), ["smtpd_milter_maps filter:footer", proxy]);
  }, filters);
});
