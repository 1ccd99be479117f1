import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { until } from "../commands/mail_system.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { utf8 } from "../support/bytes.ts";
import { Certificates } from "../support/certificates.ts";
import { TlsClient } from "../support/tls_client.ts";
import { decode, filesBelow, Postern } from "../support/postern.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { freePort } from "../support/ports.ts";

/**
 * What the daemons use, recorded by the runtime, beside what they declare (DESIGN section 1): a use that is not
 * declared fails, and so does a declaration that nothing used.
 */

/** One permission that `postern sandbox` prints for a service. */
interface Grant {
  readonly kind: string;
  readonly object: string;
}

interface Described {
  readonly service: string;
  readonly command: string;
  readonly grants: readonly Grant[];
}

/** Answers that nowhere.test does not exist, and that every other name has the address 192.0.2.1. */
class Resolver implements AsyncDisposable {
  readonly #socket: Socket = createSocket("udp4");
  readonly port: Promise<number>;

  constructor() {
    this.#socket.on("message", (query, from) => this.#socket.send(answerTo(query), from.port, from.address));
    this.port = new Promise((resolve) => {
      this.#socket.bind(0, "127.0.0.1", () => resolve(this.#socket.address().port));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

const ADDRESS_RECORD = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
const TYPE_A = 1;
const TYPE_TXT = 16;
/** An MTA-STS record, so that its policy is asked for, and who wants reports: of a web server that is not there. */
const STS = "v=STSv1; id=1;";
const TLSRPT = "v=TLSRPTv1; rua=mailto:two@example.test,https://mta-sts.elsewhere.test/";

function textRecord(value: string): number[] {
  const text = utf8(value);
  return [0xc0, 12, 0, TYPE_TXT, 0, 1, 0, 0, 0, 60, 0, text.length + 1, text.length, ...text];
}
const LOOPBACK = [127, 0, 0, 1];

/** RFC 1035 section 4.1: the question again, and behind it the record, if there is one. */
function answerTo(query: Uint8Array): Uint8Array {
  let end = 12;
  while (query[end] !== 0) end += query[end]! + 1;
  const name = decode(query.subarray(12, end));
  const isPolicy = name.includes("mta-sts") && name.includes("elsewhere");
  const isOwn = name.includes("elsewhere");
  const exists = !name.includes("nowhere");
  const address = isOwn ? [...ADDRESS_RECORD.slice(0, -4), ...LOOPBACK] : ADDRESS_RECORD;
  const type = query[end + 2];
  const text = isPolicy ? STS : name.includes("_tls") ? TLSRPT : "";
  const record = exists && type === TYPE_A
    ? address
    : text !== "" && type === TYPE_TXT
    ? textRecord(text)
    : [];
  const counts = [0, 1, 0, record.length === 0 ? 0 : 1, 0, 0, 0, 0];
  const flags = [0x81, exists ? 0x80 : 0x83];
  return Uint8Array.from([
    ...query.subarray(0, 2),
    ...flags,
    ...counts,
    ...query.subarray(12, end + 5),
    ...record,
  ]);
}

/** Declared, and used by nothing here, for the reason that stands with it. ROOT is the system's folder. */
const UNUSED: Readonly<Record<string, string>> = {
  "qmqpd net unix:ROOT/queue/private/dns": "a client on this host has a name without a look-up",
  "qmqpd read ROOT/queue/private/dns": "as above",
  "qmqpd write ROOT/queue/private/dns": "as above",
  "lmtp net 0.0.0.0/0:24":
    "the standard port: only a public address may be reached there without being named",
  "smtp net 0.0.0.0/0:25": "the standard port, as with lmtp",
  "sts write ROOT/queue/sts": "a policy is kept when a web server has given one (tests/daemons/sts)",
  "program run /bin/cat": "the runtime writes no record of a program that it starts (tests/daemons/program)",
  "program run /bin/sh": "as above",
  "spawn run /usr/bin/cat": "as above (tests/daemons/spawn)",
  "qmgr write ROOT/queue/hold":
    "a message is put on hold after its delivery ended several agents (qmgr's own tests)",
};

Deno.test("the daemons use what they declare, and declare what they use", async (t) => {
  const audit = Deno.makeTempDirSync({ prefix: "audit-" });
  try {
    await using resolver = new Resolver();
    await using peer = await Postern.make();
    await using lmtp = new LmtpSink();
    const gates = { screened: freePort(), qmqp: freePort() };
    await using postern = await Postern.make({
      environment: { POSTERN_AUDIT_DIRECTORY: audit },
      services: (text) => text + PIPE + ASKED + gateServices(gates),
    });
    configure(postern, peer, { resolver: await resolver.port, lmtp: lmtp.port });
    using certificates = new Certificates();
    postern.set({
      smtpd_tls_security_level: '"may"',
      smtpd_tls_chain_files: `["${certificates.make("postern.test").chain}"]`,
    });
    await peer.start();
    await postern.start();
    const described: Described[] = JSON.parse((await postern.run(["sandbox", "--json"])).output);
    await exercise(postern);
    await exerciseGates(gates);
    await postern.stop();
    const used = readAudit(audit);
    const commands = [...new Set(described.map(({ command }) => command))];
    assert.ok([...used.keys()].every((command) => commands.includes(command)), [...used.keys()].join(" "));
    for (const command of commands) {
      const grants = described.filter((one) => one.command === command).flatMap((one) => one.grants);
      await t.step(command, () => compare(postern, command, grants, used.get(command) ?? []));
    }
    await t.step(
      "the sandbox refused nothing",
      () => assert.doesNotMatch(postern.log(), /security event|Requires [a-z]+ access/),
    );
  } finally {
    Deno.removeSync(audit, { recursive: true });
  }
});

/** The ports of postscreen and qmqpd. */
interface Gates {
  readonly screened: number;
  readonly qmqp: number;
}

/** The services that are comments in the sample, on ports of their own. */
function gateServices({ screened, qmqp }: Gates): string {
  const port = (number: number, command: string) =>
    `name = "127.0.0.1:${number}"\ntype = "inet"\nprivate = false\ncommand = "${command}"\n`;
  const unix = (command: string) => `name = "${command}"\ntype = "unix"\ncommand = "${command}"\n`;
  const pass = 'name = "smtpd"\ntype = "pass"\ncommand = "smtpd"\n';
  return [
    "",
    port(screened, "postscreen"),
    pass,
    unix("dnsblog"),
    unix("proxywrite"),
    unix("tlsproxy"),
    port(qmqp, "qmqpd"),
  ]
    .join("\n[[service]]\n");
}

/** A client that is screened before it goes in, and a message by QMQP. */
async function exerciseGates({ screened, qmqp }: Gates): Promise<void> {
  {
    using hasty = await TlsClient.connect(screened);
    hasty.send("EHLO c.test\r\n");
    assert.match(await hasty.reply(), /250-STARTTLS/);
    await hasty.startTls();
    assert.match(await hasty.say("EHLO c.test"), /^250-/);
  }
  for (let i = 0; i < 2; i++) {
    using client = await SmtpClient.connect(screened);
    assert.match(await client.reply(), /220 postern\.test/);
    assert.equal(await client.say("QUIT"), "221 2.0.0 Bye");
  }
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: qmqp });
  const parts = ["Subject: qmqp\n\ntext\n", "one@example.test", "x@discard.test"];
  const content = parts.map((part) => `${part.length}:${part},`).join("");
  await connection.write(utf8(`${content.length}:${content},`));
  assert.match(await new Response(connection.readable).text(), /^\d+:KOk: queued as /);
}

/** Debian's smtp-sink, which speaks LMTP. */
class LmtpSink implements AsyncDisposable {
  readonly port = freePort();
  readonly #child: Deno.ChildProcess;

  constructor() {
    const user = Deno.uid() === 0 ? ["-u", "nobody"] : [];
    const args = [...user, "-L", `127.0.0.1:${this.port}`, "10"];
    this.#child = new Deno.Command("/usr/sbin/smtp-sink", { args, stderr: "null" }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
  }
}

/** A program that takes mail. */
const PIPE = `
[[service]]
name = "pipe"
type = "unix"
command = "pipe"
arguments = ["user=nobody", "argv=/bin/cat"]
`;

/** Programs that others ask: our policy server, and one that spawn starts. */
const ASKED = `
[[service]]
name = "policy"
type = "unix"
command = "policy"

[[service]]
name = "cat"
type = "unix"
command = "spawn"
arguments = ["user=nobody", "argv=/usr/bin/cat"]
`;

/** Asks both as smtpd would. */
async function exerciseAsked(queue: string): Promise<void> {
  const request =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\nhelo_name=a.test\n" +
    "sender=a@a.test\nrecipient=b@b.test\n\n";
  for (const [name, answer] of [["policy", "action=DEFER_IF_PERMIT"], ["cat", request]] as const) {
    const connection = await Deno.connect({ transport: "unix", path: `${queue}/private/${name}` });
    await connection.write(utf8(request));
    await connection.closeWrite();
    const said = await new Response(connection.readable).text();
    assert.ok(said.startsWith(answer), said);
  }
  const written = () => filesBelow(`${queue}/policy`).length > 0;
  assert.ok(await until(written), "policy has written nothing");
}

/** A route to every agent, a table wherever one can be, names to look up. */
function configure(
  postern: Postern,
  peer: Postern,
  ports: { readonly resolver: number; readonly lmtp: number },
): void {
  const { configuration, root } = postern.paths;
  const tables = {
    aliases: 'list: one@example.test, two@far.test\nfailing: x@error.test\nprogram: "|cat > /dev/null"\n',
    virtual: "alias@example.test one@example.test\n",
    generic: "one@example.test outside\n",
    // crypt(3)'s for "Hello world!".
    passwords:
      "user:{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1\n",
    checks: "/^X-Hold:/ HOLD\n",
    transport: [
      `far.test smtp:[127.0.0.1]:${peer.port}`,
      `dead.test smtp:[127.0.0.1]:${freePort()}`,
      `lmtp.test lmtp:inet:127.0.0.1:${ports.lmtp}`,
      "lmtp-name.test lmtp:inet:nowhere.test",
      `elsewhere.test smtp:elsewhere.test:${peer.port}`,
      "discard.test discard:",
      "error.test error:5.1.1 gone for good",
      "pipe.test pipe:",
      "retry.test retry:4.3.2 not now",
      "",
    ].join("\n"),
  };
  for (const [name, text] of Object.entries(tables)) Deno.writeTextFileSync(`${configuration}/${name}`, text);
  Deno.mkdirSync(`${root}/spool`);
  // A day that is over, whose report is due.
  Deno.mkdirSync(`${root}/queue/tlsrpt`, { mode: 0o700 });
  const day = [["elsewhere.test", [{
    policy: "no-policy-found",
    strings: [],
    patterns: [],
    successes: 1,
    failures: 0,
    details: [],
  }]]];
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
  Deno.writeTextFileSync(`${root}/queue/tlsrpt/${yesterday}`, JSON.stringify(day), { mode: 0o600 });
  postern.set({
    myhostname: '"postern.test"',
    // A directory in each of them has to be looked for before a file is moved there.
    hash_queue_names: '["deferred", "defer", "bounce", "trace", "corrupt", "hold"]',
    mydestination: '["local.test"]',
    alias_maps: '["texthash:$config_directory/aliases"]',
    local_recipient_maps: '["$alias_maps", "unix:passwd.byname"]',
    mail_spool_directory: `"${root}/spool"`,
    virtual_alias_maps: '["texthash:$config_directory/virtual"]',
    transport_maps: '["texthash:$config_directory/transport"]',
    default_transport: '"smtp:"',
    relay_domains: '["relay.test"]',
    fast_flush_domains: '["texthash:$config_directory/transport"]',
    relay_transport: `"relay:[127.0.0.1]:${peer.port}"`,
    resolver: `"127.0.0.1:${ports.resolver}"`,
    smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
    smtpd_sender_restrictions: '["reject_unknown_sender_domain"]',
    smtpd_recipient_restrictions: `['inline:{discard.test=reject_unverified_recipient}']`,
    address_verify_poll_delay: '"1s"',
    smtpd_sasl_auth_enable: "true",
    smtpd_sasl_type: '"passwords"',
    smtpd_sasl_password_file: '"$config_directory/passwords"',
    header_checks: '["regexp:$config_directory/checks"]',
    // This host's own clients are screened, and named in a table.
    postscreen_access_list: '["inline:{192.0.2.1=permit}"]',
    postscreen_greet_wait: '"1s"',
    postscreen_greet_action: '"enforce"',
    postscreen_dnsbl_sites: '["list.test=127.0.0.2"]',
    qmqpd_authorized_clients: '["inline:{127.0.0.1=yes}"]',
    // This host's own clients are counted too.
    smtpd_client_event_limit_exceptions: "[]",
    smtp_tls_sts: "true",
    smtp_tlsrpt_enable: "true",
    https_port: String(freePort()),
    https_trusted_addresses: '["127.0.0.1"]',
    local_login_sender_maps: '["static:{* <>}"]',
    smtp_generic_maps: '["texthash:$config_directory/generic"]',
    lmtp_generic_maps: '["texthash:$config_directory/generic"]',
  });
  peer.set({
    virtual_mailbox_domains: '["far.test", "relay.test", "elsewhere.test"]',
    virtual_mailbox_maps: '["static:box"]',
  });
}

const LOCAL = [
  "one@example.test",
  "alias@example.test",
  `${someUser()}@local.test`,
  "list@local.test",
  "failing@local.test",
  "program@local.test",
];
const ELSEWHERE = [
  "far",
  "relay",
  "nowhere",
  "elsewhere",
  "dead",
  "lmtp",
  "lmtp-name",
  "discard",
  "retry",
  "pipe",
]
  .map((name) => `x@${name}.test`);

/** A login name that is not root's: a mailbox of root's is not delivered to. */
function someUser(): string {
  const users = Deno.readTextFileSync("/etc/passwd").split("\n").map((line) => line.split(":"));
  return users.find(([, , uid]) => uid !== undefined && uid !== "0")![0]!;
}

/** Mail by every way that there is, and two files that are none. */
async function exercise(postern: Postern): Promise<void> {
  const { queue } = postern.paths;
  await exerciseAsked(queue);
  const content = utf8("From: me\r\nSubject: audit\r\n\r\ntext\r\n");
  const [sent, refused] = await sendWithPython(postern.port, [
    { from: "one@example.test", to: [...LOCAL, ...ELSEWHERE], content },
    { from: "x@nowhere.test", to: ["one@example.test"], content },
  ]);
  assert.equal(sent!.code, 250, `${sent!.text}\n${postern.log()}`);
  assert.deepEqual(sent!.rcpt, [...LOCAL, ...ELSEWHERE].map(() => 250));
  assert.deepEqual(refused!.rcpt, [450]);
  for (const [directory, name] of [["incoming", "A0000A0001"], ["maildrop", "A0000A0002"]] as const) {
    Deno.writeTextFileSync(`${queue}/${directory}/${name}`, "no queue file\n", { mode: 0o700 });
  }
  const sendmail = ["sendmail", "-f", "one@example.test"];
  const text = "Subject: posted\n\ntext\n";
  assert.equal((await postern.run([...sendmail, "unknown@example.test"], text)).status, 0);
  for (const address of ["one@example.test", "alias@example.test"]) {
    assert.equal((await postern.run([...sendmail, "-N", "success", address], text)).status, 0);
  }
  const held = "Subject: held\nX-Hold: yes\n\ntext\n";
  assert.equal((await postern.run([...sendmail, "one@example.test"], held)).status, 0);
  assert.ok(await until(() => postern.queued("hold").length === 1), postern.log());
  assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
  await postern.untilLogged(/report on elsewhere\.test for .* to mta-sts/);
  // In the mailbox: directly, by three aliases, two reports of failures, one of success and one of an expansion.
  await postern.mail("one", 8);
  assert.ok(await until(() => postern.queued("corrupt").length === 2), postern.log());
  const settled = () => postern.queued("deferred").length === 1 && postern.queued("active").length === 0;
  assert.ok(await until(settled), postern.log());
  // A message that is tried again is looked up in the logs of earlier attempts.
  const tries = () => postern.log().split("status=deferred (not now)").length;
  const before = tries();
  assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
  assert.ok(await until(() => tries() > before && settled()), postern.log());
  assert.equal((await postern.run(["mailq"])).status, 0);
  await exerciseFlush(postern, tries, settled);
}

/** The lists of destinations, and the end of what waits: its report says what its log knows. */
async function exerciseFlush(postern: Postern, tries: () => number, settled: () => boolean): Promise<void> {
  const before = tries();
  {
    using client = await SmtpClient.connect(postern.port);
    await client.reply();
    await client.send("EHLO c.test\r\n");
    await client.reply();
    // "user" with "Hello world!"
    assert.match(await client.say("AUTH PLAIN AHVzZXIASGVsbG8gd29ybGQh"), /^235 /);
    await client.send("ETRN dead.test\r\n");
    assert.equal(await client.reply(), "250 Queuing started");
  }
  assert.ok(await until(() => tries() > before && settled()), postern.log());
  assert.equal((await postern.run(["postsuper", "-e", "ALL", "deferred"])).status, 0);
  assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
  assert.ok(await until(() => postern.log().includes("status=force-expired")), postern.log());
  const over = () => ["deferred", "active"].every((name) => postern.queued(name as "active").length === 0);
  assert.ok(await until(over), postern.log());
}

/** What each daemon used. */
function readAudit(directory: string): Map<string, Grant[]> {
  const used = new Map<string, Grant[]>();
  for (const path of filesBelow(directory)) {
    const command = path.slice(directory.length + 1).split(".")[0]!;
    const uses = decode(Deno.readFileSync(path)).split("\n").filter((line) => line !== "").map(
      (line): Grant => {
        const { permission, value } = JSON.parse(line);
        return { kind: permission, object: value };
      },
    );
    used.set(command, [...used.get(command) ?? [], ...uses]);
  }
  return used;
}

/** Demands that each use is declared and each declaration used. */
function compare(postern: Postern, command: string, grants: readonly Grant[], uses: readonly Grant[]): void {
  const shown = ({ kind, object }: Grant) =>
    `${command} ${kind} ${object.replaceAll(postern.paths.root, "ROOT")}`;
  const undeclared = uses.filter((use) => !grants.some((grant) => covers(grant, use)));
  assert.deepEqual([...new Set(undeclared.map(shown))], [], "used, not declared");
  const unused = grants.filter((grant) => !uses.some((use) => covers(grant, use)));
  const unexplained = new Set(unused.map(shown).filter((line) => !Object.hasOwn(UNUSED, line)));
  assert.deepEqual([...unexplained], [], "declared, not used");
  const explained = Object.keys(UNUSED).filter((line) => line.startsWith(`${command} `));
  const wrong = explained.filter((line) => !unused.some((grant) => shown(grant) === line));
  assert.deepEqual(wrong, [], "in the list of what is not used, and used or not declared");
}

/** Any host, behind it a port. */
const ANY_HOST = "0.0.0.0/0";
/** Stands for the one mailbox of a helper in what `postern sandbox` prints. */
const ONE_MAILBOX = "ONE-MAILBOX";
/** Stands there for the .forward of a user. */
const ONE_FORWARD = "/home/ONE-RECIPIENT/.forward";

/** True when the permission allows the use. */
function covers(grant: Grant, use: Grant): boolean {
  if (grant.kind !== use.kind) return false;
  if (grant.object.startsWith(ANY_HOST)) return use.object.endsWith(grant.object.slice(ANY_HOST.length));
  if (grant.object.endsWith(`/${ONE_MAILBOX}`)) {
    return use.object.startsWith(grant.object.slice(0, -ONE_MAILBOX.length));
  }
  if (grant.object === ONE_FORWARD) return use.object.endsWith("/.forward");
  return use.object === grant.object || use.object.startsWith(`${grant.object}/`);
}
