import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { readReport, splitDelivered } from "../support/message.ts";
import { Postern } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { type Post, sendWithPython } from "../support/smtplib.ts";

/** Debian's Postfix on loopback beside Postern, each the other's relay: mail there and back, and reports of failures. */

const HEADER = "From: me@example.test\r\nTo: you@example.test\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n" +
  "Message-ID: <1@example.test>\r\nSubject: test\r\n\r\n";
const BODIES: readonly (readonly [name: string, body: Uint8Array])[] = [
  ["plain text", utf8("hello\r\n")],
  ["dots", utf8(".\r\n..\r\n.a\r\n")],
  ["8-bit", concat(Uint8Array.from({ length: 128 }, (_, i) => 128 + i), utf8("\r\n"))],
  ["the longest line that is sent whole", utf8(`${"x".repeat(998)}\r\n`)],
  ["nothing", utf8("")],
  ["NUL", utf8("a\0b\r\n")],
  ["a quarter of a megabyte", utf8("0123456789abcde\r\n".repeat(16_000))],
];

/** One address per body. */
function posts(from: string, domain: string): Post[] {
  return BODIES.map(([, body], i) => {
    return {
      from,
      to: [`case${i}@${domain}`],
      options: ["BODY=8BITMIME"],
      content: concat(utf8(HEADER), body),
    };
  });
}

function unixLines(bytes: Uint8Array): Uint8Array {
  return bytes.filter((byte, i) => byte !== 0x0d || bytes[i + 1] !== 0x0a);
}

/** Both systems, each relaying what is not its own to the other. */
class Pair implements AsyncDisposable {
  private constructor(readonly postern: Postern, readonly postfix: Postfix) {}

