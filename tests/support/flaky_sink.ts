/**
 * An SMTP server that is as unreliable as its seed says and keeps what it has taken: it refuses for now, is silent for a
 * while, hangs up before a command, in the text, before the final reply and behind it, and sends replies byte by byte.
 * Not a test itself.
 *
 * @module
 */
import type { Random } from "./random.ts";

/** A message that was answered with 250. */
export interface Taken {
  readonly recipients: readonly string[];
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The 250 may not have reached the client. */
  readonly unheard: boolean;
}

/** What it does to one transaction. */
const MOODS = [
  "refuse mail",
  "refuse recipient",
  "refuse text",
  "hang up at once",
  "hang up in the text",
  "hang up before the reply",
  "hang up behind the reply",
  "stall",
  "byte by byte",
  "chatter",
] as const;
export type Mood = typeof MOODS[number] | "well";

/** One transaction in so many is as it should not be. */
const BAD_ONE_IN = 4;
/** Longest silence, milliseconds. */
const STALL = 1500;
/** Longest text that it takes, bytes. */
const TEXT_LIMIT = 16 * 1024 * 1024;

/** The client is gone, or the sink has had enough of it. */
class HangUp extends Error {
  override name = "HangUp";
}

/** The server. */
export class FlakySink implements AsyncDisposable {
  readonly port: number;
  readonly taken: Taken[] = [];
  /** Transactions by what was done to them. */
  readonly moods = new Map<Mood, number>();
  /** While false, every transaction goes well. */
  bad = true;
  readonly #random: Random;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #accepting: Promise<void>;

  constructor(random: Random) {
    this.#random = random;
    this.port = (this.#listener.addr as Deno.NetAddr).port;
    this.#accepting = this.#accept();
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#open.add(connection);
      new Session(connection, this).run().catch((error) => {
        // What a peer's death does to a socket is what this is for.
        if (!(error instanceof HangUp) && !(error instanceof Deno.errors.ConnectionReset)) {
          if (!(error instanceof Deno.errors.BrokenPipe) && !(error instanceof Deno.errors.BadResource)) {
            throw error;
          }
        }
      }).finally(() => {
        this.#open.delete(connection);
        close(connection);
      });
    }
  }

  /** What the next transaction meets. */
  mood(): Mood {
    const mood = this.bad && this.#random.below(BAD_ONE_IN) === 0 ? this.#random.pick(MOODS) : "well";
    this.moods.set(mood, (this.moods.get(mood) ?? 0) + 1);
    return mood;
  }

  /** Up to the longest silence, milliseconds. */
  pause(): number {
    return this.#random.below(STALL);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) close(connection);
    await this.#accepting.catch(() => {});
  }
}

class Session {
  readonly #connection: Deno.Conn;
  readonly #sink: FlakySink;
  readonly #buffer = new Uint8Array(65536);
  #text = "";
  #mood: Mood = "well";
  #recipients: string[] = [];

  constructor(connection: Deno.Conn, sink: FlakySink) {
    this.#connection = connection;
    this.#sink = sink;
  }

  async run(): Promise<void> {
    await this.#say("220 sink.test ESMTP");
    for (;;) {
      const line = await this.#until("\r\n");
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "MAIL") await this.#mail();
      else if (verb === "RCPT") await this.#recipient(line);
      else if (verb === "DATA") await this.#data();
      else if (verb === "QUIT") return await this.#say("221 2.0.0 bye");
      else await this.#say(verb === "EHLO" ? "250-sink.test\r\n250 ENHANCEDSTATUSCODES" : "250 2.0.0 ok");
    }
  }

  async #mail(): Promise<void> {
    this.#recipients = [];
    this.#mood = this.#sink.mood();
    if (this.#mood === "hang up at once") throw new HangUp();
    if (this.#mood === "chatter") await this.#say(Array(50).fill("250-2.1.0 and").join("\r\n"));
    await this.#say(this.#mood === "refuse mail" ? "451 4.3.0 not now" : "250 2.1.0 ok");
  }

  async #recipient(line: string): Promise<void> {
    if (this.#mood === "refuse recipient") return await this.#say("450 4.2.0 not now");
    this.#recipients.push(line.slice(line.indexOf("<") + 1, line.lastIndexOf(">")));
    await this.#say("250 2.1.5 ok");
  }

  async #data(): Promise<void> {
    if (this.#recipients.length === 0) return await this.#say("503 5.5.1 no recipients");
    await this.#say("354 go on");
    if (this.#mood === "hang up in the text") {
      await this.#read();
      throw new HangUp();
    }
    const text = await this.#until("\r\n.\r\n");
    if (this.#mood === "hang up before the reply") throw new HangUp();
    if (this.#mood === "stall") await new Promise((resolve) => setTimeout(resolve, this.#sink.pause()));
    if (this.#mood === "refuse text") return await this.#say("452 4.3.1 not now");
    const unheard = this.#mood === "hang up behind the reply";
    const taken = {
      recipients: this.#recipients,
      text: text.replaceAll("\r\n", "\n"),
      time: Date.now(),
      unheard,
    };
    if (unheard) {
      this.#sink.taken.push(taken);
      throw new HangUp();
    }
    try {
      await this.#say("250 2.0.0 taken");
    } finally {
      this.#sink.taken.push(taken);
    }
  }

  async #say(reply: string): Promise<void> {
    const bytes = new TextEncoder().encode(`${reply}\r\n`);
    const step = this.#mood === "byte by byte" ? 1 : bytes.length;
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at, at + step));
  }

  async #until(end: string): Promise<string> {
    for (;;) {
      const at = this.#text.indexOf(end);
      if (at >= 0) {
        const found = this.#text.slice(0, at);
        this.#text = this.#text.slice(at + end.length);
        return found;
      }
      await this.#read();
      if (this.#text.length > TEXT_LIMIT) throw new HangUp();
    }
  }

  async #read(): Promise<void> {
    const count = await this.#connection.read(this.#buffer);
    if (count === null) throw new HangUp();
    this.#text += new TextDecoder().decode(this.#buffer.subarray(0, count));
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    return; // it is closed already
  }
}
