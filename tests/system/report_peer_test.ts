/**
 * The same messages through Postern and through Debian's Postfix, both with the same next hops that take and refuse:
 * the reports that their senders and the postmaster get have the same structure and the same texts, and what DSN
 * says on the wire is the same.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { type FakeServer, fakeServer } from "../lib/smtp/fake_server.ts";
import { type Ended, filesBelow, Postern } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";

/** Two systems with the same parameters, and what they are given. */
interface Trial {
  readonly name: string;
  readonly cases: readonly Case[];
  /** Parameters of both, as main.cf has them. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The text of bounce_template_file. */
  readonly templates?: string;
}

/** One message and what is to come of it. The sender of the case is `s-NAME@example.test`. */
interface Case {
  readonly name: string;
  /** Parameters of MAIL. */
  readonly mail?: string;
  /** The null sender; the case is then known by its recipients. */
  readonly nullSender?: true;
  /** Arguments of RCPT. */
  readonly rcpt: readonly string[];
  readonly body?: string;
  /** Posted with sendmail and these options instead. */
  readonly sendmail?: readonly string[];
  /** Messages that senders and postmaster get of it. */
  readonly reports: number;
}

const REPLY =
  "550-5.1.1 no such user\r\n550 5.1.1 really none, with a text that is long enough to be wrapped";

/** With notify_classes bounce and 2bounce: a copy for the postmaster comes with each failure. */
const CASES: readonly Case[] = [
  { name: "plain", rcpt: ["<bad@next.test>"], reports: 2 },
  { name: "several", rcpt: ["<bad@next.test>", "<good@next.test>", "<bad2@next.test>"], reports: 2 },
  { name: "lines", rcpt: ["<lines@next.test>"], reports: 2 },
  { name: "never", rcpt: ["<bad@next.test> NOTIFY=NEVER"], reports: 1 },
  { name: "delay", rcpt: ["<bad@next.test> NOTIFY=DELAY"], reports: 1 },
  { name: "success", rcpt: ["<good@next.test> NOTIFY=SUCCESS,FAILURE"], reports: 1 },
  {
    name: "mixed",
    rcpt: [
      "<bad@next.test> NOTIFY=FAILURE",
      "<bad2@next.test> NOTIFY=NEVER",
      "<good@next.test> NOTIFY=SUCCESS",
    ],
    reports: 3,
  },
  { name: "hdrs", mail: "RET=HDRS", rcpt: ["<bad@next.test>"], reports: 2 },
  { name: "full", mail: "RET=FULL", rcpt: ["<bad@next.test>"], reports: 2 },
  {
    name: "big",
    mail: "RET=FULL",
    rcpt: ["<bad@next.test>"],
    body: "x".repeat(70).concat("\r\n").repeat(900),
    reports: 2,
  },
  {
    name: "envid",
    mail: "ENVID=QQ+2B31+3D4 RET=FULL",
    rcpt: ["<bad@next.test> ORCPT=rfc822;Bob+2Btag@Old.test NOTIFY=FAILURE"],
    reports: 2,
  },
  { name: "orcpt", rcpt: ["<bad@next.test> ORCPT=x400;/S=smith/", '<"odd+ name"@next.test>'], reports: 2 },
  { name: "8bit", mail: "BODY=8BITMIME", rcpt: ["<bad@next.test>"], body: "gr\u00fc\u00dfe\r\n", reports: 2 },
  { name: "dots", rcpt: ["<bad@next.test>"], body: "..\r\n--x\r\nFrom me\r\n", reports: 2 },
  { name: "mailbox", rcpt: ["<box@example.test> NOTIFY=SUCCESS"], reports: 1 },
  { name: "alias", rcpt: ["<bad@alias.test>"], reports: 2 },
  { name: "expanded", rcpt: ["<two@alias.test> NOTIFY=SUCCESS,FAILURE"], reports: 1 },
  { name: "expanded-bad", rcpt: ["<bad@alias.test> NOTIFY=SUCCESS"], reports: 2 },
  { name: "dsn", mail: "ENVID=abc RET=HDRS", rcpt: ["<good@dsn.test> NOTIFY=SUCCESS,DELAY"], reports: 0 },
  { name: "dsn-orcpt", rcpt: ["<good+x@dsn.test> ORCPT=rfc822;a+2Bb@c NOTIFY=NEVER"], reports: 0 },
  { name: "dsn-none", rcpt: ["<good@dsn.test>", "<list@alias.test>"], reports: 0 },
  {
    name: "verp",
    mail: "XVERP",
    rcpt: ["<bad@next.test>", "<bad@alias.test>", "<good@next.test>"],
    reports: 4,
  },
  { name: "verp-own", mail: "XVERP=-=", rcpt: ["<bad2@next.test>", "<good@dsn.test>"], reports: 2 },
  { name: "null", nullSender: true, rcpt: ["<null@next.test>"], reports: 1 },
];

