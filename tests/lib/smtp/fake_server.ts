/**
 * A scripted SMTP or LMTP server on 127.0.0.1 that behaves as badly as its script says. What it does by default is
 * what Debian's smtp-sink does; client_peer_test.ts runs the same deliveries against the real one.
 *
 * @module
 */

/** What the server answers to a command: a reply line, several, or what to do. */
export type Answer =
  | string
  | { readonly close: true; readonly say?: string }
  | { readonly silent: true }
  /** The same line again and again, until the client has gone. */
  | { readonly endless: string }
  /** A byte now and then. */
  | { readonly drip: string; readonly every: number };

export interface Script {
  readonly greeting?: Answer;
  /** By verb in upper case (EHLO, HELO, LHLO, MAIL, RCPT, DATA, RSET, QUIT), or by a whole command line. */
  readonly answers?: { readonly [command: string]: Answer | readonly Answer[] };
  readonly keywords?: readonly string[];
  /** To the dot; for LMTP one by accepted recipient. */
  readonly final?: Answer | readonly Answer[];
  /** Milliseconds before the answer to the dot. */
  readonly pause?: number;
  readonly lmtp?: boolean;
  /** Bytes of text after which it hangs up during DATA, saying this first. */
  readonly cutDuringData?: { readonly after: number; readonly say: string };
  /** Sends every reply one byte at a time. */
  readonly byteWise?: boolean;
  /** Hangs up when it has said so many bytes in all. */
  readonly cutAfter?: number;
}

/** Where it listens; 127.0.0.1 and a port that the system chooses by default. */
export interface Place {
  readonly hostname?: string;
  readonly port?: number;
  /** TLS from the first byte on: key and certificates, PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface FakeServer {
  readonly port: number;
  /** Commands of all connections, without CR LF. */
  readonly commands: string[];
  /** Whole texts as they came between DATA and the dot, dot and stuffing included. */
  readonly texts: Uint8Array[];
  connections: number;
  /** Bytes that the server has said, over all connections. */
  said: number;
  /** Milliseconds between the last bytes of a text and its final dot, when that came alone. */
  pauseBeforeEnd: number | undefined;
  /** Resolves when every connection has ended by itself. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

const encoder = new TextEncoder();

/**
 * Starts a server.
 *
 * @param script what it does; a function of the connection's number, from 0, for one that changes its mind
 */
export function fakeServer(script: Script | ((nth: number) => Script) = {}, place: Place = {}): FakeServer {
  const { tls, ...address } = place;
  const at = { hostname: "127.0.0.1", port: 0, ...address };
  const listener: Deno.Listener = tls === undefined ? Deno.listen(at) : Deno.listenTls({ ...at, ...tls });
  const open = new Set<Deno.Conn>();
  const sessions: Promise<void>[] = [];
  const server: FakeServer = {
    port: (listener.addr as Deno.NetAddr).port,
    commands: [],
    texts: [],
    connections: 0,
    said: 0,
    pauseBeforeEnd: undefined,
    idle: async () => void await Promise.all(sessions),
    stop: async () => {
      listener.close();
      for (const connection of open) close(connection);
      await accepting;
      await Promise.all(sessions);
    },
  };
  const accepting = (async () => {
    for await (const connection of listener) {
      const nth = server.connections++;
      if (tls === undefined) (connection as Deno.TcpConn).setNoDelay(true);
      open.add(connection);
      sessions.push(
        new FakeSession(typeof script === "function" ? script(nth) : script, server, connection).run().catch(
          () => undefined,
        ).finally(() => {
          open.delete(connection);
          close(connection);
        }),
      );
    }
  })();
  return server;
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // The other side of the test has closed it.
  }
}

class FakeSession {
  readonly #script: Script;
  readonly #server: FakeServer;
  readonly #connection: Deno.Conn;
  #buffer = new Uint8Array(0);
  readonly #asked = new Map<string, number>();
  #accepted = 0;
  #said = 0;

  constructor(script: Script, server: FakeServer, connection: Deno.Conn) {
    this.#script = script;
    this.#server = server;
    this.#connection = connection;
  }

