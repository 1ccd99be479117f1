/** Mail of many kinds from a seed, put into a mail system so that it stays in its queue. Not a test itself. @module */
import { concat, utf8 } from "../support/bytes.ts";
import type { Captured } from "../support/capture_sink.ts";
import { type Ended, filesBelow } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { type Post, sendWithPython } from "../support/smtplib.ts";

/** A message that was made. */
export interface Made {
  /** Value of its first header. */
  readonly token: string;
  readonly post: Post;
  /** Recipients that nobody has delivered to when the system is stopped. */
  readonly waiting: readonly string[];
  readonly hold: boolean;
}

/** Domains: mail for the first is taken at once, mail for the second waits. */
const NOW = "now.test";
const LATE = "late.test";

/** The content: whole headers, so that no system adds any but traces. */
function contentOf(token: string, random: Random): Uint8Array<ArrayBuffer> {
  const head =
    `X-Token: ${token}\r\nFrom: a@src.test\r\nTo: b@${LATE}\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n` +
    `Message-ID: <${token}@src.test>\r\nSubject: mail\r\n folded ${token}\r\n`;
  const bodies = [
    () => utf8(`\r\nshort ${token}\r\n`),
    () => utf8(""),
    () => utf8(`\r\n.\r\n..\r\n.dots\r\n\r\n`),
    () => utf8(`\r\n${"x".repeat(random.below(5000))}\r\nafter\r\n`),
    () => utf8(`\r\n${`${"0123456789abcdef".repeat(4)}\r\n`.repeat(random.below(2000))}`),
    () => {
      const bytes = random.bytes(random.below(3000)).map((byte) =>
        byte === 0x0a || byte === 0x0d || byte === 0 ? 0xe9 : byte
      );
      return concat(utf8("\r\n"), bytes, utf8("\r\n"));
    },
    () => utf8(`\r\nGrüße ${token}\r\n`),
  ];
  return concat(utf8(head), random.pick(bodies)());
}

/**
 * `count` messages.
 *
 * @param dsn whether some ask for reports in SMTP
 */
export function makeMessages(seed: number, count: number, dsn = true): Made[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, i) => {
    const token = `t${seed}-${i}`;
    const late = Array.from(
      { length: i % 97 === 5 ? 150 : 1 + random.below(4) },
      (_, n) => `r${n}.${token}@${LATE}`,
    );
    const now = random.below(3) === 0
      ? Array.from({ length: 1 + random.below(3) }, (_, n) => `r${n}.${token}@${NOW}`)
      : [];
    const to = random.below(2) === 0 ? [...now, ...late] : [...late, ...now];
    const options = ["BODY=8BITMIME"];
    const rcptOptions: string[] = [];
    if (random.below(3) === 0 && dsn) {
      options.push(random.pick(["RET=HDRS", "RET=FULL"]), `ENVID=env+2B${token}`);
    }
    if (random.below(3) === 0 && dsn) {
      rcptOptions.push(
        `NOTIFY=${random.pick(["NEVER", "FAILURE,DELAY", "FAILURE"])}`,
        `ORCPT=rfc822;orig.${token}+40x.test`,
      );
    }
    const from = random.pick(["", "sender@src.test", `"a b"@src.test`, `${token}@src.test`]);
    const post = { from, to, options, rcptOptions, content: contentOf(token, random) };
    return { token, post, waiting: late, hold: random.below(8) === 0 };
  });
}

/** A system under test, as far as this needs it. */
export interface Filled {
  readonly port: number;
  readonly queue: string;
  postsuper(args: readonly string[], input: string): Promise<Ended>;
  sendmail(args: readonly string[], input: Uint8Array): Promise<Ended>;
  queued(queue: "incoming" | "active" | "deferred"): string[];
  /** Waits for this many deferred messages. */
  untilDeferred(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Brings the messages into every queue of a system that defers mail for late.test, and stops it. */
export async function fill(
  system: Filled,
  messages: readonly Made[],
  posted: readonly Made[],
): Promise<void> {
  const results = await sendWithPython(system.port, messages.map(({ post }) => post));
  const refused = results.find(({ code }) => code !== 250);
  if (refused !== undefined) throw new Error(`not taken: ${JSON.stringify(refused)}`);
  await system.untilDeferred(messages.length);
  const held = new Set(messages.filter(({ hold }) => hold).map(({ token }) => token));
  const ids = filesBelow(`${system.queue}/deferred`)
    .filter((path) => held.has(tokenOf(Deno.readFileSync(path))))
    .map((path) => path.slice(path.lastIndexOf("/") + 1));
  const done = await system.postsuper(["-h", "-"], `${ids.join("\n")}\n`);
  if (!done.errors.includes(`Placed on hold: ${held.size} messages`)) throw new Error(done.errors);
  await system.stop();
  const random = new Random(posted.length);
  for (const { post } of posted) {
    const lines = new TextDecoder("latin1").decode(post.content).replaceAll("\r\n", "\n");
    const bytes = Uint8Array.from(lines, (unit) => unit.charCodeAt(0));
    const dsn = random.below(2) === 0
      ? ["-N", "failure,delay", "-R", "hdrs", "-V", `posted=${post.to.length}`]
      : [];
    const sent = await system.sendmail(
      ["-i", "-f", post.from === "" ? "<>" : post.from, ...dsn, ...post.to],
      bytes,
    );
    if (sent.status !== 0) throw new Error(`sendmail: ${sent.errors}`);
  }
  // A crash leaves complete files in the other two queues as well.
  for (const [i, path] of system.queued("deferred").sort().entries()) {
    const id = path.slice(path.lastIndexOf("/") + 1);
    if (i % 10 === 3) Deno.renameSync(path, `${system.queue}/active/${id}`);
    if (i % 10 === 7) {
      Deno.renameSync(path, `${system.queue}/incoming/${id}`);
      Deno.utimeSync(`${system.queue}/incoming/${id}`, Date.now() / 1000 - 5, Date.now() / 1000 - 5);
    }
  }
}

/** The token of a message or of a queue file; empty for what is none of ours. */
function tokenOf(bytes: Uint8Array): string {
  return /X-Token: ([-0-9a-z]+)/.exec(new TextDecoder("latin1").decode(bytes))?.[1] ?? "";
}

/** What a system delivered, one line per message and recipient, in one order; traces before the first header go. */
export function digest(captured: readonly Captured[]): string[] {
  return captured.map(({ sender, parameters, recipient, content }) => {
    const text = new TextDecoder("latin1").decode(content);
    // The two clients cut over-long lines at other places (smtp_line_length_limit): the cuts are taken out.
    const own = text.slice(Math.max(0, text.indexOf("X-Token:"))).replaceAll("\r\n ", "");
    return `<${sender}> ${parameters} <${recipient}> ${own.length} ${hash(own)}`;
  }).sort();
}

/** Messages and recipients that must arrive. */
export function expected(messages: readonly Made[]): string[] {
  return messages.flatMap(({ token, waiting }) => waiting.map((address) => `${token} ${address}`)).sort();
}

export function arrived(captured: readonly Captured[]): string[] {
  return captured.map(({ content, recipient }) => `${tokenOf(content)} ${recipient}`).sort();
}

function hash(text: string): string {
  let value = 0n;
  for (let i = 0; i < text.length; i++) {
    value = BigInt.asUintN(64, (value ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n + 7n);
  }
  return value.toString(16);
}
