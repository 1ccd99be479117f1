/**
 * The SMTP server in all its states: groups of commands, text with every mix of line ends, chunks, logins, cut at random
 * places, against the real smtpd and cleanup in this process. What the server must have done is worked out from the
 * bytes and its replies alone, by a reader of the protocol that is not the server's.
 *
 * @module
 */
import assert from "node:assert/strict";
import { LOGIN, PLAIN, startPlain } from "../../lib/sasl/server_plain.ts";
import { type SaslBackend } from "../../lib/sasl/server_exchange.ts";
import { MailHost, type TestClient } from "../daemons/smtpd/mail_host.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { latin1 } from "../daemons/smtpd/queued_message.ts";
import { cut } from "./parsers.ts";
import type { Target } from "./target.ts";

/** How a server may be set up; a session of the fuzzer has one of these. */
const SETTINGS: readonly Readonly<Record<string, string>>[] = [
  { smtpd_forbid_unauth_pipelining: "false" },
  { smtpd_forbid_unauth_pipelining: "false", smtpd_forbid_bare_newline: '"reject"' },
  { smtpd_forbid_unauth_pipelining: "false", smtpd_delay_reject: "false", smtpd_helo_required: "true" },
  { smtpd_forbid_unauth_pipelining: "true", message_size_limit: "400", smtpd_recipient_limit: "2" },
];

const COMMON: Readonly<Record<string, string>> = {
  smtpd_client_connection_count_limit: "0",
  smtpd_sasl_auth_enable: "true",
  smtpd_hard_error_limit: "40",
  smtpd_soft_error_limit: "1000",
};

/** Logins of one user, by the product's own mechanisms. */
const BACKEND: SaslBackend = {
  mechanisms: () => Promise.resolve([PLAIN, LOGIN]),
  start: (mechanism, initial) =>
    startPlain(mechanism as "PLAIN" | "LOGIN", initial, (username, password) =>
      Promise.resolve(
        latin1(password) === "secret"
          ? { kind: "success", username }
          : { kind: "failure", why: "wrong", username },
      )),
};

const b64 = (text: string) => utf8(text).toBase64();

/** Commands, the likely ones more than once. */
const COMMANDS: readonly string[] = [
  "EHLO c.test",
  "EHLO c.test",
  "HELO c",
  "EHLO",
  "EHLO [192.0.2.9]",
  "HELO a b",
  "MAIL FROM:<a@ext.test>",
  "MAIL FROM:<a@ext.test>",
  "MAIL FROM:<a@ext.test>",
  "mail from:<>",
  "MAIL FROM: a@ext.test SIZE=10 BODY=8BITMIME",
  "MAIL FROM:<a@ext.test> SIZE=99999999",
  "MAIL FROM:<\u00fc@ext.test> SMTPUTF8",
  "MAIL FROM:<a@ext.test> RET=HDRS ENVID=a+2Bb",
  "MAIL FROM:<a@ext.test> AUTH=<>",
  "RCPT TO:<alice@local.test>",
  "RCPT TO:<alice@local.test>",
  "RCPT TO:<bob@local.test>",
  "rcpt to:<postmaster>",
  "RCPT TO:<nobody@local.test>",
  "RCPT TO:<x@evil.test>",
  "RCPT TO:<alice@local.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x",
  "RCPT TO:<>",
  'RCPT TO:<"a b"@local.test>',
  "DATA",
  "DATA",
  "DATA",
  "data",
  "DATA x",
  "RSET",
  "NOOP",
  "NOOP x",
  "VRFY alice",
  "ETRN relay.test",
  "ETRN x'",
  "HELP",
  "QUIT",
  "STARTTLS",
  "XCLIENT NAME=x",
  "XFORWARD NAME=x",
  "EXPN x",
  "",
  " ",
  ".",
  "Subject: x",
  "GET / HTTP/1.1",
  "AUTH PLAIN",
  "AUTH LOGIN",
  `AUTH PLAIN ${b64("\0u\0secret")}`,
  `AUTH PLAIN ${b64("\0u\0wrong")}`,
  "AUTH",
  "AUTH CRAM-MD5",
  "AUTH LOGIN =",
  b64("u"),
  b64("secret"),
  b64("\0u\0secret"),
  "*",
  "=",
  "BDAT",
  "BDAT x",
  "BDAT 5 LASTX",
  "BDAT 0",
  "BDAT -1",
  "BDAT 99999999 LAST",
]; // deno-fmt-ignore

