/** What `explain` says is what then happens: the reply to RCPT, and the end of every address in the log. */
import assert from "node:assert/strict";
import type { Delivery, EndFacts } from "../../commands/explain_facts.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { CaptureSink } from "../support/capture_sink.ts";
import { filesBelow, Postern } from "../support/postern.ts";
import { facts } from "./explain_support.ts";
import { testNeeding } from "../support/tools.ts";
import { until } from "./mail_system.ts";

const HELO = "client.test";

/** A sender and a recipient. */
type Letter = readonly [sender: string, recipient: string];

/** Sends one message from loopback; the reply to RCPT, and the queue id if it was taken. */
async function send(port: number, [sender, recipient]: Letter): Promise<{ reply: string; id?: string }> {
  using client = await SmtpClient.connect(port);
  await client.reply();
  await client.say(`EHLO ${HELO}`);
  await client.say(`MAIL FROM:<${sender}>`);
  const reply = await client.say(`RCPT TO:<${recipient}>`);
  if (!reply.startsWith("250")) return { reply };
  await client.say("DATA");
  const done = await client.say("Subject: what became of this\r\n\r\nText.\r\n.");
  await client.say("QUIT");
  const id = /queued as (\w+)/.exec(done)?.[1];
  assert.ok(id !== undefined, done);
  return { reply, id };
}

/** What the log says of each recipient of a message: "ADDRESS STATUS DETAIL". */
function ends(log: string, id: string): string[] {
  const line = new RegExp(
    `: ${id}: to=<([^>]*)>,.* relay=([^,]*),.* dsn=([0-9.]+), status=(\\w+) \\((.*)\\)$`,
    "gm",
  );
  return [...log.matchAll(line)].map(([, address, relay, status, result, text]) => {
    const detail = result === "sent" ? relay : `${status} ${text}`;
    return `${address} ${result === "SOFTBOUNCE" ? "deferred" : result} ${detail}`;
  });
}

/** The same as `explain` has it; what local forwards has a line in the log of the message that it makes. */
function expected({ address, delivery, transport }: EndFacts): string[] {
  if (delivery.kind !== "local") return [`${address} ${outcome(delivery, transport)}`];
  return delivery.steps.flatMap((step) => {
    switch (step.kind) {
      case "mailbox":
      case "file":
      case "command":
      case "discarded":
        return [`${step.address} sent local`];
      case "bounced":
      case "deferred":
        return [`${step.address} ${step.kind} ${step.text}`];
      default:
        return [];
    }
  });
}

function outcome(delivery: Delivery, transport: string): string {
  switch (delivery.kind) {
    case "smtp":
    case "lmtp": {
      const [first] = delivery.destinations;
      const [host] = first!.hosts;
      if (host !== undefined) return `sent ${host.name}[${host.address}]:${host.port}`;
      const { soft, status, text } = first!.failure!;
      return `${soft ? "deferred" : "bounced"} ${status} ${text}`;
    }
    case "mailbox":
      return `sent ${transport}`;
    case "discarded":
      return "sent none";
    case "bounced":
    case "deferred":
      return `${delivery.kind} ${delivery.text}`;
    case "local":
    case "service":
      throw new Error(`no test has ${delivery.kind} here`);
    default:
      return delivery satisfies never;
  }
}

/** Explains, sends, and compares. */
async function compare(system: Postern, letter: Letter): Promise<boolean> {
  const [sender, recipient] = letter;
  const told = await facts(
    system.paths.configuration,
    ...["--client", "127.0.0.1", "--client-name", "localhost", "--helo", HELO],
    ...["--from", sender, recipient],
  );
  const context = `<${sender}> to <${recipient}>`;
  const { reply, id } = await send(system.port, letter);
  assert.equal(told.smtp?.reply, reply, context);
  assert.equal(told.smtp?.accepted, id !== undefined, context);
  if (id === undefined) return false;
  const all = told.recipients.filter(({ role }) => role !== "forwarded").flatMap((each) => each.ends);
  const unique = [...new Set(all.flatMap(expected))].sort();
  await until(() => ends(system.log(), id).length >= unique.length);
  assert.deepEqual(ends(system.log(), id).sort(), unique, context);
  for (const { delivery } of all) {
    for (const step of delivery.kind === "local" ? delivery.steps : []) {
      if (step.kind === "mailbox") {
        assert.ok(Deno.statSync(step.path).size > 0, `${context}: nothing in ${step.path}`);
      }
    }
    if (delivery.kind !== "mailbox") continue;
    const mailbox = delivery.format === "maildir" ? `${delivery.path}/new` : delivery.path;
    assert.ok(filesBelow(mailbox).length > 0, `${context}: nothing in ${mailbox}`);
  }
  return true;
}