/** Texts of a site's own: other headers, other characters, names and units of time. */
const TEMPLATES = `# a comment

failure_template = <<END
Charset: iso-8859-1
From: The Postman <postman@example.test>
SUBJECT: Not delivered
Postmaster-Subject: Copy of what was not delivered

This is $myhostname, of $mydomain. It costs 5 $$; \\\\ is as it is.
  Indented. Gr\u00fc\u00dfe
END

delay_template = <<EOF
Subject: Late

After \${delay_warning_time_seconds} seconds, $delay_warning_time_minutes minutes; until
$maximal_queue_lifetime_seconds seconds, \${maximal_queue_lifetime_weeks} weeks.
EOF
`;

/** Mail that waits, is warned of, and expires. */
const LATE: readonly Case[] = [
  { name: "late", rcpt: ["<soft@next.test>"], reports: 4 },
  { name: "late-never", rcpt: ["<soft@next.test> NOTIFY=NEVER"], reports: 2 },
  { name: "late-failure", rcpt: ["<soft@next.test> NOTIFY=FAILURE"], reports: 3 },
  { name: "own-text", rcpt: ["<bad@next.test>"], reports: 2 },
  {
    name: "own-8bit",
    mail: "BODY=8BITMIME",
    rcpt: ["<bad@next.test>"],
    body: "gr\u00fc\u00dfe\r\n",
    reports: 2,
  },
  { name: "own-success", rcpt: ["<good@next.test> NOTIFY=SUCCESS"], reports: 1 },
  {
    name: "posted",
    rcpt: ["bad@next.test"],
    sendmail: ["-N", "failure", "-R", "hdrs", "-V", "posted-id"],
    reports: 2,
  },
  { name: "posted-local", rcpt: ["box"], sendmail: ["-N", "success"], reports: 1 },
  { name: "verbose", rcpt: ["good@next.test"], sendmail: ["-v"], reports: 1 },
  { name: "posted-verp", rcpt: ["bad@next.test", "good@next.test"], sendmail: ["-XV-="], reports: 2 },
];

/** Nothing is delivered: the report says what would become of it. */
const PROBES: readonly Case[] = [
  { name: "probe-good", rcpt: ["good@next.test"], sendmail: ["-bv"], reports: 1 },
  { name: "probe-bad", rcpt: ["bad@next.test"], sendmail: ["-bv"], reports: 1 },
  { name: "probe-soft", rcpt: ["soft@next.test"], sendmail: ["-bv"], reports: 1 },
  { name: "probe-box", rcpt: ["box@example.test"], sendmail: ["-bv"], reports: 1 },
  { name: "probe-alias", rcpt: ["two@alias.test"], sendmail: ["-bv"], reports: 1 },
  { name: "probe-nobody", rcpt: ["nobody@alias.test"], sendmail: ["-bv"], reports: 1 },
  {
    name: "probe-many",
    rcpt: ["good@next.test", "bad@next.test", "box@example.test", "good@dsn.test"],
    sendmail: ["-bv", "-V", "probe-id"],
    reports: 1,
  },
];

const TRIALS: readonly Trial[] = [
  {
    name: "at once",
    cases: CASES,
    parameters: { notify_classes: "bounce, 2bounce", smtputf8_enable: "yes" },
  },
  {
    name: "late, with the site's own texts",
    cases: LATE,
    parameters: {
      notify_classes: "bounce, delay",
      smtputf8_enable: "no",
      enable_threaded_bounces: "yes",
      delay_warning_time: "1s",
      maximal_queue_lifetime: "6s",
      bounce_queue_lifetime: "6s",
      minimal_backoff_time: "1s",
      maximal_backoff_time: "1s",
      queue_run_delay: "1s",
    },
    templates: TEMPLATES,
  },
  { name: "probes", cases: PROBES, parameters: { smtputf8_enable: "no" } },
  {
    name: "probes up to DATA",
    cases: PROBES,
    parameters: { smtp_address_verify_target: "data", soft_bounce: "yes", smtputf8_enable: "no" },
  },
];