const LINE_ENDS = ["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r"];

const TEXT = [
  "Subject: x\r\n",
  "\r\n",
  "text\r\n",
  ".\r\n",
  "..\r\n",
  "\r\n.\r\n",
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r\n.\r",
  "\r\n.",
  ".",
  "\r",
  "\n",
  "\0",
  "\u00fc",
  " folded\r\n",
  "Received: x\r\n",
  "From x\r\n",
  ".hidden\r\n",
  "MAIL FROM:<evil@ext.test>\r\n",
  "x".repeat(3000),
  "a: b\n",
  "\r\r\n.\r\r\n",
]; // deno-fmt-ignore

function text(random: Random): string {
  let out = "";
  for (let left = random.below(12); left > 0; left--) out += random.pick(TEXT);
  return out;
}

/** The next thing that a client says. */
function piece(random: Random): Uint8Array<ArrayBuffer> {
  const kind = random.below(20);
  if (kind < 4) return utf8(`${text(random)}${random.below(6) === 0 ? "" : "\r\n.\r\n"}`);
  if (kind < 7) {
    const chunk = utf8(text(random));
    const size = random.below(8) === 0 ? random.below(40) : chunk.length;
    return concat(utf8(`BDAT ${size}${random.pick(["", " LAST", " last"])}\r\n`), chunk);
  }
  if (kind === 7) return utf8("EHLO c.test\r\nMAIL FROM:<a@ext.test>\r\nRCPT TO:<alice@local.test>\r\n");
  if (kind >= 8 && kind < 11) {
    return utf8(`MAIL FROM:<a@ext.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n${text(random)}\r\n.\r\n`);
  }
  const line = utf8(random.pick(COMMANDS) + random.pick(LINE_ENDS));
  return random.below(12) === 0 ? random.damage(line) : line;
}

/** A message that the server said it has. */
interface Accepted {
  readonly sender: string;
  readonly recipients: readonly string[];
}

/** What comes next in the bytes that the client sent. */
type Phase =
  | "command"
  | "text"
  /** An answer to a challenge. */
  | "answer";

const CR = 0x0d;
const LF = 0x0a;
/** Longest line that a command may have. */
const LINE_LIMIT = 2048;

/** Reads what the client sent and what the server answered side by side. */
class Reading {
  readonly accepted: Accepted[] = [];
  readonly #sent: Uint8Array;
  readonly #most: number;
  #at = 0;
  #phase: Phase = "command";
  #verb = "";
  #sender: string | undefined;
  #recipients: string[] = [];
  /** A chunk of the message was refused: what holds until RSET depends on which one. */
  #unsure = false;
  #chunk: { readonly last: boolean } | undefined;

  /** @param most bytes of a chunk that the server reads over when it refuses it */
  constructor(sent: Uint8Array, most: number) {
    this.#sent = sent;
    this.#most = most;
  }

