/** An SMTP client that does not give up: it repeats a message until it is acknowledged. Not a test itself. @module */

const ENCODER = new TextEncoder();
/** What a reply may take, milliseconds: a daemon that was killed may have to be started first. */
const REPLY_LIMIT = 10_000;
/** Pause before a message is tried again, milliseconds. */
const RETRY_PAUSE = 50;

/** A message as the driver sends it. */
export interface Letter {
  readonly from: string;
  readonly to: string | readonly string[];
  /** Lines that end with CR LF, none that begins with a dot. */
  readonly content: string;
}

/** What became of one transaction. */
export interface Attempt {
  /** The reply to the final dot, when it was 250. */
  readonly accepted: string | undefined;
  /** The last reply, or why there was none. */
  readonly said: string;
  /** The final dot was sent: without an answer the message may be in the queue all the same. */
  readonly ended: boolean;
}

/** The server refused for good. */
export class Refused extends Error {
  override name = "Refused";
}

/** One connection at a time to a server that may go away at any moment. */
export class Driver {
  readonly #port: number;
  #connection: Connection | undefined;
  /** Transactions that were begun. */
  attempts = 0;

  constructor(port: number) {
    this.#port = port;
  }

  /**
   * Sends a message until the server says that it has it; gives the reply.
   *
   * @param deadline milliseconds since 1970, after which it throws
   */
  async send(letter: Letter, deadline: number): Promise<string> {
    for (;;) {
      try {
        this.#connection ??= await Connection.open(this.#port);
        this.attempts++;
        return await this.#connection.send(letter);
      } catch (error) {
        this.close();
        if (error instanceof Refused) throw error;
        if (Date.now() > deadline) throw new Error("Cannot send message in time", { cause: error });
        await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE));
      }
    }
  }

  /** Makes one transaction, whatever becomes of it. */
  async attempt(letter: Letter): Promise<Attempt> {
    let ended = false;
    try {
      this.#connection ??= await Connection.open(this.#port);
      this.attempts++;
      const reply = await this.#connection.send(letter, () => ended = true);
      return { accepted: reply, said: reply, ended };
    } catch (error) {
      this.close();
      return { accepted: undefined, said: error instanceof Error ? error.message : String(error), ended };
    }
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }
}

class Connection {
  readonly #socket: Deno.TcpConn;
  readonly #buffer = new Uint8Array(4096);
  #text = "";

  private constructor(socket: Deno.TcpConn) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<Connection> {
    const connection = new Connection(await Deno.connect({ hostname: "127.0.0.1", port }));
    try {
      await connection.#expect(220);
      await connection.#command("EHLO driver.test", 250);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** @param ended called before the final dot goes out */
  async send({ from, to, content }: Letter, ended: () => void = () => {}): Promise<string> {
    await this.#command(`MAIL FROM:<${from}>`, 250);
    for (const one of typeof to === "string" ? [to] : to) await this.#command(`RCPT TO:<${one}>`, 250);
    await this.#command("DATA", 354);
    await this.#write(content);
    ended();
    return await this.#command(".", 250);
  }

  close(): void {
    try {
      this.#socket.close();
    } catch {
      return; // it was closed when a reply did not come
    }
  }

  async #command(text: string, code: number): Promise<string> {
    await this.#write(`${text}\r\n`);
    return await this.#expect(code);
  }

  async #write(text: string): Promise<void> {
    const bytes = ENCODER.encode(text);
    const timer = setTimeout(() => this.close(), REPLY_LIMIT);
    try {
      for (let at = 0; at < bytes.length;) at += await this.#socket.write(bytes.subarray(at));
    } finally {
      clearTimeout(timer);
    }
  }

  async #expect(code: number): Promise<string> {
    const timer = setTimeout(() => this.close(), REPLY_LIMIT);
    try {
      const reply = await this.#reply();
      if (reply.startsWith(String(code))) return reply;
      throw reply.startsWith("5") ? new Refused(reply) : new Error(reply);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The last line of the next reply. */
  async #reply(): Promise<string> {
    for (;;) {
      for (let end = this.#text.indexOf("\r\n"); end >= 0; end = this.#text.indexOf("\r\n")) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        if (line[3] !== "-") return line;
      }
      const count = await this.#socket.read(this.#buffer);
      if (count === null) throw new Error("Cannot read reply: connection is closed");
      this.#text += new TextDecoder().decode(this.#buffer.subarray(0, count));
    }
  }
}
