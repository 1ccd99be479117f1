import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { type Delivered, splitDelivered } from "../support/message.ts";
import { Postern, runProgram } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { type Post, sendWithPython } from "../support/smtplib.ts";
import { freePort } from "../support/ports.ts";

/** All that the clean-up would add, so that nothing is added. */
const HEADER = "From: me@example.test\r\nTo: you@example.test\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n" +
  "Message-ID: <1@example.test>\r\nSubject: test\r\n";
const EVERY_HIGH_BYTE = Uint8Array.from({ length: 128 }, (_, i) => 128 + i);

/** One message and what stands in the mailbox, below the trace fields. */
interface Case {
  readonly name: string;
  readonly post: Partial<Post> & Pick<Post, "content">;
  /** Default: what was sent, with LF for CR LF. */
  readonly delivered?: Uint8Array;
}

/** A message with this body, and the same as it is delivered. */
function body(name: string, sent: Uint8Array | string, arrives = sent, extra: Partial<Post> = {}): Case {
  const bytes = (content: Uint8Array | string) => typeof content === "string" ? utf8(content) : content;
  const header = utf8(`${HEADER}\r\n`);
  return {
    name,
    post: { ...extra, content: concat(header, bytes(sent)) },
    delivered: unixLines(concat(header, bytes(arrives))),
  };
}

function unixLines(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.filter((byte, i) => byte !== 0x0d || bytes[i + 1] !== 0x0a) as Uint8Array<ArrayBuffer>;
}

const EIGHT_BIT = { options: ["BODY=8BITMIME"] };
const longLines = (length: number) => `${"x".repeat(length - 1)}|\r\n${"y".repeat(length)}\r\n`;

const CASES: readonly Case[] = [
  body("8-bit bytes behind BODY=8BITMIME", concat(EVERY_HIGH_BYTE, utf8("\r\n")), undefined, EIGHT_BIT),
  body("8-bit bytes without it", concat(EVERY_HIGH_BYTE, utf8("\r\n"))),
  body("leading dots", ".\r\n..\r\n...\r\n.a\r\n. \r\n a.\r\n.\r\n"),
  body("lines of 998 bytes", longLines(998)),
  body("lines of 999 bytes", longLines(999)),
  body("lines of 2047 bytes", longLines(2047)),
  body("lines of 2048 bytes", longLines(2048)),
  body("lines of 2049 bytes", longLines(2049)),
  body("lines of 5000 bytes", longLines(5000)),
  body("a line of 300,000 bytes", longLines(300_000)),
  body("an empty body", ""),
  body("empty lines only", "\r\n\r\n\r\n"),
  body("no line end at the end", "last words", "last words\r\n"),
  body("NUL and other control bytes", "a\0b\0\r\n\0\r\n\x01\x02\x07\x08\x0b\x0c\x1b\x7f\r\n"),
  body("text that looks like a header, and like an mbox separator", "From me Mon\r\nReceived: x\r\n"),
  body("a single CR", "a\rb\r\r\nc\r\n", "a b \r\nc\r\n"),
  {
    name: "a header only, without an empty line",
    post: { content: utf8(HEADER) },
    delivered: unixLines(utf8(HEADER)),
  },
  {
    name: "folded and long header fields",
    post: {
      content: utf8(`${HEADER}X-Long: ${"w".repeat(3000)}\r\nX-Folded: a\r\n\tb\r\n  c\r\n\r\nbody\r\n`),
    },
    delivered: utf8(
      `${HEADER.replaceAll("\r", "")}X-Long: ${"w".repeat(3000)}\nX-Folded: a\n\tb\n  c\n\nbody\n`,
    ),
  },
  {
    name: "a body behind no header",
    post: { content: utf8(`${HEADER}not a header line\r\nmore: or less\r\n`) },
    delivered: utf8(`${HEADER.replaceAll("\r", "")}\nnot a header line\nmore: or less\n`),
  },
  {
    // CR LF . CR LF alone ends a message; a dot on a line that LF ends is no end and no text.
    name: "lines that end with LF alone, from mynetworks",
    post: { content: utf8(`${HEADER}\r\na\nb\n.\nc\n\r\n.\r\n`), raw: true },
    delivered: utf8(`${HEADER.replaceAll("\r", "")}\na\nb\nc\n\n`),
  },
];