  /** Goes on to the next thing that must be answered; false when there is none. */
  advance(): boolean {
    if (this.#phase === "text") return this.#text();
    const end = this.#sent.indexOf(LF, this.#at);
    if (end < 0) return false;
    const line = latin1(this.#sent.subarray(this.#at, end)).replace(/\r$/, "");
    const length = end - this.#at;
    this.#at = end + 1;
    if (this.#phase === "answer") return true;
    this.#line = line;
    this.#verb = line.trim().split(/[ \t]/)[0]!.toUpperCase();
    const chunk = length < LINE_LIMIT
      ? /^[ \t]*BDAT[ \t]+(\d{1,15})(?:[ \t]+(LAST))?[ \t]*$/i.exec(line)
      : null;
    this.#chunk = chunk === null ? undefined : { last: chunk[2] !== undefined };
    if (chunk !== null) this.#at += Number(chunk[1]);
    // A chunk is answered when it is there, or at once where nobody will wait for the whole of it.
    return this.#at <= this.#sent.length || Number(chunk![1]) > this.#most;
  }

  #line = "";

  /** RFC 5321 section 4.1.1.4: text ends with CR LF . CR LF and with nothing else; its first line is behind a CR LF. */
  #text(): boolean {
    const bytes = this.#sent;
    for (let dot = bytes.indexOf(0x2e, this.#at); dot >= 0; dot = bytes.indexOf(0x2e, dot + 1)) {
      const begins = dot === this.#at ||
        (dot - 2 >= this.#at && bytes[dot - 2] === CR && bytes[dot - 1] === LF);
      if (!begins || bytes[dot + 1] !== CR || bytes[dot + 2] !== LF) continue;
      this.#at = dot + 3;
      return true;
    }
    return false;
  }

  /** Takes the reply to what `advance` came to. */
  reply(reply: string): void {
    const code = reply.slice(0, 3);
    if (this.#phase === "text") return this.#ended(reply);
    if (code === "334") {
      assert.ok(this.#phase === "answer" || this.#verb === "AUTH", `${this.#verb}: ${reply}`);
      this.#phase = "answer";
      return;
    }
    if (this.#phase === "answer") {
      this.#phase = "command";
      return;
    }
    if (code === "354") {
      assert.equal(this.#verb, "DATA");
      assert.ok(this.#sender !== undefined && this.#recipients.length > 0, "a transaction with recipients");
      this.#phase = "text";
      return;
    }
    this.#command(code, reply);
  }

  /** The session ends with this reply: a reason for it stands in what was sent. */
  ended(reply: string): void {
    if (!reply.startsWith("221 ")) return;
    assert.equal(this.#phase, "command", reply);
    if (reply === "221 2.0.0 Bye") assert.equal(this.#verb, "QUIT");
    // smtpd_forbidden_commands, and header lines.
    else {assert.match(
        this.#line,
        /:|^[ \t]*([^A-Z \t]|(GET|POST|CONNECT)\b)/i,
        `${JSON.stringify(this.#line)}: ${reply}`,
      );}
  }

  #command(code: string, reply: string): void {
    const taken = code.startsWith("2");
    if (!this.#unsure) {
      assert.ok(!reply.includes("nested MAIL") || this.#sender !== undefined, `${this.#line}: ${reply}`);
      assert.ok(!reply.includes("need MAIL") || this.#sender === undefined, `${this.#line}: ${reply}`);
    }
    if (this.#chunk !== undefined) {
      if (!taken) this.#unsure = true;
      else if (this.#chunk.last) this.#ended(reply);
      return;
    }
    if (!taken) return;
    if (["EHLO", "HELO", "RSET"].includes(this.#verb)) this.#reset();
    else if (this.#verb === "MAIL") {
      assert.ok(this.#sender === undefined || this.#unsure, "MAIL within a transaction");
      this.#reset();
      this.#sender = addressIn(this.#line);
    } else if (this.#verb === "RCPT") {
      assert.ok(this.#sender !== undefined, "RCPT without MAIL");
      this.#recipients.push(addressIn(this.#line));
    }
  }

  /** The transaction is over, whatever the reply: the next one begins as the first did. */
  #ended(reply: string): void {
    if (reply.startsWith("250")) {
      assert.match(reply, /queued as \w+$/);
      this.accepted.push({ sender: this.#sender ?? "?", recipients: this.#recipients });
    }
    this.#phase = "command";
    this.#reset();
  }

  #reset(): void {
    this.#sender = undefined;
    this.#recipients = [];
    this.#unsure = false;
  }
}

/** The address of MAIL or RCPT, as far as these commands are made here; "?" where it was damaged. */
function addressIn(line: string): string {
  return /^[ \t]*(?:MAIL|RCPT)[ \t]+(?:FROM|TO):<([\w.]*@?[\w.]*)>(?:[ \t].*)?$/i.exec(line)?.[1] ?? "?";
}

/** Replies behind which nothing comes. */
const ENDS = /^(421|221|521) |^554 5\.5\.0 Error: SMTP protocol synchronization$/;
/** How long a reply may take on a busy machine, milliseconds. */
const PATIENCE = 10_000;

/** Reads the replies beside what was sent, and waits for those that must still come. */
async function judge(client: TestClient, sent: Uint8Array): Promise<readonly Accepted[]> {
  const reading = new Reading(sent, client.session.server.settings.message_size_limit * 1.5);
  let last = "";
  while (reading.advance()) {
    const reply = await within(client.reply(), client);
    if (reply === "") {
      // RFC 5321 section 3.8: a server ends a session with a reply that says so.
      assert.match(
        last,
        /^(421|221|521|554 5\.5\.0 |550 5\.5\.2 |5\d\d 5\.5\.2 )/,
        `the last reply: ${last}`,
      );
      return reading.accepted;
    }
    last = reply;
    if (ENDS.test(reply)) {
      reading.ended(reply);
      break;
    }
    reading.reply(reply);
  }
  const more = await client.rest();
  // An end that no whole command asked for is told by one reply.
  assert.ok(more.length === 0 || (more.length === 1 && ENDS.test(more[0]!)), more.join(" | "));
  return reading.accepted;
}

async function within(reply: Promise<string>, client: TestClient): Promise<string> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`a command without a reply; so far:\n${client.output}`)),
      PATIENCE,
    );
  });
  try {
    return await Promise.race([reply, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Sessions of one seed, at the same time on the same server. */
const SESSIONS = 8;

/** Plays the sessions of one seed. */
async function play(hosts: readonly MailHost[], random: Random): Promise<void> {
  const which = random.below(hosts.length);
  const host = hosts[which]!;
  const isStrict = SETTINGS[which]!["smtpd_forbid_unauth_pipelining"] === "true";
  const sessions = Array.from({ length: SESSIONS }, () => ({
    pieces: Array.from({ length: 1 + random.below(14) }, () => piece(random)),
    random: new Random(random.below(2 ** 31)),
  }));
  const played = await Promise.all(sessions.map(async ({ pieces, random }) => {
    const client = host.connect();
    return { client, accepted: await converse(client, pieces, isStrict, random) };
  }));
  for (const { client } of played) {
    for (let tries = 0; client.done === 0 && tries < 1000; tries++) await client.rest();
  }
  lookAtAll(host);
  for (const { client, accepted } of played) look(host, client, accepted);
  host.clear();
}

/** Where each piece ends. */
function endsOf(pieces: readonly Uint8Array[]): number[] {
  let sum = 0;
  return pieces.map((one) => sum += one.length);
}

/** One client: says its pieces and reads what comes; what it was told that the server has. */
async function converse(
  client: TestClient,
  pieces: readonly Uint8Array[],
  isStrict: boolean,
  random: Random,
): Promise<readonly Accepted[]> {
  assert.match(await client.reply(), /^220 /);
  const sent = concat(...pieces);
  const segments = isStrict && random.below(2) === 0 ? pieces : cut(random, sent, endsOf(pieces));
  for (const segment of segments) {
    client.send(segment);
    const pause = random.below(6);
    if (pause === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    else if (pause === 1) await Promise.resolve();
  }
  try {
    const accepted = await judge(client, sent);
    client.leave();
    return accepted;
  } catch (error) {
    const said = JSON.stringify(latin1(sent));
    throw new Error(`the client said ${said}\nand heard ${JSON.stringify(client.output)}`, { cause: error });
  }
}

/** What must hold of a server, whatever its clients have said. */
function lookAtAll(host: MailHost): void {
  assert.equal(host.cleanupServer.busy, 0);
  assert.ok(host.files().every(({ mode }) => mode === 0o700), "no unfinished file");
  for (const line of host.log) {
    assert.ok(!/panic|fatal|session of|TypeError|RangeError/.test(line), line);
    assert.ok(/^[^\p{Cc}]*$/u.test(line), line);
  }
}

/** What must hold of any session, whatever was said in it. */
function look(host: MailHost, client: TestClient, accepted: readonly Accepted[]): void {
  assert.match(client.output, /^(\d\d\d[ -][^\p{Cc}]*\r\n)*$/u);
  assert.equal(client.done, 1, "the session has ended once");
  const port = String(client.session.peer.port);
  const queued = host.messages().filter(({ attributes }) => attributes.get("client_port") === port);
  assert.equal(queued.length, accepted.length, "messages in the queue are those that were said to be");
  const unmatched = [...accepted];
  for (const { sender, recipients } of queued) {
    const at = unmatched.findIndex((one) => isSame(one, sender, recipients));
    assert.ok(at >= 0, `<${sender}> to ${recipients}: of ${JSON.stringify(accepted)}`);
    unmatched.splice(at, 1);
  }
}

function isSame(one: Accepted, sender: string, recipients: readonly string[]): boolean {
  if (one.sender !== "?" && one.sender !== sender) return false;
  if (one.recipients.includes("?") || one.recipients.includes("postmaster")) return true;
  return new Set([...one.recipients, ...recipients]).size === new Set(recipients).size;
}

/** The target. */
export function smtpTarget(): Target {
  const hosts = SETTINGS.map((settings) =>
    new MailHost({ settings: { ...COMMON, ...settings }, sasl: BACKEND })
  );
  return {
    name: "smtp",
    round: (random) => play(hosts, random),
    close: async () => {
      for (const host of hosts) await host[Symbol.asyncDispose]();
    },
  };
}
