/** An SMTP server of a test's own that takes every message and keeps it with its envelope. Not a test itself. @module */
import { concat } from "./bytes.ts";

/** A message as it came, for one recipient of it. */
export interface Captured {
  readonly sender: string;
  /** Parameters of MAIL and RCPT but SIZE and BODY, sorted. */
  readonly parameters: string;
  readonly recipient: string;
  /** Dots unstuffed, line ends as sent. */
  readonly content: Uint8Array;
}

const CAPABILITIES = [
  "sink.test",
  "PIPELINING",
  "8BITMIME",
  "SMTPUTF8",
  "SIZE",
  "ENHANCEDSTATUSCODES",
  "DSN",
];
const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();

/** A command's address and parameters. */
function readPath(line: string): { address: string; parameters: string[] } {
  const open = line.indexOf("<");
  let close = line.indexOf(">", open);
  if (line[open + 1] === '"') close = line.indexOf(">", line.lastIndexOf('"@'));
  const parameters = line.slice(close + 1).split(" ").filter((word) =>
    word !== "" && !/^(SIZE|BODY)=/.test(word)
  );
  return { address: line.slice(open + 1, close), parameters };
}

export class CaptureSink implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #sessions = new Set<Deno.Conn>();
  readonly #accepting: Promise<void>;
  readonly captured: Captured[] = [];

  constructor() {
    this.#accepting = this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#sessions.add(connection);
      this.#serve(connection).catch(() => {}).finally(() => {
        this.#sessions.delete(connection);
        connection.close();
      });
    }
  }

  async #serve(connection: Deno.Conn): Promise<void> {
    const lines = new Lines(connection);
    const say = (text: string) => connection.write(ENCODER.encode(`${text}\r\n`));
    let sender = "";
    let mail: string[] = [];
    let recipients: { address: string; parameters: string[] }[] = [];
    await say("220 sink.test ESMTP");
    for (;;) {
      const bytes = await lines.next();
      if (bytes === undefined) return;
      const line = DECODER.decode(bytes);
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "EHLO") {
        const last = CAPABILITIES.length - 1;
        await say(CAPABILITIES.map((text, i) => `250${i === last ? " " : "-"}${text}`).join("\r\n"));
      } else if (verb === "MAIL") {
        const path = readPath(line);
        sender = path.address;
        mail = path.parameters;
        recipients = [];
        await say("250 2.1.0 Ok");
      } else if (verb === "RCPT") {
        recipients.push(readPath(line));
        await say("250 2.1.5 Ok");
      } else if (verb === "DATA") {
        await say("354 Go on");
        const content = await lines.content();
        if (content === undefined) return;
        for (const { address, parameters } of recipients) {
          const all = [...mail.toSorted(), ...parameters.toSorted()].join(" ");
          this.captured.push({ sender, parameters: all, recipient: address, content });
        }
        await say("250 2.0.0 Ok");
      } else if (verb === "QUIT") {
        await say("221 2.0.0 Bye");
        return;
      } else await say("250 2.0.0 Ok");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const session of this.#sessions) {
      try {
        session.close();
      } catch {
        continue; // it ended meanwhile
      }
    }
    await this.#accepting;
  }
}

/** Reads CR LF lines of a connection. */
class Lines {
  readonly #connection: Deno.Conn;
  #buffer = new Uint8Array(0);
  #at = 0;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async next(): Promise<Uint8Array | undefined> {
    let from = this.#at;
    for (;;) {
      const end = this.#buffer.indexOf(0x0a, from);
      if (end >= 0) {
        const line = this.#buffer.subarray(this.#at, end);
        this.#at = end + 1;
        return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
      }
      from = this.#buffer.length - this.#at;
      const piece = new Uint8Array(65536);
      const count = await this.#connection.read(piece);
      if (count === null) return undefined;
      this.#buffer = concat(this.#buffer.subarray(this.#at), piece.subarray(0, count));
      this.#at = 0;
    }
  }

  async content(): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = [];
    const end = Uint8Array.of(0x0d, 0x0a);
    for (;;) {
      const line = await this.next();
      if (line === undefined) return undefined;
      if (line.length === 1 && line[0] === 0x2e) return concat(...parts);
      parts.push(line[0] === 0x2e ? line.slice(1) : line.slice(), end);
    }
  }
}