/** Tables and settings of a system with something of everything. */
async function writeTables(system: Postern, tables: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(tables)) {
    await Deno.writeTextFile(`${system.paths.configuration}/${name}`, text);
  }
}

const TABLES = {
  virtual: "team@alias.test a@example.test, b@localhost\n" +
    "chain@alias.test team@alias.test, out@relay.test\n" +
    "@whole.test @example.test\n" +
    "self@example.test self@example.test, a@example.test\n" +
    "away@alias.test x@gone.test, y@drop.test\n",
  transport: "gone.test error:5.1.2 gone for good\nlater.test retry:4.2.0 come again\ndrop.test discard:\n" +
    "nosuch.test nosuch:\nfriend@example.test :\nout.test relay:[127.0.0.1]:PORT\n",
  senders: "spam.test 554 5.7.9 no spam here\nslow.test DEFER later\nfriend@spam.test OK\n",
  recipients: "blocked@example.test REJECT not for you\n+x@example.test OK\n",
  canonical: "old@example.test new@example.test\nold2@example.test old@example.test\n",
  moved: "moved@example.test me@new.test\n",
  copies: "a@example.test copy@example.test\n",
};

const SETTINGS = {
  notify_classes: "[]",
  recipient_delimiter: '"+"',
  virtual_alias_domains: '["alias.test", "whole.test"]',
  virtual_alias_maps: '["texthash:$config_directory/virtual"]',
  relay_domains: '["relay.test", "out.test", "gone.test", "later.test", "drop.test", "nosuch.test"]',
  relay_recipient_maps: "[]",
  transport_maps: '["texthash:$config_directory/transport"]',
  recipient_canonical_maps: '["texthash:$config_directory/canonical"]',
  relocated_maps: '["texthash:$config_directory/moved"]',
  smtpd_sender_restrictions: '["check_sender_access", "texthash:$config_directory/senders"]',
  smtpd_recipient_restrictions: '["check_recipient_access", "texthash:$config_directory/recipients"]',
};

const LETTERS: readonly Letter[] = [
  ["s@x.test", "a@example.test"],
  ["s@x.test", "A@LOCALHOST"],
  ["s@x.test", "a+ext@example.test"],
  ["", "a@example.test"],
  ["s@x.test", "unknown1@example.test"],
  ["s@x.test", "team@alias.test"],
  ["s@x.test", "TEAM@alias.test"],
  ["s@x.test", "nobody@alias.test"],
  ["s@x.test", "chain@alias.test"],
  ["s@x.test", "someone@whole.test"],
  ["s@x.test", "self@example.test"],
  ["s@x.test", "away@alias.test"],
  ["s@x.test", "x@gone.test"],
  ["s@x.test", "x@later.test"],
  ["s@x.test", "x@drop.test"],
  ["s@x.test", "x@nosuch.test"],
  ["s@x.test", "x@out.test"],
  ["s@x.test", "x@relay.test"],
  ["s@x.test", "x@sub.relay.test"],
  ["s@x.test", "x@elsewhere.test"],
  ["s@x.test", "x%elsewhere.test@relay.test"],
  ["s@x.test", '"x@elsewhere.test"@example.test'],
  ["s@x.test", "friend@example.test"],
  ["s@x.test", "old@example.test"],
  ["s@x.test", "old2@example.test"],
  ["s@x.test", "moved@example.test"],
  ["s@x.test", "blocked@example.test"],
  ["s@spam.test", "a@example.test"],
  ["friend@spam.test", "a@example.test"],
  ["s@slow.test", "a@example.test"],
  ["s@x.test", "x@[192.0.2.1]"],
  ["s@x.test", "nodomain"],
  ["s@spam.test", "Postmaster"],
];