  static async start(): Promise<Pair> {
    const postern = await Postern.make();
    const names = [...BODIES.keys()].map((i) => `case${i}`);
    const mailboxes = [...names, "sender"].map((name) => `{ ${name}@peer.test = ${name}/ }`).join(" ");
    try {
      const postfix = await Postfix.start({
        settings: {
          virtual_mailbox_domains: "peer.test",
          virtual_mailbox_base: "$root/mail",
          virtual_mailbox_maps: `inline:{ ${mailboxes} }`,
          virtual_uid_maps: "static:65534",
          virtual_gid_maps: "static:65534",
          relayhost: `[127.0.0.1]:${postern.port}`,
        },
      });
      const pair = new Pair(postern, postfix);
      postern.set({
        myhostname: '"postern.test"',
        default_transport: '"smtp:"',
        relayhost: `"[127.0.0.1]:${postfix.port}"`,
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      });
      await postern.start();
      return pair;
    } catch (error) {
      await postern[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.postern[Symbol.asyncDispose]();
    } finally {
      await this.postfix[Symbol.asyncDispose]();
    }
  }
}

Deno.test({
  name: "Debian's Postfix as a peer",
  ignore: !Postfix.available(),
  fn: async (t) => {
    await using pair = await Pair.start();
    await t.step("what Postfix sends to Postern arrives byte for byte", () => fromPostfix(pair));
    await t.step("what Postern sends to Postfix arrives byte for byte", () => toPostfix(pair));
    await t.step(
      "Postern refuses a mailbox: Postfix's report reaches the sender",
      () => refusedByPostern(pair),
    );
    await t.step(
      "Postfix refuses a mailbox: Postern's report reaches the sender",
      () => refusedByPostfix(pair),
    );
    await t.step("Postern and Postfix report the same failure alike", () => sameReport(pair));
    await t.step("a report that cannot be delivered is not reported", () => noReportOfReports(pair));
  },
});

async function fromPostfix({ postern, postfix }: Pair): Promise<void> {
  const sent = await sendWithPython(postfix.port, posts("sender@peer.test", "example.test"));
  assert.deepEqual(sent.map(({ code }) => code), BODIES.map(() => 250));
  for (const [i, [name, body]] of BODIES.entries()) {
    const [message] = await postern.mail(`case${i}`);
    const { trace, rest } = splitDelivered(message!);
    assert.deepEqual(rest, unixLines(concat(utf8(HEADER), body)), name);
    assert.equal(trace[0], "Return-Path: <sender@peer.test>");
    const [ours, theirs] = trace.filter((line) => line.startsWith("Received: "));
    assert.match(
      ours!,
      new RegExp(
        "^Received: from postfix\\.test \\((localhost|unknown) \\[127\\.0\\.0\\.1\\]\\) by postern\\.test \\(Postern\\) " +
          `with ESMTP id [0-9A-Za-z]+ for <case${i}@example\\.test>; `,
      ),
    );
    assert.match(theirs!, /^Received: from python\.test .* by postfix\.test \(Postfix\) with ESMTP id /);
  }
}

async function toPostfix({ postern, postfix }: Pair): Promise<void> {
  const sent = await sendWithPython(postern.port, posts("sender@example.test", "peer.test"));
  assert.deepEqual(sent.map(({ code }) => code), BODIES.map(() => 250));
  for (const [i, [name, body]] of BODIES.entries()) {
    const [message] = await postfix.mail(`case${i}`);
    const { trace, rest } = splitDelivered(message!);
    assert.deepEqual(rest, unixLines(concat(utf8(HEADER), body)), name);
    assert.equal(trace[0], "Return-Path: <sender@example.test>");
    const [theirs, ours] = trace.filter((line) => line.startsWith("Received: "));
    assert.match(theirs!, /^Received: from postern\.test .* by postfix\.test \(Postfix\) with ESMTP id /);
    assert.match(
      ours!,
      /^Received: from python\.test .* by postern\.test \(Postern\) with ESMTP id [0-9A-Za-z]+ for </,
    );
  }
}

async function refusedByPostern({ postern, postfix }: Pair): Promise<void> {
  const content = utf8(`${HEADER}to nobody\r\n`);
  const [sent] = await sendWithPython(postfix.port, [
    { from: "sender@peer.test", to: ["unknown@example.test"], content },
  ]);
  assert.equal(sent!.code, 250);
  const [message] = await postfix.mail("sender");
  const report = await readReport(message!);
  assert.equal(report.recipients[0]!["status"], "5.1.1");
  assert.match(
    report.recipients[0]!["diagnostic-code"]!.replaceAll(/ +/g, " "),
    /^smtp; 550 5\.1\.1 <unknown@example\.test>: Recipient address rejected: User unknown/,
  );
  assert.match(
    postern.log(),
    /reject: RCPT from localhost\[127\.0\.0\.1\]: 550 5\.1\.1 <unknown@example\.test>/,
  );
}

async function refusedByPostfix({ postern }: Pair): Promise<void> {
  const content = utf8(`${HEADER}to nobody\r\n`);
  const [sent] = await sendWithPython(postern.port, [
    { from: "bounced@example.test", to: ["nobody@peer.test"], content },
  ]);
  assert.equal(sent!.code, 250);
  const [message] = await postern.mail("bounced");
  const { trace } = splitDelivered(message!);
  assert.equal(trace[0], "Return-Path: <>");
  const report = await readReport(message!);
  assert.deepEqual(report.defects, []);
  assert.equal(report.type, "multipart/report");
  assert.equal(report.reportType, "delivery-status");
  assert.equal(report.to, "bounced@example.test");
  assert.equal(report.subject, "Undelivered Mail Returned to Sender");
  assert.deepEqual(report.parts, ["text/plain", "message/delivery-status", "message/rfc822"]);
  assert.equal(report.message["reporting-mta"], "dns; postern.test");
  const [recipient] = report.recipients;
  assert.equal(recipient!["final-recipient"], "rfc822; nobody@peer.test");
  assert.equal(recipient!["action"], "failed");
  assert.equal(recipient!["status"], "5.1.1");
  assert.match(
    recipient!["diagnostic-code"]!.replaceAll(/ +/g, " "),
    /^smtp; 550 5\.1\.1 <nobody@peer\.test>/,
  );
  const returned = new TextDecoder().decode(Uint8Array.fromBase64(report.returned));
  assert.ok(returned.includes("Subject: test\n") && returned.endsWith("\n\nto nobody\n"), returned);
}

/** The two reports of the steps before, field by field. */
async function sameReport({ postern, postfix }: Pair): Promise<void> {
  const theirs = await readReport(postfix.mailbox("sender")[0]!);
  const ours = await readReport(postern.mailbox("bounced")[0]!);
  const names = (fields: Readonly<Record<string, string>>) =>
    Object.keys(fields).map((name) => name.replace("x-postern-", "x-postfix-")).sort();
  assert.deepEqual(names(ours.message), names(theirs.message));
  assert.deepEqual(names(ours.recipients[0]!), names(theirs.recipients[0]!));
  for (const name of ["action", "status", "remote-mta"]) {
    assert.equal(ours.recipients[0]![name], theirs.recipients[0]![name], name);
  }
  assert.deepEqual(ours.parts, theirs.parts);
  assert.equal(ours.subject, theirs.subject);
  assert.match(ours.from, /MAILER-DAEMON/);
  assert.match(theirs.from, /MAILER-DAEMON/);
}

async function noReportOfReports({ postern, postfix }: Pair): Promise<void> {
  const content = utf8(`${HEADER}from nobody to nobody\r\n`);
  const [ours] = await sendWithPython(postern.port, [{ from: "", to: ["nobody@peer.test"], content }]);
  const [theirs] = await sendWithPython(postfix.port, [{ from: "", to: ["unknown@example.test"], content }]);
  assert.deepEqual([ours!.code, theirs!.code], [250, 250]);
  await postern.untilEmpty();
  await postfix.untilLogged(/: (\w+): from=<>,[^]*\1: to=<unknown@example\.test>[^]*\1: removed\n/);
  assert.equal(postern.mailbox("bounced").length, 1);
  assert.equal(postfix.mailbox("sender").length, 1);
}

const POSTCAT = "/usr/sbin/postcat";
const MANY = Array.from({ length: 30 }, (_, i) => `many${i}@elsewhere.test`);

/** Messages whose queue files have as many kinds of records as there are. */
const QUEUED: readonly Post[] = [
  ...posts("sender@example.test", "elsewhere.test"),
  { from: "", to: MANY, content: utf8(`${HEADER}to many\r\n`) },
  { from: '"odd sender"@example.test', to: ["a+b@elsewhere.test"], content: utf8("no: header\r\n") },
  { from: "a@b.test", to: ["x@elsewhere.test"], content: utf8(`X-Long: ${"h".repeat(5000)}\r\n\r\nb\r\n`) },
];

Deno.test({
  name: "Debian's postcat prints each queue file of ours, and our postcat prints each of Postfix's",
  ignore: !Postfix.available(),
  fn: async (t) => {
    await using postern = await Postern.start({
      settings: {
        default_transport: '"smtp:"',
        defer_transports: '["smtp"]',
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      },
    });
    await using postfix = await Postfix.start({ settings: { defer_transports: "smtp" } });
    await t.step("our queue files: deferred", () => compareOurs(postern, postfix));
    await t.step("our queue files: on hold", async () => {
      const held = await postern.run(["postsuper", "-h", "ALL"]);
      assert.equal(held.status, 0, held.errors);
      assert.equal(postern.queued("hold").length, QUEUED.length + 1);
      await samePrint(
        postern,
        postfix,
        postern.queued("hold"),
      );
    });
    await t.step("Postfix's queue files", () => compareTheirs(postern, postfix));
  },
});

async function compareOurs(postern: Postern, postfix: Postfix): Promise<void> {
  const sent = await sendWithPython(postern.port, QUEUED);
  assert.deepEqual(sent.map(({ code }) => code), QUEUED.map(() => 250));
  const args = ["sendmail", "-f", "me@example.test", "-F", "Me, Myself", "you@elsewhere.test"];
  const posted = await postern.run(args, "Subject: posted\n\nby sendmail\n");
  assert.equal(posted.status, 0, posted.errors);
  assert.ok(await until(() => postern.queued("deferred").length === QUEUED.length + 1), postern.log());
  await samePrint(
    postern,
    postfix,
    postern.queued("deferred"),
  );
}

async function compareTheirs(postern: Postern, postfix: Postfix): Promise<void> {
  const sent = await sendWithPython(postfix.port, QUEUED);
  assert.deepEqual(sent.map(({ code }) => code), QUEUED.map(() => 250));
  const dsn = ["-N", "success,delay,failure", "-V", "envelope+id", "-R", "hdrs"];
  const args = [...dsn, "-f", "me@example.test", "-F", "Me, Myself", "you@elsewhere.test"];
  const posted = await postfix.run("/usr/sbin/sendmail", args, "Subject: posted\n\nby sendmail\n");
  assert.equal(posted.status, 0, posted.errors);
  const deferred = () => postfix.queued("deferred");
  assert.ok(await until(() => deferred().length === QUEUED.length + 1), postfix.log());
  await samePrint(postern, postfix, deferred());
}

/** Both programs say the same of the files, with every option that changes what they print. */
async function samePrint(postern: Postern, postfix: Postfix, paths: readonly string[]): Promise<void> {
  for (const options of [[], ["-v"], ["-o"], ["-b"], ["-h"], ["-e"]]) {
    const theirs = await postfix.run(POSTCAT, [...options, ...paths]);
    const ours = await postern.run(["postcat", ...options, ...paths]);
    assert.equal(theirs.status, 0, theirs.errors);
    assert.equal(ours.output, theirs.output, `postcat ${options.join(" ")}`);
    assert.equal(ours.status, 0, ours.errors);
  }
}