/** What differs between the two systems: where mail goes is set up alike. */
const POSTFIX_SETTINGS = {
  virtual_mailbox_domains: "example.test",
  virtual_mailbox_base: "$root/mail",
  virtual_uid_maps: "static:65534",
  virtual_gid_maps: "static:65534",
  smtpd_forbid_bare_newline: "normalize",
  smtpd_forbid_bare_newline_exclusions: "",
};

Deno.test("Python's smtplib: every message is in its mailbox byte for byte, as Postfix delivers it", async (t) => {
  await using postern = await Postern.start();
  const posts = CASES.map(({ post }, i): Post => {
    return { from: "me@example.test", to: [`case${i}@example.test`], ...post };
  });
  const sent = await sendWithPython(postern.port, posts);
  for (const [i, { name, delivered }] of CASES.entries()) {
    await t.step(name, async () => {
      assert.equal(sent[i]!.code, 250, sent[i]!.text);
      const [message] = await postern.mail(`case${i}`);
      const { trace, rest } = splitDelivered(message!);
      assert.deepEqual(trace.map((line) => line.split(":")[0]), [
        "Return-Path",
        "X-Original-To",
        "Delivered-To",
        "Received",
      ]);
      assert.deepEqual(new TextDecoder().decode(rest), new TextDecoder().decode(delivered));
      assert.deepEqual(rest, delivered);
    });
  }
  await t.step({
    name: "Debian's Postfix delivers the same",
    ignore: !Postfix.available(),
    fn: () => compareWithPostfix(posts),
  });
});

async function compareWithPostfix(posts: readonly Post[]): Promise<void> {
  const mailboxes = CASES.map((_, i) => `{ case${i}@example.test = case${i}/ }`).join(" ");
  await using postfix = await Postfix.start({
    settings: { ...POSTFIX_SETTINGS, virtual_mailbox_maps: `inline:{ ${mailboxes} }` },
  });
  const sent = await sendWithPython(postfix.port, posts);
  for (const [i, { name, delivered }] of CASES.entries()) {
    assert.equal(sent[i]!.code, 250, `${name}: ${sent[i]!.text}`);
    const [message] = await postfix.mail(`case${i}`);
    assert.deepEqual(splitDelivered(message!).rest, delivered, name);
  }
}

Deno.test("a message of no line gets the fields that it lacks", async () => {
  await using postern = await Postern.start();
  const [sent] = await sendWithPython(postern.port, [
    { from: "me@example.test", to: ["you@example.test"], content: utf8(".\r\n"), raw: true },
  ]);
  assert.equal(sent!.code, 250, sent!.text);
  const [message] = await postern.mail("you");
  const lines = new TextDecoder().decode(splitDelivered(message!).rest).split("\n");
  assert.deepEqual(
    lines.map((line) => line.split(":")[0]),
    ["Message-Id", "Date", "From", "To", ""]
      .filter((name) => lines.some((line) => line.startsWith(name))),
  );
  assert.ok(lines.some((line) => line === "From: me@example.test"));
});

Deno.test("a thousand recipients are taken in one transaction and not one more", async () => {
  await using postern = await Postern.start({ settings: { recipient_delimiter: '"+"' } });
  const to = Array.from({ length: 1001 }, (_, i) => `many${i % 50}+${i}@example.test`);
  const [sent] = await sendWithPython(postern.port, [
    { from: "me@example.test", to, content: utf8(`${HEADER}\r\nto many\r\n`) },
  ]);
  assert.equal(sent!.code, 250, sent!.text);
  assert.deepEqual(sent!.rcpt.slice(0, 1000), Array(1000).fill(250));
  assert.equal(sent!.rcpt[1000], 452);
  await postern.untilEmpty();
  const counts = Array.from({ length: 50 }, (_, i) => postern.mailbox(`many${i}`).length);
  assert.deepEqual(counts, Array(50).fill(20));
});