Deno.test("what explain says of an address is what happens to mail for it", async () => {
  await using sink = new CaptureSink();
  const port = String(sink.port);
  await using system = await Postern.make({
    settings: { ...SETTINGS, relay_transport: `"relay:[127.0.0.1]:${port}"` },
  });
  await writeTables(system, { ...TABLES, transport: TABLES.transport.replaceAll("PORT", port) });
  await system.start();
  let taken = 0;
  for (const letter of LETTERS) if (await compare(system, letter)) taken++;
  assert.ok(taken > 15 && taken < LETTERS.length - 5, `${taken} were taken`);
});

Deno.test("what explain says for a client that may relay, with copies and masqueraded senders, is what happens", async () => {
  await using sink = new CaptureSink();
  const port = String(sink.port);
  await using system = await Postern.make({
    settings: {
      ...SETTINGS,
      mynetworks: '["127.0.0.0/8"]',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      default_transport: '"smtp"',
      sender_dependent_relayhost_maps: '["inline:{s@x.test=[127.0.0.1]:' + port + '}"]',
      always_bcc: '"archive@localhost"',
      recipient_bcc_maps: '["texthash:$config_directory/copies"]',
      masquerade_domains: '["example.test"]',
      soft_bounce: "true",
      defer_transports: '["nosuch"]',
    },
  });
  await writeTables(system, { ...TABLES, transport: TABLES.transport.replaceAll("PORT", port) });
  await system.start();
  const letters: readonly Letter[] = [
    ["s@x.test", "x@elsewhere.test"],
    ["s@host.example.test", "a@example.test"],
    ["s@x.test", "x@gone.test"],
    ["s@x.test", "x@nosuch.test"],
    ["s@x.test", "moved@example.test"],
    ["s@x.test", "x@[127.0.0.1]"],
    ["", "chain@alias.test"],
    ["s@spam.test", "x@elsewhere.test"],
  ];
  for (const letter of letters) await compare(system, letter);
});

/** Login names that are not root's, for mailboxes in a spool of the test's own. */
function users(): [string, string] {
  const lines = Deno.readTextFileSync("/etc/passwd").split("\n").map((line) => line.split(":"));
  const [one, two] = lines.filter(([, , uid]) => uid !== undefined && uid !== "0").map(([name]) => name!);
  return [one!, two!];
}

testNeeding(["root"], "what explain says of local aliases and users is what happens", async () => {
  const [one, two] = users();
  await using system = await Postern.make({
    settings: {
      mydestination: '["here.test"]',
      alias_maps: '["texthash:$config_directory/aliases"]',
      local_recipient_maps: '["$alias_maps", "unix:passwd.byname"]',
      notify_classes: "[]",
      recipient_delimiter: '"+"',
    },
  });
  const spool = `${system.paths.root}/spool`;
  Deno.mkdirSync(spool);
  Deno.chmodSync(spool, 0o1777);
  Deno.chmodSync(system.paths.root, 0o755);
  system.set({ mail_spool_directory: `"${spool}"` });
  const aliases = `team: ${one}, ${two}\nnested: team, ${one}\nbroken: ${one}, nobody.here\n` +
    `away: a@example.test\nempty: /dev/null\nround: round2\nround2: round\npostmaster: ${one}\n`;
  await writeTables(system, { aliases });
  await system.start();
  const letters: readonly Letter[] = [
    ["s@x.test", `${one}@here.test`],
    ["s@x.test", `${one.toUpperCase()}+ext@HERE.test`],
    ["s@x.test", "team@here.test"],
    ["", "nested@here.test"],
    ["", "broken@here.test"],
    ["s@x.test", "away@here.test"],
    ["s@x.test", "empty@here.test"],
    ["", "round@here.test"],
    ["s@x.test", "nobody.here@here.test"],
    ["s@x.test", "Postmaster"],
  ];
  let taken = 0;
  for (const letter of letters) if (await compare(system, letter)) taken++;
  assert.equal(taken, letters.length - 1);
});
