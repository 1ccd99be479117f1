/** A raw SMTP client over TCP: bytes out, replies in. Not a test itself. @module */
import { takeReply } from "../support/smtp_reply.ts";

/** How long a reply may take, milliseconds. */
const PATIENCE = 20_000;

export class SmtpClient implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #decoder = new TextDecoder();
  #input = "";
  #ended = false;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects; the greeting is still to be read. */
  static async connect(port: number, host = "127.0.0.1"): Promise<SmtpClient> {
    return new SmtpClient(await Deno.connect({ hostname: host, port }));
  }

  /** Sends bytes; nothing when the server has gone. */
  async send(bytes: Uint8Array | string): Promise<void> {
    const all = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    try {
      for (let done = 0; done < all.length;) done += await this.#connection.write(all.subarray(done));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Ends the output; the server may go on. */
  async endOutput(): Promise<void> {
    await this.#connection.closeWrite();
  }

  /** The next whole reply, its lines joined by LF; an empty string at the end of the session. */
  async reply(milliseconds = PATIENCE): Promise<string> {
    const timer = setTimeout(() => this.close(), milliseconds);
    try {
      for (;;) {
        const reply = this.#take();
        if (reply !== undefined) return reply;
        if (this.#ended) return "";
        await this.#fill();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(): string | undefined {
    const taken = takeReply(this.#input);
    if (taken !== undefined) this.#input = taken[1];
    return taken?.[0];
  }

  async #fill(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    let count: number | null;
    try {
      count = await this.#connection.read(buffer);
    } catch (error) {
      if (!isGone(error)) throw error;
      count = null;
    }
    if (count === null) this.#ended = true;
    else this.#input += this.#decoder.decode(buffer.subarray(0, count), { stream: true });
  }

  /** Sends a line and gives its reply. */
  async say(line: string): Promise<string> {
    await this.send(`${line}\r\n`);
    return await this.reply();
  }

  /** Sends lines one after the other and gives the last reply. */
  async says(...lines: string[]): Promise<string> {
    let reply = "";
    for (const line of lines) reply = await this.say(line);
    return reply;
  }

  close(): void {
    if (this.#ended) return this.#shut();
    this.#ended = true;
    this.#shut();
  }

  #shut(): void {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionAborted;
}

/** Sends one message and gives the reply to its end. */
export async function sendMessage(
  port: number,
  options: { sender?: string; recipients?: readonly string[]; text?: string } = {},
): Promise<string> {
  using client = await SmtpClient.connect(port);
  await client.reply();
  await client.say("EHLO test.example");
  await client.say(`MAIL FROM:<${options.sender ?? "sender@example.com"}>`);
  for (const recipient of options.recipients ?? ["one@example.test"]) {
    await client.say(`RCPT TO:<${recipient}>`);
  }
  const go = await client.say("DATA");
  if (!go.startsWith("354")) return go;
  const reply = await client.say(`${options.text ?? "Subject: x\r\n\r\nbody"}\r\n.`);
  await client.say("QUIT");
  return reply;
}