const ALIASES: Readonly<Record<string, string>> = {
  "bad@alias.test": "bad@next.test",
  "two@alias.test": "good@next.test, good2@next.test",
  "list@alias.test": "good2@dsn.test",
};

/** The next hops. */
function nextHop(keywords: readonly string[]): FakeServer {
  const refuse = (address: string) =>
    [`RCPT TO:<${address}>`, `550 5.1.1 <${address}>: unknown user`] as const;
  return fakeServer({
    keywords: ["8BITMIME", "SIZE 0", ...keywords],
    answers: {
      ...Object.fromEntries(
        ["bad@next.test", "bad2@next.test", '"odd+ name"@next.test', "null@next.test"].map(refuse),
      ),
      "RCPT TO:<lines@next.test>": REPLY,
      "RCPT TO:<soft@next.test>": "450 4.2.1 <soft@next.test>: busy",
    },
  });
}

const SHARED = {
  bounce_size_limit: "50000",
  mail_name: "Postfix",
  myhostname: "mx.test",
  myorigin: "example.test",
} as const;

/** A system under test: where mail goes in, and all messages of its mailboxes. */
interface System {
  readonly port: number;
  messages(): Uint8Array[];
  log(): string;
  sendmail(args: readonly string[], message: string): Promise<Ended>;
}

function systemOf(
  port: number,
  directory: string,
  log: () => string,
  sendmail: System["sendmail"],
): System {
  const messages = () =>
    filesBelow(directory).filter((path) => path.includes("/new/")).map((path) => Deno.readFileSync(path));
  return { port, messages, log, sendmail };
}

async function startPostfix(
  trial: Trial,
  templates: string,
  next: FakeServer,
  dsn: FakeServer,
): Promise<{ postfix: Postfix; system: System }> {
  const inline = (table: Readonly<Record<string, string>>) =>
    `inline:{ ${Object.entries(table).map(([key, value]) => `{ ${key} = ${value} }`).join(" ")} }`;
  const postfix = await Postfix.start({
    settings: {
      ...SHARED,
      ...trial.parameters,
      ...trial.templates === undefined ? {} : { bounce_template_file: templates },
      smtpd_authorized_verp_clients: "127.0.0.0/8",
      virtual_mailbox_domains: "example.test",
      virtual_mailbox_base: "$root/mail",
      virtual_mailbox_maps: inline({ "@example.test": "all/" }),
      virtual_uid_maps: "static:65534",
      virtual_gid_maps: "static:65534",
      virtual_alias_domains: "alias.test",
      virtual_alias_maps: inline(ALIASES),
      relayhost: `[127.0.0.1]:${next.port}`,
      transport_maps: inline({ "dsn.test": `smtp:[127.0.0.1]:${dsn.port}` }),
    },
  });
  return {
    postfix,
    system: systemOf(
      postfix.port,
      `${postfix.root}/mail`,
      () => postfix.log(),
      (args, message) => postfix.run("/usr/sbin/sendmail", args, message),
    ),
  };
}

async function startPostern(
  trial: Trial,
  templates: string,
  next: FakeServer,
  dsn: FakeServer,
): Promise<{ postern: Postern; system: System }> {
  const inline = (table: Readonly<Record<string, string>>) =>
    JSON.stringify([
      `inline:{ ${Object.entries(table).map(([key, value]) => `{ ${key} = ${value} }`).join(" ")} }`,
    ]);
  const postern = await Postern.start({
    settings: {
      ...Object.fromEntries(Object.entries(SHARED).map(([name, value]) => [name, JSON.stringify(value)])),
      ...Object.fromEntries(
        Object.entries(trial.parameters).map(([name, value]) => [name, JSON.stringify(value)]),
      ),
      ...trial.templates === undefined ? {} : { bounce_template_file: JSON.stringify(templates) },
      smtpd_authorized_verp_clients: '["127.0.0.0/8"]',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      mynetworks: '["127.0.0.0/8"]',
      virtual_mailbox_domains: '["example.test"]',
      virtual_alias_domains: '["alias.test"]',
      virtual_alias_maps: inline(ALIASES),
      default_transport: '"smtp:"',
      relayhost: `"[127.0.0.1]:${next.port}"`,
      transport_maps: inline({ "dsn.test": `smtp:[127.0.0.1]:${dsn.port}` }),
      smtp_trusted_nexthops: `["[127.0.0.1]:${dsn.port}"]`,
    },
  });
  return {
    postern,
    system: systemOf(
      postern.port,
      postern.paths.mail,
      () => postern.log(),
      (args, message) => postern.run(["sendmail", ...args], message),
    ),
  };
}