Deno.test("swaks: pipelining, two recipients, one of them unknown", async () => {
  await using postern = await Postern.start();
  const data = `${HEADER}\r\nswaks\r\n.dot`.replaceAll("\r\n", "\\n");
  const server = ["--server", "127.0.0.1", "--port", String(postern.port), "--pipeline"];
  const envelope = [
    "--from",
    "me@example.test",
    "--to",
    "one@example.test,unknown@example.test,two@localhost",
  ];
  const done = await runProgram("swaks", [...server, ...envelope, "--data", data]);
  assert.equal(done.status, 0, done.output);
  assert.match(
    done.output,
    /<\*\* 550 5\.1\.1 <unknown@example\.test>: Recipient address rejected: User unknown/,
  );
  assert.match(done.output, /<- +250 2\.0\.0 Ok: queued as [0-9A-F]+\n/);
  for (const user of ["one", "two"]) {
    const [message] = await postern.mail(user);
    const text = new TextDecoder().decode(splitDelivered(message!).rest);
    assert.equal(text, `${HEADER}\r\nswaks\r\n.dot\r\n`.replaceAll("\r", ""));
  }
});

const SESSIONS = 50;
const MESSAGES = 500;

/** Debian's smtp-sink, which writes each message that it gets to a file. */
class Sink implements AsyncDisposable {
  readonly port = freePort();
  readonly directory: string;
  readonly #child: Deno.ChildProcess;

  constructor() {
    this.directory = Deno.makeTempDirSync({ prefix: "sink-" });
    Deno.chmodSync(this.directory, 0o777); // as root it becomes somebody else
    const user = Deno.uid() === 0 ? ["-u", "nobody"] : [];
    this.#child = new Deno.Command("/usr/sbin/smtp-sink", {
      args: [...user, "-d", "message.", `127.0.0.1:${this.port}`, "100"],
      cwd: this.directory,
      stderr: "null",
    }).spawn();
  }

  /** The messages, from the Received field that smtp-sink puts on top. */
  messages(): Delivered[] {
    return [...Deno.readDirSync(this.directory)].map(({ name }) => {
      const bytes = Deno.readFileSync(`${this.directory}/${name}`);
      const text = new TextDecoder("latin1").decode(bytes);
      return splitDelivered(bytes.subarray(text.indexOf("\nReceived: ") + 1));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("smtp-source with 50 sessions through Postern into smtp-sink: every message, byte for byte", async () => {
  await using sink = new Sink();
  await using postern = await Postern.start({
    settings: {
      default_transport: '"smtp:"',
      relayhost: `"[127.0.0.1]:${sink.port}"`,
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
    },
  });
  const file = Deno.makeTempFileSync();
  try {
    const text = concat(utf8(`${HEADER}\r\n.\r\n..two\r\n`), EVERY_HIGH_BYTE, utf8(`\r\n${longLines(998)}`));
    Deno.writeFileSync(file, unixLines(text)); // smtp-source ends each line with CR LF
    // What smtp-sink writes when nothing stands between the two: what it must write when Postern does.
    await smtpSource(sink.port, 1, 1, file);
    assert.ok(await until(() => sink.messages().length === 1));
    const [expected] = sink.messages();
    await smtpSource(postern.port, SESSIONS, MESSAGES, file);
    await postern.untilEmpty();
    assert.equal(postern.log().match(/ status=sent /g)?.length, MESSAGES);
    const messages = sink.messages();
    assert.equal(messages.length, 1 + MESSAGES);
    for (const { rest } of messages) assert.deepEqual(rest, expected!.rest);
    assert.equal(messages.filter(({ trace }) => trace.length === 2).length, MESSAGES);
  } finally {
    Deno.removeSync(file);
  }
});

/** Sends with Debian's smtp-source. */
async function smtpSource(port: number, sessions: number, messages: number, file: string): Promise<void> {
  const options = ["-s", String(sessions), "-m", String(messages), "-F", file];
  const envelope = ["-f", "me@example.test", "-t", "you@elsewhere.test"];
  const done = await runProgram("/usr/sbin/smtp-source", [...options, ...envelope, `127.0.0.1:${port}`]);
  assert.equal(done.status, 0, done.errors);
}
