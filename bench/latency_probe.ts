/**
 * The process that times the final 250: one session that stays open, one message after the other. It is a process of
 * its own so that the benchmark's other work does not delay it.
 *
 * `latency_probe.ts TASK`, TASK being a `ProbeTask` as JSON. It connects, prints "ready", and begins when it reads
 * something. It ends after `count` messages; with count 0, when its standard input ends. Then it prints a
 * `ProbeResult` as JSON.
 *
 * @module
 */

/** What the probe is to do. */
export interface ProbeTask {
  readonly port: number;
  readonly from: string;
  readonly to: string;
  /** Recipients of each message: with more than one they are numbered and spread over `domains` domains. */
  readonly recipients: number;
  readonly domains: number;
  /** Bytes of the content. */
  readonly length: number;
  /** Messages to send; 0: until standard input ends. */
  readonly count: number;
  /** Milliseconds between two messages. */
  readonly pause: number;
}

/** What the probe waited for with each message, milliseconds. */
export interface ProbeResult {
  /** From the final dot to the 250. */
  readonly finals: number[];
  /** From MAIL to the 250. */
  readonly transactions: number[];
}

const CRLF = "\r\n";
const LINE = "X".repeat(78) + CRLF;
/** How much of a message is written at once, bytes. */
const CHUNK = 1024 * 1024;
/** Longest reply, bytes. */
const REPLY_LIMIT = 64 * 1024;

/** A session with an SMTP server. */
class Session {
  readonly #connection: Deno.TcpConn;
  readonly #buffer = new Uint8Array(REPLY_LIMIT);

  constructor(connection: Deno.TcpConn) {
    connection.setNoDelay(true);
    this.#connection = connection;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) sent += await this.#connection.write(bytes.subarray(sent));
  }

  /** Sends a command and demands a reply that begins with a digit. */
  async command(text: string, digit: string): Promise<void> {
    await this.write(new TextEncoder().encode(text + CRLF));
    await this.expect(digit, text);
  }

  /** Reads one reply, whatever its number of lines. */
  async expect(digit: string, after: string): Promise<void> {
    let length = 0;
    for (;;) {
      const count = await this.#connection.read(this.#buffer.subarray(length));
      if (count === null || count === 0) throw new Error(`The server closed the connection after "${after}"`);
      length += count;
      const reply = new TextDecoder().decode(this.#buffer.subarray(0, length));
      const last = reply.slice(reply.lastIndexOf("\n", reply.length - 2) + 1);
      if (!last.endsWith("\n") || last[3] === "-") continue;
      if (reply.startsWith(digit)) return;
      throw new Error(`The server answered "${after}" with ${reply.trim()}`);
    }
  }
}

/** The content in the pieces in which it is written, without the final dot. */
function makeContent({ length, from, to }: ProbeTask): Uint8Array[] {
  const header = `From: <${from}>${CRLF}To: <${to}>${CRLF}Subject: probe${CRLF}${CRLF}`;
  const body = LINE.repeat(Math.ceil(CHUNK / LINE.length));
  const pieces = [header];
  for (let rest = length; rest > 0;) {
    const whole = Math.ceil(Math.min(rest, CHUNK) / LINE.length) * LINE.length;
    pieces.push(body.slice(0, whole));
    rest -= whole;
  }
  return pieces.map((piece) => new TextEncoder().encode(piece));
}

function recipientsOf({ recipients, domains, to }: ProbeTask): string[] {
  if (recipients === 1) return [to];
  const [local, domain] = to.split("@");
  return Array.from({ length: recipients }, (_, i) => `${i}${local}@d${i % domains}.${domain}`);
}

/** Sends one message and adds what it took. */
async function sendMessage(
  session: Session,
  from: string,
  recipients: readonly string[],
  content: readonly Uint8Array[],
  { finals, transactions }: ProbeResult,
): Promise<void> {
  const started = performance.now();
  await session.command(`MAIL FROM:<${from}>`, "2");
  for (const recipient of recipients) await session.command(`RCPT TO:<${recipient}>`, "2");
  await session.command("DATA", "3");
  for (const piece of content) await session.write(piece);
  const dot = performance.now();
  await session.command(".", "2");
  const ended = performance.now();
  finals.push(toMicroseconds(ended - dot));
  transactions.push(toMicroseconds(ended - started));
}

/** Milliseconds without the digits that mean nothing. */
function toMicroseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

async function main(task: ProbeTask): Promise<void> {
  const session = new Session(await Deno.connect({ hostname: "127.0.0.1", port: task.port }));
  await session.expect("2", "connect");
  await session.command("EHLO bench.test", "2");
  const [content, recipients] = [makeContent(task), recipientsOf(task)];
  console.log("ready");
  const input = Deno.stdin.readable.getReader();
  if ((await input.read()).done) return;
  let ended = false;
  input.read().then(() => ended = true);
  const result: ProbeResult = { finals: [], transactions: [] };
  while (task.count > 0 ? result.finals.length < task.count : !ended) {
    await sendMessage(session, task.from, recipients, content, result);
    if (task.pause > 0) await new Promise((resolve) => setTimeout(resolve, task.pause));
  }
  await session.command("QUIT", "2");
  console.log(JSON.stringify(result));
}

if (import.meta.main) {
  try {
    await main(JSON.parse(Deno.args[0]!));
    Deno.exit(0); // its standard input may still be open
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
