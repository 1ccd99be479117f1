/**
 * What is said to the filter before the queue: one message, one connection, no pipelining. What it answers is looked at
 * and told to the client; what breaks is told as a failure that may pass, and nothing more.
 */
// Safe primitives
import { type Connection, NetworkError } from "../../lib/safe/connect.ts";
// Utility
import { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { Logger } from "../../lib/log/log.ts";
// Tables
import { type ServerTarget, targetText } from "../../lib/table/server_target.ts";
import { connectTo } from "../../lib/table/stream_target.ts";
// Mail
import { RECORD, RecordCursor } from "../../lib/mail/record.ts";
// Wire protocols
import { DotStuffer } from "../../lib/smtp/dot_stuffing.ts";
import { parseEhlo } from "../../lib/smtp/ehlo.ts";
import { type Reply, ReplyError, ReplyParser } from "../../lib/smtp/reply.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { REPLY } from "./smtpd_reply.ts";

/** Bytes read at once: replies are short. */
const READ_SIZE = 4096;
/** Message text that is gathered before it is sent, and most that is gathered: a record and its dot more. Bytes. */
const PIECE_SIZE = 32 * 1024;
const OUT_LIMIT = PIECE_SIZE + 72 * 1024;
/** More than this on its way to the filter slows the client down, bytes. */
const WINDOW = 256 * 1024;

/** The filter, and how it is spoken to. */
export interface ProxyFilter {
  readonly target: ServerTarget;
  /** Name in EHLO. */
  readonly helloName: string;
  /** For each command and its reply, and each piece of text, milliseconds. */
  readonly timeout: number;
  /** The message is gathered first. */
  readonly speedAdjust: boolean;
}

/** What a command is meant to get. */
type Wanted = "2" | "3";

/** A conversation that has begun. */
export class FilterConversation {
  readonly #filter: ProxyFilter;
  readonly #where: string;
  readonly #log: Logger;
  readonly #connection: Connection;
  readonly #parser = new ReplyParser();
  readonly #input = new Uint8Array(READ_SIZE);
  #start = 0;
  #end = 0;
  /** A read that was begun before anybody waited for what it brings. */
  #ahead: Promise<number | null> | undefined;
  readonly #out = new ByteBuilder(OUT_LIMIT, 2048);
  readonly #stuffer = new DotStuffer(this.#out);
  /** All that was handed over goes out in its order; resolves when it has. */
  #sent: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** Nothing can be said or heard any more. */
  #broken = false;
  #textBegun = false;
  #textEnded = false;

  private constructor(filter: ProxyFilter, log: Logger, connection: Connection) {
    this.#filter = filter;
    this.#where = targetText(filter.target);
    this.#log = log;
    this.#connection = connection;
  }

  /** Connects and is greeted; undefined when it cannot be, which is logged. */
  static async open(filter: ProxyFilter, log: Logger): Promise<FilterConversation | undefined> {
    let connection;
    try {
      connection = await connectTo(filter.target, filter.timeout);
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      log.warning(`connect to proxy filter ${targetText(filter.target)}: ${printable(error.reason)}`);
      return undefined;
    }
    const made = new FilterConversation(filter, log, connection);
    const greeting = await made.#hear();
    if (made.#judge("connection request", greeting, "2") === undefined) return made;
    made.close();
    return undefined;
  }

  /**
   * Introduces us, the client and the sender.
   *
   * @param xforward the command's lines for the attributes that the filter takes
   * @returns what refuses the sender, or is said instead
   */
  async begin(
    xforward: (attributes: ReadonlySet<string>) => readonly string[],
    mail: string,
  ): Promise<ReplyText | undefined> {
    const hello = `EHLO ${this.#filter.helloName}`;
    const answer = await this.#ask(hello);
    // Neither is the client's affair: a filter that does not want to be greeted is a fault of the configuration.
    if (this.#judge(hello, answer, "2") !== undefined) return REPLY.queueFileError;
    for (const line of xforward(parseEhlo(answer!.lines).xforward)) {
      if (this.#judge(line, await this.#ask(line), "2") !== undefined) return REPLY.queueFileError;
    }
    return this.#judge(mail, await this.#ask(mail), "2");
  }

  /** Passes a recipient on; what refuses it. */
  async recipient(line: string): Promise<ReplyText | undefined> {
    return this.#judge(line, await this.#ask(line), "2");
  }

  /** Says DATA; what refuses it. */
  async data(): Promise<ReplyText | undefined> {
    const refusal = this.#judge("DATA", await this.#ask("DATA"), "3");
    if (refusal === undefined) this.#beginText();
    return refusal;
  }

  /** Passes records of text on. */
  text(records: Uint8Array): void {
    const cursor = new RecordCursor(records);
    while (cursor.next()) {
      this.#stuffer.slice(cursor.bytes, cursor.start, cursor.end, cursor.type === RECORD.NORMAL);
      if (this.#out.length >= PIECE_SIZE) this.#send();
    }
    if (this.#out.length > 0) this.#send();
  }

  /** So much is on its way that the client should be slowed down. */
  get congested(): boolean {
    return this.#waiting > WINDOW;
  }

  /** Resolves when all that was handed over has gone out, or never will. */
  drained(): Promise<void> {
    return this.#sent;
  }

  /** Ends the text: the filter's word on it, or undefined when it gave none. */
  async end(): Promise<Reply | undefined> {
    await this.#sent;
    // An answer to what has not ended is none: whoever took it for one would acknowledge half a message.
    this.#textEnded = true;
    if (this.#broken) return undefined;
    this.#stuffer.finish();
    this.#send();
    await this.#sent;
    const reply = await this.#hear();
    if (reply === undefined || !isFinal(reply)) return undefined;
    // Who says more than one thing has said none of them of this message.
    if (this.#start < this.#end) this.#lose(`proxy ${this.#where} answered more than once`);
    return this.#broken ? undefined : reply;
  }

  /** Leaves. In the midst of text nothing more is said, so that the message has no end. */
  close(): void {
    if (!this.#broken && (!this.#textBegun || this.#textEnded)) {
      this.#out.clear().text("QUIT\r\n");
      this.#send();
      this.#sent.then(() => this.#connection.close());
    } else this.#connection.close();
    this.#broken = true;
  }

  async #ask(line: string): Promise<Reply | undefined> {
    if (this.#broken) return undefined;
    this.#out.text(line).text("\r\n");
    this.#send();
    await this.#sent;
    return await this.#hear();
  }

  /** From here on the filter has nothing to say until the text has ended. */
  #beginText(): void {
    this.#textBegun = true;
    const ahead = this.#start < this.#end ? Promise.resolve(0) : this.#connection.read(this.#input);
    this.#ahead = ahead;
    const isEarly = () => !this.#textEnded && !this.#broken;
    ahead.then((count) => {
      if (!isEarly()) return;
      if (count === null) this.#fail(new NetworkError("closed", "Connection closed by filter"));
      else this.#lose(`proxy ${this.#where} answered before the end of the message`);
    }, (error) => {
      if (isEarly()) this.#fail(error);
    });
  }

  #send(): void {
    const bytes = this.#out.view().slice();
    this.#out.clear();
    this.#waiting += bytes.length;
    this.#sent = this.#sent.then(async () => {
      try {
        if (this.#broken && !this.#isGoodbye(bytes)) return;
        this.#connection.deadline(this.#filter.timeout);
        await this.#connection.write(bytes);
        this.#connection.noDeadline();
      } catch (error) {
        this.#fail(error);
      } finally {
        this.#waiting -= bytes.length;
      }
    });
  }

  #isGoodbye(bytes: Uint8Array): boolean {
    return bytes.length === "QUIT\r\n".length;
  }

  /** One reply; undefined when none comes, which is logged. */
  async #hear(): Promise<Reply | undefined> {
    if (this.#broken) return undefined;
    this.#connection.deadline(this.#filter.timeout);
    try {
      for (;;) {
        this.#start = this.#parser.push(this.#input, this.#start, this.#end);
        const reply = this.#parser.take();
        if (reply !== undefined) return this.#understood(reply);
        if (this.#start < this.#end) continue;
        const count = await (this.#ahead ?? this.#connection.read(this.#input));
        this.#ahead = undefined;
        if (count === null) throw new NetworkError("closed", "Connection closed by filter");
        this.#start = 0;
        this.#end = count;
      }
    } catch (error) {
      this.#fail(error);
      return undefined;
    } finally {
      this.#connection.noDeadline();
    }
  }

  /** After what is no reply, nobody knows what answers what. */
  #understood(reply: Reply): Reply | undefined {
    if (reply.noise === undefined) return reply;
    this.#lose(`received garbage from proxy ${this.#where}: ${reply.noise}`);
    return undefined;
  }

  /** What the client is told when a command did not get what it should; logged. */
  #judge(command: string, reply: Reply | undefined, wanted: Wanted): ReplyText | undefined {
    if (reply === undefined) return REPLY.queueFileError;
    if (Math.floor(reply.code / 100) === Number(wanted)) return undefined;
    const text = replyText(reply);
    this.#log.warning(`proxy ${this.#where} rejected "${printable(command)}": "${printable(text)}"`);
    return reply.code >= 400 && reply.code < 600 ? text : REPLY.queueFileError;
  }

  #fail(error: unknown): void {
    if (error instanceof ReplyError) return this.#lose(`proxy ${this.#where} sent ${error.message}`);
    if (!(error instanceof NetworkError)) throw error;
    const late = error.kind === "timeout";
    this.#lose(`${late ? "timeout talking to" : "lost connection with"} proxy ${this.#where}`);
  }

  #lose(why: string): void {
    if (!this.#broken) this.#log.warning(why);
    this.#broken = true;
    this.#connection.close();
  }
}

/** A message is taken or refused; any other answer means nothing. */
function isFinal({ code }: Reply): boolean {
  return (code >= 200 && code < 300) || (code >= 400 && code < 600);
}

/** A filter's reply as the client gets it, all its lines. */
export function replyText({ code, lines }: Reply): ReplyText {
  const last = lines.length - 1;
  return lines.map((line, i) => `${code}${i < last ? "-" : line === "" ? "" : " "}${line}`).join("\r\n");
}
