/** The filter before the queue beside Debian's Postfix: what clients are told, and what the filter hears. @module */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { utf8 } from "../support/bytes.ts";
import { Postern } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { type FilterScript, ScriptedFilter } from "../support/scripted_smtp_filter.ts";
import { testNeeding } from "../support/tools.ts";
import { freePort } from "../support/ports.ts";

/** One session with a filter that behaves in one way. */
interface ProxyCase {
  readonly name: string;
  readonly script?: FilterScript;
  /** Command lines; message text follows DATA by itself where it is asked for. */
  readonly says?: readonly string[];
  readonly text?: string;
  /** What Postern does otherwise, and why: docs/differences.md. */
  readonly ours?: { readonly replies: readonly string[]; readonly endless?: true };
}

/** What came of it. */
interface Seen {
  readonly replies: readonly string[];
  readonly heard: readonly (readonly string[])[];
  /** proxy-accept and proxy-reject lines, and warnings. */
  readonly log: readonly string[];
}

const HELLO = "EHLO client.test";
const FROM = "MAIL FROM:<a@ext.test>";
const ALICE = "RCPT TO:<alice@local.test>";
const BOB = "RCPT TO:<bob@local.test>";
const MAIL = [HELLO, FROM, ALICE, "DATA"];
/** More than the limit of the test's systems, 3000 bytes. */
const TOO_MUCH = `${"x".repeat(70)}\r\n`.repeat(60);

const CASES: readonly ProxyCase[] = [
  {
    name: "commands are passed on as they came",
    says: [
      HELLO,
      `${FROM} SIZE=100 BODY=8BITMIME`,
      `${ALICE} NOTIFY=NEVER`,
      "RCPT to: <Bob@local.test>",
      "DATA",
    ],
    text: "Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n",
  },
  { name: "HELO", says: ["HELO client.test", FROM, ALICE, "DATA"] },
  { name: "a filter without XFORWARD", script: { offers: ["8BITMIME"] } },
  { name: "a filter that takes some attributes", script: { offers: ["XFORWARD NAME ADDR HELO"] } },
  { name: "a greeting of 421", script: { greeting: "421 busy" }, says: [HELLO, FROM, ALICE, BOB, "DATA"] },
  { name: "a greeting of 554", script: { greeting: "554 no" } },
  { name: "EHLO is refused", script: { replies: { EHLO: "502 no" } } },
  { name: "XFORWARD is refused", script: { replies: { XFORWARD: "550 no" } } },
  { name: "MAIL is refused", script: { replies: { MAIL: "550 5.1.0 no such sender" } } },
  { name: "MAIL is refused for now", script: { replies: { MAIL: "450 4.1.0 not yet" } } },
  { name: "MAIL gets 354", script: { replies: { MAIL: "354 go" } } },
  {
    name: "one recipient is refused in two lines",
    script: { replies: { [ALICE]: "550-5.1.1 first\r\n550 5.1.1 second" } },
    says: [HELLO, FROM, ALICE, BOB, "DATA"],
  },
  {
    name: "DATA is refused",
    script: { replies: { DATA: "554 5.6.0 no text" } },
    says: [...MAIL, BOB, "RSET"],
  },
  { name: "DATA gets 250", script: { replies: { DATA: "250 fine" } }, says: [...MAIL, "RSET"] },
  {
    name: "the message is refused",
    script: { replies: { ".": "550 5.7.1 spam" } },
    says: [...MAIL, FROM, ALICE],
  },
  { name: "the message is refused for now", script: { replies: { ".": "451 4.7.1 later" } } },
  { name: "the message gets 421", script: { replies: { ".": "421 4.3.0 going" } }, says: [...MAIL, "NOOP"] },
  { name: "the message gets a bare code", script: { replies: { ".": "250" } } },
  {
    name: "the message gets 354, which is no answer",
    script: { replies: { ".": "354 more" } },
    ours: { replies: ["451 4.3.0 Error: queue file write error"] },
  },
  {
    name: "the message gets what is no reply",
    script: { replies: { ".": "hello\r\n250 fine" } },
    ours: { replies: ["451 4.3.0 Error: queue file write error"] },
  },
  { name: "nobody greets", script: { closesAt: "connect" } },
  { name: "it leaves at RCPT", script: { closesAt: "RCPT" }, says: [HELLO, FROM, ALICE, BOB, "DATA"] },
  { name: "it leaves at DATA", script: { closesAt: "DATA" }, says: [...MAIL, BOB, "DATA", "RSET", FROM] },
  { name: "it leaves amid the text", script: { closesAt: "body" } },
  { name: "it leaves at the end", script: { closesAt: "." } },
  { name: "it is silent from the start", script: { silentAt: "connect" } },
  { name: "it is silent at MAIL", script: { silentAt: "MAIL" } },
  { name: "it is silent at the end", script: { silentAt: "." } },
  { name: "RSET ends its conversation", says: [HELLO, FROM, ALICE, "RSET", FROM, BOB, "DATA"] },
  { name: "EHLO ends its conversation", says: [HELLO, FROM, ALICE, HELLO, FROM, BOB, "DATA"] },
  { name: "a second message has a conversation of its own", says: [...MAIL, FROM, BOB, "DATA"] },
  {
    name: "recipients that we refuse are not passed on",
    says: [HELLO, FROM, "RCPT TO:<x@else.test>", ALICE, "DATA"],
  },
  { name: "without a recipient nobody is asked", says: [HELLO, FROM, "RCPT TO:<x@else.test>", "DATA"] },
  {
    name: "a message that is too big has no end",
    text: TOO_MUCH,
    ours: { replies: ["552 5.3.4 Error: message file too big"], endless: true },
  },
  { name: "text that looks like the end", text: "a\r\n..\r\nMAIL FROM:<evil@ext.test>\r\n..\r\n" },
  { name: "QUIT amid a transaction", says: [HELLO, FROM, ALICE] },
];