/** Sends every case: over one connection, or by sendmail. */
async function send(system: System, cases: readonly Case[]): Promise<void> {
  const { port } = system;
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const buffer = new Uint8Array(65536);
  const reply = async (expected: string): Promise<void> => {
    let text = "";
    while (!/^\d{3} .*\r\n$/m.test(text)) {
      const size = await connection.read(buffer);
      if (size === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, size));
    }
    assert.ok(text.startsWith(expected), `expected ${expected}, got ${text}`);
  };
  const say = async (text: string, expected: string): Promise<void> => {
    const bytes = new TextEncoder().encode(`${text}\r\n`);
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    await reply(expected);
  };
  await reply("220");
  await say("EHLO client.test", "250");
  for (const { name, mail = "", nullSender, rcpt, body = "Hello\r\n", sendmail } of cases) {
    const sender = nullSender === true ? "" : `s-${name}@example.test`;
    const header = `From: ${sender || "null@example.test"}\r\nTo: you@example.test\r\nSubject: ${name}\r\n` +
      `Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-Id: <${name}@example.test>\r\n`;
    if (sendmail !== undefined) {
      const done = await system.sendmail([...sendmail, "-f", sender, ...rcpt], `${header}\r\n${body}`);
      const said = sendmail.includes("-v") || sendmail.includes("-bv")
        ? `Mail Delivery Status Report will be mailed to <${sender}>.\n`
        : "";
      assert.deepEqual(done, { status: 0, output: said, errors: "" });
      continue;
    }
    await say(`MAIL FROM:<${sender}> ${mail}`, "250");
    for (const one of rcpt) await say(`RCPT TO:${one}`, "250");
    await say("DATA", "354");
    const stuffed = body.split("\r\n").map((line) => line.startsWith(".") ? `.${line}` : line).join("\r\n");
    await say(`${header}\r\n${stuffed}.`, "250");
  }
  await say("QUIT", "221");
  connection.close();
}

/** A report without what differs from run to run and from host to host. */
function normalise(message: Uint8Array): string {
  const text = new TextDecoder("latin1").decode(message).replaceAll(/\n[ \t]+boundary=/g, "\n boundary=");
  const boundary = /boundary="([^"]*)"/.exec(text)?.[1] ?? "no boundary";
  const lines: string[] = [];
  let dropping = false;
  for (const line of text.replaceAll(boundary, "BOUNDARY").split("\n")) {
    const folded = line.startsWith("\t") || line.startsWith(" ");
    if (dropping && folded) continue;
    dropping = /^(Received|X-Original-To|Delivered-To): /.test(line);
    if (dropping) continue;
    lines.push(
      line.replace(/^(Date|Arrival-Date|Will-Retry-Until): .*/, "$1: TIME").replace(
        /^Message-Id: <[0-9]{14}\.\w+@.*>/,
        "Message-Id: ID",
      )
        .replace(/^(X-Postfix-Queue-ID): \w+$/, "$1: ID"),
    );
  }
  return lines.join("\n");
}

/** The case that a report is about: its subject stands in the returned header. */
function caseOf(report: string, cases: readonly Case[]): string | undefined {
  return cases.find(({ name, sendmail }) =>
    sendmail?.includes("-bv")
      ? report.includes(`\nX-Postfix-Sender: rfc822; s-${name}@example.test\n`)
      : report.includes(`\nMessage-Id: <${name}@example.test>\n`)
  )?.name;
}

