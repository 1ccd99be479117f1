/**
 * The standard configurations of Postfix's documentation, and Debian's default one: imported, checked, started, and
 * asked the same as the Postfix that they were made for.
 *
 * @module
 */
import assert from "node:assert/strict";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { MAIN } from "./mail_system.ts";
import { Postern, runProgram } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { testNeeding } from "../support/tools.ts";

/** A documented configuration. */
interface Standard {
  readonly name: string;
  /** Parameters of main.cf; `$root/etc` is its directory. */
  readonly settings: Readonly<Record<string, string>>;
  /** Tables beside main.cf. */
  readonly tables: Readonly<Record<string, string>>;
  /** A session: what the client says. */
  readonly dialogue: readonly string[];
  /** Lines that the import's report must have. */
  readonly report: readonly RegExp[];
}

/** Loopback is a stranger to all of them, so that their rules show; what the test needs beside the documented lines. */
const STRANGERS = {
  mynetworks: "192.0.2.0/24",
  myhostname: "host.example.com",
  smtpd_banner: "$myhostname ESMTP",
};

const TABLE = /is texthash:\$config_directory\/\w+ now/;

const STANDARDS: readonly Standard[] = [
  {
    name: "Debian's default",
    settings: {
      smtpd_banner: "$myhostname ESMTP Postfix (Debian/GNU)",
      biff: "no",
      append_dot_mydomain: "no",
      readme_directory: "no",
      smtpd_tls_cert_file: "/etc/ssl/certs/ssl-cert-snakeoil.pem",
      smtpd_tls_key_file: "/etc/ssl/private/ssl-cert-snakeoil.key",
      smtp_tls_CApath: "/etc/ssl/certs",
      smtp_tls_session_cache_database: "btree:${data_directory}/smtp_scache",
      smtpd_relay_restrictions: "permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
      myhostname: "host.example.com",
      alias_maps: "hash:$root/etc/aliases",
      alias_database: "hash:$root/etc/aliases",
      mydestination: "$myhostname, host, localhost.localdomain, , localhost",
      relayhost: "",
      mynetworks: "192.0.2.0/24 [2001:db8::]/32 [::1]/128",
      mailbox_size_limit: "0",
      recipient_delimiter: "+",
      local_recipient_maps: "proxy:unix:passwd.byname $alias_maps",
    },
    tables: { aliases: "postmaster: root\nsales: root\n" },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<a@example.net>",
      "RCPT TO:<root@host.example.com>",
      "RCPT TO:<sales+x@localhost>",
      "RCPT TO:<nobody-here@host.example.com>",
      "RCPT TO:<user@example.org>",
      "RCPT TO:<postmaster>",
      "DATA",
    ],
    report: [/main\.cf:\d+: smtpd_tls_cert_file$/, /biff: it says what/],
  },
  {
    name: "a null client",
    settings: {
      ...STRANGERS,
      mynetworks: "127.0.0.0/8",
      myhostname: "hostname.example.com",
      myorigin: "$mydomain",
      relayhost: "$mydomain",
      inet_interfaces: "loopback-only",
      mydestination: "",
    },
    tables: {},
    dialogue: [
      "HELO client.example",
      "MAIL FROM:<root>",
      "RCPT TO:<user@hostname.example.com>",
      "RCPT TO:<user>",
      "RCPT TO:<user@example.org>",
      "RCPT TO:<user@[127.0.0.1]>",
    ],
    report: [/main\.cf:\d+: relayhost$/],
  },
  {
    name: "a host of a local network",
    settings: {
      ...STRANGERS,
      myorigin: "$mydomain",
      mydestination: "$myhostname localhost.$mydomain localhost",
      relay_domains: "",
      local_recipient_maps: "hash:$root/etc/users",
    },
    tables: { users: "user x\n" },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<a@example.net>",
      "RCPT TO:<user@host.example.com>",
      "RCPT TO:<user@localhost>",
      "RCPT TO:<other@localhost>",
      "RCPT TO:<user@example.com>",
      "RCPT TO:<user%example.com@localhost>",
      "RCPT TO:<user@[127.0.0.1]>",
    ],
    report: [/local_recipient_maps: hash:.*users/],
  },
  {
    name: "the mail host of a local network",
    settings: {
      ...STRANGERS,
      myhostname: "mailhost.example.com",
      myorigin: "$mydomain",
      mydestination: "$myhostname localhost.$mydomain localhost $mydomain",
      relay_domains: "",
      relayhost: "[firewall.example.com]",
      alias_maps: "hash:$root/etc/aliases",
      local_recipient_maps: "$alias_maps",
      virtual_alias_maps: "hash:$root/etc/virtual",
    },
    tables: { aliases: "joe: joe@joes.preferred.machine\n", virtual: "root root@localhost\n" },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<a@example.net>",
      "RCPT TO:<joe@example.com>",
      "RCPT TO:<jane@example.com>",
      "RCPT TO:<root@example.com>",
      "RCPT TO:<joe@sub.example.com>",
      "RCPT TO:<joe@MAILHOST.example.com>",
    ],
    report: [TABLE],
  },
  {
    name: "a firewall",
    settings: {
      ...STRANGERS,
      myhostname: "firewall.example.com",
      myorigin: "example.com",
      mydestination: "",
      local_recipient_maps: "",
      local_transport: "error:local mail delivery is disabled",
      virtual_alias_maps: "hash:$root/etc/virtual",
      relay_domains: "example.com",
      parent_domain_matches_subdomains: "debug_peer_list smtpd_access_maps",
      smtpd_relay_restrictions: "permit_mynetworks reject_unauth_destination",
      smtpd_recipient_restrictions: "check_sender_access hash:$root/etc/senders",
      relay_recipient_maps: "hash:$root/etc/relay_recipients",
      transport_maps: "hash:$root/etc/transport",
    },
    tables: {
      virtual: "postmaster postmaster@example.com\nabuse abuse@example.com\n",
      relay_recipients: "user1@example.com x\npostmaster@example.com x\n",
      transport: "example.com smtp:[inside-gateway.example.com]\n",
      senders: "spam.example 554 go away\n",
    },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<a@example.net>",
      "RCPT TO:<user1@example.com>",
      "RCPT TO:<user9@example.com>",
      "RCPT TO:<user1@anything.example.com>",
      "RCPT TO:<user1@example.org>",
      "RCPT TO:<postmaster@[127.0.0.1]>",
      "RCPT TO:<@example.org:user1@example.com>",
      "RCPT TO:<user1%example.org@example.com>",
      "RSET",
      "MAIL FROM:<a@sub.spam.example>",
      "RCPT TO:<user1@example.com>",
    ],
    report: [/senders/, TABLE],
  },
  {
    name: "virtual domains",
    settings: {
      ...STRANGERS,
      mydestination: "$myhostname",
      local_recipient_maps: "inline:{postmaster=x}",
      virtual_alias_domains: "alias.example",
      virtual_alias_maps: "hash:$root/etc/virtual",
      virtual_mailbox_domains: "box.example",
      virtual_mailbox_base: "/var/mail/vhosts",
      virtual_mailbox_maps: "hash:$root/etc/vmailbox",
      virtual_minimum_uid: "100",
      virtual_uid_maps: "static:5000",
      virtual_gid_maps: "static:5000",
    },
    tables: {
      virtual:
        "info@alias.example joe\nsales@alias.example jane@example.org\npostmaster@box.example postmaster\n",
      vmailbox: "info@box.example box.example/info\nsales@box.example box.example/sales/\n",
    },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<>",
      "RCPT TO:<info@alias.example>",
      "RCPT TO:<none@alias.example>",
      "RCPT TO:<info@box.example>",
      "RCPT TO:<none@box.example>",
      "RCPT TO:<postmaster@box.example>",
      "RCPT TO:<info@example.org>",
    ],
    report: [/virtual_uid_maps$/, TABLE],
  },
  {
    name: "a backup MX host",
    settings: {
      ...STRANGERS,
      mydestination: "$myhostname",
      local_recipient_maps: "inline:{postmaster=x}",
      relay_domains: "$mydestination, the.backed-up.domain.tld",
      smtpd_relay_restrictions: "permit_mynetworks reject_unauth_destination",
      smtpd_recipient_restrictions: "reject_unknown_recipient_domain reject_rbl_client bl.example.org",
      smtpd_client_restrictions: "",
      proxy_interfaces: "198.51.100.7",
      relay_recipient_maps: "hash:$root/etc/relay_recipients",
    },
    tables: { relay_recipients: "user1@the.backed-up.domain.tld x\n" },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<a@example.net>",
      "RCPT TO:<user2@example.org>",
      "RCPT TO:<postmaster@[198.51.100.7]>",
      "RCPT TO:<other@host.example.com>",
    ],
    report: [TABLE],
  },
  {
    name: "a host that dials up",
    settings: {
      ...STRANGERS,
      mynetworks: "127.0.0.0/8",
      relayhost: "smtprelay.someprovider.example",
      smtp_generic_maps: "hash:$root/etc/generic",
      defer_transports: "smtp",
      disable_dns_lookups: "yes",
      mydestination: "$myhostname, localhost",
      local_recipient_maps: "inline:{me=x}",
    },
    tables: { generic: "me@host.example.com me@someprovider.example\n" },
    dialogue: [
      "EHLO client.example",
      "MAIL FROM:<me@host.example.com>",
      "RCPT TO:<you@example.org>",
      "RCPT TO:<me>",
      "RCPT TO:<you@localhost>",
    ],
    report: [/defer_transports$/],
  },
];