  async run(): Promise<void> {
    if (!await this.#answer(this.#script.greeting ?? "220 fake.test ESMTP")) return;
    for (;;) {
      const line = await this.#line();
      if (line === undefined) return;
      this.#server.commands.push(line);
      const verb = line.split(" ")[0]!.split(":")[0]!.toUpperCase();
      if (verb === "MAIL") this.#accepted = 0;
      const answer = this.#answerTo(line, verb);
      if (verb === "RCPT" && typeof answer === "string" && answer.startsWith("2")) this.#accepted++;
      if (!await this.#answer(answer)) return;
      if (verb === "QUIT") return;
      if (verb === "DATA" && typeof answer === "string" && answer.startsWith("354")) {
        if (!await this.#message()) return;
      }
    }
  }

  #answerTo(line: string, verb: string): Answer {
    const scripted = this.#script.answers?.[line] ?? this.#script.answers?.[verb];
    if (scripted !== undefined) {
      if (!Array.isArray(scripted)) return scripted as Answer;
      const nth = this.#asked.get(verb) ?? 0;
      this.#asked.set(verb, nth + 1);
      return (scripted as Answer[])[Math.min(nth, scripted.length - 1)]!;
    }
    switch (verb) {
      case "EHLO":
      case "LHLO": {
        const lines = ["fake.test", ...this.#script.keywords ?? ["PIPELINING", "8BITMIME", "SIZE 0"]];
        return lines.map((text, i) => `250${i === lines.length - 1 ? " " : "-"}${text}`).join("\r\n");
      }
      case "DATA":
        return "354 go";
      case "QUIT":
        return "221 bye";
      default:
        return "250 2.0.0 Ok";
    }
  }

  async #message(): Promise<boolean> {
    const end = encoder.encode("\r\n.\r\n");
    let text = new Uint8Array(0);
    let arrived = performance.now();
    for (;;) {
      const cut = this.#script.cutDuringData;
      if (cut !== undefined && text.length + this.#buffer.length > cut.after) {
        if (cut.say !== "") await this.#say(cut.say);
        return false;
      }
      if (new TextDecoder().decode(this.#buffer) === ".\r\n" && text.length > 0) {
        this.#server.pauseBeforeEnd = performance.now() - arrived;
      }
      arrived = performance.now();
      text = concat(text, this.#buffer);
      this.#buffer = new Uint8Array(0);
      const at = text.length >= 3 && text[0] === 0x2e && text[1] === 13 ? -2 : indexOf(text, end);
      if (at !== -1) {
        this.#server.texts.push(text.slice(0, at + 5));
        this.#buffer = text.slice(at + 5);
        break;
      }
      if (!await this.#more()) return false;
    }
    if (this.#script.pause !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, this.#script.pause));
    }
    const finals = Array.isArray(this.#script.final)
      ? this.#script.final as Answer[]
      : [(this.#script.final ?? "250 2.0.0 Ok: queued as TEST") as Answer];
    const count = this.#script.lmtp ? this.#accepted : 1;
    for (let i = 0; i < count; i++) {
      if (!await this.#answer(finals[Math.min(i, finals.length - 1)]!)) return false;
    }
    return true;
  }

  async #answer(answer: Answer): Promise<boolean> {
    if (typeof answer === "string") {
      await this.#say(answer);
      return true;
    }
    if ("endless" in answer) {
      const many = Array(100).fill(answer.endless).join("\r\n");
      for (;;) await this.#say(many);
    }
    if ("drip" in answer) {
      for (const byte of encoder.encode(`${answer.drip}\r\n`)) {
        await this.#write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, answer.every));
      }
      return true;
    }
    if ("silent" in answer) {
      while (await this.#more());
      return false;
    }
    if (answer.say !== undefined) await this.#say(answer.say);
    return false;
  }

  async #say(text: string): Promise<void> {
    const bytes = encoder.encode(`${text}\r\n`);
    if (!this.#script.byteWise) return await this.#write(bytes);
    for (let i = 0; i < bytes.length; i++) {
      await this.#write(bytes.subarray(i, i + 1));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const left = (this.#script.cutAfter ?? Infinity) - this.#said;
    const allowed = bytes.subarray(0, left);
    for (let done = 0; done < allowed.length;) done += await this.#connection.write(allowed.subarray(done));
    this.#said += allowed.length;
    this.#server.said += allowed.length;
    if (allowed.length < bytes.length) throw new Error("cut");
  }

  async #line(): Promise<string | undefined> {
    for (;;) {
      const at = indexOf(this.#buffer, encoder.encode("\r\n"));
      if (at >= 0) {
        const line = new TextDecoder().decode(this.#buffer.subarray(0, at));
        this.#buffer = this.#buffer.slice(at + 2);
        return line;
      }
      if (!await this.#more()) return undefined;
    }
  }

  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(65536);
    const count = await this.#connection.read(chunk);
    if (count === null) return false;
    this.#buffer = concat(this.#buffer, chunk.subarray(0, count));
    return true;
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  for (let i = 0; i + wanted.length <= bytes.length; i++) {
    let same = true;
    for (let j = 0; same && j < wanted.length; j++) same = bytes[i + j] === wanted[j];
    if (same) return i;
  }
  return -1;
}