const SETTINGS = { mynetworks: "192.0.2.0/24", smtpd_proxy_timeout: "2s", message_size_limit: "3000" };

/** Holds one session, and gives the replies behind the greeting and EHLO. */
async function converse(
  port: number,
  { says = MAIL, text = "Subject: x\r\n\r\ntext\r\n" }: ProxyCase,
): Promise<string[]> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const replies: string[] = [];
  const buffer = new Uint8Array(65_536);
  const read = async (): Promise<string> => {
    let reply = "";
    while (!/(^|\n)\d\d\d( [^\n]*)?\r\n$/.test(reply)) {
      const count = await connection.read(buffer);
      if (count === null) return `${reply}(closed)`;
      reply += new TextDecoder().decode(buffer.subarray(0, count));
    }
    return reply.trim();
  };
  try {
    await read();
    for (const line of [...says, "QUIT"]) {
      await connection.write(utf8(`${line}\r\n`));
      let reply = await read();
      if (!line.startsWith("EHLO") && !line.startsWith("HELO")) replies.push(reply);
      if (!reply.startsWith("354")) {
        if (reply.includes("(closed)")) break;
        continue;
      }
      await connection.write(utf8(`${text}.\r\n`));
      reply = await read();
      replies.push(reply);
      if (reply.startsWith("421") || reply.includes("(closed)")) break;
    }
  } finally {
    connection.close();
  }
  return replies.map((reply) =>
    reply.replaceAll(/[a-z]+\.test/g, (name) => name === "postfix.test" ? "HOST" : name)
  );
}

/** What differs from run to run. */
function plain(line: string): string {
  return line.replaceAll(/PORT=\d+/g, "PORT=").replaceAll(/[A-Z][a-z][a-z], .*\d\d:\d\d:\d\d .*$/g, "DATE")
    .replace("; DATE", ";DATE").replace(/^\tDATE$/, "DATE");
}

async function hold(
  system: { log(): string },
  port: number,
  filter: ScriptedFilter,
  one: ProxyCase,
): Promise<Seen> {
  filter.script = one.script ?? {};
  filter.heard.length = 0;
  const before = system.log().length;
  const replies = await converse(port, one);
  const mine = () => system.log().slice(before);
  assert.ok(await until(() => mine().includes("disconnect from")), `${one.name}\n${mine()}`);
  await until(() => filter.heard.every((lines) => lines.length === 0 || lines.at(-1) === "QUIT"), 300);
  const log = mine().split("\n").filter((line) => /proxy-|proxy (?!filter)|to proxy|with proxy/.test(line))
    .map((line) =>
      line.replace(/^.*?\]: /, "").replaceAll(/127\.0\.0\.1:\d+/g, "FILTER").replaceAll(/PORT=\d+/g, "PORT=")
    );
  const heard = filter.heard.filter((lines) => lines.length > 0).map((lines) =>
    joinDates(lines.filter((line) => line !== "(closed)").map(plain))
  );
  return { replies, heard, log };
}

/** Where a date stands alone on a line (Postfix, several recipients), it goes to the line before. */
function joinDates(lines: readonly string[]): string[] {
  const out: string[] = [];
  for (const line of lines) {
    if (line === "DATE") out[out.length - 1] += "DATE";
    else out.push(line);
  }
  return out;
}

testNeeding(
  ["postfix"],
  "filter before the queue: the same sessions with Debian's Postfix and with Postern, as they come and with speed_adjust",
  async () => {
    await using filter = new ScriptedFilter();
    const proxy = `127.0.0.1:${filter.port}`;
    const second = freePort();
    await using postfix = await Postfix.start({
      settings: {
        ...SETTINGS,
        mydestination: "local.test",
        smtpd_proxy_filter: proxy,
        smtpd_relay_restrictions: "permit_mynetworks, reject_unauth_destination",
        smtpd_error_sleep_time: "0",
      },
      servers: [{ smtpd_proxy_options: "speed_adjust" }],
    });
    await using postern = await Postern.start({
      settings: {
        myhostname: '"postfix.test"',
        mail_name: '"Postfix"',
        mydestination: '["local.test"]',
        mynetworks: '["192.0.2.0/24"]',
        local_recipient_maps: "[]",
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
        smtpd_recipient_restrictions: "[]",
        smtpd_proxy_filter: `"${proxy}"`,
        smtpd_proxy_timeout: '"2s"',
        smtpd_error_sleep_time: '"0s"',
        message_size_limit: "3000",
        notify_classes: "[]",
      },
      services: (text) =>
        `${text}\n[[service]]\nname = "127.0.0.1:${second}"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n` +
        'parameters = { smtpd_proxy_options = ["speed_adjust"] }\n',
    });
    for (
      const [how, theirs, ours] of [["", postfix.port, postern.port], [
        "speed_adjust: ",
        postfix.ports[0]!,
        second,
      ]] as const
    ) {
      for (const one of CASES) {
        const expected = await hold(postfix, theirs, filter, one);
        const seen = await hold(postern, ours, filter, one);
        const name = `${how}${one.name}`;
        if (one.ours !== undefined) {
          for (const reply of one.ours.replies) {
            assert.ok(seen.replies.includes(reply), `${name}: ${seen.replies}`);
          }
          assert.ok(!seen.log.some((line) => line.startsWith("proxy-accept")), name);
          if (one.ours.endless) assert.ok(!seen.heard.flat().includes("."), name);
          continue;
        }
        assert.deepEqual(seen.replies, expected.replies, name);
        assert.deepEqual(seen.heard, expected.heard, name);
        assert.deepEqual(seen.log, expected.log, name);
      }
    }
  },
);