/** What a server says to each line of a dialogue. EHLO is answered by what each has: only its code is kept. */
async function converse(port: number, lines: readonly string[]): Promise<string[]> {
  using client = await SmtpClient.connect(port);
  const heard = [await client.reply()];
  for (const line of lines) {
    const reply = await client.say(line);
    heard.push(`${line} -> ${line.startsWith("EHLO") ? reply.slice(0, 3) : reply}`);
  }
  return heard;
}

/** A Postfix with the configuration, its tables made. */
async function makePostfix({ settings, tables }: Standard): Promise<Postfix> {
  const postfix = Postfix.make({
    settings: { ...settings, disable_dns_lookups: "yes", smtputf8_enable: "yes" },
  });
  for (const [name, text] of Object.entries(tables)) {
    Deno.writeTextFileSync(`${postfix.root}/etc/${name}`, text);
    const [program, args] = name === "aliases"
      ? ["/usr/sbin/postalias", [`hash:${postfix.root}/etc/${name}`]] as const
      : ["/usr/sbin/postmap", [`hash:${postfix.root}/etc/${name}`]] as const;
    const made = await postfix.run(program, args);
    assert.equal(made.status, 0, made.errors);
  }
  return postfix;
}

/** The import as it was written, in a Postern of the test: the queue, the log and the port are the test's own. */
async function startImported(directory: string, root: string, port: number): Promise<Postern> {
  const system = await Postern.make();
  const { configuration, log, queue } = system.paths;
  for (const { name } of Deno.readDirSync(directory)) {
    Deno.copyFileSync(`${directory}/${name}`, `${configuration}/${name}`);
  }
  system.set({
    queue_directory: JSON.stringify(queue),
    maillog_file: JSON.stringify(log),
    maillog_file_prefixes: JSON.stringify([system.paths.root]),
    mail_owner: '""',
    smtpd_peername_lookup: "false",
  });
  const masterToml = `${configuration}/master.toml`;
  const text = Deno.readTextFileSync(masterToml);
  assert.ok(text.includes(`"127.0.0.1:${port}"`), root);
  Deno.writeTextFileSync(masterToml, text.replace(`"127.0.0.1:${port}"`, `"127.0.0.1:${system.port}"`));
  await system.start();
  return system;
}

for (const standard of STANDARDS) {
  testNeeding(["root", "postfix"], `${standard.name}: the import behaves as Postfix does`, async () => {
    await using postfix = await makePostfix(standard);
    const target = `${postfix.root}/postern`;
    const imported = await runProgram(
      Deno.execPath(),
      ["run", "-A", MAIN, "-c", target, "import", `${postfix.root}/etc`],
      "",
    );
    assert.equal(imported.status, 0, imported.errors);
    for (const line of standard.report) assert.match(imported.output, new RegExp(line.source, "m"));
    // Every parameter of main.cf is in the report.
    for (const name of Object.keys(standard.settings)) {
      assert.match(imported.output, new RegExp(`main\\.cf(:\\d+)?: ${name}(:|$)`, "m"));
    }
    await postfix.start();
    await using system = await startImported(target, postfix.root, postfix.port);
    const [theirs, ours] = [
      await converse(postfix.port, standard.dialogue),
      await converse(system.port, standard.dialogue),
    ];
    assert.deepEqual(ours, theirs);
    assert.doesNotMatch(system.log(), /panic|fatal|security event/);
  });
}
