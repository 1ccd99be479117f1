/**
 * `sendmail -bs`: SMTP on standard input and output, spoken by the server of the running mail system. Input may come
 * all at once, as from a file: each command is passed on when the one before has its answer, as a client must do.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../lib/safe/channel.ts";
import { connectStream, type StreamTarget } from "../lib/safe/tcp_client.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { asciiUpper, CR, CRLF, isDigit, LF, trimBlanks } from "../lib/vstring/ascii.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
// This program
import type { CommandEnv } from "./command.ts";
import { SendmailError } from "./sendmail_error.ts";
import { DataScanner } from "./smtp_sink_data.ts";
import { LineSplitter } from "./smtp_tool_lines.ts";
import { EX } from "./sysexits.ts";

/** Bytes that may wait for the server before standard input is left alone. */
const PENDING_LIMIT = 1024 * 1024;
/** Pause until the server is looked at again, milliseconds. */
const PENDING_PAUSE = 5;

const NOTHING = new Uint8Array(0);

/** Connects the caller with the SMTP server; returns when the server closes. */
export async function relaySmtp(env: CommandEnv): Promise<number> {
  const target = findServer(env.config());
  if (target === undefined) {
    throw new SendmailError(EX.UNAVAILABLE, "master.toml has no smtpd service for -bs");
  }
  const made = await connectStream(target);
  if (made.kind === "failed") {
    throw new SendmailError(EX.TEMPFAIL, `cannot reach the mail system: ${made.why}`);
  }
  const relay = new SmtpRelay(made.channel, (bytes) => env.writeBytes(bytes));
  // Input that ends without QUIT ends the conversation; a server that closed no longer needs input.
  await Promise.race([relay.over, relay.passOn(env.stdin()).then(() => relay.over)]);
  return EX.OK;
}

/** One conversation that is passed on. */
export class SmtpRelay {
  readonly #channel: Channel;
  readonly #replies = new LineSplitter();
  readonly #commands = new LineSplitter();
  #wake: () => void = () => {};
  /** Replies that have to come before more may be sent; the greeting is the first. */
  #expected = 1;
  #ended = false;
  /** DATA was sent and not refused: text follows. */
  #dataAsked = false;
  #text: DataScanner | undefined;
  /** Last byte of the text so far. */
  #lastByte: number | undefined;
  #finish: () => void = () => {};
  /** Resolves when the server has closed. */
  readonly over: Promise<void> = new Promise((resolve) => this.#finish = resolve);

  /** @param show gets what the server says */
  constructor(channel: Channel, show: (bytes: Uint8Array) => void) {
    this.#channel = channel;
    channel.start({
      data: (bytes) => {
        show(bytes);
        this.#replies.push(bytes, (line) => this.#takeReplyLine(line));
        this.#wake();
      },
      closed: () => {
        this.#ended = true;
        this.#wake();
        this.#finish();
      },
    });
  }

  /** Passes the caller's input on. */
  async passOn(input: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of input) {
      for (let rest = chunk; rest.length > 0 && !this.#ended;) {
        await this.#settled();
        rest = this.#text === undefined ? this.#passCommand(rest) : this.#passText(this.#text, rest);
      }
      if (this.#ended) return;
    }
    await this.#settled();
    this.#channel.finish();
  }

  /** Waits for the replies that are due, and for what was sent to leave. */
  async #settled(): Promise<void> {
    while (this.#expected > 0 && !this.#ended) await new Promise<void>((resolve) => this.#wake = resolve);
    while (this.#channel.pending > PENDING_LIMIT && !this.#ended) {
      await new Promise((resolve) => setTimeout(resolve, PENDING_PAUSE));
    }
  }

  /** Sends the first whole command; returns what follows it. */
  #passCommand(bytes: Uint8Array): Uint8Array {
    return this.#commands.push(bytes, (line) => {
      this.#dataAsked = asciiUpper(trimBlanks(decodeText(line))) === "DATA";
      this.#expected = 1;
      this.#send(line, CRLF);
      return false;
    });
  }

  /** Sends text up to its next line end, and sees whether the message ends there; returns what follows. */
  #passText(scanner: DataScanner, bytes: Uint8Array): Uint8Array {
    const lineFeed = bytes.indexOf(LF);
    const end = lineFeed < 0 ? bytes.length : lineFeed;
    const text = bytes.subarray(0, end);
    // Input of this host may end its lines with LF alone; what the server sees are proper line ends.
    const last = end > 0 ? bytes[end - 1] : this.#lastByte;
    const lineEnd = lineFeed < 0 ? NOTHING : last === CR ? CRLF.subarray(1) : CRLF;
    this.#lastByte = lineFeed < 0 ? last : LF;
    this.#send(text, lineEnd);
    scanner.push(text);
    if (scanner.push(lineEnd) >= 0) {
      this.#text = undefined;
      this.#expected = 1;
    }
    return bytes.subarray(end + (lineFeed < 0 ? 0 : 1));
  }

  #takeReplyLine(line: Uint8Array): boolean {
    // RFC 5321 section 4.2.1: a minus sign behind the code says that the reply goes on.
    const goesOn = line.length > 3 && isDigit(line[0]!) && line[3] === 0x2d;
    if (goesOn) return true;
    this.#expected = Math.max(0, this.#expected - 1);
    if (this.#dataAsked && line[0] === 0x33) this.#text = new DataScanner(undefined);
    this.#dataAsked = false;
    return true;
  }

  /** The channel keeps what it is given: the input's buffers are copied. */
  #send(text: Uint8Array, lineEnd: Uint8Array): void {
    const bytes = new Uint8Array(text.length + lineEnd.length);
    bytes.set(text);
    bytes.set(lineEnd, text.length);
    this.#channel.write(bytes);
  }
}

/** The endpoint of the SMTP server: a unix socket before TCP. */
export function findServer(
  configuration: Pick<Configuration, "services"> & {
    readonly settings: { readonly queue_directory: string };
  },
): StreamTarget | undefined {
  const servers = configuration.services.filter((entry) => entry.command === "smtpd" && !entry.pass);
  const local = servers.find((entry) => entry.type === "unix");
  if (local !== undefined) {
    const directory = `${configuration.settings.queue_directory}/${local.private ? "private" : "public"}`;
    return { kind: "unix", path: `${directory}/${local.name}` };
  }
  const listen = servers.find((entry) => entry.listen !== undefined)?.listen;
  if (listen === undefined) return undefined;
  const host = listen.host ?? "";
  const any = host === "" || host === "0.0.0.0" || host === "::";
  return { kind: "inet", host: any ? "127.0.0.1" : host, port: listen.port, family: 0 };
}