/** Reports by case, each case's in a fixed order. */
function byCase(system: System, cases: readonly Case[]): ReadonlyMap<string, string[]> {
  const found = new Map<string, string[]>(cases.map(({ name }) => [name, []]));
  for (const message of system.messages()) {
    const report = normalise(message);
    if (!report.includes("\nContent-Type: multipart/report;")) continue; // what the case itself delivered
    const name = caseOf(report, cases);
    assert.ok(name !== undefined, `a report about no case:\n${report}`);
    found.get(name)!.push(report);
  }
  for (const reports of found.values()) reports.sort();
  return found;
}

async function collect(system: System, cases: readonly Case[]): Promise<ReadonlyMap<string, string[]>> {
  const wanted = cases.reduce((sum, { reports }) => sum + reports, 0);
  const count = () => [...byCase(system, cases).values()].reduce((sum, { length }) => sum + length, 0);
  await until(() => count() >= wanted);
  const found = byCase(system, cases);
  const counts = cases.map(({ name }) => `${name}: ${found.get(name)!.length}`);
  assert.deepEqual(counts, cases.map(({ name, reports }) => `${name}: ${reports}`), system.log());
  return found;
}

/** The paragraphs of reports in a fixed order: recipients are reported in the order in which they were settled. */
function inAnyOrder(reports: readonly string[]): string[][] {
  return reports.map((report) => report.split("\n\n").map((paragraph) => paragraph.trim()).sort());
}

/**
 * MAIL and RCPT as a server heard them, each once: how many recipients share a transaction, and which is first, is
 * not the senders' business.
 */
function envelopes(server: FakeServer): string[] {
  const lines = server.commands.filter((line) => /^(MAIL|RCPT) /.test(line));
  return [...new Set(lines.map((line) => line.replace(/ SIZE=\d+/, "")))].sort();
}

/** The log's lines about recipients that were probed, without what differs from run to run. */
function probed(system: System, ports: (text: string) => string): string[] {
  return system.log().split("\n").filter((line) => line.includes("deliverable"))
    .map((line) =>
      ports(line.replace(/^.*?: \w+: /, "").replace(/( conn_use=\d+,)? delay=[^ ]+ delays=[^ ]+/, ""))
    ).sort();
}

for (const trial of TRIALS) {
  testNeeding(["root", "postfix"], `${trial.name}: Postern reports as Debian's Postfix does`, async (t) => {
    using directory = new TemporaryDirectory();
    const templates = directory.at("bounce.cf");
    Deno.writeTextFileSync(templates, trial.templates ?? "");
    const hops = () => [nextHop([]), nextHop(["DSN"])] as const;
    const [ourNext, ourDsn] = hops();
    const [theirNext, theirDsn] = hops();
    try {
      const theirs = await startPostfix(trial, templates, theirNext, theirDsn);
      await using _postfix = theirs.postfix;
      const ours = await startPostern(trial, templates, ourNext, ourDsn);
      await using _postern = ours.postern;
      await Promise.all([theirs.system, ours.system].map((system) => send(system, trial.cases)));
      const [expected, got] = await Promise.all([
        collect(theirs.system, trial.cases),
        collect(ours.system, trial.cases),
      ]);
      const ports = (text: string) =>
        [ourNext, theirNext, ourDsn, theirDsn].reduce(
          (rest, { port }) => rest.replaceAll(`]:${port}`, "]:PORT").replaceAll(`:${port}:`, ":PORT:"),
          text,
        );
      for (const { name } of trial.cases) {
        await t.step(name, () => {
          assert.deepEqual(inAnyOrder(got.get(name)!.map(ports)), inAnyOrder(expected.get(name)!.map(ports)));
        });
      }
      await t.step("what the log says of recipients that were probed", () => {
        assert.deepEqual(probed(ours.system, ports), probed(theirs.system, ports));
      });
      await t.step("MAIL and RCPT to a server with DSN", () => {
        assert.deepEqual(envelopes(ourDsn), envelopes(theirDsn));
      });
      await t.step("MAIL and RCPT to a server without DSN", () => {
        assert.deepEqual(envelopes(ourNext), envelopes(theirNext));
      });
    } finally {
      for (const server of [ourNext, ourDsn, theirNext, theirDsn]) await server.stop();
    }
  });
}
