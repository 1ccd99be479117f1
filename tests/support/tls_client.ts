/** A raw SMTP client that can do STARTTLS and TLS from the first byte on. Not a test itself. @module */
import net from "node:net";
import tls from "node:tls";
import { takeReply } from "./smtp_reply.ts";

/** How long a reply may take, milliseconds. */
const PATIENCE = 60_000;

/** A client; `using` closes it. */
export class TlsClient implements Disposable {
  #socket: net.Socket;
  #input = "";
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#listen();
  }

  /** Connects in the clear; the greeting is still to be read. */
  static connect(port: number): Promise<TlsClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, "127.0.0.1", () => resolve(new TlsClient(socket)));
      socket.once("error", reject);
    });
  }

  /** Connects with TLS; throws when the handshake fails. */
  static async secure(port: number, options: tls.ConnectionOptions = {}): Promise<TlsClient> {
    const client = await TlsClient.connect(port);
    await client.handshake(options);
    return client;
  }

  #listen(): void {
    this.#socket.on("data", (bytes: Uint8Array) => {
      this.#input += new TextDecoder().decode(bytes);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    this.#socket.on("end", end).on("close", end).on("error", end);
  }

  /** Does a handshake on the connection; nothing is checked of the server. */
  async handshake(options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
    const below = this.#socket;
    for (const name of ["data", "end", "close", "error"]) below.removeAllListeners(name);
    below.pause();
    const secure = tls.connect({ socket: below, rejectUnauthorized: false, ...options });
    await new Promise<void>((resolve, reject) => {
      secure.once("secureConnect", resolve);
      secure.once("error", reject);
      secure.once("close", () => reject(new Error("closed during the handshake")));
    });
    secure.removeAllListeners();
    this.#socket = secure;
    this.#listen();
    return secure;
  }

  /** STARTTLS with its reply, then the handshake. */
  async startTls(options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
    const reply = await this.say("STARTTLS");
    if (!reply.startsWith("220 ")) throw new Error(`STARTTLS was refused: ${reply}`);
    return await this.handshake(options);
  }

  send(bytes: Uint8Array | string): void {
    this.#socket.write(bytes);
  }

  /** Ends the output; the server may go on. */
  endOutput(): void {
    this.#socket.end();
  }

  /** The next whole reply, its lines joined by LF; an empty string at the end of the session. */
  async reply(milliseconds = PATIENCE): Promise<string> {
    const deadline = Date.now() + milliseconds;
    for (;;) {
      const reply = this.#take();
      if (reply !== undefined) return reply;
      if (this.#ended) return "";
      if (Date.now() > deadline) throw new Error(`no reply; so far: ${this.#input}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #take(): string | undefined {
    const taken = takeReply(this.#input);
    if (taken !== undefined) this.#input = taken[1];
    return taken?.[0];
  }

  /** Sends a line and gives its reply. */
  async say(line: string): Promise<string> {
    this.send(`${line}\r\n`);
    return await this.reply();
  }

  /** Sends several lines one after the other and gives their replies. */
  async says(...lines: string[]): Promise<string[]> {
    const replies: string[] = [];
    for (const line of lines) replies.push(await this.say(line));
    return replies;
  }

  /** Closes at once, without TLS's own word of leave. */
  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
